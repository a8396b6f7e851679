"""Delivery to a request URL over signed HTTP."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import httpx2

from localslack.core.clock import WorkspaceClock
from localslack.delivery.result import DISPATCH_FAILED, SERVICE_ERROR, TIMEOUT, PayloadResult
from localslack.payloads import as_http_body
from localslack.signing import signed_headers

ACK_SECONDS = 3.0
# The workspace's clock decides whether the app is too late. This timeout only ends abandoned requests.
HTTP_SECONDS = 30.0
# Slack opens any number of connections. httpx2 searches its pool for each request, so several pools are faster.
POOLS = 8
CONNECTION_LIMITS = httpx2.Limits(max_connections=None, max_keepalive_connections=None)


class HttpTransport:
    """Posts payloads to the app's request URL."""

    def __init__(self, clock: WorkspaceClock, signing_secret: str, url: str) -> None:
        self.url = url
        self._clock = clock
        self._secret = signing_secret
        ssl_context = httpx2.create_ssl_context()  # created once, because it's slow
        self._clients = [
            httpx2.AsyncClient(trust_env=False, timeout=HTTP_SECONDS, limits=CONNECTION_LIMITS, verify=ssl_context)
            for _ in range(POOLS)
        ]
        self._client_rotation = itertools.cycle(self._clients)

    async def send(self, kind: str, payload: dict[str, Any], **envelope: Any) -> PayloadResult:
        """Post a payload and wait up to three seconds for a 2xx response, whose body is the answer."""
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        try:
            response = await self._clock.wait_for(self._post(payload, envelope), ACK_SECONDS)
        except TimeoutError:
            return PayloadResult(acked=False, seconds=ACK_SECONDS, error=TIMEOUT)
        except httpx2.HTTPError:
            return PayloadResult(acked=False, seconds=loop.time() - started_at, error=DISPATCH_FAILED)
        if not response.is_success:
            return PayloadResult(acked=False, seconds=loop.time() - started_at, error=SERVICE_ERROR)
        return PayloadResult(acked=True, seconds=loop.time() - started_at, answer=_parse_answer(response))

    async def close(self) -> None:
        """Close the connections to the app."""
        for client in self._clients:
            await client.aclose()

    async def _post(self, payload: dict[str, Any], envelope: dict[str, Any]) -> httpx2.Response:
        body, content_type = as_http_body(payload)
        # Signed with the real time, because the app compares it with its own clock.
        headers = {
            "Content-Type": content_type,
            "User-Agent": "Slackbot 1.0 (+https://api.slack.com/robots)",
            **signed_headers(self._secret, body),
        }
        if envelope.get("retry_attempt"):
            headers |= {
                "X-Slack-Retry-Num": str(envelope["retry_attempt"]),
                "X-Slack-Retry-Reason": str(envelope["retry_reason"]),
            }
        return await next(self._client_rotation).post(self.url, content=body, headers=headers)


def _parse_answer(response: httpx2.Response) -> dict[str, Any]:
    if not response.content.strip():
        return {}
    try:
        answer = response.json()
    except ValueError:
        return {"text": response.text}
    return answer if isinstance(answer, dict) else {"text": response.text}
