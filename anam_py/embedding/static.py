"""The built-in embedder: a static model of code, which this project has trained itself (``training/``)."""

import hashlib
import io
import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable

import numpy as np
import numpy.typing as npt

from anam_py import _core, config
from anam_py.embedding.arguments import check_texts
from anam_py.embedding.protocol import Kind
from anam_py.exceptions import AnamError

__all__ = ["StaticEmbedder"]


# The two numbers of four bits, from -8 to 7, that a byte holds.
_BOTH = np.array([(byte % 16 - 8, byte // 16 - 8) for byte in range(256)], np.int8)


class StaticEmbedder:
    """The weighted sum of the vectors of the words of a text, which have been learned from code and its documentation.

    Half of a vector's numbers know which words mean the same; the other half knows the words themselves, each with random
    signs, so that texts with the same rare words are close as well. The vectors are the same bits on every machine.
    """

    dimension = 768

    @property
    def name(self) -> str:
        """Name and checksum of its model, which is not loaded for that."""
        return _name()

    def embed(self, texts: Sequence[str], kind: Kind = "document") -> npt.NDArray[np.float32]:
        """Return the vectors of texts.

        Parameters
        ----------
        texts : sequence of str
        kind : {"document", "query"}
            Makes no difference to this embedder: one that weighed words differently in queries was no better.

        Returns
        -------
        ndarray of shape (len(texts), 768), float32
            Unit rows; a zero row for a text without words.

        Raises
        ------
        ValidationError
            If `texts` is not a sequence of str, or `kind` is not one of the two.
        AnamError
            If the file of the model is missing or damaged.
        """
        return _core.embed_static(check_texts(texts, kind), _model(), threads=config.current().thread_pool_size)


def _folder() -> Traversable:
    return files(__package__)


@cache
def _label() -> dict[str, str]:
    label: dict[str, str] = json.loads((_folder() / "static.json").read_text("utf-8"))
    return label


def _name() -> str:
    return f"{_label()['name']}-{_label()['sha256'][:8]}"


@cache
def _model() -> _core.StaticModel:
    """Load the model, when it is first needed."""
    path = _folder() / "static.npz"
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AnamError(f"the built-in embedder's model {str(path)!r} cannot be read: {error}; install anam_py again") from error
    return _read(content, str(path))


def _read(content: bytes, path: str) -> _core.StaticModel:
    """Return the model that a file holds, checked to be the one that `static.json` names."""
    expected, found = _label()["sha256"], hashlib.sha256(content).hexdigest()
    if found != expected:
        raise AnamError(
            f"the built-in embedder's model {path!r} is damaged: its SHA-256 is {found}, "
            f"expected {expected}; install anam_py again"
        )
    with np.load(io.BytesIO(content)) as arrays:
        words = arrays["words"].tobytes().decode("utf-8").split("\n")
        packed = arrays["table"]
        table = _BOTH.view(np.int16)[packed, 0].view(np.int8)
        vocabulary = _core.Vocabulary(words, len(packed) - len(words))
        seeds = vocabulary.hashes()[arrays["stems"]]
        weights = arrays["weights"].astype(np.float64)
        return _core.StaticModel(vocabulary, table, seeds, weights, arrays["places"], arrays["saturations"], arrays["lengths"])
