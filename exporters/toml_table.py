"""A TOML file whose every complaint names the file, the line and the key."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar, cast

from exporters.base import ExportFailed

_HEADER = re.compile(r"\s*\[\s*([^\[\]]+?)\s*\]")
_KEY = re.compile(r"\s*(?:\"([^\"]+)\"|'([^']+)'|([A-Za-z0-9_-]+))(?:\s*\.[^=]*)?\s*=")
_Value = TypeVar("_Value")


def nearest(word: str, known: Iterable[str]) -> str:
    """What the writer may have meant, as the end of a sentence: the nearest word, else all of them."""
    words = sorted(known)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"use one of {', '.join(words)}"


def line_of(text: str, section: str, key: str = "") -> int:
    """The line of a key, of its section's header where the key is not there, or 1. Values that span lines are skipped
    over only where they are triple-quoted: a scan for messages, not a parser."""
    here, header, in_quotes = "", 1, False
    for number, line in enumerate(text.splitlines(), start=1):
        was_in_quotes = in_quotes
        if (line.count('"""') + line.count("'''")) % 2:
            in_quotes = not in_quotes
        if was_in_quotes:
            continue
        if found := _HEADER.match(line):
            here = found[1].replace('"', "")
            if here == section:
                header = number
            if key and here == f"{section}.{key}":
                return number
        elif (found := _KEY.match(line)) and here == section and key in found.groups():
            return number
    return header


class TomlFile:
    """One file, read whole; raises ExportFailed where it is not there or is not TOML."""

    def __init__(self, path: Path, *, hint: str) -> None:
        self.path = path
        try:
            self.text = path.read_bytes().decode()
            self._document = tomllib.loads(self.text)
        except FileNotFoundError:
            raise ExportFailed(f"{path} is not there: {hint}") from None
        except OSError as error:
            raise ExportFailed(f"{path} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise ExportFailed(f"{path} is not UTF-8: {error.reason} at byte {error.start}") from error
        except tomllib.TOMLDecodeError as error:
            raise ExportFailed(f"{path} is not TOML: {error}") from error

    def check_sections(self, known: Sequence[str]) -> None:
        """Refuses what is not one of these sections."""
        for name, value in self._document.items():
            if not isinstance(value, dict):
                raise self.refusal("", name, f"{name} stands in no section: put it below [{known[0]}] or another")
            if name not in known:
                raise self.refusal(name, "", f"[{name}] is not a section: {nearest(name, known)}")

    def table(self, name: str, known: Sequence[str]) -> TomlTable:
        """A section with these keys and no others; empty where it is not there."""
        table = TomlTable(self, name, self._document.get(name, {}))
        table.check_keys(known)
        return table

    def refusal(self, section: str, key: str, sentence: str) -> ExportFailed:
        """The error to raise about a key."""
        return ExportFailed(f"{self.path}:{line_of(self.text, section, key)}: {sentence}")


class TomlTable:
    """The typed values of one section; each read refuses a wrong type, naming what it must be."""

    def __init__(self, file: TomlFile, name: str, values: dict[str, Any]) -> None:
        self._file, self._name, self._values = file, name, values

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def check_keys(self, known: Sequence[str]) -> None:
        for key in self._values:
            if key not in known:
                raise self.refusal(key, f"is not a key of this section: {nearest(key, known)}")

    def refusal(self, key: str, sentence: str) -> ExportFailed:
        return self._file.refusal(self._name, key, f"[{self._name}] {key} {sentence}")

    def text(self, key: str, default: str | None = None) -> str:
        """`default: None` makes the key necessary, here and below."""
        return cast(str, self._read(key, default, str, "text in quotes"))

    def whole(self, key: str, default: int | None = None, *, least: int = 1, most: int = 8192) -> int:
        value = cast(int, self._read(key, default, int, "a whole number"))
        if not least <= value <= most:
            raise self.refusal(key, f"is {value}: use {least} to {most}")
        return value

    def number(self, key: str, default: float | None = None, *, least: float = 0.0, most: float = 1e9) -> float:
        value = float(self._read(key, default, (int, float), "a number"))
        if not least <= value <= most:  # also refuses nan
            raise self.refusal(key, f"is {value:g}: use {least:g} to {most:g}")
        return value

    def texts(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        return self._list(key, default, str, 'a list of texts, such as ["a", "b"]')

    def wholes(self, key: str, default: tuple[int, ...] | None = None) -> tuple[int, ...]:
        return self._list(key, default, int, "a list of whole numbers, such as [1, 8]")

    def numbers(self, key: str, default: tuple[float, ...] | None = None) -> tuple[float, ...]:
        found: tuple[float, ...] = self._list(key, default, (int, float), "a list of numbers, such as [0.5]")
        return tuple(map(float, found))

    def mapping(self, key: str) -> dict[str, Any]:
        return cast(dict[str, Any], self._read(key, {}, dict, "a table, such as { classes = 10 }"))

    def _list(self, key: str, default: tuple[_Value, ...] | None, kind: Any, what: str) -> tuple[_Value, ...]:
        found = self._read(key, None if default is None else list(default), list, what)
        if not all(_is(each, kind) for each in found):
            raise self.refusal(key, f"is {found!r}: use {what}")
        return tuple(found)

    def _read(self, key: str, default: Any, kind: Any, what: str) -> Any:
        if key not in self._values:
            if default is None:
                raise self.refusal(key, f"is missing: it is {what}")
            return default
        if not _is(self._values[key], kind):
            raise self.refusal(key, f"is {self._values[key]!r}: use {what}")
        return self._values[key]


def _is(value: Any, kind: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)  # True is an int in Python, not in TOML
