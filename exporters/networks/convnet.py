"""The small ConvNet of PyTorch's CIFAR-10 tutorial: two convolutions, three fully connected layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ConvNet(nn.Module):
    """[n, channels, 32, 32] float to [n, classes] logits; 62,006 weights for 3 channels and 10 classes.

    The names of the weights are the tutorial's (`conv1`, `conv2`, `fc1`, `fc2`, `fc3`), so that its checkpoints load.
    """

    def __init__(self, classes: int = 10, *, channels: int = 3) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, 6, 5)
        self.pool = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(6, 16, 5)
        self.fc1 = nn.Linear(16 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, classes)

    def forward(self, images: Tensor) -> Tensor:
        maps = self.pool(functional.relu(self.conv1(images)))
        maps = self.pool(functional.relu(self.conv2(maps)))
        hidden = functional.relu(self.fc1(torch.flatten(maps, 1)))
        logits: Tensor = self.fc3(functional.relu(self.fc2(hidden)))
        return logits
