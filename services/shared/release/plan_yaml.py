"""A plan's text: YAML, of which JSON is a part. Pure.

Scalars are read as YAML 1.2's core schema reads them (`yes` and `1:30` are texts, `1e-3` is a number). What a plan has
no use for, and what makes YAML dangerous, is refused: tags, aliases, documents behind the first, keys that come twice.
"""

from __future__ import annotations

import json
import re

import yaml

from services.shared.release.plan_document import MAX_DEPTH, Entry, InvalidPlan, checked_text

MAX_CHARACTERS = 65_536
_NUMBER = re.compile(r"[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)?")
_WHOLE = re.compile(r"[-+]?[0-9]{1,20}")
_WORDS = {"true": True, "True": True, "false": False, "False": False, "null": None, "~": None, "": None}


def read_yaml(source: str) -> Entry:
    """Raises InvalidPlan."""
    if len(source) > MAX_CHARACTERS:
        raise InvalidPlan(f"a plan has at most {MAX_CHARACTERS} characters, this one has {len(source)}")
    try:
        json.loads(source)
    except (ValueError, RecursionError):
        pass
    else:
        source = source.replace("\t", " ")  # JSON may be indented with tabs, and has none inside of its texts
    try:
        _check_events(source)
        node = yaml.compose(source, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise Entry(None, line=mark.line + 1 if mark else None).refused(
            f"this is not YAML: {error.problem or error.context}"
        ) from None
    except yaml.YAMLError as error:
        raise InvalidPlan(f"the plan: this is not YAML: {error}") from None
    if node is None:
        raise InvalidPlan("the plan is empty: write at least model, candidate, strategy and steps")
    return _of_node(node, "", node.start_mark.line + 1)


def _check_events(source: str) -> None:
    """Refuses what would make reading dangerous before anything is built."""
    depth = documents = 0
    for event in yaml.parse(source, Loader=yaml.SafeLoader):
        here = Entry(None, line=event.start_mark.line + 1)
        if isinstance(event, yaml.AliasEvent):
            raise here.refused(f"*{event.anchor} is an alias: write the value itself")
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise here.refused("a second document starts here: write one plan to a file")
        if isinstance(event, yaml.NodeEvent) and getattr(event, "tag", None) is not None:
            raise here.refused(f"{event.tag} is a tag: write the value without it")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise here.refused(f"the values are nested deeper than {MAX_DEPTH}")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1


def _of_node(node: yaml.Node, path: str, line: int) -> Entry:
    """`line` is where the entry begins: with its key, where it has one."""
    if isinstance(node, yaml.SequenceNode):
        children = enumerate(node.value)
        items = tuple(_of_node(child, f"{path}[{i}]", child.start_mark.line + 1) for i, child in children)
        return Entry(items, path, line)
    if isinstance(node, yaml.MappingNode):
        entries: dict[str, Entry] = {}
        for key, child in node.value:
            here = Entry(None, path, key.start_mark.line + 1)
            if not isinstance(key, yaml.ScalarNode):
                raise here.refused("a key is a word")
            name = checked_text(key.value, here)
            if name in entries:
                raise here.refused(f"{name!r} comes twice: write it once")
            entries[name] = _of_node(child, f"{path}.{name}" if path else name, key.start_mark.line + 1)
        return Entry(entries, path, line)
    return _of_scalar(node, Entry(None, path, line))


def _of_scalar(node: yaml.Node, here: Entry) -> Entry:
    text = checked_text(node.value, here)
    if node.style is not None:  # quoted or a block: a text, whatever it looks like
        return Entry(text, here.path, here.line)
    if text in _WORDS:
        return Entry(_WORDS[text], here.path, here.line)
    number = int(text) if _WHOLE.fullmatch(text) else float(text) if _NUMBER.fullmatch(text) else None
    return Entry(text if number is None else number, here.path, here.line)
