"""How commands speak."""

from __future__ import annotations

import json

import pytest
import typer

from services.cli.terminal import Exit, bar, fail, print_json


@pytest.mark.parametrize(
    ("fraction", "width", "drawn"),
    [
        (0.0, 8, ""),
        (1.0, 8, "████████"),
        (0.5, 8, "████"),
        (0.5, 1, "▌"),
        (1 / 64, 8, "▏"),
        (7 / 64, 8, "▉"),
        (9 / 64, 8, "█▏"),
        (0.001, 8, ""),  # less than half of an eighth
        (0.999, 8, "████████"),
        (-0.5, 8, ""),
        (7.0, 8, "████████"),
        (float("inf"), 2, "██"),
    ],
)
def test_a_bar_is_as_long_as_its_fraction_to_an_eighth(fraction: float, width: int, drawn: str) -> None:
    assert bar(fraction, width) == drawn


def test_a_longer_bar_is_never_drawn_shorter() -> None:
    eighths = {"█": 8, "▉": 7, "▊": 6, "▋": 5, "▌": 4, "▍": 3, "▎": 2, "▏": 1}
    lengths = [sum(eighths[cell] for cell in bar(n / 1000)) for n in range(1001)]
    assert lengths == sorted(lengths)
    assert lengths[-1] == 24 * 8
    assert all(len(bar(n / 1000)) <= 24 for n in range(1001))


@pytest.mark.parametrize("code", [Exit.FAILED, Exit.USAGE, Exit.REFUSED, Exit.UNREACHABLE])
def test_a_failure_says_why_and_ends_with_its_code(code: Exit, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit) as ended:
        fail("no such file: a.png", code)
    assert ended.value.exit_code == code
    said = capsys.readouterr()
    assert (said.out, said.err) == ("", "error: no such file: a.png\n")


@pytest.mark.parametrize(
    "message", ["a[b].png", "[/] is no shape", "x [/bold] y", "shape [batch, 3]", "[red]", "a\\[b]", "x" * 500]
)
def test_brackets_in_a_message_are_no_markup(message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(typer.Exit):
        fail(message, Exit.FAILED)
    assert capsys.readouterr().err == f"error: {message}\n"


def test_the_codes_are_those_that_scripts_know() -> None:
    assert {code.name: int(code) for code in Exit} == {
        "DONE": 0,
        "FAILED": 1,
        "USAGE": 2,
        "REFUSED": 3,
        "UNREACHABLE": 4,
    }


def test_a_document_is_printed_as_json_and_nothing_else(capsys: pytest.CaptureFixture[str]) -> None:
    document = {"name": "[bold]é[/]", "list": [1, None, 0.5]}
    print_json(document)
    said = capsys.readouterr()
    assert json.loads(said.out) == document
    assert said.err == ""
