"""An embedder out of a model of sentence-transformers; the only importer of that library, when one is first used."""

import contextlib
import hashlib
import json
import os
import threading
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from anam_py.embedding.adapting import Adapted
from anam_py.embedding.protocol import Kind
from anam_py.exceptions import AnamError, ValidationError

__all__ = ["SentenceTransformerEmbedder"]

# Before, code of a model's own was run from any local folder.
_OLDEST = 6
# The tokenizers are not safe to share between threads, and one call uses all processors.
_alone = threading.RLock()


class SentenceTransformerEmbedder(Adapted):
    """A model of sentence-transformers as an embedder. Threads may share it; they take turns.

    Its vectors may differ in their last bits between machines and by which texts are embedded together.

    Parameters
    ----------
    model : sentence_transformers.SentenceTransformer or str
        The model itself; or its name on the Hugging Face Hub, or its folder, from which it is loaded when it is first needed.
    offline : bool, default False
        Whether a model that is not on this machine is an error, rather than downloaded.
    """

    def __init__(self, model: Any, *, offline: bool = False) -> None:
        self._given = _absolute(model) if isinstance(model, str) else model
        self._offline = offline
        self._loaded: Any = None

    @property
    def model(self) -> str | None:
        """Name or absolute path that the model is loaded from; None for one that was given itself."""
        return self._given if isinstance(self._given, str) else None

    @cached_property
    def name(self) -> str:
        """A checksum of its weights and settings, wherever they come from: a name on the Hub may get other weights."""
        return f"sentence-transformers-{_checksum(self._model)[:12]}"

    @property
    def _model(self) -> Any:
        with _alone:
            if self._loaded is None:
                library = _library()
                named = isinstance(self._given, str)
                self._loaded = _load(library, self._given, offline=self._offline) if named else self._given
            return self._loaded

    def _vectors(self, texts: list[str], kind: Kind) -> npt.ArrayLike:
        encode = self._model.encode_query if kind == "query" else self._model.encode_document
        with _alone:
            vectors: npt.ArrayLike = encode(texts, show_progress_bar=False)
        return vectors


def _absolute(model: str) -> str:
    """Return the absolute path of a folder, which is to be found from elsewhere, too; anything else as it is."""
    path = Path(os.path.expanduser(model))  # noqa: PTH111 - of what may be no path
    return str(path.resolve()) if path.is_dir() else model


def _library() -> ModuleType:
    how = 'pip install "anam_py[sentence-transformers]"'
    from importlib.metadata import version  # noqa: PLC0415 - who has no such model need not wait for it

    try:
        import sentence_transformers  # noqa: PLC0415 - takes seconds

        found = version("sentence-transformers")
    except ImportError as error:
        raise ImportError(f"the embedder needs sentence-transformers, which cannot be imported ({error}): {how}") from error
    if int(found.partition(".")[0]) < _OLDEST:
        raise ImportError(f"the embedder needs sentence-transformers {_OLDEST} or newer, this is {found}: {how}")
    library: ModuleType = sentence_transformers
    return library


def _load(library: ModuleType, model: str, *, offline: bool) -> Any:
    """Load a model from this machine; only if it is not there, from the Hub, where it may have changed since it was used."""
    try:
        with _without_progress_bars():
            return library.SentenceTransformer(model, local_files_only=True)
    except Exception as error:  # libraries in Rust raise no narrower one
        if offline or Path(model).is_absolute():
            raise AnamError(f"the model {model!r} cannot be loaded from this machine: {_first_line(error)}") from error
    try:
        return library.SentenceTransformer(model)
    except Exception as error:
        raise AnamError(
            f"the model {model!r} can be loaded neither from this machine nor from the Hugging Face Hub: {_first_line(error)}"
        ) from error


@contextlib.contextmanager
def _without_progress_bars() -> Iterator[None]:
    """Let loading what is at hand show nothing; it takes a moment."""
    from transformers.utils import logging  # noqa: PLC0415 - as above

    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()


def _first_line(error: Exception) -> str:
    return str(error).partition("\n")[0]


def _checksum(model: Any) -> str:
    """Return a checksum of what decides a model's vectors."""
    weights = sorted(hashlib.sha256(_bytes(weight)).hexdigest() for weight in model.parameters())
    if not weights:
        raise ValidationError(
            "embedder has no weights that can be read, by which a store could recognise it (those of ONNX and OpenVINO cannot): "
            'write embedder=anam_py.embedding.from_callable(model.encode, name="...") with a name and version of your own'
        )
    prompts = {kind: prompt for kind, prompt in model.prompts.items() if prompt}
    pooling = [str(getattr(module, "pooling_mode", None)) for module in model]
    settings = [model.max_seq_length, prompts, model.default_prompt_name, model.truncate_dim, pooling]
    return hashlib.sha256(json.dumps([weights, settings], sort_keys=True).encode()).hexdigest()


def _bytes(weight: Any) -> bytes:
    values: npt.NDArray[np.float32] = weight.detach().cpu().float().numpy()
    return values.tobytes()
