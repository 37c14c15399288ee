"""The Jobs page in a browser, over a whole stack: what is dropped becomes a job, and is shown as the API has it."""

from __future__ import annotations

import base64
import csv
import os
import re
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest
from playwright.sync_api import Page, Route, expect

from services.cli.jobs.result_rows import COLUMNS, row_of
from tests.support.images import digit_png
from tests.support.stack import Stack
from tests.support.zip_files import usual_zip

NO_PICTURE = b"this is no picture"
DROP = """
([files]) => {
    const transfer = new DataTransfer();
    for (const [name, text] of files) {
        const bytes = Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
        transfer.items.add(new File([bytes], name));
    }
    for (const kind of ["dragover", "drop"])
        document.body.dispatchEvent(new DragEvent(kind, {dataTransfer: transfer, bubbles: true, cancelable: true}));
}
"""
# The answer of the first request that sends a job is lost on its way to the page.
LOSE_AN_ANSWER = """
const listen = XMLHttpRequest.prototype.addEventListener;
let isLost = false;
XMLHttpRequest.prototype.addEventListener = function (kind, listener, ...more) {
    if (kind !== "load" || isLost) return listen.call(this, kind, listener, ...more);
    isLost = true;
    return listen.call(this, kind, () => this.dispatchEvent(new ProgressEvent("error")));
};
"""


def drop(page: Page, files: Mapping[str, bytes]) -> None:
    """Drops files on the page as a visitor does."""
    page.evaluate(DROP, [[[name, base64.b64encode(data).decode()] for name, data in files.items()]])


def pictures(count: int) -> dict[str, bytes]:
    return {f"{index:02}-of-a-{index % 10}.png": digit_png(index % 10, index // 10) for index in range(count)}


@pytest.fixture
def api(stack: Stack) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=stack.url, timeout=30) as client:
        yield client


@pytest.fixture
def jobs(page: Page, web_url: str) -> Page:
    page.goto(f"{web_url}/jobs")
    expect(page.get_by_label("Model", exact=True)).to_have_value("digits")
    return page


def job_id_of(page: Page) -> str:
    """The job that is open, as soon as one is."""
    page.wait_for_url(re.compile("#job="))
    return page.url.rpartition("#job=")[2]


def results_of(api: httpx.Client, job_id: str) -> list[dict[str, Any]]:
    """All results, when the job has ended."""
    answer = api.get(f"/v1/jobs/{job_id}/results", params={"follow": True})
    assert answer.status_code == 200, answer.text
    return [orjson.loads(line) for line in answer.content.splitlines()]


def jobs_of(api: httpx.Client) -> set[str]:
    return {job["job_id"] for job in api.get("/v1/jobs", params={"limit": 1000}).json()["jobs"]}


def shown_rows(page: Page) -> list[tuple[str, ...]]:
    """Index, name, answer and score of every row that the filters leave, over all pages of the table."""
    rows: list[tuple[str, ...]] = []
    while True:
        rows += [
            tuple(cells)
            for cells in page.eval_on_selector_all(
                ".job-results tbody tr",
                "rows => rows.map(row => [row.cells[0].innerText, row.querySelector('.job-name').innerText,"
                " row.cells[2].firstElementChild.innerText, row.cells[3].innerText.trim()])",
            )
        ]
        following = page.get_by_role("button", name="Next", exact=True)
        if not following.is_visible() or following.is_disabled():
            return rows
        following.click()


def expected_row(line: Mapping[str, Any]) -> tuple[str, ...]:
    if "error" in line:
        return (str(line["index"]), line["name"], "This file cannot be read as a picture", "")
    best = line["result"]["predictions"][0]
    return (str(line["index"]), line["name"], best["label"], percent(best["score"]))


def percent(share: float) -> str:
    """As the pages write it: one digit, and never 100 for what is less."""
    if 99.95 < share * 100 < 100:
        return "> 99.9 %"
    return f"{round(share * 100, 1):g} %"


def test_fifty_pictures_that_are_dropped_become_a_job_that_is_shown_whole(jobs: Page, api: httpx.Client) -> None:
    files = pictures(50)
    drop(
        jobs, {**files, "49-broken.png": NO_PICTURE, "notes.txt": b"about them", ".hidden.png": files["00-of-a-0.png"]}
    )
    form = jobs.get_by_role("region", name="New job")
    expect(form).to_contain_text("51 pictures")
    expect(form).to_contain_text("2 files are left out")
    expect(form).to_contain_text("1 is no picture that the server reads")
    seen = watched_progress(jobs)
    jobs.get_by_role("button", name="Start job").click()
    job_id = job_id_of(jobs)
    expect(jobs.locator(".job-head + section .badge")).to_have_text("Done")
    lines = results_of(api, job_id)
    assert [line["name"] for line in lines] == sorted([*files, "49-broken.png"])
    expect(jobs.locator(".job-pager")).to_contain_text("of 51 results")
    assert shown_rows(jobs) == [expected_row(line) for line in lines]
    expect(jobs.locator(".thumb canvas")).to_have_count(1)  # the last page has one row
    jobs.get_by_role("button", name="Previous", exact=True).click()
    expect(jobs.locator(".thumb canvas")).to_have_count(49)  # all but the one that is no picture
    assert seen()[-1] == 51
    check_filters(jobs, lines)
    check_downloads(jobs, api, job_id, lines)


def watched_progress(page: Page) -> Any:
    """A function that gives what the open job's bar has said until then."""
    page.evaluate(
        """() => {
            window.seenProgress = [];
            new MutationObserver(() => {
                const bar = document.querySelector(".card > .job-bar");
                if (bar) window.seenProgress.push(Number(bar.getAttribute("aria-valuenow")));
            }).observe(document.body, {subtree: true, childList: true, attributes: true});
        }"""
    )
    return lambda: page.evaluate("window.seenProgress")


def check_filters(page: Page, lines: list[dict[str, Any]]) -> None:
    answered = [line for line in lines if "result" in line]
    page.get_by_role("radio", name="Errors 1", exact=True).check()
    assert [row[:2] for row in shown_rows(page)] == [("49", "49-broken.png")]
    expect(page.locator(".job-results")).to_contain_text("cannot be read as a picture")
    page.get_by_role("radio", name="Unsure", exact=True).check()
    page.get_by_label("Unsure means a score below").fill("100")
    unsure = [line for line in answered if line["result"]["predictions"][0]["score"] < 1]
    assert shown_rows(page) == [expected_row(line) for line in unsure]
    page.get_by_role("radio", name="All", exact=True).check()
    page.get_by_role("button", name="7", exact=True).click()
    sevens = [line for line in answered if line["result"]["predictions"][0]["label"] == "7"]
    assert shown_rows(page) == [expected_row(line) for line in sevens]
    expect(page.get_by_label("Label", exact=True)).to_have_value("7")
    page.get_by_label("File name").fill("no such file")
    expect(page.get_by_text("No result is like that.")).to_be_visible()


def check_downloads(page: Page, api: httpx.Client, job_id: str, lines: list[dict[str, Any]]) -> None:
    assert downloaded(page, "NDJSON").read_bytes() == api.get(f"/v1/jobs/{job_id}/results").content
    with downloaded(page, "CSV").open(encoding="utf-8", newline="") as file:
        table = list(csv.DictReader(file))
    assert list(table[0]) == list(COLUMNS)
    for row, line in zip(table, lines, strict=True):
        ours = {name: str(row_of(line).get(name, "")) for name in COLUMNS}
        assert {**row, "score": ""} == {**ours, "score": ""}
        assert float(row["score"] or "nan") == pytest.approx(float(ours["score"] or "nan"), rel=0, abs=0, nan_ok=True)


def downloaded(page: Page, name: str) -> Path:
    with page.expect_download() as download:
        page.get_by_role("button", name=name, exact=True).click()
    return Path(download.value.path())


def test_a_folder_is_taken_whole_and_an_archive_too(jobs: Page, api: httpx.Client, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    for name, data in pictures(3).items():
        path = folder / "below" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    (folder / "README.md").write_text("no picture")
    before = jobs_of(api)
    jobs.locator("#job-folder").set_input_files(folder)
    expect(jobs.get_by_role("region", name="New job")).to_contain_text("3 pictures")
    (tmp_path / "more.zip").write_bytes(usual_zip(pictures(2)))
    jobs.locator("#job-files").set_input_files(tmp_path / "more.zip")
    expect(jobs.get_by_role("region", name="New job")).to_contain_text("This will be 2 jobs: 3, more.zip.")
    jobs.get_by_label("Priority").select_option("high")
    jobs.get_by_role("button", name="Start 2 jobs").click()
    expect(jobs.locator(".job-item").filter(has_text="2 of 2 done")).to_have_count(1)
    expect(jobs.locator(".job-item").filter(has_text="3 of 3 done")).to_have_count(1)
    new = [job for job in api.get("/v1/jobs").json()["jobs"] if job["job_id"] not in before]
    assert sorted((job["total"], job["priority"]) for job in new) == [(2, "high"), (3, "high")]


def test_what_is_too_much_for_one_job_says_how_many_it_will_be(jobs: Page, api: httpx.Client) -> None:
    def limits(route: Route) -> None:
        route.fulfill(json={"max_images": 4, "max_bytes": 10**6, "max_image_bytes": 1000})

    jobs.route("**/api/v1/jobs/limits", limits)
    jobs.reload()
    form = jobs.get_by_role("region", name="New job")
    expect(form).to_contain_text("Up to 4 pictures")
    drop(jobs, {**pictures(10), "large.png": bytes(1001)})
    expect(form).to_contain_text("This will be 3 jobs: 4, 4, 2.")
    expect(form).to_contain_text("1 is larger than the server takes")
    before = jobs_of(api)
    jobs.get_by_role("button", name="Start 3 jobs").click()
    expect(jobs.locator(".job-item").filter(has_text="4 of 4 done")).to_have_count(2)
    assert len(jobs_of(api) - before) == 3


def test_an_answer_that_was_lost_makes_no_second_job(page: Page, web_url: str, api: httpx.Client) -> None:
    page.add_init_script(LOSE_AN_ANSWER)
    page.goto(f"{web_url}/jobs")
    before = jobs_of(api)
    drop(page, pictures(2))
    page.get_by_role("button", name="Start job").click()
    expect(page.get_by_text("trying again in")).to_be_visible()
    job_id = job_id_of(page)
    assert jobs_of(api) - before == {job_id}


@contextmanager
def stopped_workers(stack: Stack) -> Iterator[None]:
    """Jobs wait while they are stopped."""
    pids = stack.pids("worker")
    assert pids
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def test_a_job_is_cancelled_and_purged_when_that_is_confirmed(jobs: Page, stack: Stack, api: httpx.Client) -> None:
    with stopped_workers(stack):
        drop(jobs, pictures(5))
        jobs.get_by_role("button", name="Start job").click()
        job_id = job_id_of(jobs)
        badge = jobs.locator(".job-head + section .badge")
        expect(badge).to_have_text("Waiting")
        jobs.get_by_role("button", name="Cancel", exact=True).click()
        jobs.keyboard.press("Escape")
        assert api.get(f"/v1/jobs/{job_id}").json()["state"] == "queued"
        jobs.get_by_role("button", name="Cancel", exact=True).click()
        jobs.get_by_role("button", name="Cancel the job").click()
        expect(badge).to_have_text("Cancelled")
        assert api.get(f"/v1/jobs/{job_id}").json()["state"] == "cancelled"
    expect(jobs.get_by_role("button", name="Cancel", exact=True)).to_be_hidden()
    jobs.get_by_role("button", name="Purge", exact=True).click()
    jobs.get_by_role("button", name="Purge the job").click()
    expect(jobs.get_by_role("heading", name="Your jobs")).to_be_visible()
    expect(jobs.locator(f"[data-job='{job_id}']")).to_have_count(0)
    assert api.get(f"/v1/jobs/{job_id}").status_code == 404
    jobs.evaluate("id => { location.hash = `job=${id}` }", job_id)
    expect(jobs.get_by_text("There is no such job")).to_be_visible()
