"""Checkpoints: what is understood, what is refused and how the refusal reads."""

from __future__ import annotations

import os
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from exporters.base import ExportFailed
from exporters.checkpoint import load_weights, mismatch, read_state_dict, without_prefix


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


def filled(path: Path) -> dict[str, Tensor]:
    """The weights of a network that was zero before it read the file."""
    fresh = network()
    with torch.no_grad():
        for parameter in fresh.parameters():
            parameter.zero_()
    load_weights(fresh, path)
    return fresh.state_dict()


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_safetensors_and_torch_files_old_and_new_give_the_weights(tmp_path: Path) -> None:
    weights = network().state_dict()
    save_file(weights, tmp_path / "w.safetensors")
    torch.save(weights, tmp_path / "w.pt")
    torch.save(weights, tmp_path / "w.pth", _use_new_zipfile_serialization=False)
    for name in ("w.safetensors", "w.pt", "w.pth"):
        assert same(filled(tmp_path / name), weights)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda weights: {"state_dict": weights, "epoch": 3, "optimizer": {"lr": 0.1}},
        lambda weights: {"model_state_dict": weights},
        lambda weights: {"model": {"state_dict": weights}},
        lambda weights: {f"module.{name}": each for name, each in weights.items()},
        lambda weights: {"state_dict": {f"_orig_mod.module.{name}": each for name, each in weights.items()}},
        lambda weights: {**weights, "mask_values": [0, 255]},
    ],
    ids=["state_dict", "model_state_dict", "nested", "module.", "compiled module.", "more than tensors"],
)
def test_what_training_loops_wrap_around_weights_is_understood(wrap: Any, tmp_path: Path) -> None:
    weights = network().state_dict()
    torch.save(wrap(weights), tmp_path / "w.pt")
    assert same(filled(tmp_path / "w.pt"), weights)


def test_a_prefix_that_is_the_networks_own_stays() -> None:
    one = torch.zeros(1)
    assert without_prefix({"module.a": one, "module.b": one}, {"module.a": one}).keys() == {"module.a", "module.b"}
    assert without_prefix({"module.a": one, "b": one}, {"a": one}).keys() == {"module.a", "b"}
    assert without_prefix({}, {"a": one}) == {}


def test_half_precision_weights_become_the_networks_own(tmp_path: Path) -> None:
    halves = {name: each.half() if each.is_floating_point() else each for name, each in network().state_dict().items()}
    save_file(halves, tmp_path / "w.safetensors")
    loaded = filled(tmp_path / "w.safetensors")
    assert loaded["3.weight"].dtype == torch.float32
    assert torch.equal(loaded["3.weight"], halves["3.weight"].float())


def test_a_checkpoint_without_the_batch_counter_of_newer_ones_loads(tmp_path: Path) -> None:
    weights = {name: each for name, each in network().state_dict().items() if "num_batches" not in name}
    save_file(weights, tmp_path / "w.safetensors")
    assert torch.equal(filled(tmp_path / "w.safetensors")["3.weight"], weights["3.weight"])


class Poison:
    """What an attacker puts into a pickle: a call that leaves a file behind."""

    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.target}",)


@pytest.mark.parametrize("form", ["zip", "legacy", "plain pickle", "pickle with weights"])
def test_a_poisoned_pickle_is_refused_and_does_nothing(form: str, tmp_path: Path) -> None:
    mark, path = tmp_path / "it ran".replace(" ", "_"), tmp_path / "weights.pt"
    poisoned = {"state_dict": network().state_dict(), "extra": Poison(mark)}
    match form:
        case "zip":
            torch.save(poisoned, path)
        case "legacy":
            torch.save(poisoned, path, _use_new_zipfile_serialization=False)
        case "plain pickle":
            path.write_bytes(pickle.dumps(Poison(mark), protocol=2))
        case "pickle with weights":
            path.write_bytes(pickle.dumps({"a": [1.0], "b": Poison(mark)}, protocol=2))
    with pytest.raises(
        ExportFailed, match=r"^weights\.pt is refused and nothing of it was run.*posix\.system.*save"
    ) as said:
        read_state_dict(path)
    assert not mark.exists()
    assert "\n" not in str(said.value)
    if "pickle" in form:  # the file would have done it
        pickle.loads(path.read_bytes())
        assert mark.exists()


def test_a_pickled_module_is_refused_naming_its_class(tmp_path: Path) -> None:
    torch.save(network(), tmp_path / "model.pt")
    with pytest.raises(ExportFailed, match=r"wants torch\.nn\.modules\.container\.Sequential.*model\.state_dict\(\)"):
        read_state_dict(tmp_path / "model.pt")


def test_a_pickle_in_words_that_torch_does_not_read_is_refused(tmp_path: Path) -> None:
    (tmp_path / "w.pkl").write_bytes(pickle.dumps({"a": print}, protocol=4))
    with pytest.raises(ExportFailed, match=r"w\.pkl is refused and nothing of it was run"):
        read_state_dict(tmp_path / "w.pkl")


@pytest.mark.parametrize("suffix", [".safetensors", ".pt", ".pth"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.99])
def test_a_file_that_is_cut_short_says_so(suffix: str, share: float, tmp_path: Path) -> None:
    path = tmp_path / f"w{suffix}"
    weights = {"a": torch.arange(20_000.0)}
    if suffix == ".safetensors":
        save_file(weights, path)
    else:
        torch.save(weights, path, _use_new_zipfile_serialization=suffix == ".pt")
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ExportFailed, match="cannot be read as weights: it is cut short, damaged") as said:
        read_state_dict(path)
    assert "\n" not in str(said.value)


def test_files_that_are_something_else_are_refused(tmp_path: Path) -> None:
    (tmp_path / "page.pt").write_text("<html>not found</html>")
    with pytest.raises(ExportFailed, match=r"page\.pt"):
        read_state_dict(tmp_path / "page.pt")
    torch.save({"epoch": 3}, tmp_path / "empty.pt")
    with pytest.raises(ExportFailed, match=r"empty\.pt holds no weights"):
        read_state_dict(tmp_path / "empty.pt")
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    with pytest.raises(ExportFailed, match=r"list\.pt holds no weights"):
        read_state_dict(tmp_path / "list.pt")


def zeros(**shapes: tuple[int, ...]) -> dict[str, Tensor]:
    return {name: torch.zeros(shape) for name, shape in shapes.items()}


@pytest.mark.parametrize(
    ("weights", "wanted", "said"),
    [
        (zeros(a=(1,)), zeros(a=(1,)), ""),
        (zeros(a=(1,)), zeros(a=(1,), b=(1,)), "1 missing (b)"),
        (zeros(a=(1,), b=(1,)), zeros(a=(1,)), "1 unexpected (b)"),
        (zeros(a=(1,), b=(2,)), zeros(a=(1,), b=(2, 3)), "1 of another shape (b is [2], the network wants [2, 3])"),
        (zeros(a=(1,), c=(1,)), zeros(a=(1,), b=(1,)), "1 missing (b), 1 unexpected (c)"),
        (zeros(a=(1,)), zeros(a=(1,), **dict.fromkeys("bcdef", (1,))), "5 missing (b, c, d, and 2 more)"),
        (zeros(x=(1,)), zeros(a=(1,), b=(1,)), "none of its names is known (it has x; the network wants a, b)"),
    ],
)
def test_what_does_not_fit_is_named(weights: dict[str, Tensor], wanted: dict[str, Tensor], said: str) -> None:
    assert mismatch(weights, wanted) == said


def test_a_checkpoint_of_another_shape_changes_nothing(tmp_path: Path) -> None:
    weights = network().state_dict()
    save_file({**weights, "3.weight": torch.zeros(5, 8), "3.bias": torch.zeros(5)}, tmp_path / "w.safetensors")
    untouched = network()
    with pytest.raises(
        ExportFailed, match=r"w\.safetensors does not fit the network: 2 of another shape \(3\.bias is \[5\]"
    ):
        load_weights(untouched, tmp_path / "w.safetensors")
    assert same(untouched.state_dict(), weights)


def test_weights_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    weights = network().state_dict()
    weights["3.bias"][1] = float("nan")
    save_file(weights, tmp_path / "w.safetensors")
    with pytest.raises(ExportFailed, match=r"not numbers \(NaN or infinite\): 3\.bias"):
        load_weights(network(), tmp_path / "w.safetensors")
