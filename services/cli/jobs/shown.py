"""Jobs as a person sees them."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from rich.markup import escape
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.table import Table

from services.cli.jobs.server import Document
from services.cli.jobs.submit import Parcel
from services.cli.terminal import err, out

_COLOURS = {"running": "yellow", "succeeded": "green", "failed": "red", "cancelled": "red", "expired": "red"}


def state_of(job: Document) -> str:
    """Its state, coloured."""
    state = str(job.get("state", ""))
    return f"[{_COLOURS.get(state, 'white')}]{escape(state)}[/]"


def summary_of(job: Document) -> str:
    """One line: what it is, and how far it is."""
    failed = job.get("failed") or 0
    failures = f", [red]{failed} failed[/]" if failed else ""
    reason = f" [dim]({escape(str(job['reason']))})[/]" if job.get("reason") else ""
    return f"{escape(job['job_id'])}  {state_of(job)}{reason}  {job.get('done')} of {job.get('total')} done{failures}"


def table_of(jobs: Sequence[Document]) -> Table:
    """One row for each job."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("job", no_wrap=True)  # what is copied into the next command
    table.add_column("model")
    for name in ("state", "done", "failed"):
        table.add_column(name, no_wrap=True)
    table.add_column("created")
    for job in jobs:
        done, failed = f"{job.get('done', '')}/{job.get('total', '')}", str(job.get("failed", ""))
        created, model = escape(time_of(job, "created_at")), escape(str(job.get("model", "")))
        table.add_row(escape(job["job_id"]), model, state_of(job), done, failed, created)
    return table


def details_of(job: Document) -> Table:
    """Everything that is known of one job."""
    table = Table(box=None, show_header=False, padding=(0, 1))
    version = job.get("version")
    table.add_row("[bold]job[/]", escape(job["job_id"]))
    table.add_row("[bold]model[/]", escape(f"{job.get('model', '')}{'' if version is None else f'/{version}'}"))
    table.add_row("[bold]state[/]", state_of(job))
    table.add_row("[bold]images[/]", f"{job.get('total')}: {job.get('done')} done, {job.get('failed')} failed")
    for name in ("priority", "reason"):
        if job.get(name):
            table.add_row(f"[bold]{name}[/]", escape(str(job[name])))
    for name in ("created", "started", "finished", "expires"):
        if job.get(f"{name}_at"):
            table.add_row(f"[bold]{name}[/]", escape(time_of(job, f"{name}_at")))
    return table


def dead_table(letters: Sequence[Document]) -> Table:
    """One row for each image that was given up."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("dead letter", no_wrap=True)
    for title in ("name", "reason", "attempts", "at"):
        table.add_column(title)
    for letter in letters:
        name, reason = escape(str(letter.get("name", ""))), escape(str(letter.get("reason", "")))
        attempts, at = str(letter.get("attempts", "")), escape(time_of(letter, "at"))
        table.add_row(escape(letter["dead_id"]), name, reason, attempts, at)
    return table


def time_of(document: Document, field: str) -> str:
    """A time of the API (RFC 3339, UTC) to the second."""
    return str(document.get(field) or "").replace("T", " ").partition(".")[0].removesuffix("Z")


class UploadBar:
    """The bytes of all parcels, on standard error: `submit.Sending` for a person."""

    def __init__(self, size_bytes: int) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
        self._progress = Progress(*columns, console=err, transient=True, disable=not err.is_terminal)
        self._size_bytes = size_bytes
        self._task: TaskID | None = None
        self._before = self._parcel_bytes = self._sent = 0
        self._key = ""

    def __enter__(self) -> UploadBar:
        self._progress.start()
        self._task = self._progress.add_task("sending", total=self._size_bytes)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()

    def begin(self, parcel: Parcel, size_bytes: int) -> None:
        if parcel.key != self._key:  # not another attempt
            self._before += self._sent
            self._key = parcel.key
        self._sent = 0
        self._show()

    def sent(self, size_bytes: int) -> None:
        self._sent += size_bytes
        self._show()

    def say(self, line: str) -> None:
        """A line on standard output: the bar makes room for it, both may be the same terminal."""
        self._progress.stop()
        out.print(line, soft_wrap=True)
        self._progress.start()

    def _show(self) -> None:
        if self._task is not None:
            done = self._before + self._sent
            # A form has more bytes than its images, and a parcel that was divided is sent again.
            self._progress.update(self._task, completed=done, total=max(done, self._size_bytes))


class JobBars:
    """A bar for each job, on standard error: the images that are through, and how many of them failed."""

    def __init__(self) -> None:
        failures = TextColumn("[red]{task.fields[failures]}[/]")
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), failures, TimeElapsedColumn())
        self._progress = Progress(*columns, console=err)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> JobBars:
        self._progress.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._progress.stop()

    def tell(self, job: Document) -> None:
        job_id, failed = job["job_id"], job.get("failed") or 0
        if job_id not in self._tasks:
            self._tasks[job_id] = self._progress.add_task("", failures="")
        self._progress.update(
            self._tasks[job_id],
            description=f"{escape(job_id[:8])} {escape(str(job.get('state', '')))}",
            completed=(job.get("done") or 0) + failed,
            total=job.get("total"),
            failures=f"{failed} failed" if failed else "",
        )
