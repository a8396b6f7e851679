"""The MLflow adapter: its entry point, environment variables, name rules, and web pages."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

from bot.domain.core.sentence import Code, Name, Sentence, sanitize_text, say
from bot.domain.registry.model import MAX_NAME_LENGTH, ModelInfo, RegistryProduct, RunInfo, VersionInfo
from bot.ports import OpenRegistry, RegistryAdapter, RegistryLinks, RegistryOptions, UnsetSetting
from bot.registry.mlflow.registry import MlflowRegistry


@dataclass(frozen=True, slots=True)
class MlflowVariables:
    """MLflow's own environment variables, and Registrar's variables for MLflow."""

    environ: Mapping[str, str]
    home: Path

    @property
    def tracking_uri(self) -> str:
        """The URI for runs: MLflow's own setting or, if it isn't set, a SQLite file in Registrar's home."""
        return self.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self._local_file}"

    @property
    def registry_uri(self) -> str | None:
        """The URI for models; None if it's the same as for runs."""
        return self.environ.get("MLFLOW_REGISTRY_URI") or None

    @property
    def has_stages(self) -> bool:
        """Whether the registry has stages. Unity Catalog, which is recognized by its address, doesn't."""
        return not (self.registry_uri or self.tracking_uri).startswith(("databricks-uc", "uc:"))

    @property
    def unset(self) -> UnsetSetting | None:
        """The message to show if MLflow's address isn't set; None if it's set."""
        if self.environ.get("MLFLOW_TRACKING_URI"):
            return None
        sentence = say(
            "{name} isn't set, so Registrar {verb} {what} in {file}.",
            name=Code("MLFLOW_TRACKING_URI"),
            verb="uses" if self._local_file.exists() else "creates",
            what="MLflow's runs" if self.registry_uri else "a registry",
            file=Code(self._local_file),
        )
        this = Code(self.tracking_uri)
        return UnsetSetting(
            sentence, say("Set it to your MLflow server's address, or to {this} to keep this file.", this=this)
        )

    @property
    def web_url(self) -> str | None:
        """The URL where people open MLflow, without credentials; None if unknown."""
        names = ("REGISTRAR_MLFLOW_URL", "MLFLOW_REGISTRY_URI", "MLFLOW_TRACKING_URI")
        parts = urlsplit(next((url for name in names if (url := self.environ.get(name))), ""))
        if parts.scheme not in {"http", "https"}:
            return None
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")

    @property
    def _local_file(self) -> Path:
        return self.home.absolute() / "mlflow.db"


def links(web_url: str | None) -> RegistryLinks:
    """Return the links to MLflow's pages under `web_url`, which has no trailing slash; no links if it's None."""
    if web_url is None:
        return RegistryLinks()

    def model_url(model: ModelInfo) -> str:
        return f"{web_url}/#/models/{quote(model.name, safe='')}"

    def version_url(version: VersionInfo) -> str:
        return f"{web_url}/#/models/{quote(version.model, safe='')}/versions/{version.version}"

    def run_url(run: RunInfo) -> str:
        return f"{web_url}/#/experiments/{quote(run.experiment, safe='')}/runs/{quote(run.id, safe='')}"

    def version_at(url: str) -> tuple[str, int] | None:
        page = re.fullmatch(rf"(?i:{re.escape(web_url)})/?#/models/([^/?#]+)/versions/([0-9]{{1,9}})(?:[/?].*)?", url)
        name = unquote(page[1]) if page else ""
        return (name, int(page[2])) if page and len(name) <= MAX_NAME_LENGTH and sanitize_text(name) == name else None

    return RegistryLinks(model=model_url, version=version_url, run=run_url, version_at=version_at)


def open_mlflow(options: RegistryOptions) -> OpenRegistry:
    """Return the MLflow registry and tracker that MLflow's environment variables configure."""
    variables = MlflowVariables(options.environ, options.home)
    unset, warn = variables.unset, options.warn
    registry = MlflowRegistry(
        variables.tracking_uri,
        variables.registry_uri,
        observer=options.observer,
        before_open=cache(partial(warn, unset)) if warn and unset else None,
    )
    return OpenRegistry(
        registry=registry,
        tracker=registry.tracker,
        links=links(variables.web_url),
        has_stages=variables.has_stages,
        unset=unset,
    )


def name_error(name: str) -> Sentence | None:
    """Return why MLflow doesn't accept a model name, or None if it does. MLflow's filters can't escape quotes."""
    if "'" in name and '"' in name:
        return say("MLflow can't look up a model name that has both kinds of quotes.")
    if "/" in name or ":" in name or any(ord(char) < 32 for char in name):
        return say(
            "{name} isn't a valid name: MLflow doesn't allow slashes, colons, or control characters.", name=Name(name)
        )
    return None


MLFLOW = RegistryAdapter(RegistryProduct(name="MLflow", tag_prefix="mlflow.", name_error=name_error), open_mlflow)
