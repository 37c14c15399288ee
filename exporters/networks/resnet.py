"""Residual networks (He et al. 2015) whose state dicts are torchvision's: the same names, shapes and arithmetic.

As there, the stride of a bottleneck sits in its 3x3 convolution ("version 1.5"), not in the first 1x1 of the paper.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut."""

    expansion = 1

    def __init__(self, inputs: int, width: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = _conv3x3(inputs, width, stride)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = _conv3x3(width, width)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = downsample

    def forward(self, maps: Tensor) -> Tensor:
        shortcut = maps if self.downsample is None else self.downsample(maps)
        out = self.relu(self.bn1(self.conv1(maps)))
        summed: Tensor = self.relu(self.bn2(self.conv2(out)) + shortcut)
        return summed


class Bottleneck(nn.Module):
    """1x1, 3x3 and 1x1 convolutions around a shortcut; four times as many channels leave as the middle has."""

    expansion = 4

    def __init__(self, inputs: int, width: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _conv3x3(width, width, stride)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, width * self.expansion, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(width * self.expansion)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, maps: Tensor) -> Tensor:
        shortcut = maps if self.downsample is None else self.downsample(maps)
        out = self.relu(self.bn1(self.conv1(maps)))
        out = self.relu(self.bn2(self.conv2(out)))
        summed: Tensor = self.relu(self.bn3(self.conv3(out)) + shortcut)
        return summed


class ResNet(nn.Module):
    """[n, channels, height, width] float to [n, classes] logits; any height and width from 32 up.

    `width` is the channels of the first stage, 64 in the paper. Without `pool` the stem halves the sides once, not
    twice: of 32x32 pixels the pooled one leaves a single pixel to the last stage.
    """

    def __init__(
        self,
        block: type[BasicBlock | Bottleneck],
        depths: Sequence[int],
        *,
        classes: int = 1000,
        channels: int = 3,
        width: int = 64,
        pool: bool = True,
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, stride=2, padding=1) if pool else nn.Identity()
        out = width * block.expansion
        self.layer1 = _layer(block, width, width, depths[0], stride=1)
        self.layer2 = _layer(block, out, 2 * width, depths[1], stride=2)
        self.layer3 = _layer(block, 2 * out, 4 * width, depths[2], stride=2)
        self.layer4 = _layer(block, 4 * out, 8 * width, depths[3], stride=2)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.fc = nn.Linear(8 * out, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, images: Tensor) -> Tensor:
        maps = self.maxpool(self.relu(self.bn1(self.conv1(images))))
        maps = self.layer4(self.layer3(self.layer2(self.layer1(maps))))
        logits: Tensor = self.fc(torch.flatten(self.avgpool(maps), 1))
        return logits


def resnet18(*, classes: int = 1000, channels: int = 3, width: int = 64, pool: bool = True) -> ResNet:
    depths = (2, 2, 2, 2)
    return ResNet(BasicBlock, depths, classes=classes, channels=channels, width=width, pool=pool)


def resnet34(*, classes: int = 1000, channels: int = 3) -> ResNet:
    return ResNet(BasicBlock, (3, 4, 6, 3), classes=classes, channels=channels)


def resnet50(*, classes: int = 1000, channels: int = 3) -> ResNet:
    return ResNet(Bottleneck, (3, 4, 6, 3), classes=classes, channels=channels)


def resnet101(*, classes: int = 1000, channels: int = 3) -> ResNet:
    return ResNet(Bottleneck, (3, 4, 23, 3), classes=classes, channels=channels)


def _layer(block: type[BasicBlock | Bottleneck], inputs: int, width: int, depth: int, *, stride: int) -> nn.Sequential:
    outputs = width * block.expansion
    downsample = None
    if stride != 1 or inputs != outputs:
        downsample = nn.Sequential(
            nn.Conv2d(inputs, outputs, 1, stride=stride, bias=False),
            nn.BatchNorm2d(outputs),
        )
    first = block(inputs, width, stride, downsample)
    return nn.Sequential(first, *(block(outputs, width, 1, None) for _ in range(1, depth)))


def _conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False)
