"""A local memory for code: crawls a code base, embeds it, and answers questions about it in process, with no server.

Names are loaded when they are first used, so importing the package is nearly free.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from anam_py._versions import show_versions
    from anam_py.axioms import AxiomValidator
    from anam_py.config import configure_ffi, get_ffi_config
    from anam_py.crawler import CodeBaseCrawler
    from anam_py.exceptions import AnamError, AxiomError, CrawlerError, HTMError, OrchestratorError, ValidationError
    from anam_py.kernels import calculate_resonance_score, validate_nam_compliance
    from anam_py.orchestrator import MultiAgentOrchestrator
    from anam_py.store import HTMCore, diff_ops

__version__ = "0.1.0"

# MemoryError stays in anam_py.exceptions: a star import must not hide the built-in one.
__all__ = [
    "AnamError",
    "AxiomError",
    "AxiomValidator",
    "CodeBaseCrawler",
    "CrawlerError",
    "HTMCore",
    "HTMError",
    "MultiAgentOrchestrator",
    "OrchestratorError",
    "ValidationError",
    "calculate_resonance_score",
    "configure_ffi",
    "diff_ops",
    "get_ffi_config",
    "show_versions",
    "validate_nam_compliance",
]

_HOMES = {
    "_versions": ("show_versions",),
    "axioms": ("AxiomValidator",),
    "config": ("configure_ffi", "get_ffi_config"),
    "crawler": ("CodeBaseCrawler",),
    "exceptions": ("AnamError", "AxiomError", "CrawlerError", "HTMError", "OrchestratorError", "ValidationError"),
    "kernels": ("calculate_resonance_score", "validate_nam_compliance"),
    "orchestrator": ("MultiAgentOrchestrator",),
    "store": ("HTMCore", "diff_ops"),
}
_HOME_OF = {name: f"{__name__}.{home}" for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME_OF[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
