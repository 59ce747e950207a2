"""What a store holds and takes, in figures for people and for monitoring."""

from typing import Any

from anam_py.store import recovery
from anam_py.store.engine import Engine


def stats(engine: Engine) -> dict[str, Any]:
    """Return figures of a store; see `HTMCore.stats`."""
    snapshot = engine.snapshot()
    segments = [block.segment for block in snapshot.segments]
    with engine.catalog.reading() as reader:
        counts = reader.table_counts()
        meta = reader.meta()
        free, indexes = reader.free_bytes(), reader.indexes()
        rotation = engine.derivations.newest(reader)
    segment_bytes = sum(segment.bytes for segment in segments)
    codes_bytes = sum(block.codes_bytes for block in snapshot.segments)
    catalog_bytes = sum(path.stat().st_size for path in engine.folder.glob(f"{recovery.CATALOG}*") if path.is_file())
    dead = sum((b.segment.bytes + b.codes_bytes) * (len(b.ids) - b.live) // len(b.ids) for b in snapshot.segments)
    reclaimable = free + dead
    quarantine = engine.folder / recovery.QUARANTINE
    return {
        "path": str(engine.folder),
        "uuid": engine.marker.uuid,
        "dimension": engine.marker.dimension,
        "shards": engine.marker.shards,
        "durability": engine.durability,
        "embedder": meta.get("embedder"),
        "rows": snapshot.live,
        "dead_rows": sum(len(block.ids) - block.live for block in snapshot.blocks),
        "pending_rows": len(snapshot.pending.ids),
        "segments": len(segments),
        "missing_segments": [segment.name for segment, _ in snapshot.missing],
        "segment_bytes": segment_bytes,
        "coded_rows": sum(block.live for block in snapshot.segments if block.sidecar is not None),
        "codes_bytes": codes_bytes,
        "codes": None if rotation is None or rotation.plan is None else str(rotation.plan),
        "catalog_bytes": catalog_bytes,
        "pending_bytes": engine.pending_bytes,
        "reclaimable_bytes": reclaimable,
        "fragmentation": round(reclaimable / (segment_bytes + codes_bytes + catalog_bytes), 4),
        "texts": counts["texts"],
        "superseded_versions": counts["history"],
        "crawled_files": counts["files"],
        "indexes": indexes,
        "quarantined": sorted(path.name for path in quarantine.iterdir()) if quarantine.is_dir() else [],
        "background_error": engine.background_error,
    }
