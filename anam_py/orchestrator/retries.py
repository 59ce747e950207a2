"""How often an attempt is repeated, and after how long."""

import random
from dataclasses import dataclass, field

__all__ = ["Retries"]


@dataclass(frozen=True, slots=True)
class Retries:
    """Exponential backoff with full jitter, which keeps those that failed together from trying again together.

    Attributes
    ----------
    most : int
        How many times an attempt that failed is repeated.
    base, cap : float
        Seconds: the first delay is at most `base`, each further one at most twice the one before, and none above `cap`.
    """

    most: int = 0
    base: float = 0.1
    cap: float = 5.0
    _random: random.Random = field(default_factory=random.Random)

    def delay(self, attempt: int) -> float:
        """Return how many seconds to wait after an attempt, counted from 1, has failed."""
        return self._random.uniform(0.0, min(self.cap, self.base * 2.0 ** min(attempt - 1, 64)))
