"""`grayscale`: every command, and each deployable alone."""

from __future__ import annotations

import sys


def main() -> None:
    """The entry point of the console script."""
    if sys.argv[1:] == ["api"]:  # it has no options, and parsing them costs more than all else until it listens
        from services.cli.serve_api import serve_api

        sys.exit(serve_api())
    if sys.argv[1:] == ["worker"]:  # started beside the API, and in nobody's way from its first moment on
        from services.cli.serve_worker import serve_worker

        sys.exit(serve_worker())
    if sys.argv[1:] == ["controller"]:
        from services.cli.serve_controller import serve_controller

        sys.exit(serve_controller())
    from services.cli.commands import app

    app(prog_name="grayscale")


if __name__ == "__main__":
    main()
