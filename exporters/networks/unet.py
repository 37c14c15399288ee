"""U-Net (Ronneberger et al. 2015) with batch normalisation and padded convolutions.

The names of the weights are those of the widely used milesial/Pytorch-UNet (`inc`, `down1` … `down4`, `up1` … `up4`,
`outc`), so that its checkpoints load.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class DoubleConv(nn.Module):
    """Twice: a 3x3 convolution, batch normalisation, a rectifier."""

    def __init__(self, inputs: int, outputs: int, middle: int | None = None) -> None:
        super().__init__()
        between = middle or outputs
        self.double_conv = nn.Sequential(
            nn.Conv2d(inputs, between, 3, padding=1, bias=False),
            nn.BatchNorm2d(between),
            nn.ReLU(inplace=True),
            nn.Conv2d(between, outputs, 3, padding=1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = self.double_conv(maps)
        return out


class Down(nn.Module):
    """Half the height and width."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.maxpool_conv = nn.Sequential(nn.MaxPool2d(2), DoubleConv(inputs, outputs))

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = self.maxpool_conv(maps)
        return out


class Up(nn.Module):
    """Twice the height and width, joined with the maps of the same size from the way down."""

    def __init__(self, inputs: int, outputs: int, *, bilinear: bool) -> None:
        super().__init__()
        self.up: nn.Module
        if bilinear:
            self.up = nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)
            self.conv = DoubleConv(inputs, outputs, inputs // 2)
        else:
            self.up = nn.ConvTranspose2d(inputs, inputs // 2, 2, stride=2)
            self.conv = DoubleConv(inputs, outputs)

    def forward(self, maps: Tensor, skipped: Tensor) -> Tensor:
        larger = self.up(maps)
        # An odd height or width lost a row or column on the way down.
        rows, columns = skipped.shape[2] - larger.shape[2], skipped.shape[3] - larger.shape[3]
        if rows or columns:
            larger = functional.pad(larger, [columns // 2, columns - columns // 2, rows // 2, rows - rows // 2])
        out: Tensor = self.conv(torch.cat([skipped, larger], dim=1))
        return out


class OutConv(nn.Module):
    """One map of logits per class."""

    def __init__(self, inputs: int, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, classes, 1)

    def forward(self, maps: Tensor) -> Tensor:
        out: Tensor = self.conv(maps)
        return out


class UNet(nn.Module):
    """[n, channels, height, width] float to logits [n, classes, height, width]; height and width from 16 up.

    `width` is the number of maps at full size; 64 in the paper and in the checkpoints that exist.
    """

    def __init__(self, classes: int = 2, *, channels: int = 3, width: int = 64, bilinear: bool = False) -> None:
        super().__init__()
        less = 2 if bilinear else 1
        self.inc = DoubleConv(channels, width)
        self.down1 = Down(width, 2 * width)
        self.down2 = Down(2 * width, 4 * width)
        self.down3 = Down(4 * width, 8 * width)
        self.down4 = Down(8 * width, 16 * width // less)
        self.up1 = Up(16 * width, 8 * width // less, bilinear=bilinear)
        self.up2 = Up(8 * width, 4 * width // less, bilinear=bilinear)
        self.up3 = Up(4 * width, 2 * width // less, bilinear=bilinear)
        self.up4 = Up(2 * width, width, bilinear=bilinear)
        self.outc = OutConv(width, classes)

    def forward(self, images: Tensor) -> Tensor:
        first = self.inc(images)
        second = self.down1(first)
        third = self.down2(second)
        fourth = self.down3(third)
        maps = self.up1(self.down4(fourth), fourth)
        maps = self.up3(self.up2(maps, third), second)
        logits: Tensor = self.outc(self.up4(maps, first))
        return logits
