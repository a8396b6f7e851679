"""Serves the page about the HTTP API. Swagger UI comes from a package, so nothing loads from another server."""

from __future__ import annotations

import base64
import hashlib
import re
from importlib.resources import files

from fastapi import FastAPI, Response
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse

# Served from memory: an open file for each client that reads slowly would take the process's descriptors.
FILES = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon-32x32.png": "image/png"}


def mount_api_page(web: FastAPI) -> None:
    """Serve the page at `/docs`. Its links are relative, so they also work under a proxy's path prefix."""
    page = get_swagger_ui_html(
        openapi_url="openapi.json",
        title=web.title,
        swagger_js_url="docs/swagger-ui-bundle.js",
        swagger_css_url="docs/swagger-ui.css",
        swagger_favicon_url="docs/favicon-32x32.png",
    ).body
    [script] = re.findall(rb"<script>(.*?)</script>", page, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script).digest()).decode()
    security_policy = (
        f"default-src 'none'; script-src 'self' 'sha256-{digest}'; style-src 'self'; img-src 'self' data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )

    @web.get("/docs", include_in_schema=False)
    async def show_api_page() -> HTMLResponse:
        return HTMLResponse(page, headers={"Content-Security-Policy": security_policy})

    for name, media_type in FILES.items():
        _serve_file(web, name, media_type)


def _serve_file(web: FastAPI, name: str, media_type: str) -> None:
    content = files("fastapi_swagger").joinpath("resources", name).read_bytes()

    @web.get(f"/docs/{name}", include_in_schema=False)
    async def show_file() -> Response:
        return Response(content, media_type=media_type)
