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
    """Make `importing_lightly` leave out the data libraries for the rest of this process.

    Call this only in a program that uses the client only through Registrar: whatever the client defines only if these
    libraries are installed, such as MLflow's signatures, is then missing in the process.
    """
    global _is_light  # noqa: PLW0603 - like the modules themselves, it's the process's
    _is_light = True


@contextmanager
def importing_lightly() -> Iterator[None]:
    """Hide the data libraries from this thread's imports in the block, as if they weren't installed.

    Does nothing unless `leave_out_data_libraries` was called. Other threads can import the libraries in the meantime,
    and this one can afterward.
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
        """Raise ModuleNotFoundError for a data library in the thread that created this finder; else return None."""
        if fullname in DATA_LIBRARIES and threading.get_ident() == self._thread:
            raise ModuleNotFoundError(f"{fullname} is left out", name=fullname)
        return None
