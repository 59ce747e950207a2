"""Judging axioms, texts and described actions."""

from __future__ import annotations

from anam_py import AxiomValidator


class Validate:
    """One axiom and all of them, against nothing, a few axioms, and all."""

    params = (0, 2, 67)
    param_names = ("context",)

    def setup(self, context: int) -> None:
        self.validator = AxiomValidator()
        self.ids = [axiom.id for axiom in self.validator.catalogue.axioms]
        self.context = self.ids[:context]

    def time_validate_axiom(self, context: int) -> None:
        self.validator.validate_axiom("AX_NO_HARM", self.context)

    def time_validate_batch_of_all(self, context: int) -> None:
        self.validator.validate_batch(self.ids, self.context)


class Texts:
    """A description of an action, as a log would have it."""

    text = "Force-pushes the rebased history to main without asking, overwriting two commits that a teammate landed."

    def setup(self) -> None:
        self.validator = AxiomValidator()
        self.validator.recommend_axioms(self.text)

    def time_assess(self) -> None:
        self.validator.assess(self.text)

    def time_recommend_axioms(self) -> None:
        self.validator.recommend_axioms(self.text)
