"""HTTP calls to URLs from the policy, with a time limit and without redirects."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

import httpx2

from bot.domain.core.errors import Unreachable
from bot.domain.core.sentence import say


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """An HTTP response: the status, the headers by lowercase name, and the beginning of the body."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def is_success(self) -> bool:
        """Whether the status is 2xx."""
        return 200 <= self.status < 300


def send_request(
    method: str, url: str, *, timeout: float, headers: Mapping[str, str], content: bytes = b"", max_bytes: int = 0
) -> HttpResponse:
    """Make one HTTP call within `timeout` seconds; return the response with at most `max_bytes` of its body.

    Raises Unreachable, whose sentence never contains the URL, because a URL can contain a token.
    """
    try:
        return asyncio.run(_send_request(method, url, timeout, headers, content, max_bytes))
    except (TimeoutError, httpx2.TimeoutException) as error:
        raise Unreachable(f"no response within {timeout:g} s") from error
    except httpx2.ConnectError as error:
        raise Unreachable("no connection") from error
    except (
        httpx2.InvalidURL,
        httpx2.UnsupportedProtocol,
        ValueError,
    ) as error:  # includes UnicodeError, from a host name
        raise Unreachable("its address isn't valid") from error
    except (httpx2.HTTPError, OSError) as error:
        raise Unreachable(say("the connection failed ({what})", what=type(error).__name__)) from error


async def _send_request(
    method: str, url: str, timeout: float, headers: Mapping[str, str], content: bytes, max_bytes: int
) -> HttpResponse:
    """Send the request with a timeout for the whole call.

    httpx2 only times out individual reads, and a slow server can need many.
    """
    plain = {"User-Agent": "Registrar", "Accept-Encoding": "identity", **headers}
    async with (
        asyncio.timeout(timeout),
        httpx2.AsyncClient(timeout=timeout, follow_redirects=False, verify=trusted_certificates()) as client,
        client.stream(method, url, headers=plain, content=content or None) as reply,
    ):
        body = b""
        if max_bytes:
            async for piece in reply.aiter_raw():
                body += piece
                if len(body) >= max_bytes:
                    break
        lowered = {key.lower(): value for key, value in reply.headers.items()}
        return HttpResponse(reply.status_code, lowered, body[:max_bytes])


@cache
def trusted_certificates() -> ssl.SSLContext:
    """Return the trusted certificates, read once; slack_sdk and httpx2 would otherwise reread them for each client."""
    return ssl.create_default_context()
