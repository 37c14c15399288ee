"""What the way from a picture to predictions needs to know of a version."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from services.shared.answer import ImageAnswer
from services.shared.clock import Clock
from services.shared.errors import InferenceFailed
from services.shared.imaging.base import DecodedImage, Preprocessor
from services.shared.imaging.postprocess import Postprocessor, choose_postprocessor
from services.shared.imaging.segmentation import Segmentation
from services.shared.inference.base import InferenceClient
from services.shared.model_config import ModelConfig
from services.shared.model_ref import ModelRef
from services.shared.tensors import Array, Tensors

PreprocessorFactory = Callable[[ModelConfig], Preprocessor]
_TTL_S = 10.0  # a server elsewhere may reload a version without telling us


@dataclass(frozen=True, slots=True)
class ModelView:
    """A version's input and output as pictures and predictions. `outputs` are those to ask for, None where the model
    has no others."""

    ref: ModelRef
    config: ModelConfig
    preprocess: Preprocessor
    postprocess: Postprocessor
    outputs: tuple[str, ...] | None
    labels: tuple[str, ...]
    generation: int
    expires_at: float

    def rows(self, outputs: Tensors, count: int | None) -> list[tuple[Array, ...]]:
        """The outputs that the postprocessor wants, image by image: `count` of them, or None where outputs have no
        batch dimension. Raises InferenceFailed."""
        given = []
        for name in self.postprocess.outputs:
            array = outputs.get(name)
            if array is None:
                raise InferenceFailed(f"{self.ref} gave no output {name!r}")
            shape = array.shape
            if count is not None and (not shape or shape[0] != count):
                rows = shape[0] if shape else 1
                raise InferenceFailed(f"{self.ref} gave {rows} rows of {name!r} for {count} images")
            given.append(array)
        if count == 1:
            return [tuple([array[0] for array in given])]
        return [tuple(given)] if count is None else list(zip(*given, strict=True))

    def interpret(self, row: tuple[Array, ...], image: DecodedImage, top: int) -> ImageAnswer:
        """Raises InferenceFailed."""
        return interpret(self.postprocess, row, image, self.labels, top)


def interpret(
    postprocess: Postprocessor, row: tuple[Array, ...], image: DecodedImage, labels: tuple[str, ...], top: int
) -> ImageAnswer:
    """One picture's outputs as its answer. Raises InferenceFailed."""
    said = postprocess.interpret(row, image, labels, top)
    if isinstance(said, tuple):
        return ImageAnswer(said, image.width, image.height, image.format)
    if isinstance(said, Segmentation):
        return ImageAnswer((), image.width, image.height, image.format, segmentation=said)
    return ImageAnswer((), image.width, image.height, image.format, embedding=said)


class ModelViews:
    """Views, kept while their generation is loaded; `generation` tells when a version was loaded anew."""

    def __init__(
        self,
        client: InferenceClient,
        preprocessor: PreprocessorFactory,
        generation: Callable[[ModelRef], int],
        clock: Clock,
    ) -> None:
        self._client, self._preprocessor = client, preprocessor
        self._generation, self._clock = generation, clock
        self._views: dict[ModelRef, ModelView] = {}

    def known(self, ref: ModelRef) -> ModelView | None:
        """The view, when it can be had without asking the client."""
        view = self._views.get(ref)
        if view is None or view.generation != self._generation(ref) or view.expires_at < self._clock.monotonic():
            return None
        return view

    async def get(self, ref: ModelRef) -> ModelView:
        """Raises what the client raises, and InvalidInput for a config that names no task."""
        view = self.known(ref)
        return view if view is not None else await self._made(ref)

    async def _made(self, ref: ModelRef) -> ModelView:
        generation, expires_at = self._generation(ref), self._clock.monotonic() + _TTL_S
        config = await self._client.config(ref)
        labels = await self._client.labels(ref)
        preprocess, postprocess = self._preprocessor(config), choose_postprocessor(config)
        outputs = None if len(config.outputs) == len(postprocess.outputs) else postprocess.outputs
        view = ModelView(ref, config, preprocess, postprocess, outputs, labels, generation, expires_at)
        self._views[ref] = view
        return view
