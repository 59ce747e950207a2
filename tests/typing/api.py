"""Real usage that must type-check; mypy reads this file, nothing runs it."""

import asyncio
import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import anam_py
from anam_py import (
    AxiomValidator,
    CodeBaseCrawler,
    HTMCore,
    MultiAgentOrchestrator,
    ValidationError,
    calculate_resonance_score,
    configure_ffi,
    diff_ops,
    exceptions,
    get_ffi_config,
    show_versions,
    validate_nam_compliance,
)
from anam_py.crawler import IndexStatus, history
from anam_py.embedding import Embedder, as_embedder, default_embedder, from_callable
from anam_py.kernels import EthicalGate, ResonanceKernel
from anam_py.orchestrator import Context

version: str = anam_py.__version__
configure_ffi({"thread_pool_size": 8, "log_level": "INFO"})
settings: dict[str, Any] = get_ffi_config()
show_versions()

embedder: Embedder = default_embedder()
hashing: Embedder = as_embedder("hash")
vectors: npt.NDArray[np.float32] = embedder.embed(["def main(): ..."], kind="document")


def store(path: Path) -> None:
    with HTMCore(path, shard_count=8, device="cuda:0") as htm:
        htm.store_embedding("src/model.py", vectors[0], {"language": "python"})
        htm.store_embedding("src/model.py", [0.5] * 768, {}, diff_ops("old\n", "new\n"), text="new\n")
        record = htm.get_embedding("src/model.py")
        if record is not None:
            language: str = record["metadata"]["language"]
            print(language)
        for key, score, found in htm.search_similar(vectors[0], limit=5, min_similarity=0.7):
            print(f"{key}: {score:.3f}", found["metadata"])
        resonance: float = htm.calculate_resonance(vectors[0], vectors[0])
        used: int = htm.get_memory_stats()["used_bytes"]
        print(resonance, used, len(htm), "src/model.py" in htm)


async def store_async(htm: HTMCore) -> None:
    await asyncio.gather(*(htm.store_embedding_async(f"file_{i}.py", vectors[0], {"id": i}) for i in range(3)))
    results = await htm.search_similar_async(vectors[0], limit=5)
    print(results[0][0].upper(), results[0][1] + 1.0)


def keep(htm: HTMCore, folder: Path) -> None:
    copied: Path = htm.backup(folder / "backup", link=True)
    rows: int = htm.export(folder / "rows.parquet", where={"language": "python"}, overwrite=True)
    print(copied, rows, htm.import_(folder / "rows.parquet", progress_callback=print))


def crawl(htm: HTMCore, root: str) -> None:
    crawler = CodeBaseCrawler(htm)
    results: list[dict[str, Any]] = crawler.crawl_directory(path=root, include_patterns=["*.py"])
    print(results)
    for hit in crawler.search("parse command line arguments", limit=3, changed_since=dt.datetime.now(dt.UTC)):
        print(hit.path, hit.start_line, hit.score, hit.stale)
    status: IndexStatus = crawler.status()
    if not status.up_to_date:
        print(status.complete, status.changed, [root.path for root in status.roots.values()])
        print([report.renamed for report in crawler.refresh(progress_callback=print)], crawler.forget(root))
    for version in history(htm, "src/model.py"):
        print(version.path, [hunk.added for hunk in version.hunks])


def count_letters(texts: list[str]) -> list[list[int]]:
    return [[text.count(letter) for letter in "abc"] for text in texts]


def crawl_with_others(htm: HTMCore, model: Any) -> None:
    for given in ("sentence-transformers:all-MiniLM-L6-v2", model, count_letters, hashing, None):
        print(CodeBaseCrawler(htm, embedder=given).embedder.name)
    letters: Embedder = from_callable(count_letters, name="letters-1", dimension=3)
    CodeBaseCrawler(htm, embedder=letters)


def judge(action: npt.NDArray[np.float64]) -> bool:
    validator = AxiomValidator()
    result: dict[str, Any] = validator.validate_axiom("AX_NO_HARM", ["AX_LOVE_FORCE"])
    names: list[str] = validator.recommend_axioms("ethical decision making")
    resonance: float = validator.calculate_resonance(names)
    valid, tension = EthicalGate(tension_threshold=0.35).validate(action)
    score = calculate_resonance_score(vectors, ResonanceKernel(n_harmonics=8), 1.0)
    print(f"{score.value:.3f}", result["is_valid"], validator.assess("deletes a file").verdict)
    return valid and validate_nam_compliance(resonance, tension)


def count(task: Mapping[str, Any], context: Context) -> int:
    return len(task["files"]) + context.attempt


async def coordinate(htm: HTMCore) -> list[str]:
    async with MultiAgentOrchestrator(htm, retries=2, attempt_timeout=10) as orchestrator:
        orchestrator.add_agent("analyzer", ["code_analysis", "counting"], handlers={"counting": count}, max_concurrency=2)
        task = {"type": "code_review", "files": ["src/main.py"], "requirements": ["security_check"]}
        result: dict[str, Any] = await orchestrator.coordinate_task(task, ["code_analysis", "counting"], timeout=60)
        print(result["success"], orchestrator.get_agent_status()["analyzer"]["state"])
        agents: list[str] = result["agents_involved"]
        return agents


try:
    configure_ffi({})
except ValidationError as wrong:
    value_error: ValueError = wrong
except exceptions.MemoryError as full:
    builtin: Exception = full
except exceptions.AnamError as error:
    print(error)
