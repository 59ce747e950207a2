"""The ``anam`` command: index a code base, search it, find what is similar, and look after the store."""

from anam_py.cli.app import anam, main

__all__ = ["anam", "main"]
