"""MLflow's webhooks: a hint that a model changed. Nothing in them is believed but the model's name."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping

MAX_AGE = 300  # seconds; MLflow's own retries come within seconds, with the same time and id
DELIVERY_MEMORY = 2 * MAX_AGE + 60  # seconds for which a delivery's id is remembered


class WebhookVerifier:
    """Admits each of MLflow's deliveries once."""

    def __init__(self, secret: str, now: Callable[[], float] = time.time) -> None:
        self._secret = secret.encode()
        self._now = now
        self._seen_deliveries: OrderedDict[str, float] = OrderedDict()
        self._lock = threading.Lock()

    def refusal(self, body: bytes, headers: Mapping[str, str]) -> tuple[int, str] | None:
        """Return the HTTP status and the reason why a delivery is refused; None if it's accepted."""
        delivery, timestamp = headers.get("x-mlflow-delivery-id", ""), headers.get("x-mlflow-timestamp", "")
        if not self._is_signed(body, delivery, timestamp, headers.get("x-mlflow-signature", "")):
            return 401, "not signed with our secret"
        if abs(self._now() - int(timestamp)) > MAX_AGE:
            return 401, "too old"
        return None if self._is_new(delivery) else (409, "delivered before")

    def _is_signed(self, body: bytes, delivery: str, timestamp: str, signature: str) -> bool:
        if not delivery or not (timestamp.isascii() and timestamp.isdigit() and len(timestamp) <= 12):
            return False
        signed = b".".join([delivery.encode(), timestamp.encode(), body])
        expected = base64.b64encode(hmac.new(self._secret, signed, hashlib.sha256).digest()).decode()
        return any(
            hmac.compare_digest(f"v1,{expected}".encode(), candidate.encode())
            for candidate in signature.split(" ")
            if candidate
        )

    def _is_new(self, delivery: str) -> bool:
        now = self._now()
        with self._lock:
            while self._seen_deliveries and next(iter(self._seen_deliveries.values())) < now - DELIVERY_MEMORY:
                self._seen_deliveries.popitem(last=False)
            if delivery in self._seen_deliveries:
                return False
            self._seen_deliveries[delivery] = now
        return True


def model_name_in(body: bytes) -> str | None:
    """Return the name of the model that a delivery is about; None if there's none, or if it's a prompt."""
    try:
        payload = json.loads(body)
        entity, name = payload["entity"], payload["data"]["name"]
    except (ValueError, KeyError, TypeError):
        return None
    about_models = isinstance(entity, str) and not entity.startswith("prompt")
    return name if about_models and isinstance(name, str) and name else None
