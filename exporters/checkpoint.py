"""From a checkpoint to a network's weights, without running anything that the file brings along."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from exporters.base import ExportFailed

_WRAPPERS = ("state_dict", "model_state_dict", "model")  # what training loops put the weights under
_PREFIXES = ("module.", "_orig_mod.", "model.")  # of DataParallel, torch.compile, Lightning
_NAMED = 3  # that many keys stand in a message
# torch 2.13: "Unsupported global: GLOBAL a.b was not an allowed …", "unsupported GLOBAL posix.system whose module …".
_GLOBAL = re.compile(r"GLOBAL ([\w.]+)")


def read_state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a `.safetensors` or torch file by name; raises ExportFailed.

    torch files are read with `weights_only`: a pickle that wants anything but tensors is refused before it gets it.
    A state dict inside `{"state_dict": …}` is found; what is not a tensor beside tensors (an epoch …) is left out.
    """
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of formats that it then refuses
            found = torch.load(path, map_location="cpu", weights_only=True)
    except SafetensorError as error:
        raise _damaged(path, error) from error
    except Exception as error:
        # torch's readers raise many types for files that are cut short, empty, or something else.
        raise _refused(path, error) from error
    weights = _tensors(found)
    if not weights:
        raise ExportFailed(f"{path.name} holds no weights: save `model.state_dict()`")
    return weights


def load_weights(network: nn.Module, path: Path) -> None:
    """Fills the network from the checkpoint; raises ExportFailed naming the first keys that do not fit."""
    wanted = network.state_dict()
    weights = without_prefix(read_state_dict(path), wanted)
    if complaint := mismatch(weights, wanted):
        raise ExportFailed(f"{path.name} does not fit the network: {complaint}")
    broken = [name for name, tensor in weights.items() if tensor.is_floating_point() and not tensor.isfinite().all()]
    if broken:
        raise ExportFailed(f"{path.name} holds weights that are not numbers (NaN or infinite): {_list(broken)}")
    network.load_state_dict(weights, strict=False)


def without_prefix(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The weights without a prefix that all their names share and the network's do not, as wrappers add it."""
    found = dict(weights)
    while found and not found.keys() & wanted.keys():
        prefix = next((p for p in _PREFIXES if all(name.startswith(p) for name in found)), None)
        if prefix is None:
            break
        found = {name.removeprefix(prefix): tensor for name, tensor in found.items()}
    return found


def mismatch(weights: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """One clause on what keeps the weights from fitting; empty when they fit.

    Checkpoints older than torch 0.4.1 lack `num_batches_tracked`, which nothing reads when a network serves.
    """
    missing = [n for n in wanted if n not in weights and not n.endswith(".num_batches_tracked")]
    unexpected = [n for n in weights if n not in wanted]
    shapes = [
        f"{n} is {list(t.shape)}, the network wants {list(wanted[n].shape)}"
        for n, t in weights.items()
        if n in wanted and t.shape != wanted[n].shape
    ]
    if missing and len(missing) == len([n for n in wanted if not n.endswith(".num_batches_tracked")]):
        return f"none of its names is known (it has {_list(unexpected)}; the network wants {_list(missing)})"
    parts = [
        f"{len(missing)} missing ({_list(missing)})" if missing else "",
        f"{len(unexpected)} unexpected ({_list(unexpected)})" if unexpected else "",
        f"{len(shapes)} of another shape ({_list(shapes, '; ')})" if shapes else "",
    ]
    return ", ".join(part for part in parts if part)


def _tensors(found: Any) -> dict[str, Tensor]:
    if isinstance(found, Mapping):
        for wrapper in _WRAPPERS:
            if isinstance(found.get(wrapper), Mapping):
                return _tensors(found[wrapper])
        return {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    return {}


def _refused(path: Path, error: Exception) -> ExportFailed:
    text = str(error)
    if wanted := _GLOBAL.search(text):
        return ExportFailed(
            f"{path.name} is refused and nothing of it was run: it is a pickle that wants {wanted[1]}, "
            "but only weights are read: save `model.state_dict()`, or a .safetensors file"
        )
    if "TorchScript" in text:
        return ExportFailed(f"{path.name} is a TorchScript archive, which is code: save `model.state_dict()`")
    if isinstance(error, pickle.UnpicklingError) and "truncated" not in text:
        return ExportFailed(
            f"{path.name} is refused and nothing of it was run: it is a pickle of more than weights, or no checkpoint: "
            "save `model.state_dict()`, or a .safetensors file"
        )
    return _damaged(path, error)


def _damaged(path: Path, error: Exception) -> ExportFailed:
    lines = str(error).strip().splitlines()
    reason = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    return ExportFailed(f"{path.name} cannot be read as weights: it is cut short, damaged or another file ({reason})")


def _list(names: Sequence[str], separator: str = ", ") -> str:
    more = len(names) - _NAMED
    return separator.join(names[:_NAMED]) + (f"{separator}and {more} more" if more > 0 else "")
