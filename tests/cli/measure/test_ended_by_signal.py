"""Signals that end a benchmark."""

from __future__ import annotations

import signal

import pytest

from services.cli.measure.ended_by_signal import ended_by_signal


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)], ids=["SIGTERM", "SIGINT"]
)
def test_only_the_first_signal_is_heard(number: signal.Signals, raised: type[BaseException]) -> None:
    before = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)]
    done: list[str] = []

    def work() -> None:
        try:
            signal.raise_signal(number)
        finally:
            for each in (signal.SIGTERM, signal.SIGINT):
                signal.raise_signal(each)
            done.append("stopped")

    with pytest.raises(raised), ended_by_signal():
        work()
    assert done == ["stopped"]
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)] == before


def test_the_exit_status_is_the_shells() -> None:
    with pytest.raises(SystemExit) as raised, ended_by_signal():
        signal.raise_signal(signal.SIGTERM)
    assert raised.value.code == 143
