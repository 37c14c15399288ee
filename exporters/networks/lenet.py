"""LeNet-5 for 28x28 grey pictures (LeCun et al. 1998), with the rectifiers and max pooling of today."""

from __future__ import annotations

from torch import Tensor, nn


class LeNet5(nn.Module):
    """[n, 1, 28, 28] float to [n, classes] logits; 61,706 weights for 10 classes."""

    def __init__(self, classes: int = 10, *, dropout: float = 0.2) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Flatten(),
        )
        self.classifier = nn.Sequential(
            nn.Linear(16 * 5 * 5, 120),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(120, 84),
            nn.ReLU(),
            nn.Linear(84, classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(images))
        return logits
