"""``python -m anam_py``: the ``anam`` command."""

from anam_py.cli import main

main()
