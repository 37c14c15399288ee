"""What the pages' scripts decide and compute, as tables of cases."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from tests.support.chromium import fresh_page


@pytest.fixture(scope="module")
def scripts(browser: Browser, web_url: str) -> Iterator[Page]:
    """A page that may import them and runs none."""
    with fresh_page(browser) as page:
        page.goto(f"{web_url}/icon.svg")
        yield page


def in_page(page: Page, script: str, call: str, *arguments: Any) -> Any:
    """What a function of a script gives."""
    return page.evaluate(
        "async ([script, call, given]) => { const module = await import(script); return module[call](...given); }",
        [f"/scripts/{script}.js", call, list(arguments)],
    )


FORMATS: list[tuple[str, list[Any], str]] = [
    ("number", [1234.5], "1,234.5"),
    ("number", [123_456], "123.5K"),
    ("number", [None], "–"),
    ("percent", [0.1234], "12.3 %"),
    ("percent", [0], "0 %"),
    ("percent", [1], "100 %"),
    ("percent", [0.0001], "< 0.1 %"),
    ("percent", [0.99999], "> 99.9 %"),
    ("ms", [0.4213], "0.42 ms"),
    ("ms", [13.26], "13.3 ms"),
    ("ms", [1234], "1.2 s"),
    ("ms", [180_000], "3 min"),
    ("bytes", [512], "512 B"),
    ("bytes", [1536], "1.5 KiB"),
    ("bytes", [5 * 2**30], "5 GiB"),
    ("duration", [0], "0 s"),
    ("duration", [200], "3 min 20 s"),
    ("duration", [90_061], "1 d 1 h"),
    ("timeAgo", [1000, 1_001_000], "just now"),
    ("timeAgo", [1000, 1_012_000], "12 s ago"),
    ("timeAgo", [1300, 1_000_000], "in 5 min"),
    ("count", [1, "picture"], "1 picture"),
    ("count", [3, "picture"], "3 pictures"),
]


def test_numbers_are_written_as_people_read_them(scripts: Page) -> None:
    for call, arguments, text in FORMATS:
        assert in_page(scripts, "format", call, *arguments) == text, (call, arguments)


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0, 1, [0, 0.5, 1]),
        (0, 100, [0, 50, 100]),
        (0, 0, [0, 0.5, 1]),
        (0, 7, [0, 2, 4, 6, 8]),
        (0, 0.003, [0, 0.001, 0.002, 0.003]),
        (-1, 1, [-1, -0.5, 0, 0.5, 1]),
    ],
)
def test_an_axis_covers_its_values_in_readable_steps(
    scripts: Page, low: float, high: float, ticks: list[float]
) -> None:
    found = in_page(scripts, "chart", "axis", low, high)
    assert found["ticks"] == ticks
    assert found["low"] <= low
    assert found["high"] >= high


METRICS = r"""
const {parseMetrics, total, rise, buckets, quantile} = await import("/scripts/metrics.js");
const text = (ok, failed, below) => `# HELP r x
# TYPE r counter
r_total{route="/a",code="200",model="say \\"hi\\", {you}"} ${ok}
r_total{route="/a",code="500",model=""} ${failed}
up 1
s_bucket{le="0.1"} ${below[0]}
s_bucket{le="0.5"} ${below[1]}
s_bucket{le="+Inf"} ${below[2]}
`;
const [before, now] = [parseMetrics(text(1, 0, [1, 1, 1])), parseMetrics(text(5, 2, [1, 11, 11]))];
const [old, fresh] = [buckets(before, "s"), buckets(now, "s")];
return {
    label: now.get("r_total")[0].labels.model,
    up: total(now, "up"),
    none: total(now, "nothing"),
    rise: rise(before, now, "r_total"),
    failed: rise(before, now, "r_total", ({code}) => code === "500"),
    restarted: rise(now, before, "r_total"),
    half: quantile(old, fresh, 0.5),
    nothing: quantile(fresh, fresh, 0.5),
};
"""


def test_metrics_are_read_and_compared(scripts: Page) -> None:
    found = scripts.evaluate(f"async () => {{ {METRICS} }}")
    assert found["label"] == 'say "hi", {you}'
    assert (found["up"], found["none"]) == (1, None)
    assert (found["rise"], found["failed"], found["restarted"]) == (6, 2, 1)
    assert found["half"] == pytest.approx(0.3)
    assert found["nothing"] is None


def parts(page: Page, **seen: Any) -> dict[str, str]:
    """Kind and word of each part, for what was found out; `metrics` is their text."""
    usual = {
        "pages": {"ok": {}},
        "api": {"ok": {}},
        "models": {"ok": {"models": []}},
        "releases": {"ok": {"releases": []}},
    }
    script = """
    async ([seen, metrics]) => {
        const {partsOf} = await import("/scripts/health-parts.js");
        const {parseMetrics} = await import("/scripts/metrics.js");
        const all = partsOf({...seen, metrics: {ok: parseMetrics(metrics)}}, Date.parse("2026-01-02T03:04:05Z"));
        return all.map(({name, kind, word}) => [name, `${kind}: ${word}`]);
    }
    """
    metrics = seen.pop("metrics", "")
    return dict(page.evaluate(script, [{**usual, **seen}, metrics]))


CERTIFICATE = "grayscale_tls_certificate_not_after_seconds"
LIVE = {"releases": [{"model": "digits", "phase": "progressing", "weight": 5, "is_over": False}]}
DISK = "grayscale_data_dir_free_bytes {}\ngrayscale_data_dir_size_bytes 100"
QUEUE = (
    "grayscale_jobs_active 1\ngrayscale_jobs_waiting_images 9\n"
    'grayscale_jobs_running_chunks {}\ngrayscale_jobs_oldest_waiting_seconds{{priority="low"}} {}'
)


@pytest.mark.parametrize(
    ("seen", "part", "said"),
    [
        ({"api": {"error": {"status": 503, "detail": "", "reasons": ["digits/1: loading"]}}}, "API", "warn: Not ready"),
        ({"api": {"error": {"status": 0, "detail": "gone"}}}, "API", "danger: Away"),
        ({"models": {"ok": {"models": []}}}, "Models", "warn: None loaded"),
        ({"metrics": "grayscale_store_reachable 0"}, "Store", "danger: Away"),
        ({"metrics": "grayscale_store_reachable 1\ngrayscale_clock_offset_seconds 3"}, "Store", "warn: Reachable"),
        ({"metrics": DISK.format(2)}, "Disk", "danger: 2 % free"),
        ({"metrics": DISK.format(5)}, "Disk", "warn: 5 % free"),
        ({"metrics": DISK.format(50)}, "Disk", "ok: 50 % free"),
        ({"metrics": QUEUE.format(0, 30)}, "Jobs", "danger: Nobody works"),
        ({"metrics": QUEUE.format(1, 30)}, "Jobs", "ok: Working"),
        ({"metrics": QUEUE.format(1, 300)}, "Jobs", "warn: Look at it"),
        ({"releases": {"error": {"status": 503, "detail": "no store"}}}, "Releases", "none: Not kept here"),
        ({"releases": {"ok": LIVE}, "reports": []}, "Releases", "warn: No report"),
        ({"releases": {"ok": LIVE}, "reports": [{"at": "2026-01-02T03:04:04Z"}]}, "Releases", "ok: 1 live"),
        ({"releases": {"ok": LIVE}, "reports": [{"at": "2026-01-02T03:03:00Z"}]}, "Releases", "danger: No controller"),
        ({"metrics": f"{CERTIFICATE} 1767400000"}, "Certificate", "warn: 21 h 22 min left"),
        ({"metrics": f"{CERTIFICATE} 1767000000"}, "Certificate", "danger: Expired"),
    ],
)
def test_a_part_is_told_by_what_was_found_out(scripts: Page, seen: dict[str, Any], part: str, said: str) -> None:
    assert parts(scripts, **seen)[part] == said
