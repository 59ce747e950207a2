"""A build backend that builds nothing: it says what an sdist says of itself, so that pip can fetch one without running it."""

from email.parser import BytesHeaderParser
from pathlib import Path

__all__ = ["prepare_metadata_for_build_wheel"]


def prepare_metadata_for_build_wheel(folder: str, settings: object = None) -> str:  # noqa: ARG001 - PEP 517's hook
    """Write the metadata that came with the sdist, and return the name of their folder (PEP 517)."""
    content = Path("PKG-INFO").read_bytes()
    said = BytesHeaderParser().parsebytes(content)
    name = f"{said['Name'].replace('-', '_')}-{said['Version']}.dist-info"
    target = Path(folder) / name
    target.mkdir()
    (target / "METADATA").write_bytes(content)
    return name
