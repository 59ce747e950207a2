"""Benchmarks of anam_py, by room.

::

    asv run --quick --config asv_benchmarks/asv.conf.json
    asv continuous main HEAD --bench TopK --config asv_benchmarks/asv.conf.json
"""
