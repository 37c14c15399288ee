"""`grayscale`: every command, and each deployable alone."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point of the console script."""
    if sys.argv[1:] == ["api"]:  # it has no options, and parsing them costs more than all else until it listens
        from services.cli.serve_api import serve_api

        sys.exit(serve_api())
    from services.cli.commands import app

    app(prog_name="grayscale")


if __name__ == "__main__":
    main()
