"""What the benchmark compares with: ONNX Runtime behind FastAPI, as its users write it when they write it well. One
thread for each worker's session: with the runtime's default, two workers on two cores give a third of this.

MODEL=models/digits uvicorn --factory loadtests.baseline_service:build --workers 2
"""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from fastapi import FastAPI, UploadFile
from PIL import Image

Pixels = np.ndarray[Any, np.dtype[np.uint8]]


def pixels_of(image: Image.Image, height: int, width: int, channels: int) -> Pixels:
    """What the model takes: grey pictures are stretched; of others the middle is taken, as ImageNet's models want."""
    if channels == 1:
        return np.asarray(image.convert("L").resize((width, height)))[..., None]
    scale = 256 / 224 * max(height, width) / min(image.size)
    image = image.convert("RGB").resize((round(image.width * scale), round(image.height * scale)))
    left, top = (image.width - width) // 2, (image.height - height) // 2
    return np.asarray(image.crop((left, top, left + width, top + height)))


def build() -> FastAPI:
    """The application for the model directory that MODEL names."""
    model = Path(os.environ["MODEL"])
    labels = (model / "labels.txt").read_text().splitlines()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(max(model.glob("*/model.onnx")), options)
    taken = session.get_inputs()[0]
    app = FastAPI()

    @app.post("/predict")
    async def predict(image: UploadFile) -> dict[str, Any]:
        pixels = pixels_of(Image.open(io.BytesIO(await image.read())), *taken.shape[1:])
        scores = session.run(None, {taken.name: pixels[None]})[0][0]
        best = np.argsort(scores)[::-1][:5]
        return {"predictions": [{"label": labels[i], "index": int(i), "score": float(scores[i])} for i in best]}

    return app
