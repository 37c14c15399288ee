"""The pages' files: by which path they are found, and how they are answered."""

from __future__ import annotations

import gzip
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from services.web.page_files import DIRECTORY, PageFile, accepts_gzip, matches, read_pages, url_path

HTML = sorted(DIRECTORY.glob("*.html"))
SCRIPTS = sorted((DIRECTORY / "scripts").glob("*.js"))
STYLES = sorted((DIRECTORY / "styles").glob("*.css"))
PAGES = read_pages()


def name_of(path: Path) -> str:
    return path.name


@pytest.mark.parametrize(
    ("file", "path"),
    [("index.html", "/"), ("models.html", "/models"), ("scripts/api.js", "/scripts/api.js"), ("icon.svg", "/icon.svg")],
)
def test_a_file_has_one_path(file: str, path: str) -> None:
    assert url_path(Path(file)) == path
    assert path in PAGES


def test_only_what_a_browser_needs_is_read(tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("<p>hello")
    (tmp_path / "notes.txt").write_text("no")
    (tmp_path / ".htpasswd").write_text("no")
    assert set(read_pages(tmp_path)) == {"/"}


@pytest.mark.parametrize(
    ("header", "accepted"),
    [
        ("gzip, deflate, br", True),
        ("br;q=1.0, GZIP;q=0.5", True),
        ("gzip;q=0", False),
        ("gzip; q=0.0", False),
        ("br", False),
        ("", False),
        ("*", False),
    ],
)
def test_gzip_is_sent_to_those_who_take_it(header: str, accepted: bool) -> None:
    assert accepts_gzip(header) is accepted


@pytest.mark.parametrize(
    ("header", "found"),
    [('"a"', True), ('"b", "a"', True), ('W/"a"', True), ("*", True), ('"b"', False), ("", False), ("a", False)],
)
def test_an_entity_tag_is_found_among_a_clients(header: str, found: bool) -> None:
    assert matches(header, '"a"') is found


def test_a_file_is_answered_as_the_client_can_take_it_and_not_twice() -> None:
    body = b"body {}\n" * 200
    file = PageFile("text/css", body, gzip.compress(body, mtime=0), "1234")
    plain = file.answer(accept_encoding="", if_none_match="")
    packed = file.answer(accept_encoding="gzip", if_none_match="")
    assert (plain.status, plain.body) == (200, body)
    assert gzip.decompress(packed.body) == body
    assert packed.headers["content-encoding"] == "gzip"
    assert plain.headers["etag"] != packed.headers["etag"]
    assert {answer.headers["vary"] for answer in (plain, packed)} == {"accept-encoding"}
    again = file.answer(accept_encoding="gzip", if_none_match=packed.headers["etag"])
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", packed.headers["etag"])


def test_what_compresses_badly_is_sent_as_it_is(tmp_path: Path) -> None:
    (tmp_path / "a.js").write_text("x")
    assert read_pages(tmp_path)["/a.js"].compressed == b""


class _Elements(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def elements(path: Path) -> list[tuple[str, dict[str, str | None]]]:
    parser = _Elements()
    parser.feed(path.read_text())
    return parser.found


@pytest.mark.parametrize("path", HTML, ids=name_of)
def test_a_page_needs_nothing_that_its_policy_forbids(path: Path) -> None:
    for tag, attributes in elements(path):
        assert tag != "style", "styles belong into a file"
        assert "style" not in attributes, f"<{tag}> has a style of its own"
        assert not [name for name in attributes if name.startswith("on")], f"<{tag}> has a script of its own"
        if tag == "script":
            assert attributes.get("src"), "scripts belong into a file"
    assert re.search(r"<script[^>]*>\s*[^<\s]", path.read_text()) is None


@pytest.mark.parametrize("path", HTML, ids=name_of)
def test_a_page_has_a_language_a_title_one_heading_and_its_frame(path: Path) -> None:
    found = elements(path)
    assert ("html", {"lang": "en"}) in found
    tags = [tag for tag, _ in found]
    assert [tags.count(tag) for tag in ("title", "main", "h1")] == [1, 1, 1]
    assert {"shell", "main"} <= {attributes.get("id") for _, attributes in found}


@pytest.mark.parametrize("path", HTML, ids=name_of)
def test_everything_that_a_page_names_is_there(path: Path) -> None:
    for tag, attributes in elements(path):
        for name in ("src", "href"):
            target = attributes.get(name) or ""
            assert not target.startswith(("http:", "https:", "//")), f"<{tag}> needs the internet: {target}"
            if target.startswith("/"):
                assert target.partition("#")[0] in PAGES, f"<{tag}> names {target}"


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_a_script_imports_what_is_there_and_builds_no_markup_from_text(path: Path) -> None:
    text = path.read_text()
    for target in re.findall(r"""^(?:import|export)\b[^;]*?\bfrom\s*["']([^"']+)["']""", text, flags=re.MULTILINE):
        assert (path.parent / target).is_file(), f"{path.name} imports {target}"
    for forbidden in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
        assert forbidden not in text, f"{path.name} has {forbidden}"
    assert text.count("\n") <= 300, f"{path.name} holds two ideas"


@pytest.mark.parametrize("path", [*SCRIPTS, *STYLES], ids=name_of)
def test_nothing_is_fetched_from_elsewhere(path: Path) -> None:
    text = path.read_text().replace("http://www.w3.org/2000/svg", "")
    assert re.search(r"""(?:url\(|@import|fetch\(|src\s*=)\s*["']?(?:https?:)?//""", text) is None


@pytest.mark.parametrize("path", SCRIPTS, ids=name_of)
def test_imported_names_are_exported(path: Path) -> None:
    for names, target in re.findall(r"""import\s*\{([^}]*)\}\s*from\s*["'](\./[^"']+)["']""", path.read_text()):
        exporting = (path.parent / target).read_text()
        exported = set(re.findall(r"export\s+(?:async\s+)?(?:function\*?|class|const|let)\s+(\w+)", exporting))
        for group in re.findall(r"export\s*\{([^}]*)\}", exporting):
            exported |= {name.strip() for name in group.split(",")}
        wanted = {name.split(" as ")[0].strip() for name in names.split(",") if name.strip()}
        assert wanted <= exported, f"{path.name} wants {wanted - exported} of {target}"
