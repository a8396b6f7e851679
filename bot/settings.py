"""Every setting, in one table: name, default, what it means. docs/settings.md is made from it."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from bot.domain.core.durations import Duration
from bot.domain.core.errors import Misconfigured
from bot.domain.core.sentence import Code, Sentence, say
from bot.domain.core.strict_model import error_message

# Without populate_by_name: with it, the shell's own HOME, HOST, and PORT would be read as our settings.
_CONFIG = SettingsConfigDict(env_file=None, extra="ignore", env_ignore_empty=True)


class Settings(BaseSettings):
    """What the environment says. Read once, at the start."""

    model_config = _CONFIG

    slack_bot_token: SecretStr | None = Field(None, alias="SLACK_BOT_TOKEN", description="The bot's token, xoxb-…")
    slack_app_token: SecretStr | None = Field(
        None, alias="SLACK_APP_TOKEN", description="The app-level token, xapp-…; set: Socket Mode"
    )
    slack_signing_secret: SecretStr | None = Field(
        None, alias="SLACK_SIGNING_SECRET", description="What Slack signs with; set: POST /slack/events"
    )
    slack_api_url: str = Field(
        "https://slack.com/api/", alias="SLACK_API_URL", description="The Web API, ends in /api/"
    )
    slack_pace: float = Field(
        1.0,
        alias="REGISTRAR_SLACK_PACE",
        ge=0,
        le=60,
        description="Seconds between two messages in one channel, over all processes; Slack allows about one a second. "
        "0 sends them at once",
    )
    registry: str = Field(
        "mlflow",
        alias="REGISTRAR_REGISTRY",
        description="The registry's product: mlflow, or the name of an adapter that you installed (docs/registries.md)",
    )
    tracking_uri: str | None = Field(
        None,
        alias="MLFLOW_TRACKING_URI",
        description="MLflow's own: your MLflow server's address. Not set: a SQLite registry in REGISTRAR_HOME, with a "
        "warning wherever it's used",
    )
    registry_uri: str | None = Field(
        None, alias="MLFLOW_REGISTRY_URI", description="MLflow's own; default: the one above"
    )
    home: Path = Field(
        Path(".registrar"),
        alias="REGISTRAR_HOME",
        description="Where the SQLite ledger is, and a SQLite registry when no URI is set",
    )
    database_url: SecretStr | None = Field(
        None, alias="REGISTRAR_DATABASE_URL", description="The ledger, as sqlite:///… or postgresql+psycopg://…"
    )
    policy: Path = Field(Path("registrar.yml"), alias="REGISTRAR_POLICY", description="The policy file")
    host: str = Field("127.0.0.1", alias="REGISTRAR_HOST", description="Where HTTP is served")
    port: int = Field(3000, alias="REGISTRAR_PORT", ge=0, le=65535, description="Its port; 0 takes a free one")
    stages: Literal["auto", "stages", "tags"] = Field(
        "auto",
        alias="REGISTRAR_STAGES",
        description="Whether the registry has stages, or keeps them as the version tag `stage` (Unity Catalog)",
    )
    mlflow_url: str | None = Field(
        None,
        alias="REGISTRAR_MLFLOW_URL",
        description="Where people open MLflow in the browser, for links; default: the registry's own address",
    )
    webhook_secret: SecretStr | None = Field(
        None,
        alias="REGISTRAR_MLFLOW_WEBHOOK_SECRET",
        description="What MLflow signs its webhooks with; set: POST /v1/mlflow/webhook",
    )
    bot_url: str | None = Field(
        None,
        alias="REGISTRAR_URL",
        description="For a terminal that is not beside the bot: where the bot serves HTTP",
    )
    bot_token: SecretStr | None = Field(
        None, alias="REGISTRAR_TOKEN", description="The token of the client that such a terminal is, as the policy says"
    )
    probe_username: str = Field(
        "",
        alias="REGISTRAR_PROBE_USERNAME",
        description="An ordinary MLflow user: `registrar doctor --live` checks what they can change",
    )
    probe_password: SecretStr | None = Field(
        None, alias="REGISTRAR_PROBE_PASSWORD", description="The password of that user"
    )
    probe_token: SecretStr | None = Field(
        None, alias="REGISTRAR_PROBE_TOKEN", description="A token instead, where MLflow's login takes one"
    )
    poll_interval: Duration = Field(
        "60s", alias="REGISTRAR_POLL", validate_default=True, description="How often the registry is looked at"
    )
    connections: int = Field(
        20,
        alias="REGISTRAR_CONNECTIONS",
        ge=4,
        le=200,
        description="How many connections to the ledger a process opens at most, beside six for the queue of checks",
    )
    threads: int = Field(
        40, alias="REGISTRAR_THREADS", ge=4, le=500, description="How many things are worked on at the same time"
    )

    log_format: Literal["text", "json"] = Field(
        "text", alias="REGISTRAR_LOG", description="How the log is written: lines for people, or JSON for machines"
    )
    drain_time: Duration = Field(
        "0s",
        alias="REGISTRAR_DRAIN",
        validate_default=True,
        description="How long after SIGTERM HTTP is still answered while /readyz says stopping, for a load balancer to "
        "notice; a second signal ends it",
    )

    @field_validator("slack_api_url")
    @classmethod
    def _add_trailing_slash(cls, url: str) -> str:
        return url if url.endswith("/") else f"{url}/"

    @field_validator("home")
    @classmethod
    def _reject_question_mark(cls, home: Path) -> Path:
        if "?" in str(home.absolute()):
            raise ValueError("a folder with a question mark cannot hold the ledger")
        return home

    @property
    def secrets(self) -> list[str]:
        """What must be printed nowhere."""
        return [value.get_secret_value() for _, value in self if isinstance(value, SecretStr)]

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
    """Return the settings from the environment, with the default in place of each wrong one, and the errors."""
    try:
        return Settings(), []
    except ValidationError as error:
        faults = {str(fault["loc"][0]): error_message(fault) for fault in error.errors()}
    defaults = {field.alias: field.default for field in Settings.model_fields.values() if field.alias in faults}
    sentences = [
        say("{name} cannot be used: {what}.", name=Code(name), what=problem) for name, problem in faults.items()
    ]
    return Settings.model_validate(defaults), sentences
