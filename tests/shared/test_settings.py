"""Reading variables: what is taken, and errors that name the variable and what it accepts."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from services.shared.settings import SettingsError, Variables, is_loopback, tls_files
from tests.support.certificates import certificate

Read = Callable[[Variables], object]


@pytest.mark.parametrize(
    ("value", "read", "expected"),
    [
        ("a", lambda v: v.text("X", "b"), "a"),
        ("Info", lambda v: v.word("X", "error", ("info", "error")), "info"),
        ("7", lambda v: v.integer("X", 1), 7),
        ("0", lambda v: v.integer("X", 1), 0),
        ("-5", lambda v: v.integer("X", 1, minimum=-5, maximum=5), -5),
        ("5", lambda v: v.integer("X", 1, minimum=-5, maximum=5), 5),
        ("1.5", lambda v: v.seconds("X", 1.0), 1.5),
        ("0", lambda v: v.seconds("X", 1.0), 0.0),
        ("3600", lambda v: v.seconds("X", 1.0), 3600.0),
        *((word, lambda v: v.flag("X", False), True) for word in ("1", "true", "YES", "True")),
        *((word, lambda v: v.flag("X", True), False) for word in ("0", "false", "No")),
    ],
)
def test_a_value_is_read_as_its_type(value: str, read: Read, expected: object) -> None:
    assert read(Variables({"X": value})) == expected


@pytest.mark.parametrize("values", [{}, {"X": ""}, {"Y": "7"}])
def test_an_absent_or_empty_value_gives_the_default(values: dict[str, str], tmp_path: Path) -> None:
    variables = Variables(values)
    assert variables.text("X", "b") == "b"
    assert variables.word("X", "error", ("info", "error")) == "error"
    assert variables.integer("X", 5) == 5
    assert variables.seconds("X", 2.5) == 2.5
    assert variables.flag("X", True) is True
    assert variables.flag("X", False) is False
    assert variables.path("X", tmp_path) == tmp_path
    assert variables.file("X") is None
    assert tls_files(variables, "X", "Z") == (None, None)


@pytest.mark.parametrize(
    ("read", "accepted", "values"),
    [
        (
            lambda v: v.integer("X", 1, minimum=1, maximum=9),
            "use a whole number from 1 to 9",
            ["0", "10", "-1", "1.0", "one", "1e1", " ", "9" * 30, "0x1"],
        ),
        (lambda v: v.integer("X", 1), f"use a whole number from 0 to {2**31 - 1}", ["-1", str(2**31)]),
        (
            lambda v: v.seconds("X", 1, maximum=60),
            "use a number of seconds from 0 to 60",
            ["-0.1", "60.1", "nan", "inf", "-inf", "1s", "5 minutes"],
        ),
        (lambda v: v.flag("X", False), "use one of 1, true, yes, 0, false, no", ["on", "2", "ja", " "]),
        (lambda v: v.word("X", "info", ("info", "error")), "use one of info, error", ["loud", "in", "info "]),
        (lambda v: v.file("X"), "no such file", ["/nowhere/x.pem", "/"]),
    ],
)
def test_a_value_that_cannot_be_used_is_refused_with_its_name_and_what_is_accepted(
    read: Read, accepted: str, values: list[str]
) -> None:
    for value in values:
        with pytest.raises(SettingsError, match=rf"^X is .*: {re.escape(accepted)}$") as refused:
            read(Variables({"X": value}))
        assert repr(value) in str(refused.value)


def test_a_text_may_stand_in_a_file(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("  one two\n\n")
    assert Variables({"X_FILE": str(tmp_path / "secret")}).text("X", "b") == "one two"
    assert Variables({"X_FILE": "", "X": "a"}).text("X", "b") == "a"
    assert Variables({"X_FILE": str(tmp_path / "secret"), "X": ""}).text("X", "b") == "one two"


def test_a_text_is_not_given_twice(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("one")
    with pytest.raises(SettingsError, match=r"^X and X_FILE are both set: set one of them$"):
        Variables({"X_FILE": str(tmp_path / "secret"), "X": "one"}).text("X", "b")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (None, "it cannot be read: No such file or directory"),
        (b" \n", "the file is empty"),
        (b"\xff", "it cannot be read: it is not UTF-8"),
    ],
)
def test_a_file_without_a_text_is_refused_by_the_variable_that_names_it(
    tmp_path: Path, content: bytes | None, reason: str
) -> None:
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingsError, match=f"^X_FILE is '{path}': {reason}$"):
        Variables({"X_FILE": str(path)}).text("X", "b")


def test_a_path_is_absolute_and_knows_the_home_directory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert Variables({"X": "~/a/../b"}).path("X", Path()) == tmp_path / "b"
    assert Variables({"X": "models"}).path("X", Path()) == Path.cwd() / "models"
    (tmp_path / "file").touch()
    assert Variables({"X": "~/file"}).file("X") == tmp_path / "file"


@pytest.mark.parametrize(
    ("host", "loopback"),
    [
        ("localhost", True),
        ("127.0.0.1", True),
        ("127.8.9.10", True),
        ("::1", True),
        ("0.0.0.0", False),
        ("::", False),
        ("10.0.0.1", False),
        ("192.168.1.1", False),
        ("localhost.example.org", False),
        ("127.0.0.1.example.org", False),
        ("127.1", False),
        ("example.org", False),
        ("", False),
    ],
)
def test_only_hosts_that_no_other_machine_reaches_are_loopback(host: str, loopback: bool) -> None:
    assert is_loopback(host) is loopback


def test_a_certificate_and_its_key_are_taken_together(tmp_path: Path) -> None:
    made = certificate(tmp_path, "localhost")
    assert tls_files(Variables({"C": str(made.pem), "K": str(made.key)}), "C", "K") == (made.pem, made.key)


@pytest.mark.parametrize("missing", ["C", "K"])
def test_one_of_certificate_and_key_without_the_other_is_refused(tmp_path: Path, missing: str) -> None:
    made = certificate(tmp_path, "localhost")
    values = {"C": str(made.pem), "K": str(made.key)} | {missing: ""}
    with pytest.raises(SettingsError, match="C and K belong together: set both or none"):
        tls_files(Variables(values), "C", "K")


def test_a_certificate_that_cannot_be_used_is_refused_at_start(tmp_path: Path) -> None:
    for name in ("one", "other"):
        (tmp_path / name).mkdir()
    one, other = certificate(tmp_path / "one", "localhost"), certificate(tmp_path / "other", "localhost")
    text = tmp_path / "text"
    text.write_text("no certificate")
    for chain, key in ((one.pem, other.key), (text, one.key), (one.pem, text), (one.key, one.pem)):
        with pytest.raises(SettingsError, match=f"^C is '{chain}' and K is '{key}': they cannot be used: "):
            tls_files(Variables({"C": str(chain), "K": str(key)}), "C", "K")
