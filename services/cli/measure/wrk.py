"""wrk as load generator: C, so that it leaves the cores to what it measures (https://github.com/wg/wrk, SCRIPTING)."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

from services.cli.measure.load import Load, MeasurementFailed, Request

ANSWER_TIMEOUT_S = 60
_STOP_S = 90.0  # beyond the run itself: wrk waits for nobody, so more is a hang
_LINE = re.compile(r"^GRAYSCALE (\{.*\})$", re.MULTILINE)
# `latency` is in microseconds, `duration` too. `status` counts answers above 399: the rest of what is not 200
# (redirects) would need a Lua call for every answer, and no server that is measured here sends one.
_SCRIPT = """
local function content(path)
  local file = assert(io.open(path, "rb"))
  local bytes = file:read("*a")
  file:close()
  return bytes
end
wrk.method = "POST"
wrk.body = content({body})
{headers}
function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    'GRAYSCALE {{"requests":%d,"duration_us":%d,"p50_us":%d,"p95_us":%d,"p99_us":%d,"refused":%d,"broken":%d}}\\n',
    summary.requests, summary.duration, latency:percentile(50), latency:percentile(95), latency:percentile(99),
    e.status, e.connect + e.read + e.write + e.timeout))
end
"""


class WrkGenerator:
    """One thread of wrk, which is enough for what Python servers answer; the script lies in `directory`."""

    name = "wrk"

    def __init__(self, program: str, directory: Path) -> None:
        self._program = program
        self._script, self._body = directory / "load.lua", directory / "load.body"

    def run(self, request: Request, connections: int, seconds: int) -> Load:
        self._body.write_bytes(request.body)
        self._script.write_text(script_of(request, self._body))
        command = [self._program, "--threads", "1", "--connections", str(connections), "--duration", f"{seconds}s"]
        command += ["--timeout", f"{ANSWER_TIMEOUT_S}s", "--latency", "--script", str(self._script), request.url]
        try:
            made = subprocess.run(  # noqa: S603 - our own arguments
                command, capture_output=True, text=True, timeout=seconds + _STOP_S, check=False
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise MeasurementFailed(f"wrk did not do its work: {error}") from error
        return load_of(made.stdout, made.stderr)


def script_of(request: Request, body: Path) -> str:
    """The Lua script that makes wrk send this request, its body read from a file, and print a line of JSON."""
    headers = {"Content-Type": request.content_type, **request.headers}
    lines = [f"wrk.headers[{_lua(name)}] = {_lua(value)}" for name, value in headers.items()]
    return _SCRIPT.format(body=_lua(str(body)), headers="\n".join(lines))


def load_of(stdout: str, stderr: str = "") -> Load:
    """What a run printed; raises MeasurementFailed with wrk's own words when its line is not there."""
    found = _LINE.search(stdout)
    if found is None:
        said = (stderr.strip() or stdout.strip()).splitlines()
        raise MeasurementFailed(f"wrk failed: {said[-1] if said else 'it said nothing'}")
    line = json.loads(found.group(1))
    return Load(
        requests=line["requests"],
        seconds=line["duration_us"] / 1e6,
        p50_ms=line["p50_us"] / 1000,
        p95_ms=line["p95_us"] / 1000,
        p99_ms=line["p99_us"] / 1000,
        refused=line["refused"],
        broken=line["broken"],
    )


def _lua(text: str) -> str:
    """A Lua string literal: bytes that are not plain are written as \\ddd (Lua 5.1 manual, 2.1)."""
    plain = "".join(chr(b) if 32 <= b < 127 and b not in b'"\\' else f"\\{b:03d}" for b in text.encode())
    return f'"{plain}"'
