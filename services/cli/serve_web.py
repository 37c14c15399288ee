"""`grayscale web`: the pages alone."""

from __future__ import annotations


def serve_web() -> int:
    """Runs until a signal ends it; the exit status."""
    from services.cli.serve_alone import serve_alone
    from services.cli.terminal import err
    from services.web.process import run_web
    from services.web.settings import PORT, WebSettings, web_settings

    def run(settings: WebSettings) -> int:
        return run_web(settings, lambda url: err.print(f"pages {url}", soft_wrap=True, markup=False))

    return serve_alone("web", web_settings, run, usual_port=PORT)


def web() -> None:
    """Serve the pages: they reach the API at GRAYSCALE_API_URL; its other settings are variables too (see README)."""
    import typer

    raise typer.Exit(serve_web())
