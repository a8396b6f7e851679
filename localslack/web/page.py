"""The page: three kinds of static files, and nothing from anywhere else."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).resolve().parent.parent / "static"
# Pictures in messages come from wherever the app says; everything else from here.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; font-src 'self'; "
    "img-src 'self' http: https: data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


async def page(_: Request) -> Response:
    """The one page; a permalink opens it too, and the script reads the address."""
    return FileResponse(STATIC / "index.html", headers=HEADERS)


def routes() -> list[BaseRoute]:
    """The routes of the page."""
    return [
        Route("/", page),
        Route("/archives/{channel}", page),
        Route("/archives/{channel}/{message}", page),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
