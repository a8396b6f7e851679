"""Import a registry's client without the data libraries that it loads if they're installed.

MLflow works without pandas, SciPy, and PyArrow: `mlflow-skinny` doesn't depend on them. If they're installed, though,
`import mlflow` loads them, which takes half a second and 75 MB. A registry's client needs none of them.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

DATA_LIBRARIES = frozenset({"pandas", "scipy", "pyarrow"})

_is_light = False


def leave_out_data_libraries() -> None:
    """Let `importing_lightly` leave out the data libraries, for the rest of this process.

    Only a program whose sole use of the client is through Registrar calls this: what the client defines only with these
    libraries, such as MLflow's signatures, is missing in the process from then on.
    """
    global _is_light  # noqa: PLW0603 - like the modules themselves, it's the process's
    _is_light = True


@contextmanager
def importing_lightly() -> Iterator[None]:
    """Make the data libraries look as if they weren't installed to what this thread imports in the block.

    Other threads can import them in the meantime, and this one can afterward.
    """
    finder = _MissingInThread()
    if _is_light:
        sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        if finder in sys.meta_path:
            sys.meta_path.remove(finder)


class _MissingInThread(MetaPathFinder):
    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Raise ModuleNotFoundError for a data library in the thread that created this."""
        if fullname in DATA_LIBRARIES and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{fullname} is left out", name=fullname)
        return None
