"""What `registrar run` loads: MLflow's client without data libraries, and charts with the first one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SHOW = "print(*sorted({'pandas', 'scipy', 'pyarrow', 'matplotlib'} & set(sys.modules)))"


def run(code: str) -> str:
    """Run code in a new process, and return what it prints."""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_the_client_is_imported_without_data_libraries() -> None:
    code = f"""
import sys
from bot.registry.light_import import leave_out_data_libraries
from bot.registry.mlflow.registry import MlflowRegistry
leave_out_data_libraries()
registry = MlflowRegistry('sqlite://')
print([model.name for model in registry.models()])
{SHOW}
import pandas
print(pandas.DataFrame({{'f1': [0.9]}}).size)
"""
    assert run(code).splitlines() == ["[]", "", "1"]


def test_another_thread_can_import_them_in_the_meantime() -> None:
    code = """
import sys, threading
from bot.registry.light_import import importing_lightly, leave_out_data_libraries
leave_out_data_libraries()
def load():
    import pandas
with importing_lightly():
    try:
        load()
    except ModuleNotFoundError as error:
        print(error.name)
    thread = threading.Thread(target=load)
    thread.start()
    thread.join()
print('pandas' in sys.modules)
"""
    assert run(code).splitlines() == ["pandas", "True"]


def test_with_a_plugin_nothing_is_left_out(tmp_path: Path) -> None:
    for name, group in (("a", "registrar.sources"), ("b", "registrar.registries")):
        folder = tmp_path / name / "plugin-1.0.dist-info"
        folder.mkdir(parents=True)
        (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: plugin\nVersion: 1.0\n")
        (folder / "entry_points.txt").write_text(f"[{group}]\nours = plugin:open\n")
        code = f"import sys; sys.path.append({str(folder.parent)!r})\nfrom bot.bootstrap.storage import has_plugins"
        assert run(f"{code}; print(has_plugins())") == "True"
    assert run("from bot.bootstrap.storage import has_plugins; print(has_plugins())") == "False"


def test_serving_loads_no_charts() -> None:
    code = f"""
import sys
import handlers.serve, bot.slack.delivery.notifier
{SHOW}
"""
    assert run(code) == ""
