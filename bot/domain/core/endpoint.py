"""Endpoints: addresses outside Registrar that get signed messages."""

from __future__ import annotations

import hashlib
from urllib.parse import urlsplit

from pydantic import Field, model_validator

from bot.domain.core.strict_model import StrictModel


class Endpoint(StrictModel):
    """An endpoint that receives signed messages. Its secrets are read from the environment."""

    url_env: str | None = Field(default=None, min_length=1)  # the environment variable that contains the URL
    url: str | None = Field(default=None, min_length=1)  # or the URL itself
    secret_env: str | None = Field(default=None, min_length=1)  # the environment variable with the signing secret

    @model_validator(mode="after")
    def _check_one_address(self) -> Endpoint:
        if (self.url is None) == (self.url_env is None):
            raise ValueError("needs either url_env or url, not both")
        return self

    @property
    def key(self) -> str:
        """A unique key: the variable's name, or a hash of the address, since that can contain a token."""
        return self.url_env or hashlib.sha256(str(self.url).encode()).hexdigest()[:12]

    @property
    def display_name(self) -> str:
        """Its name in messages: the variable's name, or the address's host."""
        return self.url_env or urlsplit(str(self.url)).hostname or self.key
