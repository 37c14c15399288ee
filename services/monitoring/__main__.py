"""`python -m services.monitoring`: writes the rules and the dashboards that Compose and the chart bring."""

from __future__ import annotations

from pathlib import Path

from services.monitoring.alerts.files import files as rules
from services.monitoring.dashboards.files import files as dashboards

ROOT = Path(__file__).resolve().parent.parent.parent


def main() -> None:
    for path, text in {**rules(), **dashboards()}.items():
        (ROOT / path).parent.mkdir(parents=True, exist_ok=True)
        (ROOT / path).write_text(text)


if __name__ == "__main__":
    main()
