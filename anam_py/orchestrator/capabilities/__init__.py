"""What agents can do without being told how.

::

    analysis.py    code_analysis, ast_parsing
    security.py    security_check (bandit.py: ruff)
    quality.py     quality_analysis (tokens.py, duplicates.py)
    vectors.py     embedding_generation, similarity_search
    judgement.py   nam_validation, ethical_checking
     ├─ files.py        the files of a task
     └─ findings.py     what is found in them
"""

from anam_py.orchestrator.capabilities.analysis import ast_parsing, code_analysis
from anam_py.orchestrator.capabilities.judgement import ethical_checking, nam_validation
from anam_py.orchestrator.capabilities.quality import quality_analysis
from anam_py.orchestrator.capabilities.security import security_check
from anam_py.orchestrator.capabilities.vectors import embedding_generation, similarity_search
from anam_py.orchestrator.context import Capability

__all__ = ["BUILT_IN"]

BUILT_IN: dict[str, Capability] = {
    "code_analysis": Capability(code_analysis, delivers=frozenset({"security_check", "quality_analysis"})),
    "ast_parsing": Capability(ast_parsing),
    "embedding_generation": Capability(embedding_generation),
    "similarity_search": Capability(similarity_search, after=("embedding_generation",)),
    "security_check": Capability(security_check),
    "quality_analysis": Capability(quality_analysis),
    "nam_validation": Capability(nam_validation),
    "ethical_checking": Capability(ethical_checking),
}
