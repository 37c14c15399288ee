"""Labelled pictures of a recipe: a folder per class, a CSV of `path,label`, or the scans that ship in scikit-learn."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import numpy as np

from exporters.base import Array, ExportFailed, LabelledImages
from exporters.picture_list import ListedPicture, pictures_of_csv, pictures_of_folder
from exporters.recipe import Recipe
from services.shared.errors import ServingError
from services.shared.imaging.base import DecodedImage, Pixels, Preprocessor
from services.shared.imaging.preprocess import ImagePreprocessor
from services.shared.imaging.settings import ImageSettings, parse_image_settings
from services.shared.model_config import ModelConfig
from services.shared.tensors import TensorSpec

_NAMED_FAILURES = 5


@dataclass(frozen=True, slots=True)
class Picture:
    """`read` gives the bytes as a client would upload them; `label` is the class's index, -1 for none."""

    name: str
    read: Callable[[], bytes]
    label: int


class Pictures:
    """`LabelledImages` over picture files, decoded a batch at a time: memory follows the batch, not the data set.

    `batches` raises one ExportFailed that names the first pictures that cannot be read, when it comes to the first.
    """

    def __init__(self, pictures: Sequence[Picture], preprocess: Preprocessor) -> None:
        self.labels: Array = np.array([picture.label for picture in pictures], dtype=np.int64)
        self._pictures = tuple(pictures)
        self._preprocess = preprocess

    def __len__(self) -> int:
        return len(self._pictures)

    def batches(self, size: int) -> Iterator[tuple[Array, Array]]:
        for number, decoded in enumerate(self._decoded(self._pictures, size)):
            yield np.stack([each.tensor for each in decoded]), self.labels[number * size : (number + 1) * size]

    def decoded(self, size: int, limit: int) -> Iterator[list[DecodedImage]]:
        """See DecodedPictures."""
        return self._decoded(_spread(self._pictures, limit), size)

    def _decoded(self, pictures: Sequence[Picture], size: int) -> Iterator[list[DecodedImage]]:
        with ThreadPoolExecutor(os.cpu_count(), thread_name_prefix="decode") as threads:
            for start in range(0, len(pictures), size):
                decoded = list(threads.map(self._decode, pictures[start : start + size]))
                good = [each for each in decoded if not isinstance(each, str)]
                if len(good) < len(decoded):
                    rest = map(self._decode, pictures[start + size :])
                    raise ExportFailed(_unreadable(name for name in (*decoded, *rest) if isinstance(name, str)))
                yield good

    def _decode(self, picture: Picture) -> DecodedImage | str:
        """The picture as the server sees it, or its name and what is wrong with it."""
        try:
            return self._preprocess(picture.read())
        except OSError as error:
            return f"{picture.name} ({error.strerror or error})"
        except ServingError as error:
            return f"{picture.name} ({error.detail})"


def labelled_images(text: str, recipe: Recipe, *, limit: int | None = None) -> LabelledImages:
    """What `data.calibration` or `data.evaluation` names, in a fixed order, each through the serving preprocessing.

    `text` is `digits:train`, `digits:held-out`, a CSV file or a folder; a relative path is from the recipe's directory.
    With `limit`, that many pictures spread evenly over all, so that every class keeps its share. Raises ExportFailed
    for what does not exist, holds no pictures, or has other labels than the recipe.
    """
    if text in ("digits:train", "digits:held-out"):
        pictures = _scans(held_out=text == "digits:held-out")
    else:
        path = recipe.directory / text
        if path.is_dir():
            listed = pictures_of_folder(path, recipe.labels, recipe.task)
        elif path.is_file():
            listed = pictures_of_csv(path, recipe.labels, recipe.task)
        else:
            raise ExportFailed(f"data {text!r} is neither a folder nor a CSV file: there is no {path}")
        pictures = [_of_file(each) for each in listed]
    if not pictures:
        raise ExportFailed(f"data {text!r} holds no pictures")
    chosen = pictures if limit is None else _spread(pictures, limit)
    return Pictures(chosen, ImagePreprocessor(image_settings(recipe)))


def _spread(pictures: Sequence[Picture], limit: int) -> Sequence[Picture]:
    """That many, evenly over all."""
    if limit >= len(pictures):
        return pictures
    return [pictures[i] for i in np.linspace(0, len(pictures) - 1, limit).round().astype(int)]


def image_settings(recipe: Recipe) -> ImageSettings:
    """What the served config will say of the input. Raises ExportFailed for a preprocessing word that is unknown."""
    shape = (recipe.input.height, recipe.input.width, recipe.input.channels)
    parameters = {**recipe.input.parameters, "task": recipe.task}
    config = ModelConfig(
        recipe.name, "onnxruntime", "", 1, (TensorSpec("image", "UINT8", shape),), (), parameters=parameters
    )
    try:
        return parse_image_settings(config)
    except ServingError as error:
        raise ExportFailed(error.detail) from error


def _of_file(listed: ListedPicture) -> Picture:
    return Picture(str(listed.path), listed.path.read_bytes, listed.label)


def _scans(*, held_out: bool) -> list[Picture]:
    """As PNG files, every other one dark on light: people draw on paper and on screens."""
    from exporters.digits.scans import load_scans  # scikit-learn is only needed here

    scans = load_scans()[held_out]
    where = "held-out" if held_out else "train"
    return [
        Picture(f"digits:{where}[{i}]", partial(_png, 255 - pixels if i % 2 else pixels), int(label))
        for i, (pixels, label) in enumerate(zip(scans.pixels, scans.labels, strict=True))
    ]


def _png(pixels: Pixels) -> bytes:
    from PIL import Image

    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def _unreadable(names: Iterable[str]) -> str:
    """One sentence; looks no further than one failure more than it names."""
    found: list[str] = []
    for name in names:
        found.append(name)
        if len(found) > _NAMED_FAILURES:
            break
    more = "; and more" if len(found) > _NAMED_FAILURES else ""
    return f"pictures that cannot be read: {'; '.join(found[:_NAMED_FAILURES])}{more}"
