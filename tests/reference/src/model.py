"""A perceptron, the smallest model that learns."""

from dataclasses import dataclass, field


@dataclass
class Perceptron:
    """A linear classifier of two classes."""

    weights: list[float] = field(default_factory=list)
    bias: float = 0.0

    def predict(self, features: list[float]) -> int:
        """Return 1 or -1."""
        total = self.bias + sum(w * x for w, x in zip(self.weights, features, strict=True))
        return 1 if total >= 0 else -1

    def learn(self, features: list[float], label: int) -> bool:
        """Adjust the weights to one example and return whether they changed."""
        if not self.weights:
            self.weights = [0.0] * len(features)
        if self.predict(features) == label:
            return False
        for index, value in enumerate(features):
            self.weights[index] += label * value
        self.bias += label
        return True
