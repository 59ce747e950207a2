"""The ``anam`` command: index a code base, search it, find what is similar, see what the store holds."""

from anam_py.cli.app import anam, main

__all__ = ["anam", "main"]
