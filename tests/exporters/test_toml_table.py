"""Where a key stands in a TOML file."""

from __future__ import annotations

import pytest

from exporters.toml_table import line_of, nearest

TEXT = '''\
# a comment = 1
[one]
key = 1
"quoted" = 2
text = """
key = 3
[two]
"""
[ two ] # the other
key = 4
[two.inner]
deep = 5
dotted.more = 6
'''


@pytest.mark.parametrize(
    ("section", "key", "line"),
    [
        ("one", "key", 3),
        ("one", "quoted", 4),
        ("two", "key", 10),
        ("two", "", 9),
        ("two", "inner", 11),
        ("two.inner", "deep", 12),
        ("two.inner", "dotted", 13),
        ("two", "missing", 9),  # where it would belong
        ("three", "key", 1),
    ],
)
def test_the_line_of_a_key_is_found(section: str, key: str, line: int) -> None:
    assert line_of(TEXT, section, key) == line


def test_the_nearest_word_is_offered_and_all_words_where_none_is_near() -> None:
    assert nearest("widht", ("height", "width")) == "did you mean width?"
    assert nearest("zzz", ("height", "width")) == "use one of height, width"
