"""MLflow as one of the registries that Registrar can use: the entry point, its variables, its names, and its pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from urllib.parse import quote, urlsplit

from bot.domain.core.sentence import Code, Name, Sentence, say
from bot.domain.registry.model import RegistryProduct, RunInfo, VersionInfo
from bot.ports import OpenRegistry, RegistryAdapter, RegistryLinks, RegistryOptions, UnsetSetting
from bot.registry.mlflow.registry import MlflowRegistry


@dataclass(frozen=True, slots=True)
class MlflowVariables:
    """MLflow's own variables, and ours about it."""

    environ: Mapping[str, str]
    home: Path

    @property
    def tracking_uri(self) -> str:
        """Where runs are tracked: MLflow's own setting, else a SQLite file in our home."""
        return self.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{self._local_file}"

    @property
    def registry_uri(self) -> str | None:
        """Where the models are; None if they're with the runs."""
        return self.environ.get("MLFLOW_REGISTRY_URI") or None

    @property
    def has_stages(self) -> bool:
        """Whether the registry has stages: Unity Catalog doesn't, which its address shows."""
        return not (self.registry_uri or self.tracking_uri).startswith(("databricks-uc", "uc:"))

    @property
    def unset(self) -> UnsetSetting | None:
        """The message if neither address of MLflow is set; None if one is."""
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
        """Where people open MLflow, without user and password, or None if that's unknown."""
        names = ("REGISTRAR_MLFLOW_URL", "MLFLOW_REGISTRY_URI", "MLFLOW_TRACKING_URI")
        parts = urlsplit(next((url for name in names if (url := self.environ.get(name))), ""))
        if parts.scheme not in {"http", "https"}:
            return None
        return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}".rstrip("/")

    @property
    def _local_file(self) -> Path:
        return self.home.absolute() / "mlflow.db"


def links(web_url: str | None) -> RegistryLinks:
    """Return MLflow's pages at this address, which has no slash at its end."""
    if web_url is None:
        return RegistryLinks()

    def version_url(version: VersionInfo) -> str:
        return f"{web_url}/#/models/{quote(version.model, safe='')}/versions/{version.version}"

    def run_url(run: RunInfo) -> str:
        return f"{web_url}/#/experiments/{quote(run.experiment, safe='')}/runs/{quote(run.id, safe='')}"

    return RegistryLinks(version=version_url, run=run_url)


def open_mlflow(options: RegistryOptions) -> OpenRegistry:
    """Return MLflow as its own variables name it."""
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
    """Return why MLflow takes no model of this name. Its filters can't escape quotes."""
    if "'" in name and '"' in name:
        return say("A model name with both kinds of quotes cannot be looked up in MLflow.")
    if "/" in name or ":" in name or any(ord(char) < 32 for char in name):
        return say("{name} is no model name: MLflow allows no slash, colon or control character.", name=Name(name))
    return None


MLFLOW = RegistryAdapter(RegistryProduct(name="MLflow", tag_prefix="mlflow.", name_error=name_error), open_mlflow)
