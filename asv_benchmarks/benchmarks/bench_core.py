"""The compiled core alone, without a store around it."""

from __future__ import annotations

import argparse
import inspect

import numpy as np

from anam_py import _core

from .common import SIZES, VectorBenchmark


class TopK(VectorBenchmark):
    """The ten best of all rows."""

    params = (SIZES, (1, 2))
    param_names = ("rows", "threads")

    def setup(self, rows: int, threads: int) -> None:
        vectors = self.load(rows, mapped=True)
        self.blocks = [_core.Rows(vectors, _core.norms(vectors))]
        self.one = self.query()

    def time_top_k(self, rows: int, threads: int) -> None:
        _core.top_k(self.blocks, self.one, 10, threads=threads)

    def time_top_k_with_minimum(self, rows: int, threads: int) -> None:
        _core.top_k(self.blocks, self.one, 10, 0.5, threads=threads)

    def time_all_rows_ranked(self, rows: int, threads: int) -> None:
        _core.top_k(self.blocks, self.one, rows, threads=threads)

    def peakmem_top_k(self, rows: int, threads: int) -> None:
        _core.top_k(self.blocks, self.one, 10, threads=threads)


class Resonance(VectorBenchmark):
    """The mean field of all rows, and the curve."""

    params = (SIZES, (1, 2))
    param_names = ("rows", "threads")

    def setup(self, rows: int, threads: int) -> None:
        vectors = self.load(rows, mapped=True)
        self.blocks = [_core.Rows(vectors, _core.norms(vectors))]
        self.cosines = np.linspace(-1, 1, rows)

    def time_mean_field(self, rows: int, threads: int) -> None:
        _core.mean_field(self.blocks, threads=threads)

    def peakmem_mean_field(self, rows: int, threads: int) -> None:
        _core.mean_field(self.blocks, threads=threads)

    def time_resonance(self, rows: int, threads: int) -> None:
        _core.resonance(self.cosines)


class Norms(VectorBenchmark):
    """What a bulk insert computes of each row."""

    params = SIZES
    param_names = ("rows",)

    def setup(self, rows: int) -> None:
        self.vectors = self.load(rows)

    def time_norms(self, rows: int) -> None:
        _core.norms(self.vectors)


class Tokens:
    """The words of a megabyte of code."""

    def setup(self) -> None:
        source = inspect.getsource(argparse)
        self.texts = [source] * (2**20 // len(source) + 1)

    def time_lexemes(self) -> None:
        for text in self.texts:
            _core.lexemes(text)

    def time_hash_tokens(self) -> None:
        _core.hash_tokens(self.texts, 768)
