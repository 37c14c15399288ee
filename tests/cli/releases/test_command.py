"""The commands of `grayscale release`, against a server of its contract."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import orjson
import pytest
from typer.testing import CliRunner, Result

from services.cli.commands import COMMANDS
from services.cli.jobs.patience import Patience
from services.cli.releases import command, watch
from services.cli.releases.command import app
from services.cli.terminal import Exit
from services.shared.keys.admin import ADMIN_KEY_FILE
from tests.support.release_server import REPORT, ReleaseApi, event, release_state
from tests.support.stack import free_ports

MODEL = "a[b]"
PLAN = """model: a
candidate: {model: digits_int8, version: 1}
strategy: canary
steps:
  - {shadow: 50, for: 30s}
  - {weight: 5, for: 60s, min_requests: 500}
  - {pause: true}
guardrails:
  - {metric: error_rate, max_increase: 0.005}
"""


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "POLL_S", 0.0)


@pytest.fixture
def plan(tmp_path: Path) -> str:
    path = tmp_path / "plan.yaml"
    path.write_text(PLAN)
    return str(path)


def run(api: ReleaseApi | str, *arguments: str, **variables: str) -> Result:
    url = api if isinstance(api, str) else api.url
    return CliRunner().invoke(app, [*arguments], env={"GRAYSCALE_URL": url, "COLUMNS": "240"} | variables)


def document(result: Result) -> Any:
    return orjson.loads(result.stdout)


def test_the_command_is_one_of_grayscales() -> None:
    assert COMMANDS["release"] == "services.cli.releases.command:app"


def test_a_plan_is_applied_as_it_is_written(api: ReleaseApi, plan: str) -> None:
    shown = run(api, "apply", "-f", plan, GRAYSCALE_KEY="gs_key")
    assert shown.exit_code == Exit.DONE, shown.stderr
    assert "a[b]  a-20260102-5f3a9c  progressing  weight 5 %  it is progressing <now>" in shown.stdout
    [(method, path, headers, body)] = api.seen
    assert (method, path, body) == ("PUT", "/v1/models/a/release", PLAN.encode())
    assert (headers["content-type"], headers["authorization"]) == ("application/yaml", "Bearer gs_key")
    assert document(run(api, "apply", "-f", plan, "--json")) == release_state()


def test_the_key_of_this_machine_is_used_for_a_server_on_it(api: ReleaseApi, plan: str, tmp_path: Path) -> None:
    (tmp_path / ADMIN_KEY_FILE).write_text("gs_admin\n")
    run(api, "apply", "-f", plan, GRAYSCALE_DATA_DIR=str(tmp_path))
    assert api.seen[-1][2]["authorization"] == "Bearer gs_admin"


def test_what_a_server_says_will_pass_is_waited_for_and_what_not_is_said(
    api: ReleaseApi, plan: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []
    monkeypatch.setattr(command, "Patience", lambda: Patience(waited.append))
    api.refusals = [(409, 1, "not written back yet")]
    assert run(api, "apply", "-f", plan).exit_code == Exit.DONE
    assert waited == [1.0]
    api.refusals = [(409, None, "another release is in progress")]
    refused = run(api, "apply", "-f", plan)
    assert refused.exit_code == Exit.REFUSED
    assert "another release is in progress" in refused.stderr


def test_a_broken_plan_is_refused_before_any_server_is_asked(api: ReleaseApi, tmp_path: Path) -> None:
    path = tmp_path / "p.yaml"
    path.write_text(PLAN.replace("weight: 5", "weight: five"))
    for name in ("apply", "check"):
        refused = run(api, name, "-f", str(path))
        assert refused.exit_code == Exit.USAGE
        assert "p.yaml, line 6, steps[1].weight: 'five' is not a number" in refused.stderr
    path.write_bytes(b"\xff")
    assert "is not UTF-8" in run(api, "check", "-f", str(path)).stderr
    assert run(api, "check", "-f", str(tmp_path / "none.yaml")).exit_code == Exit.USAGE
    assert api.seen == []


def test_a_plan_is_told_in_words(plan: str) -> None:
    said = run("http://nobody", "check", "-f", plan)
    assert said.exit_code == Exit.DONE
    assert [line.strip() for line in said.stdout.splitlines()] == [
        "a: a release of strategy canary of candidate (digits_int8/1), against what a means when it begins",
        "step 1: 50 % are mirrored for 30s and 100 requests of the candidate at least, 90s at most",
        "step 2: weight 5 % for 1m and 500 requests of the candidate at least, 3m at most",
        "step 3: waits for a person",
        "then: the candidate takes all; stable stays warm for 30m, and then it is promoted",
        "guardrail: error_rate, at most 0.5 points above stable",
        "when a guardrail fails: it is rolled back",
        "a candidate no worse than every limit is thrown out with a chance of 5 % at most",
        "without a single request for 30m: it waits for a person",
    ]
    assert document(run("http://nobody", "check", "-f", plan, "--json"))["steps"][1]["weight"] == 5.0
    piped = CliRunner().invoke(app, ["check", "-f", "-"], input="model: 7\n")
    assert "standard input, line 1" in piped.stderr


def test_status_shows_arms_guardrails_and_events(api: ReleaseApi) -> None:
    shown = run(api, "status", MODEL)
    assert shown.exit_code == Exit.DONE
    assert "progressing, step 1 of 2, since 2026-01-02 03:04:05" in shown.stdout
    assert "the candidate was asked 210 times of 500" in shown.stdout
    rows = {line.split()[0]: line.split() for line in shown.stdout.splitlines() if line.strip()}
    assert " ".join(rows["stable"][1:]) == "digits/1 95 % 4,000 20 = 0.50 % 1.25 ms 3.5 ms 1,234 ms"
    assert " ".join(rows["candidate"][1:]) == "digits_int8/1 5 % 210 12 = 5.71 % 1 ms 3 ms –"
    assert "✘ fail  error_rate, at most 0.5 points above stable, is broken [5.71 % of 210]" in shown.stdout
    assert "because of [progressing]" in shown.stdout
    assert api.seen[0][1] == "/v1/models/a%5Bb%5D/release"
    assert document(run(api, "status", MODEL, "--json")) == release_state()


def test_status_before_the_first_look(api: ReleaseApi) -> None:
    api.report = None
    assert "the controller has not looked at it yet" in run(api, "status", MODEL).stdout


def test_events_of_an_earlier_release_are_not_this_ones(api: ReleaseApi) -> None:
    api.log = [event(None, "pending", why="long ago", release="a-20250102-000000"), *api.log]
    assert "long ago" not in run(api, "status", MODEL).stdout
    assert "long ago" in run(api, "events", MODEL).stdout


@pytest.mark.parametrize(("phase", "code"), [("promoted", 0), ("rolled_back", 1), ("aborted", 1)])
def test_a_release_that_is_watched_tells_how_it_ended(api: ReleaseApi, plan: str, phase: str, code: int) -> None:
    same = release_state()
    states = [same, same, release_state(weight=50.0), same, release_state(phase)]
    for arguments in (("status", MODEL), ("apply", "-f", plan)):
        api.states = [same, *states]
        shown = run(api, *arguments, "--watch")
        assert shown.exit_code == code, shown.stderr
        phases = [line.split("  ")[2:4] for line in shown.stdout.splitlines()]
        assert phases == [
            ["progressing", "weight 5 %"],
            ["progressing", "weight 50 %"],
            ["progressing", "weight 5 %"],
            [phase.replace("_", " "), "weight 5 %"],
        ]


def test_a_machine_that_watches_gets_a_line_for_each_change(api: ReleaseApi) -> None:
    same, over = release_state(), release_state("promoted")
    api.states = [same, same, same, over]
    shown = run(api, "status", MODEL, "--watch", "--json")
    lines = [orjson.loads(line) for line in shown.stdout.splitlines()]
    assert lines == [{"state": same, "report": REPORT}, {"state": over, "report": REPORT}]


def test_watching_outlives_a_server_that_starts_again(api: ReleaseApi, monkeypatch: pytest.MonkeyPatch) -> None:
    waited: list[float] = []
    monkeypatch.setattr(command, "Patience", lambda: Patience(waited.append))
    api.states = [release_state(), release_state(), release_state("promoted")]
    api.refuse_after = 4
    api.refusals = [(503, 7, "draining"), (502, None, "no one there")]
    assert run(api, "status", MODEL, "--watch").exit_code == Exit.DONE
    assert waited == [0.0, 7.0, 1.0]


def test_what_a_person_tells_a_release(api: ReleaseApi) -> None:
    for told in ("promote", "pause", "resume", "rollback"):
        assert run(api, told, MODEL, GRAYSCALE_KEY="k").exit_code == Exit.DONE
        assert api.seen[-1][:2] == ("POST", f"/v1/models/a%5Bb%5D/release/{told}")
        assert api.seen[-1][3] == b""
        assert document(run(api, told, MODEL, "--json")) == release_state()
    run(api, "promote", MODEL, "--arm", "b")
    assert orjson.loads(api.seen[-1][3]) == {"arm": "b"}
    assert run(api, "delete", MODEL).exit_code == Exit.DONE
    assert api.seen[-1][:2] == ("DELETE", "/v1/models/a%5Bb%5D/release")


def test_what_is_refused_is_said_in_the_servers_words(api: ReleaseApi) -> None:
    api.refusals = [(409, None, "a guardrail has failed: roll back")]
    refused = run(api, "resume", MODEL)
    assert refused.exit_code == Exit.REFUSED
    assert "a guardrail has failed: roll back" in refused.stderr
    api.states = [None]
    for told in ("status", "report", "pause"):
        assert "there is no release of 'a[b]'" in run(api, told, MODEL).stderr
    nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
    assert run(nobody, "status", MODEL).exit_code == Exit.UNREACHABLE


def test_releases_are_listed(api: ReleaseApi) -> None:
    assert "a-20260102-5f3a9c" in run(api, "ls").stdout
    assert document(run(api, "ls", "--json")) == [release_state()]
    api.states = [None]
    assert run(api, "ls").stdout == "there is no release\n"


def test_the_report_has_the_numbers_behind_every_verdict(api: ReleaseApi) -> None:
    shown = run(api, "report", MODEL)
    assert shown.exit_code == Exit.DONE
    numbers = [line.split() for line in shown.stdout.splitlines() if line.startswith(("error_rate ", "latency_p95 "))]
    assert numbers[0][1:5] == ["5.71", "%", "0.50", "%"]
    assert numbers[1][1:5] == ["3", "ms", "3.5", "ms"]
    assert "1.00 % to 9.40 %" in shown.stdout
    assert "of 800 mirrored answers 9 (1.12 %) had another best class, most often where stable says class 7 (6" in (
        " ".join(shown.stdout.split())
    )
    assert "0.01235" in shown.stdout
    assert document(run(api, "report", MODEL, "--json")) == REPORT
    api.report = None
    assert run(api, "report", MODEL, "--json").exit_code == Exit.FAILED
    assert run(api, "report", MODEL).exit_code == Exit.DONE


def test_the_report_becomes_a_page(api: ReleaseApi, tmp_path: Path) -> None:
    path = tmp_path / "r.html"
    written = run(api, "report", MODEL, "--html", str(path))
    assert (written.exit_code, written.stdout) == (Exit.DONE, "")
    assert path.read_text().startswith("<!doctype html>")
    assert document(run(api, "report", MODEL, "--html", str(path), "--json")) == REPORT
    assert run(api, "report", MODEL, "--html", str(tmp_path / "no" / "r.html")).exit_code == Exit.FAILED


def test_a_long_log_is_read_to_its_end(api: ReleaseApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.cli.releases.server.PAGE", 2)
    api.log = [event(None, "pending", why=f"number {index}") for index in range(5)]
    assert [each["why"] for each in document(run(api, "events", MODEL, "--json"))] == [
        f"number {index}" for index in range(5)
    ]
