"""A Siamese network (Bromley et al. 1993; Koch et al. 2015): two pictures go through one trunk and are compared.

What is served is the trunk: it embeds one picture, and whoever asks compares the embeddings.
"""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional


class SiameseNetwork(nn.Module):
    """[n, channels, height, width] float to embeddings [n, dimensions], not yet of unit length; sides from 8 up."""

    def __init__(self, dimensions: int = 64, *, channels: int = 1, width: int = 32) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            *_stage(channels, width),
            *_stage(width, 2 * width),
            *_stage(2 * width, 4 * width),
            nn.AdaptiveAvgPool2d((1, 1)),
            nn.Flatten(),
            nn.Linear(4 * width, dimensions),
        )

    def forward(self, images: Tensor) -> Tensor:
        embeddings: Tensor = self.trunk(images)
        return embeddings

    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        """The Euclidean distances [n] between the embeddings of two batches, each of unit length: 0 to 2.

        Training pulls pairs of one class together with it and pushes others apart (Hadsell et al. 2006).
        """
        one, other = (functional.normalize(self(images), dim=1) for images in (first, second))
        return functional.pairwise_distance(one, other)


def _stage(inputs: int, outputs: int) -> tuple[nn.Module, ...]:
    return (
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(2),
    )
