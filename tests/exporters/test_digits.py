"""The sample model: as good as the README says, and the same in every form in which it is committed."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch

from exporters.digits.augment import augment
from exporters.digits.evaluate import classify, held_out_accuracy
from exporters.digits.model import DIGITS_DIR, MEAN, STD, digits_config, load_network, write_onnx
from exporters.digits.scans import HELD_OUT, Scans, load_scans
from exporters.digits.train import Training, main, train
from exporters.graph import ServableClassifier
from tests.support.images import encoded
from tests.support.stroke_digits import CANVASES, OFFSETS, drawings

ONNX = DIGITS_DIR / "1" / "model.onnx"


def run(path: Path, batch: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": batch})[0])


@pytest.fixture(scope="module")
def pictures() -> np.ndarray:
    return np.random.default_rng(7).integers(0, 256, (33, 28, 28, 1), dtype=np.uint8)


def test_held_out_scans_are_named_at_either_polarity() -> None:
    _, held_out = load_scans()
    accuracies = held_out_accuracy(DIGITS_DIR, held_out)
    assert set(accuracies) == {"light on dark", "dark on light"}
    assert min(accuracies.values()) >= 0.99, accuracies


def test_digits_drawn_in_strokes_are_named() -> None:
    """200 digits, three canvases, two polarities, five places: none of it was seen in training."""
    pictures, labels = [], []
    for drawing in drawings(200):
        for side in CANVASES:
            for offset in OFFSETS:
                canvas = drawing.on_canvas(side, offset=offset)
                pictures += [encoded(each, "PNG", compress_level=1) for each in (canvas, 255 - canvas)]
                labels += [drawing.label] * 2
    right = classify(ONNX, pictures) == np.array(labels)
    assert len(labels) == 200 * 3 * 2 * 5
    assert right.mean() >= 0.95, right.mean()


def test_the_committed_files_are_small_and_the_checksum_is_theirs() -> None:
    checkpoint = DIGITS_DIR / "checkpoint.safetensors"
    assert checkpoint.stat().st_size + ONNX.stat().st_size < 600_000
    digest, name = ONNX.with_name("model.onnx.sha256").read_text().split()
    assert (digest, name) == (hashlib.sha256(ONNX.read_bytes()).hexdigest(), "model.onnx")


def test_the_checkpoint_exported_again_gives_the_committed_models_answers(tmp_path: Path, pictures: np.ndarray) -> None:
    write_onnx(load_network(DIGITS_DIR), tmp_path / "again.onnx")
    assert np.abs(run(tmp_path / "again.onnx", pictures) - run(ONNX, pictures)).max() <= 1e-6


def test_the_graph_gives_what_the_network_gives(pictures: np.ndarray) -> None:
    servable = ServableClassifier(load_network(DIGITS_DIR), mean=[MEAN], std=[STD]).eval()
    with torch.no_grad():
        expected = servable(torch.from_numpy(pictures)).numpy()
    assert np.abs(run(ONNX, pictures) - expected).max() <= 1e-5


@pytest.mark.parametrize("batch", [1, 2, 3, 64])
def test_the_batch_is_dynamic_and_rows_do_not_touch_each_other(batch: int, pictures: np.ndarray) -> None:
    rows = np.resize(pictures, (batch, 28, 28, 1))
    probabilities = run(ONNX, rows)
    assert probabilities.shape == (batch, 10)
    assert probabilities.sum(axis=1) == pytest.approx(1.0, abs=1e-5)
    assert np.abs(probabilities[-1] - run(ONNX, rows[-1:])[0]).max() <= 1e-6


def test_the_config_names_the_input_and_output_of_the_graph() -> None:
    session = onnxruntime.InferenceSession(ONNX, providers=["CPUExecutionProvider"])
    config = digits_config()
    assert [t.name for t in session.get_inputs()] == [t.name for t in config.inputs] == ["image"]
    assert [t.name for t in session.get_outputs()] == [t.name for t in config.outputs] == ["probabilities"]
    assert config.unhonoured == ()


def test_training_and_held_out_scans_share_nothing() -> None:
    scans, held_out = load_scans()
    assert (len(scans), len(held_out)) == (1437, HELD_OUT)
    trained = {pixels.tobytes() for pixels in scans.pixels}
    assert not any(pixels.tobytes() in trained for pixels in held_out.pixels)


def test_a_seed_gives_the_same_weights_to_the_bit_and_another_seed_others() -> None:
    scans, _ = load_scans()
    few = Scans(scans.pixels[:128], scans.labels[:128])
    first, again, other = (train(few, Training(seed=seed, epochs=2)).state_dict() for seed in (3, 3, 4))
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not all(torch.equal(first[key], other[key]) for key in first)


def test_augmented_pictures_differ_and_come_in_both_polarities() -> None:
    scans, _ = load_scans()
    random = np.random.default_rng(0)
    made = [augment(scans.pixels[i], int(scans.labels[i]), random) for i in range(100)]
    borders = [np.median(picture[0]) for picture in made]
    assert any(border > 200 for border in borders)
    assert any(border < 50 for border in borders)
    assert all(picture.dtype == np.uint8 and picture.shape[2] == 1 for picture in made)


def test_the_command_trains_writes_and_judges(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--epochs", "1", "--out", str(tmp_path)]) == 1  # one epoch is not enough, and it says so
    assert (tmp_path / "1" / "model.onnx").exists()
    assert "held-out accuracy, dark on light" in capsys.readouterr().out
