"""All files of a version, read from local folders, through MLflow's server, and from stores that send whole files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest

from bot.domain.core.errors import RegistrarError, RegistryRefused, RegistryUnreachable
from bot.domain.registry.model import VersionInfo
from bot.ports import StoredFile
from bot.registry.contract import TrackerContract
from bot.registry.mlflow import files as files_module
from bot.registry.mlflow.files import open_files
from bot.registry.mlflow.registry import MlflowRegistry
from tests.support.network.http_receiver import PlannedReply, run_receiver
from tests.support.registry.mlflow_process import MlflowServer
from tests.support.registry.registries import MlflowBackend

OPEN_STORE = "mlflow.store.artifact.artifact_repository_registry.get_artifact_repository"
SERVER = "http://127.0.0.1:5000"


class TestServer:
    """Files that only MLflow's server can read."""

    @pytest.fixture
    def registry(
        self,
        mlflow_server: MlflowServer,
        mlflow_backend: MlflowBackend,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> MlflowRegistry:
        monkeypatch.setenv("_MLFLOW_SERVER_SERVE_ARTIFACTS", "true")
        monkeypatch.setenv("_MLFLOW_SERVER_ARTIFACT_DESTINATION", str(tmp_path / "served"))
        monkeypatch.setattr("mlflow.server.handlers._artifact_repo", None)
        mlflow_backend.artifacts, mlflow_backend.served = "mlflow-artifacts:", tmp_path / "served"
        return MlflowRegistry(mlflow_server.uri)

    @pytest.fixture
    def version(self, registry: MlflowRegistry, mlflow_backend: MlflowBackend) -> VersionInfo:
        return registry.register_version("churn", mlflow_backend.add_run(models=["classifier"]), tags={})

    def test_odd_names_in_nested_folders_are_read(
        self, registry: MlflowRegistry, mlflow_backend: MlflowBackend, version: VersionInfo
    ) -> None:
        for name in TrackerContract.odd_file_names:
            mlflow_backend.add_file(version, name, name.encode())
        files = registry.tracker.version_files(version)
        found = {file.path: b"".join(files.chunks(file.path)) for file in files.files()}
        assert found == {name: name.encode() for name in TrackerContract.odd_file_names}

    def test_a_large_file_comes_in_pieces(
        self, registry: MlflowRegistry, mlflow_backend: MlflowBackend, version: VersionInfo
    ) -> None:
        mlflow_backend.add_file(version, "model.pkl", bytes(3_000_000))
        sizes = [len(chunk) for chunk in registry.tracker.version_files(version).chunks("model.pkl")]
        assert (sum(sizes), max(sizes) <= files_module.CHUNK_BYTES) == (3_000_000, True)

    def test_a_file_that_is_gone_is_refused(self, registry: MlflowRegistry, version: VersionInfo) -> None:
        with pytest.raises(RegistryRefused, match="Can't read the model's files"):
            list(registry.tracker.version_files(version).chunks("gone"))

    def test_a_server_that_fails_can_be_asked_again(
        self, registry: MlflowRegistry, mlflow_server: MlflowServer, version: VersionInfo
    ) -> None:
        files = registry.tracker.version_files(version)
        mlflow_server.answer(503, "busy")
        with pytest.raises(RegistryUnreachable):
            files.files()

    def test_a_server_that_sends_one_byte_after_another_is_not_waited_for(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files_module, "HEADERS_TIMEOUT", 0.2)
        with run_receiver() as there:
            there.replies = [PlannedReply(drips=True)]
            with pytest.raises(RegistryUnreachable, match="timed out"):
                list(open_files(f"{there.url}/model", there.url).chunks("a"))

    def test_the_password_is_not_sent_to_another_server(self) -> None:
        with pytest.raises(RegistryRefused, match="they're on a different server") as told:
            open_files("http://ann:secret@evil.example/x", SERVER)
        assert "secret" not in str(told.value)


class TestFolder:
    """Files on this machine."""

    def test_a_folder_that_is_gone_has_no_files(self, tmp_path: Path) -> None:
        assert open_files(str(tmp_path / "gone"), SERVER).files() == []

    @pytest.mark.parametrize("make", [lambda path: path.symlink_to("/etc/passwd"), os.mkfifo], ids=["link", "pipe"])
    def test_what_is_not_a_file_is_refused(self, tmp_path: Path, make: Any) -> None:
        make(tmp_path / "odd")
        with pytest.raises(RegistryRefused, match="odd is a link or a device"):
            open_files(str(tmp_path), SERVER).files()

    def test_a_link_to_a_folder_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "loop").symlink_to(tmp_path)
        with pytest.raises(RegistryRefused, match="loop is a link"):
            open_files(str(tmp_path), SERVER).files()

    def test_a_file_that_is_replaced_by_a_link_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "model").symlink_to("/etc/passwd")
        with pytest.raises(RegistrarError):
            list(open_files(str(tmp_path), SERVER).chunks("model"))

    def test_a_folder_that_is_replaced_by_a_link_is_not_followed(self, tmp_path: Path) -> None:
        (tmp_path / "model" / "sub").mkdir(parents=True)
        (tmp_path / "model" / "sub" / "passwd").touch()
        files = open_files(str(tmp_path / "model"), SERVER)
        assert files.files() == [StoredFile("sub/passwd", 0)]
        (tmp_path / "model" / "sub").rename(tmp_path / "moved")
        (tmp_path / "model" / "sub").symlink_to("/etc")
        with pytest.raises(RegistrarError):
            list(files.chunks("sub/passwd"))

    def test_a_folder_that_is_replaced_by_a_link_while_the_files_are_listed_is_not_followed(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        model, require_few = tmp_path / "model", files_module._require_few
        for folder in (model / "a", model / "b", tmp_path / "elsewhere"):
            folder.mkdir(parents=True)
        (tmp_path / "elsewhere" / "secret").touch()

        def replace_folders(count: int) -> None:
            counts.append(count)
            if len(counts) == 2:  # one of the two is being listed
                for folder in (model / "a", model / "b"):
                    folder.rename(tmp_path / folder.name)
                    folder.symlink_to(tmp_path / "elsewhere")
            require_few(count)

        counts: list[int] = []
        monkeypatch.setattr(files_module, "_require_few", replace_folders)
        assert open_files(str(model), SERVER).files() == []

    def test_a_folder_that_cannot_be_listed_is_not_taken_for_an_empty_one(self, tmp_path: Path) -> None:
        (tmp_path / "model").write_text("a file")
        with pytest.raises(RegistryRefused, match="NotADirectoryError"):
            open_files(str(tmp_path / "model"), SERVER).files()

    def test_too_many_files_are_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(files_module, "MAX_ENTRIES", 2)
        for name in "abc":
            (tmp_path / name).mkdir()
        with pytest.raises(RegistryRefused, match="there are more than 2"):
            open_files(str(tmp_path), SERVER).files()


class WholeFileStore:
    """A store that only downloads whole files, like S3. It lists `entries` by folder."""

    def __init__(self) -> None:
        self.entries: dict[str | None, list[tuple[str, bool]]] = {
            None: [("model", True)],
            "model": [("model/a", False)],
        }
        self.places: list[Path] = []
        self.wait: Event | None = None
        self.error: Exception | None = None

    def list_artifacts(self, path: str | None = None) -> list[SimpleNamespace]:
        """Return the entries of a folder."""
        return [SimpleNamespace(path=name, is_dir=is_dir, file_size=None) for name, is_dir in self.entries[path]]

    def _download_file(self, name: str, place: str) -> None:
        self.places.append(Path(place))
        if self.wait:
            self.wait.wait(30)
        if self.error:
            raise self.error
        Path(place).write_text(f"contents of {name}")


class TestWholeFiles:
    @pytest.fixture
    def store(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[WholeFileStore]:
        store = WholeFileStore()
        monkeypatch.setattr(OPEN_STORE, lambda *_, **__: store)
        monkeypatch.setattr(files_module, "WAIT_SECONDS", 0.01)
        yield store
        if store.wait:
            store.wait.set()

    def test_a_file_is_downloaded_read_and_deleted(self, store: WholeFileStore) -> None:
        files = open_files("s3://bucket/model", SERVER)
        assert [file.path for file in files.files()] == ["model/a"]
        assert b"".join(files.chunks("model/a")) == b"contents of model/a"
        assert not store.places[0].parent.exists()

    def test_a_download_that_is_abandoned_leaves_no_file(self, store: WholeFileStore) -> None:
        store.wait = Event()
        chunks: Any = open_files("s3://bucket/model", SERVER).chunks("model/a")
        assert next(chunks) == b""
        chunks.close()
        assert not store.places[0].parent.exists()

    def test_a_download_that_stops_growing_times_out(
        self, store: WholeFileStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files_module, "MAX_STALLS", 3)
        store.wait = Event()
        with pytest.raises(RegistryUnreachable, match="the download timed out"):
            list(open_files("s3://bucket/model", SERVER).chunks("model/a"))

    @pytest.mark.parametrize("error", [ConnectionError("secret"), TimeoutError("secret"), ValueError("secret")])
    def test_an_error_of_the_store_is_translated(self, store: WholeFileStore, error: Exception) -> None:
        store.error = error
        with pytest.raises(RegistrarError, match="Can't read the model's files") as told:
            list(open_files("s3://bucket/model", SERVER).chunks("model/a"))
        assert "secret" not in str(told.value)

    def test_a_folder_that_lists_itself_is_read_once(self, store: WholeFileStore) -> None:
        store.entries["model"] += [("model", True)]
        assert [file.path for file in open_files("s3://bucket/model", SERVER).files()] == ["model/a"]

    def test_too_many_files_are_refused(self, store: WholeFileStore, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(files_module, "MAX_ENTRIES", 2)
        with pytest.raises(RegistryRefused, match="there are more than 2"):
            open_files("s3://bucket/model", SERVER).files()
