"""Names and versions that may exist, and those that may not."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.shared.errors import InvalidInput
from services.shared.model_ref import MAX_VERSION, ModelRef, check_model_name, parse_version


@pytest.mark.parametrize(
    "name", ["a", "7", "resnet50", "resnet50_trt", "Yolo-v8.1", "a.b-c_d", "a_", "a-", "x" * 128, "a.-", "con"]
)
def test_a_name_of_letters_digits_and_a_few_signs_is_taken(name: str) -> None:
    assert check_model_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "..",
        "a..b",
        "../a",
        "a/../b",
        "a/b",
        "/a",
        "a\\b",
        ".hidden",
        "-rf",
        "_a",
        "a.",
        "a ",
        " a",
        "a\n",
        "a\0",
        "a%2e",
        "a~",
        "naïve",
        "模型",
        "\uff41",  # a full-width letter, which some systems fold to the plain one
        "٣",  # a digit, and not an ASCII one
        "x" * 129,
        "\udcff",
    ],
)
def test_a_name_that_could_leave_its_directory_or_be_taken_for_another_is_refused(name: str) -> None:
    with pytest.raises(InvalidInput, match="is not a model name: use 1 to 128 letters") as refused:
        check_model_name(name)
    assert refused.value.field == "model"
    with pytest.raises(InvalidInput):
        ModelRef(name, 1)


def test_the_error_repeats_only_the_begin_of_a_long_name() -> None:
    with pytest.raises(InvalidInput) as refused:
        check_model_name("é" * 1_000_000)
    assert len(refused.value.detail) < 400


@pytest.mark.parametrize(("text", "version"), [("1", 1), ("10", 10), ("9223372036854775807", MAX_VERSION)])
def test_a_version_is_a_decimal_number_from_one(text: str, version: int) -> None:
    assert parse_version(text) == version


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "-1",
        "+1",
        "01",
        "1.0",
        "1e3",
        " 1",
        "1\n",
        "1_0",
        "٣",
        "１",
        "latest",
        str(MAX_VERSION + 1),
        "9" * 5000,
    ],
)
def test_another_version_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="is not a model version") as refused:
        parse_version(text)
    assert refused.value.field == "version"
    assert len(refused.value.detail) < 200


@pytest.mark.parametrize("version", [0, -1, MAX_VERSION + 1])
def test_a_ref_has_a_version_that_the_protocol_can_carry(version: int) -> None:
    with pytest.raises(InvalidInput, match="is not a model version"):
        ModelRef("a", version)


@pytest.mark.parametrize("text", ["a", "a/", "/1", "a/b/1", "a/0", "a/01", "../a/1", ""])
def test_only_what_str_writes_is_parsed(text: str) -> None:
    with pytest.raises(InvalidInput):
        ModelRef.parse(text)


@settings(derandomize=True, max_examples=100)
@given(st.from_regex(r"\A[a-z0-9]([a-zA-Z0-9_-]{0,20}[a-zA-Z0-9])?\Z"), st.integers(1, MAX_VERSION))
def test_a_ref_is_read_back_as_it_was_written(name: str, version: int) -> None:
    ref = ModelRef(name, version)
    assert ModelRef.parse(str(ref)) == ref


def test_refs_are_ordered_by_name_and_then_by_number() -> None:
    refs = [ModelRef("b", 1), ModelRef("a", 10), ModelRef("a", 9)]
    assert sorted(refs) == [ModelRef("a", 9), ModelRef("a", 10), ModelRef("b", 1)]
