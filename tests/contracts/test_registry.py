"""Every registry keeps the same promises: the one in memory, MLflow over its database, MLflow over HTTP."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC
from pathlib import Path
from threading import Barrier

import pytest
import sqlalchemy as sa

from bot.domain.errors import RegistryRefused, RegistryUnreachable, UnknownModel, UnknownVersion
from bot.domain.registry import Stage
from bot.ports import Registry
from bot.registry.memory import MemoryRegistry
from bot.registry.mlflow import MlflowRegistry
from tests.ledgers import PostgresServer
from tests.registries import KINDS, MlflowServer, MlflowShelf, Shelf, free_port, mlflow_subprocess

NONE, STAGING, PRODUCTION, ARCHIVED = Stage

ODD_NAMES = [
    "o'brien", 'the "best"', "two words", "100%", "a_b", "модель", "名前", "churn@eu", "a\\", "x AND y",
    "a;b", "a--b", "x' OR name != 'x", "x' AND name = 'y", 'x" OR name LIKE "%',
]  # fmt: skip


@pytest.fixture(params=KINDS)
def both(request: pytest.FixtureRequest, registries: Callable[[str], tuple[Registry, Shelf]]) -> tuple[Registry, Shelf]:
    return registries(request.param)


@pytest.fixture
def registry(both: tuple[Registry, Shelf]) -> Registry:
    return both[0]


@pytest.fixture
def shelf(both: tuple[Registry, Shelf]) -> Shelf:
    return both[1]


def stages(registry: Registry, name: str = "churn") -> dict[int, Stage]:
    return {version.version: version.stage for version in registry.versions(name)}


class TestReading:
    def test_versions_come_newest_number_first(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=10)
        assert [v.version for v in registry.versions("churn")] == [10, 9, 8, 7, 6, 5, 4, 3, 2, 1]

    def test_an_unknown_model_has_no_versions(self, registry: Registry) -> None:
        assert registry.versions("churn") == []

    def test_a_version_without_a_run_says_so(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        assert registry.versions("churn")[0].run_id is None

    def test_a_version_tells_what_was_registered(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn")
        shelf.add_version("churn", run_id="4711", description="the best one", tags={"semver": "1.0.0"})
        told = registry.versions("churn")[0]
        assert (told.model, told.version, told.stage, told.status) == ("churn", 1, NONE, "READY")
        assert (told.run_id, told.description, dict(told.tags)) == (
            "4711",
            "the best one",
            {"semver": "1.0.0"},
        )

    def test_times_are_in_utc(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        created, updated = registry.versions("churn")[0].created_at, registry.model("churn").updated_at
        assert [moment and moment.tzinfo for moment in (created, updated)] == [UTC, UTC]

    def test_a_deleted_version_is_gone_and_its_number_stays_free(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=2)
        shelf.delete_version("churn", 2)
        shelf.add_version("churn")
        assert [v.version for v in registry.versions("churn")] == [3, 1]

    def test_the_latest_of_a_stage_is_its_highest_number(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=[PRODUCTION, PRODUCTION, NONE])
        registry.transition("churn", 1, PRODUCTION, archive_existing=False)
        assert registry.model("churn").latest == {PRODUCTION: 2, NONE: 3}

    def test_a_model_tells_what_was_registered(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", description="who leaves", tags={"owner": "ann"})
        told = registry.model("churn")
        assert (told.name, told.description, dict(told.tags)) == ("churn", "who leaves", {"owner": "ann"})

    def test_an_unknown_model_is_said_to_be_unknown(self, registry: Registry) -> None:
        with pytest.raises(UnknownModel, match="The registry has no model “churn”"):
            registry.model("churn")

    def test_models_are_sorted_by_name(self, registry: Registry, shelf: Shelf) -> None:
        for name in ("fraud", "churn", "Churn"):
            shelf.add(name)
        assert [m.name for m in registry.models()] == ["Churn", "churn", "fraud"]

    @pytest.mark.parametrize(
        ("text", "found"),
        [("CHURN", "eu_churn"), ("МОДЕЛЬ", "модель 5%"), ("%", "модель 5%"), ("_", "eu_churn")],
    )
    def test_models_are_found_by_a_part_of_their_name(
        self, registry: Registry, shelf: Shelf, text: str, found: str
    ) -> None:
        for name in ("eu_churn", "модель 5%", "fraud"):
            shelf.add(name)
        assert [m.name for m in registry.models(text)] == [found]


class TestNames:
    def test_a_model_of_any_name_is_read_and_moved(self, registry: Registry, shelf: Shelf) -> None:
        for name in ODD_NAMES:
            shelf.add(name, versions=2)
        for name in ODD_NAMES:
            registry.transition(name, 1, PRODUCTION, archive_existing=True)
            registry.set_alias(name, "champion", 1)
        assert all(stages(registry, name) == {1: PRODUCTION, 2: NONE} for name in ODD_NAMES)
        assert [registry.model(name).aliases for name in ODD_NAMES] == [{"champion": 1}] * len(ODD_NAMES)

    @pytest.mark.parametrize("name", [name for name in ODD_NAMES if " " in name])
    def test_a_name_cannot_widen_the_search(self, registry: Registry, shelf: Shelf, name: str) -> None:
        shelf.add("x", versions=1)
        assert registry.versions(name) == []

    def test_a_name_with_both_quotes_cannot_be_looked_up(self, registry: Registry) -> None:
        with pytest.raises(UnknownModel, match="both kinds of quotes"):
            registry.versions("""x' OR "x" """)


class TestPrompts:
    @pytest.fixture(autouse=True)
    def _there_is_a_prompt(self, shelf: Shelf) -> None:
        shelf.add("greeting", versions=1, prompt=True)

    def test_a_prompt_is_not_listed(self, registry: Registry) -> None:
        assert registry.models() == []

    def test_a_prompt_is_no_model(self, registry: Registry) -> None:
        with pytest.raises(UnknownModel):
            registry.model("greeting")

    def test_a_prompt_has_no_versions(self, registry: Registry) -> None:
        assert registry.versions("greeting") == []

    def test_a_prompt_is_not_moved(self, registry: Registry) -> None:
        with pytest.raises(UnknownModel):
            registry.transition("greeting", 1, PRODUCTION, archive_existing=True)

    def test_a_prompt_gets_no_alias(self, registry: Registry) -> None:
        with pytest.raises(UnknownModel):
            registry.set_alias("greeting", "champion", 1)


class TestMoving:
    def test_whoever_held_the_stage_is_archived(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=[PRODUCTION, PRODUCTION, STAGING])
        registry.transition("churn", 3, PRODUCTION, archive_existing=True)
        assert stages(registry) == {1: ARCHIVED, 2: ARCHIVED, 3: PRODUCTION}

    def test_whoever_held_the_stage_can_be_kept(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=[PRODUCTION, STAGING])
        registry.transition("churn", 2, PRODUCTION, archive_existing=False)
        assert stages(registry) == {1: PRODUCTION, 2: PRODUCTION}

    def test_holders_of_other_stages_stay(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=[PRODUCTION, STAGING, NONE])
        registry.transition("churn", 3, STAGING, archive_existing=True)
        assert stages(registry) == {1: PRODUCTION, 2: ARCHIVED, 3: STAGING}

    def test_other_models_stay(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        shelf.add("fraud", versions=[PRODUCTION])
        registry.transition("churn", 1, PRODUCTION, archive_existing=True)
        assert stages(registry, "fraud") == {1: PRODUCTION}

    def test_moving_the_holder_to_where_it_is_keeps_it(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=[PRODUCTION])
        registry.transition("churn", 1, PRODUCTION, archive_existing=True)
        assert stages(registry) == {1: PRODUCTION}

    @pytest.mark.parametrize("start", list(Stage))
    def test_a_version_moves_from_any_stage_to_any_other(self, registry: Registry, shelf: Shelf, start: Stage) -> None:
        shelf.add("churn", versions=[start])
        for goal in Stage:
            registry.transition("churn", 1, goal, archive_existing=True)
            assert stages(registry) == {1: goal}

    def test_archiving_one_leaves_the_archived_ones(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=[ARCHIVED, PRODUCTION])
        registry.transition("churn", 2, ARCHIVED, archive_existing=True)
        assert stages(registry) == {1: ARCHIVED, 2: ARCHIVED}

    def test_an_unknown_version_is_said_to_be_unknown(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        with pytest.raises(UnknownVersion, match="“churn” has no version v7"):
            registry.transition("churn", 7, PRODUCTION, archive_existing=True)

    def test_a_move_to_an_unknown_version_archives_nobody(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=[PRODUCTION])
        with pytest.raises(UnknownVersion):
            registry.transition("churn", 7, PRODUCTION, archive_existing=True)
        assert stages(registry) == {1: PRODUCTION}

    def test_a_deleted_version_is_not_moved(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        shelf.delete_version("churn", 1)
        with pytest.raises(UnknownVersion):
            registry.transition("churn", 1, PRODUCTION, archive_existing=True)

    def test_an_unknown_model_is_not_moved(self, registry: Registry) -> None:
        with pytest.raises(UnknownModel):
            registry.transition("churn", 1, PRODUCTION, archive_existing=True)

    def test_a_move_can_be_seen_at_the_model(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        registry.transition("churn", 1, STAGING, archive_existing=True)
        assert registry.model("churn").latest == {STAGING: 1}

    def test_mlflow_does_not_warn_people_of_stages(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        with warnings.catch_warnings():
            warnings.simplefilter("error", FutureWarning)
            registry.transition("churn", 1, STAGING, archive_existing=True)


class TestAliases:
    def test_a_model_without_aliases_has_none(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        assert registry.model("churn").aliases == {}

    def test_an_alias_moves(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=2)
        registry.set_alias("churn", "champion", 1)
        registry.set_alias("churn", "champion", 2)
        assert registry.model("churn").aliases == {"champion": 2}

    def test_a_list_of_models_has_their_aliases(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        registry.set_alias("churn", "champion", 1)
        assert registry.models()[0].aliases == {"champion": 1}

    def test_an_alias_survives_the_archive(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=[PRODUCTION, NONE])
        registry.set_alias("churn", "champion", 1)
        registry.transition("churn", 2, PRODUCTION, archive_existing=True)
        assert registry.model("churn").aliases == {"champion": 1}

    def test_an_alias_dies_with_its_version(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        registry.set_alias("churn", "champion", 1)
        shelf.delete_version("churn", 1)
        assert registry.model("churn").aliases == {}

    @pytest.mark.parametrize("alias", ["latest", "Latest", "v7", "2.1.0", "two words", ""])
    def test_an_alias_that_mlflow_does_not_take_is_refused(self, registry: Registry, shelf: Shelf, alias: str) -> None:
        shelf.add("churn", versions=1)
        with pytest.raises(RegistryRefused):
            registry.set_alias("churn", alias, 1)

    def test_an_alias_needs_a_version(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=1)
        with pytest.raises(UnknownVersion):
            registry.set_alias("churn", "champion", 7)

    def test_an_alias_needs_a_model(self, registry: Registry) -> None:
        with pytest.raises(UnknownModel):
            registry.set_alias("churn", "champion", 1)

    def test_two_who_set_a_new_alias_at_once_both_succeed(self, registry: Registry, shelf: Shelf) -> None:
        shelf.add("churn", versions=2)
        start = Barrier(2)

        def set_all(version: int) -> None:
            for number in range(5):
                start.wait()
                registry.set_alias("churn", f"alias-{number}", version)

        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(set_all, (1, 2))) == [None, None]
        assert set(registry.model("churn").aliases) == {f"alias-{number}" for number in range(5)}


class TestMemory:
    def test_a_registry_that_is_down_answers_nothing(self) -> None:
        memory = MemoryRegistry()
        memory.down = True
        with pytest.raises(RegistryUnreachable):
            memory.models()

    def test_a_lost_answer_is_an_error_of_something_done(self) -> None:
        memory = MemoryRegistry()
        memory.add("churn", versions=1)
        memory.loses_answers = True
        with pytest.raises(RegistryUnreachable):
            memory.transition("churn", 1, PRODUCTION, archive_existing=True)
        memory.loses_answers = False
        assert stages(memory) == {1: PRODUCTION}

    def test_a_slow_registry_waits_before_each_answer(self) -> None:
        waited: list[float] = []
        memory = MemoryRegistry(wait=waited.append)
        memory.delay = 2.5
        memory.models()
        assert waited == [2.5]


CALLS: dict[str, Callable[[Registry], object]] = {
    "models": lambda registry: registry.models("chu"),
    "model": lambda registry: registry.model("churn"),
    "versions": lambda registry: registry.versions("churn"),
    "transition": lambda registry: registry.transition("churn", 2, PRODUCTION, archive_existing=True),
    "set_alias": lambda registry: registry.set_alias("churn", "champion", 2),
}
READS, WRITES = list(CALLS)[:3], list(CALLS)[3:]


@pytest.fixture
def remote(mlflow_server: MlflowServer, mlflow_shelf: MlflowShelf) -> MlflowRegistry:
    """Return a registry over HTTP that holds churn, and has just been asked for it."""
    mlflow_shelf.add("churn", versions=[PRODUCTION, NONE])
    registry = MlflowRegistry(mlflow_server.uri)
    registry.versions("churn")
    mlflow_server.requests.clear()
    return registry


class TestRequests:
    @pytest.mark.parametrize("call", CALLS)
    def test_a_call_is_one_request(self, remote: MlflowRegistry, mlflow_server: MlflowServer, call: str) -> None:
        CALLS[call](remote)
        assert len(mlflow_server.requests) == 1

    @pytest.mark.parametrize("call", WRITES)
    def test_a_write_without_a_reading_before_it_reads_first(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, call: str
    ) -> None:
        CALLS[call](MlflowRegistry(mlflow_server.uri))
        assert [request.split()[0] for request in mlflow_server.requests] == ["GET", "POST"]

    def test_a_reading_of_long_ago_is_made_again(self, remote: MlflowRegistry, mlflow_server: MlflowServer) -> None:
        times = iter([0.0, 61.0, 61.0])
        registry = MlflowRegistry(mlflow_server.uri, monotonic=lambda: next(times))
        registry.model("churn")
        registry.set_alias("churn", "champion", 1)
        assert len(mlflow_server.requests) == 3

    def test_versions_are_read_page_by_page(self, mlflow_server: MlflowServer, mlflow_shelf: MlflowShelf) -> None:
        mlflow_shelf.add("churn", versions=7)
        registry = MlflowRegistry(mlflow_server.uri, versions_a_page=3)
        assert [v.version for v in registry.versions("churn")] == [7, 6, 5, 4, 3, 2, 1]
        assert len(mlflow_server.requests) == 3


class TestTrouble:
    @pytest.mark.parametrize("call", CALLS)
    def test_a_server_that_is_down_is_told_soon(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, call: str
    ) -> None:
        mlflow_server.stop()
        begun = time.monotonic()
        with pytest.raises(RegistryUnreachable, match="does not answer"):
            CALLS[call](remote)
        assert time.monotonic() - begun < 2

    def test_a_server_that_comes_back_is_asked_again(self, remote: MlflowRegistry, mlflow_server: MlflowServer) -> None:
        mlflow_server.stop()
        with pytest.raises(RegistryUnreachable):
            remote.model("churn")
        mlflow_server.start()
        assert remote.model("churn").name == "churn"

    def test_a_slow_server_is_given_up(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
        mlflow_server.delay(60)
        with pytest.raises(RegistryUnreachable, match="did not answer in time"):
            remote.model("churn")

    @pytest.mark.parametrize("call", WRITES)
    def test_a_write_whose_answer_is_lost_is_not_sent_again(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, call: str
    ) -> None:
        mlflow_server.lose_the_next_answer()
        with pytest.raises(RegistryUnreachable):
            CALLS[call](remote)
        assert len(mlflow_server.requests) == 1

    def test_what_was_asked_may_be_done_although_the_answer_is_lost(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer
    ) -> None:
        mlflow_server.lose_the_next_answer()
        with pytest.raises(RegistryUnreachable):
            remote.transition("churn", 2, PRODUCTION, archive_existing=True)
        assert stages(remote) == {1: ARCHIVED, 2: PRODUCTION}

    @pytest.mark.parametrize("call", READS)
    def test_a_reading_whose_connection_breaks_is_made_again(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, call: str
    ) -> None:
        mlflow_server.lose_the_next_answer()
        CALLS[call](remote)
        assert len(mlflow_server.requests) == 2

    @pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
    def test_a_server_in_trouble_is_unreachable(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, status: int
    ) -> None:
        mlflow_server.answer(status, {"error_code": "INTERNAL_ERROR", "message": "SELECT password"})
        with pytest.raises(RegistryUnreachable, match="cannot answer now"):
            remote.model("churn")

    @pytest.mark.parametrize(
        ("status", "body", "sentence"),
        [
            (400, {"error_code": "BAD_REQUEST", "message": "[SQL: SELECT 1]"}, "MLflow refused this"),
            (400, {"error_code": "INVALID_PARAMETER_VALUE", "message": "No."}, "MLflow refused: No."),
            (401, "Who are you?", "check MLFLOW_TRACKING_USERNAME, MLFLOW_TRACKING_PASSWORD"),
            (403, {"error_code": "PERMISSION_DENIED", "message": "Permission denied"}, "needs EDIT"),
            (403, "Invalid Host header", "--allowed-hosts"),
        ],
    )  # fmt: skip
    def test_a_refusal_says_what_to_do(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, status: int, body: str, sentence: str
    ) -> None:
        mlflow_server.answer(status, body)
        with pytest.raises(RegistryRefused, match=sentence):
            remote.transition("churn", 2, PRODUCTION, archive_existing=True)

    @pytest.mark.parametrize(
        ("status", "body"),
        [
            (404, "<html>nginx</html>"),
            (404, {"detail": "Not Found"}),
            (405, "<html>nginx</html>"),
            (200, "<html>Down for maintenance</html>"),
        ],
    )
    def test_a_proxy_that_answers_in_mlflow_s_place_is_no_refusal(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer, status: int, body: str
    ) -> None:
        mlflow_server.answer(status, body)
        with pytest.raises(RegistryUnreachable, match="is not an MLflow server"):
            remote.transition("churn", 2, PRODUCTION, archive_existing=True)

    def test_the_database_s_words_are_kept_for_the_log(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer
    ) -> None:
        mlflow_server.answer(400, {"error_code": "BAD_REQUEST", "message": "[SQL: SELECT 1]"})
        with pytest.raises(RegistryRefused) as refused:
            remote.model("churn")
        assert "SELECT" not in str(refused.value)
        assert "SELECT" in str(refused.value.__cause__)

    def test_what_the_caller_was_handling_is_not_blamed_on_the_registry(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer
    ) -> None:
        mlflow_server.answer(400, {"error_code": "BAD_REQUEST", "message": "no"})
        try:
            raise TimeoutError("something else")
        except TimeoutError:
            with pytest.raises(RegistryRefused):
                remote.model("churn")

    def test_a_password_in_the_address_is_not_told(self) -> None:
        with pytest.raises(RegistryUnreachable) as unreachable:
            MlflowRegistry(f"http://ann:secret@127.0.0.1:{free_port()}").models()
        assert "secret" not in str(unreachable.value)

    def test_an_address_of_another_kind_is_refused(self, mlflow_patience: None) -> None:
        with pytest.raises(RegistryRefused, match="is not an MLflow server"):
            MlflowRegistry("gopher://127.0.0.1").models()

    def test_a_database_in_trouble_is_unreachable(self, mlflow_sqlite: str, mlflow_shelf: MlflowShelf) -> None:
        engine = sa.create_engine(mlflow_sqlite)
        with engine.begin() as connection:
            connection.execute(sa.text("DROP TABLE registered_model_tags"))
        engine.dispose()
        with pytest.raises(RegistryUnreachable, match="cannot answer now"):
            MlflowRegistry(mlflow_sqlite).models()

    def test_an_alias_that_another_set_first_is_set_again(
        self, remote: MlflowRegistry, mlflow_server: MlflowServer
    ) -> None:
        said = "(sqlite3.IntegrityError) UNIQUE constraint failed: registered_model_aliases.name"
        mlflow_server.answer(400, {"error_code": "BAD_REQUEST", "message": said})
        remote.set_alias("churn", "champion", 2)
        assert remote.model("churn").aliases == {"champion": 2}


class TestSettings:
    def test_importing_a_registry_imports_no_mlflow_and_sets_nothing(self) -> None:
        check = (
            "import os, sys; before = dict(os.environ); import bot.registry.memory, bot.registry.mlflow;"
            "assert before == dict(os.environ) and 'mlflow' not in sys.modules"
        )
        assert subprocess.run([sys.executable, "-c", check], check=False).returncode == 0

    def test_a_registry_is_impatient_where_nothing_is_said(self, mlflow_patience: None) -> None:
        MlflowRegistry("http://127.0.0.1:1", timeout=3)
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "3"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"

    def test_what_the_environment_says_is_left_alone(
        self, mlflow_patience: None, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
        MlflowRegistry("http://127.0.0.1:1", timeout=3)
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "60"


@pytest.fixture(scope="module")
def command_line_server(mlflow_template: Path) -> Iterator[str]:
    """Run `mlflow server --workers 2` over the template's neighbour."""
    folder = Path(tempfile.mkdtemp(dir=mlflow_template.parent))
    database = folder / "server.db"
    database.write_bytes(mlflow_template.read_bytes())
    shelf = MlflowShelf(f"sqlite:///{database}")
    shelf.add("churn", versions=[PRODUCTION, NONE])
    shelf.close()
    with mlflow_subprocess(f"sqlite:///{database}", folder) as uri:
        yield uri


@pytest.mark.slow
def test_a_server_with_two_workers_is_moved_and_read_back(command_line_server: str) -> None:
    registry = MlflowRegistry(command_line_server)
    registry.transition("churn", 2, PRODUCTION, archive_existing=True)
    registry.set_alias("churn", "champion", 2)
    assert [stages(registry) for _ in range(5)] == [{1: ARCHIVED, 2: PRODUCTION}] * 5
    assert registry.model("churn").aliases == {"champion": 2}


@pytest.mark.postgres
def test_a_server_that_cannot_archive_moves_first_and_archives_then(
    postgres_server: PostgresServer, mlflow_patience: None, tmp_path: Path
) -> None:
    database = postgres_server.url(postgres_server.create())
    shelf = MlflowShelf(database)
    shelf.add("churn", versions=[PRODUCTION, NONE])
    server = MlflowServer(database, tmp_path)  # with psycopg 3: mlflow#24592
    server.start()
    registry = MlflowRegistry(server.uri)
    registry.transition("churn", 2, PRODUCTION, archive_existing=True)
    told = stages(registry)
    server.close()
    shelf.close()
    assert told == {1: ARCHIVED, 2: PRODUCTION}
    assert [request.rsplit("/", 1)[1] for request in server.requests] == [
        "get",  # is it a model?
        "transition-stage",  # fails
        "transition-stage",
        "search",
        "transition-stage",
        "search",
    ]
