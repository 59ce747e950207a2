"""A local memory for code: crawls a code base, embeds it, and answers questions about it in process, with no server.

Names are loaded when they are first used, so that importing the package is nearly free.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anam_py._versions import show_versions
    from anam_py.config import configure_ffi, get_ffi_config
    from anam_py.crawler import CodeBaseCrawler
    from anam_py.exceptions import AnamError, AxiomError, CrawlerError, HTMError, OrchestratorError, ValidationError
    from anam_py.store import HTMCore, diff_ops

__version__ = "0.1.0"

# MemoryError is left to anam_py.exceptions: a star import must not hide the built-in one.
__all__ = [
    "AnamError",
    "AxiomError",
    "CodeBaseCrawler",
    "CrawlerError",
    "HTMCore",
    "HTMError",
    "OrchestratorError",
    "ValidationError",
    "__version__",
    "configure_ffi",
    "diff_ops",
    "get_ffi_config",
    "show_versions",
]

_HOME = {
    "AnamError": "anam_py.exceptions",
    "AxiomError": "anam_py.exceptions",
    "CodeBaseCrawler": "anam_py.crawler",
    "CrawlerError": "anam_py.exceptions",
    "HTMCore": "anam_py.store",
    "HTMError": "anam_py.exceptions",
    "OrchestratorError": "anam_py.exceptions",
    "ValidationError": "anam_py.exceptions",
    "configure_ffi": "anam_py.config",
    "diff_ops": "anam_py.store",
    "get_ffi_config": "anam_py.config",
    "show_versions": "anam_py._versions",
}


def __getattr__(name: str) -> Any:
    home = _HOME.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(home), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
