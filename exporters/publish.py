"""Puts a variant into a model repository: a whole version, or nothing."""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from exporters.base import ExportFailed
from exporters.config_writer import LABELS_FILE, same_contract
from services.shared.config_pbtxt import parse_config
from services.shared.durable_file import sync
from services.shared.errors import Conflict, NotFound, ServingError
from services.shared.model_ref import ModelRef
from services.shared.repository.base import ModelRepository

_CONFIG = "config.pbtxt"


class PublishingRepository(ModelRepository, Protocol):
    """A repository that takes new versions."""

    def publish(self, name: str, version: int, staged_dir: Path) -> None:
        """Makes the files of a directory the version, whole or not at all; Conflict when it is there already."""
        ...


OpenRepository = Callable[[Path], PublishingRepository]


@dataclass(frozen=True, slots=True)
class Publication:
    """`files` become the version's directory; config and labels are the model's, written with its first version."""

    name: str
    config: str
    labels: tuple[str, ...]
    files: Path


@dataclass(frozen=True, slots=True)
class Published:
    """`is_new` is False where this very model was there already, and nothing was written."""

    ref: ModelRef
    is_new: bool


def write_checksum(path: Path) -> str:
    """`<file>.sha256` as sha256sum writes it; the checksum."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    path.with_name(f"{path.name}.sha256").write_text(f"{digest}  {path.name}\n")
    return digest


def publish(
    publication: Publication, root: Path, open_repository: OpenRepository, version: int | None = None
) -> Published:
    """Publishes under the next free version, or the one that is asked for.

    A version is never overwritten. Further versions keep the model's config and labels as they are. Raises
    ExportFailed when versions with another contract (input, outputs, labels, preprocessing) are there, when `version`
    is taken by another model, or when the disk refuses; the repository is then as it was.
    """
    with _in_words(publication.name):
        repository = open_repository(root)
        try:
            versions = repository.versions(publication.name)
        except NotFound:
            versions = ()
        if versions:
            same = _same_version(publication, repository, versions)
            if same is not None and version in (None, same.version):
                return Published(same, is_new=False)
        ref = ModelRef(publication.name, version or max(versions, default=0) + 1)
        if ref.version in versions:
            raise ExportFailed(f"{ref} is published already and is another model: choose another --version")
        if versions:
            repository.publish(ref.name, ref.version, publication.files)
        else:
            _publish_first(publication, ref, root, open_repository)
    return Published(ref, is_new=True)


def _same_version(
    publication: Publication, repository: PublishingRepository, versions: Sequence[int]
) -> ModelRef | None:
    """The newest version with this very file; refuses a model that means something else by this name."""
    name = publication.name
    new, old = parse_config(publication.config, name=name), repository.config(name)
    difference = same_contract(new, old)
    labels = [repository.labels(name, file) for file in old.label_files.values()]
    if not difference and labels and labels[0] != publication.labels:
        difference = LABELS_FILE
    if difference:
        raise ExportFailed(
            f"{name} has versions that differ in {difference}, and one config.pbtxt is for all versions of a model: "
            "export under another name"
        )
    digest = hashlib.sha256((publication.files / new.model_filename).read_bytes()).hexdigest()
    refs = (ModelRef(name, version) for version in reversed(versions))
    return next((ref for ref in refs if repository.artifact(ref).sha256 == digest), None)


def _publish_first(publication: Publication, ref: ModelRef, root: Path, open_repository: OpenRepository) -> None:
    """A model that is not there yet comes by renaming a complete directory. Where its directory is there, with a
    recipe and no version, config and labels come first and the version last: until then nobody can load it."""
    root.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{ref.name}-", dir=root) as scratch:
        building = Path(scratch) / ref.name
        building.mkdir()
        if publication.labels:
            (building / LABELS_FILE).write_text("".join(f"{label}\n" for label in publication.labels))
        (building / _CONFIG).write_text(publication.config)
        for path in building.iterdir():
            sync(path)
        target = root / ref.name
        if target.exists():
            for path in sorted(building.iterdir(), key=lambda path: path.name == _CONFIG):
                path.replace(target / path.name)
            sync(target)
            open_repository(root).publish(ref.name, ref.version, publication.files)
        else:
            open_repository(Path(scratch)).publish(ref.name, ref.version, publication.files)
            building.rename(target)
            sync(root)


def stage(variant_file: Path, beside: Sequence[Path], directory: Path, filename: str) -> str:
    """Fills a new directory with the model under its served name, what belongs beside it, and its checksum, which is
    returned."""
    directory.mkdir(parents=True)
    shutil.copyfile(variant_file, directory / filename)
    for path in beside:
        if path.is_dir():
            shutil.copytree(path, directory, dirs_exist_ok=True)
        else:
            shutil.copyfile(path, directory / path.name)
    return write_checksum(directory / filename)


@contextmanager
def _in_words(name: str) -> Iterator[None]:
    try:
        yield
    except Conflict as error:
        raise ExportFailed(error.detail) from error
    except ServingError as error:
        raise ExportFailed(f"{name} cannot be published: {error.detail}") from error
    except OSError as error:
        raise ExportFailed(f"{name} cannot be published: {error.strerror or error}") from error
