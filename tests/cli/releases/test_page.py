"""A release's page: whole, self-contained, and nothing that a reason could break out of."""

from __future__ import annotations

import re

from services.cli.releases.page import page_of
from services.cli.releases.series import error_lines, joined, latency_lines, weight_lines
from services.cli.releases.watch import View
from tests.support.release_server import REPORT, event, point, release_state

STATE = release_state()
POINTS = [point(2, 0.0, 0, 0, None), point(4, 5.0, errors=7), point(6, 5.0, p95_ms=9.0)]
VIEW = View(STATE, REPORT, [event(None, "pending"), event("pending", "rolled_back", why="<script>alert(1)</script>")])


def test_the_page_has_everything_and_needs_nothing() -> None:
    page = page_of(VIEW, POINTS)
    assert page.count("<svg") == 4
    assert "5.71 % of 210" in page
    assert '<td class="fail">fail</td>' in page
    assert "prefers-color-scheme: dark" in page
    assert "<title>Release a-20260102-5f3a9c of a[b]</title>" in page
    assert re.search(r"(src|href|url\(|@import|https?:)", page) is None


def test_what_others_wrote_is_text() -> None:
    page = page_of(VIEW, POINTS)
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_a_page_before_the_first_look() -> None:
    page = page_of(View(STATE), [])
    assert "nothing was measured yet" in page
    assert "the controller has not looked yet" in page


def test_the_lines_follow_the_timeline() -> None:
    stable, candidate = weight_lines(STATE, POINTS)
    assert (stable.name, candidate.values) == ("stable", ((2.0, 0.0), (4.0, 5.0), (6.0, 5.0)))
    assert stable.values[1] == (4.0, 95.0)
    assert error_lines(STATE, POINTS)[1].values == ((2.0, None), (4.0, 7.0), (6.0, 0.0))
    assert latency_lines(STATE, POINTS)[1].values == ((2.0, None), (4.0, 4.0), (6.0, 9.0))


def test_a_mirrored_candidate_has_a_line_of_its_own() -> None:
    mirrored = {**POINTS[1], "arms": {**POINTS[1]["arms"], "shadow": POINTS[1]["arms"]["candidate"]}}
    lines = latency_lines(STATE, [POINTS[0], mirrored])
    assert [line.name for line in lines] == ["stable", "candidate", "shadow"]
    assert lines[2].values == ((2.0, None), (4.0, 4.0))
    assert "mirrored" in page_of(VIEW, [mirrored])


def test_neighbours_become_one_point_without_losing_a_request() -> None:
    points = [point(2 * index, 5.0, errors=index, p95_ms=None if index == 1 else index) for index in range(7)]
    few = joined(points, 3)
    assert [each["at"] for each in few] == [points[2]["at"], points[5]["at"], points[6]["at"]]
    assert [each["arms"]["candidate"]["requests"] for each in few] == [300, 300, 100]
    assert [each["arms"]["candidate"]["errors"] for each in few] == [0 + 1 + 2, 3 + 4 + 5, 6]
    assert [each["arms"]["candidate"]["p95_ms"] for each in few] == [2, 5, 6]
    assert joined(points, 7) == points
    assert joined([], 3) == []
