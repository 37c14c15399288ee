"""A plan's document: values that know where they stand, so that an error can name the line. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from services.shared.errors import InvalidInput

MAX_DEPTH = 12


class InvalidPlan(InvalidInput):
    """The plan cannot be used; the detail names the line, the field, and what to write instead."""


@dataclass(frozen=True, slots=True)
class Entry:
    """`value` is a text, number, bool, None, tuple of entries or dict of them; `path` is as in `steps[2].weight`,
    empty for the whole; `line` counts from 1, None where there was no text."""

    value: Any
    path: str = ""
    line: int | None = None

    def refused(self, message: str) -> InvalidPlan:
        """The error that says so about this entry."""
        where = [f"line {self.line}"] if self.line else []
        return InvalidPlan(f"{', '.join([*where, self.path or 'the plan'])}: {message}", field=self.path or None)


def read_document(source: str | Mapping[str, Any]) -> Entry:
    """Raises InvalidPlan for a text that is not YAML, or values that JSON has not."""
    if not isinstance(source, str):
        return _of_value(source, "", 0)
    # Whoever reads a stored plan reads values, and does without the parser of texts.
    from services.shared.release.plan_yaml import read_yaml

    return read_yaml(source)


def checked_text(text: str, here: Entry) -> str:
    """A JSON text may write a character as two halves (RFC 8259, section 7), which YAML's reader leaves apart."""
    try:
        return text.encode("utf-16", "surrogatepass").decode("utf-16")
    except UnicodeDecodeError:
        raise here.refused("half of a character (a lone surrogate) is no text") from None


def _of_value(value: Any, path: str, depth: int) -> Entry:
    here = Entry(None, path)
    if depth > MAX_DEPTH:
        raise here.refused(f"the values are nested deeper than {MAX_DEPTH}")
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str):
                raise here.refused(f"a key is a word, not {key!r}")
        children = {key: _of_value(child, f"{path}.{key}" if path else key, depth + 1) for key, child in value.items()}
        return Entry(children, path)
    if isinstance(value, list | tuple):
        return Entry(tuple(_of_value(child, f"{path}[{i}]", depth + 1) for i, child in enumerate(value)), path)
    if isinstance(value, str):
        return Entry(checked_text(value, here), path)
    if value is None or isinstance(value, bool | int | float):
        return Entry(value, path)
    raise here.refused(f"{type(value).__name__} is none of JSON's types")
