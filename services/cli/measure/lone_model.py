"""A repository with one model in it, so that a server under measurement has nothing else in memory."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from services.shared.model_ref import ModelRef


@dataclass(frozen=True, slots=True)
class LoneModel:
    """The repository `models`, which has no other model than `ref`'s."""

    models: Path
    ref: ModelRef

    @property
    def directory(self) -> Path:
        """Where the model's config lies."""
        return self.models / self.ref.name


def lone_model(models: Path, ref: ModelRef, directory: Path) -> LoneModel:
    """Makes a repository in `directory` that has only this version of this model of `models`. Its files are linked,
    not copied, where both lie on one file system; they must not be changed through it."""
    source, target = models / ref.name, directory / ref.name
    target.mkdir(parents=True)
    for entry in source.iterdir():
        if entry.is_file():
            _link(str(entry), str(target / entry.name))
        elif entry.name == str(ref.version) or not entry.name.isdecimal():  # not the other versions
            shutil.copytree(entry, target / entry.name, copy_function=_link)
    return LoneModel(directory, ref)


def _link(source: str, target: str) -> None:
    real = os.path.realpath(source)  # a symbolic link would point out of the new repository, which is refused
    try:
        os.link(real, target)
    except OSError:  # another file system
        shutil.copyfile(real, target)
