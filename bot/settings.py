"""Every setting: its name, default, and meaning. docs/reference/settings.md is generated from this module."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import ByteSize, Field, IPvAnyNetwork, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from bot.domain.core.durations import Duration
from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, Sentence, say
from bot.domain.core.strict_model import error_message

# Without populate_by_name: with it, the shell's own HOME, HOST, and PORT would be read as Registrar's settings.
_CONFIG = SettingsConfigDict(env_file=None, extra="ignore", env_ignore_empty=True)


class Settings(BaseSettings):
    """The settings from the environment, read once at startup."""

    model_config = _CONFIG

    env_file: Path | None = Field(  # handlers/terminal/main.py reads it first, because it can set all the others
        None,
        alias="REGISTRAR_ENV_FILE",
        description="A file with more variables, one `NAME=value` per line, which is read once at startup. "
        "If a variable is also in the environment, the environment's value is used. If not set, Registrar reads `.env` "
        "in the current folder if it belongs to you and no one else can access it (`chmod 600 .env`)",
    )
    slack_bot_token: SecretStr | None = Field(None, alias="SLACK_BOT_TOKEN", description="The bot's token, xoxb-…")
    slack_app_token: SecretStr | None = Field(
        None, alias="SLACK_APP_TOKEN", description="The app-level token, xapp-…; turns on Socket Mode"
    )
    slack_signing_secret: SecretStr | None = Field(
        None,
        alias="SLACK_SIGNING_SECRET",
        description="The secret that Slack signs requests with; turns on POST /slack/events",
    )
    slack_api_url: str = Field(
        "https://slack.com/api/", alias="SLACK_API_URL", description="The Web API's address; ends in /api/"
    )
    slack_pace: float = Field(
        1.0,
        alias="REGISTRAR_SLACK_PACE",
        ge=0,
        le=60,
        description="Seconds between two messages in one channel, across all processes; Slack allows about one per "
        "second. 0: no wait",
    )
    registry: str = Field(
        "mlflow",
        alias="REGISTRAR_REGISTRY",
        description=(
            "The registry's product: mlflow, or the name of an installed adapter "
            "(docs/how-to/write-a-registry-adapter.md)"
        ),
    )
    tracking_uri: str | None = Field(
        None,
        alias="MLFLOW_TRACKING_URI",
        description="MLflow's own setting: your MLflow server's address. "
        "If not set, Registrar uses an SQLite registry in REGISTRAR_HOME and prints a warning",
    )
    registry_uri: str | None = Field(
        None, alias="MLFLOW_REGISTRY_URI", description="MLflow's own setting; default: MLFLOW_TRACKING_URI"
    )
    home: Path = Field(
        Path(".registrar"),
        alias="REGISTRAR_HOME",
        description="The folder of the SQLite ledger, and of the SQLite registry if no URI is set",
    )
    database_url: SecretStr | None = Field(
        None, alias="REGISTRAR_DATABASE_URL", description="The ledger's database: sqlite:///… or postgresql+psycopg://…"
    )
    postgres_password: SecretStr | None = Field(  # libpq reads it; here, it's only kept out of logs
        None, alias="PGPASSWORD", description="libpq's own setting: the database password, if the URL has none"
    )
    policy: Path = Field(Path("registrar.yml"), alias="REGISTRAR_POLICY", description="The policy file")
    host: str = Field("127.0.0.1", alias="REGISTRAR_HOST", description="The address to serve HTTP on")
    port: int = Field(3000, alias="REGISTRAR_PORT", ge=0, le=65535, description="The HTTP port; 0: any free port")
    trusted_proxies: Annotated[tuple[IPvAnyNetwork, ...], NoDecode] = Field(
        (),
        alias="REGISTRAR_TRUSTED_PROXIES",
        description="Addresses or networks of the proxies in front of the HTTP server, separated by commas. "
        "X-Forwarded-For is used only if it comes from one of them",
    )
    stages: Literal["auto", "stages", "tags"] = Field(
        "auto",
        alias="REGISTRAR_STAGES",
        description="Whether the registry has stages, or Registrar keeps them in the tag `stage` (Unity Catalog)",
    )
    mlflow_url: str | None = Field(
        None,
        alias="REGISTRAR_MLFLOW_URL",
        description="MLflow's address in a browser, for links; default: the registry's own address",
    )
    webhook_secret: SecretStr | None = Field(
        None,
        alias="REGISTRAR_MLFLOW_WEBHOOK_SECRET",
        description="The secret that MLflow signs its webhooks with; turns on POST /v1/mlflow/webhook",
    )
    bot_url: str | None = Field(
        None,
        alias="REGISTRAR_URL",
        description="For a terminal on another machine: the bot's HTTP address",
    )
    bot_token: SecretStr | None = Field(
        None,
        alias="REGISTRAR_TOKEN",
        description="For a terminal on another machine: the token of its client in the policy. "
        "Jobs in GitHub Actions get an ID token instead if they have the permission id-token: write",
    )
    id_token: SecretStr | None = Field(
        None,
        alias="REGISTRAR_ID_TOKEN",
        description="For a CI job: its ID token, such as one from GitLab's id_tokens; valid for one change",
    )
    audience: str = Field(
        "registrar",
        alias="REGISTRAR_AUDIENCE",
        description="For a job in GitHub Actions: the audience of its ID tokens, as in the policy",
    )
    probe_username: str = Field(
        "",
        alias="REGISTRAR_PROBE_USERNAME",
        description="A regular MLflow user: `registrar doctor --live` checks what they can change",
    )
    probe_password: SecretStr | None = Field(None, alias="REGISTRAR_PROBE_PASSWORD", description="That user's password")
    probe_token: SecretStr | None = Field(
        None, alias="REGISTRAR_PROBE_TOKEN", description="A token, if MLflow's login accepts one instead of a password"
    )
    keys: Path | None = Field(
        None,
        alias="REGISTRAR_KEYS",
        description="The folder with the keys that sign passports; default: `keys` in REGISTRAR_HOME",
    )
    passport_lifetime: Duration = Field(
        "365d",
        alias="REGISTRAR_PASSPORT_LIFETIME",
        validate_default=True,
        description="How long a passport lasts; those of versions in Staging and Production are renewed in time",
    )
    status_lifetime: Duration = Field(
        "1h",
        alias="REGISTRAR_STATUS_LIFETIME",
        validate_default=True,
        description="How long a status list of passports can be used, so how late a server can learn of a rollback",
    )
    poll_interval: Duration = Field(
        "60s",
        alias="REGISTRAR_POLL",
        validate_default=True,
        description="How often Registrar checks the registry for changes",
    )
    digest_rate: ByteSize = Field(
        "50MB",
        alias="REGISTRAR_DIGEST_RATE",
        validate_default=True,
        ge=1_000_000,
        description="How many bytes per second each process reads at most to hash the files of versions",
    )
    digest_max: ByteSize = Field(
        "50GB",
        alias="REGISTRAR_DIGEST_MAX",
        validate_default=True,
        description="The files of a larger version aren't hashed",
    )
    digest_recheck: Duration = Field(
        "24h",
        alias="REGISTRAR_DIGEST_RECHECK",
        validate_default=True,
        description="How often the files of versions in Production are compared with what was recorded",
    )
    connections: int = Field(
        20,
        alias="REGISTRAR_CONNECTIONS",
        ge=4,
        le=200,
        description="The maximum number of connections to the ledger per process, not counting six for the check queue",
    )
    threads: int = Field(40, alias="REGISTRAR_THREADS", ge=4, le=500, description="How many tasks run at the same time")

    log_format: Literal["text", "json"] = Field(
        "text", alias="REGISTRAR_LOG", description="The log format: text for people, or JSON for machines"
    )
    drain_time: Duration = Field(
        "0s",
        alias="REGISTRAR_DRAIN",
        validate_default=True,
        description="How long to keep answering HTTP after SIGTERM, while /readyz reports stopping "
        "so that a load balancer notices; a second signal ends the wait",
    )

    @field_validator("slack_api_url")
    @classmethod
    def _add_trailing_slash(cls, url: str) -> str:
        return url if url.endswith("/") else f"{url}/"

    @field_validator("trusted_proxies", mode="before")
    @classmethod
    def _split_at_commas(cls, networks: object) -> object:
        return [each.strip() for each in networks.split(",")] if isinstance(networks, str) else networks

    @field_validator("home")
    @classmethod
    def _reject_question_mark(cls, home: Path) -> Path:
        if "?" in str(home.absolute()):
            raise ValueError("the ledger's folder can't have a question mark in its path")
        return home

    @property
    def secrets(self) -> list[str]:
        """The values that must never be printed."""
        return [value.get_secret_value() for _, value in self if isinstance(value, SecretStr)]

    @property
    def keys_folder(self) -> Path:
        """The folder with the keys that sign passports."""
        return self.keys or self.home / "keys"

    @property
    def ledger_url(self) -> str:
        """The ledger's address; it can contain a password."""
        if self.database_url:
            return self.database_url.get_secret_value()
        return f"sqlite:///{self.home.absolute() / 'ledger.db'}"


def read_settings() -> Settings:
    """Return the settings from the environment. Raises Misconfigured, naming the variable."""
    settings, faults = read_settings_and_faults()
    if faults:
        raise Misconfigured(faults[0])
    return settings


def read_settings_and_faults() -> tuple[Settings, list[Sentence]]:
    """Return the settings from the environment, with defaults in place of invalid values, and the errors."""
    try:
        return Settings(), []
    except ValidationError as error:
        faults = {str(fault["loc"][0]): error_message(fault) for fault in error.errors()}
    defaults = {field.alias: field.default for field in Settings.model_fields.values() if field.alias in faults}
    sentences = [say("Can't use {name}: {what}.", name=Code(name), what=problem) for name, problem in faults.items()]
    return Settings.model_validate(defaults), sentences
