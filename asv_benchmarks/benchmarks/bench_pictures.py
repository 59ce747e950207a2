"""The map of a code base: who is whose neighbour, and where each file is."""

from __future__ import annotations

from anam_py.pictures.layout import arrange, kept, neighbours_of

from .common import SIZES, VectorBenchmark


class Layout(VectorBenchmark):
    """Places for the vectors of so many files."""

    params = (1_000, 5_000)
    param_names = ("files",)

    def setup(self, files: int) -> None:
        self.vectors = self.load(min(SIZES))[:files]
        self.neighbours = neighbours_of(self.vectors)

    def time_neighbours(self, files: int) -> None:
        neighbours_of(self.vectors)

    def time_arrange(self, files: int) -> None:
        arrange(self.vectors, self.neighbours)

    def peakmem_arrange(self, files: int) -> None:
        arrange(self.vectors, self.neighbours)

    def track_neighbours_kept(self, files: int) -> float:
        return kept(arrange(self.vectors, self.neighbours), self.neighbours)
