"""The page: static files, with no content from other hosts except pictures."""

from __future__ import annotations

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

STATIC = Path(__file__).resolve().parent.parent / "static"
# The app can show pictures from any host; everything else has to come from this server.
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
    """Serve the page, including at permalinks; its script reads the address."""
    return FileResponse(STATIC / "index.html", headers=HEADERS)


def routes() -> list[BaseRoute]:
    """Return the routes of the page."""
    return [
        Route("/", page),
        Route("/archives/{channel}", page),
        Route("/archives/{channel}/{message}", page),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
