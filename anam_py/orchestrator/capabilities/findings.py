"""What is found in files: each with its place and how bad it is, the worst kept when there are too many."""

from collections import Counter
from typing import Any, TypeAlias

__all__ = ["SEVERITIES", "Finding", "Findings"]

# file, line, column, rule, message and severity, and what a rule adds.
Finding: TypeAlias = dict[str, Any]

SEVERITIES = ("high", "medium", "low")
_MAX = 1000


class Findings:
    """Findings, of which all are counted and a bounded number is kept.

    Attributes
    ----------
    decisive : int
        How many are of the highest severity, and not acknowledged.
    """

    def __init__(self) -> None:
        self._kept: dict[str, list[Finding]] = {severity: [] for severity in SEVERITIES}
        self._counts: Counter[str] = Counter()
        self._by_file: Counter[str] = Counter()
        self.decisive = 0

    def add(self, finding: Finding) -> None:
        """Take in a finding.

        Parameters
        ----------
        finding : dict
        """
        severity = finding["severity"]
        self._counts[severity] += 1
        self._by_file[finding["file"]] += 1
        self.decisive += severity == SEVERITIES[0] and not finding.get("acknowledged", False)
        if len(self._kept[severity]) < _MAX:
            self._kept[severity].append(finding)

    def told(self) -> dict[str, Any]:
        """Return them as an output tells them.

        Returns
        -------
        dict
            findings (the worst first, then by file and place), left_out (how many more there are), counts by severity, and
            by_file how many each file has.
        """
        kept = [finding for severity in SEVERITIES for finding in self._kept[severity]][:_MAX]
        kept.sort(key=lambda each: (SEVERITIES.index(each["severity"]), each["file"], each["line"], each["column"], each["rule"]))
        return {
            "findings": kept,
            "left_out": self._counts.total() - len(kept),
            "counts": {severity: self._counts[severity] for severity in SEVERITIES},
            "by_file": dict(self._by_file),
        }
