"""Progress bars for work with several steps."""

from __future__ import annotations

from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from services.cli.terminal import err


class Bars:
    """A bar for each step, on standard error; `tell(what, done, total)` is what the work calls.

    Words up to a colon name the step: `int8: calibrating` and `int8: comparing` share a bar.
    """

    def __init__(self) -> None:
        self._progress = Progress(
            TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), console=err
        )
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Bars:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def tell(self, what: str, done: int, total: int) -> None:
        step = what.partition(":")[0]
        if step not in self._tasks:
            self._tasks[step] = self._progress.add_task(escape(what), total=total)
        self._progress.update(self._tasks[step], completed=done, total=total, description=escape(what))
