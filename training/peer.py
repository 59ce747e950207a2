"""The embedder that people reach for, all-MiniLM-L6-v2 (Apache-2.0), from the package that carries its weights."""

import hashlib
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

__all__ = ["Peer"]

# Of the weights that sentence-transformers published in revision 1110a243 of the model.
_WEIGHTS = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
_ROW = np.dtype([("key", "S20"), ("vector", "<f4", 384)])
_AT_ONCE = 512


class Peer:
    """MiniLM with the settings that it comes with: 256 word pieces at most, their mean, unit length.

    Parameters
    ----------
    folder : Path
        For the unpacked model, and for vectors, which take half an hour of CPU time: each text is embedded once.

    Raises
    ------
    ImportError
        If sentence-transformers or the package of the weights is not installed.
    OSError
        If the weights are not those that were published.
    """

    name = "all-MiniLM-L6-v2"
    dimension = 384

    def __init__(self, folder: Path) -> None:
        from all_minilm_l6_v2 import get_model_zip_path  # noqa: PLC0415 - need not be there
        from sentence_transformers import SentenceTransformer  # noqa: PLC0415

        unpacked = folder / self.name
        if not unpacked.exists():
            with zipfile.ZipFile(get_model_zip_path()) as archive:
                archive.extractall(unpacked)
        if hashlib.sha256((unpacked / "model.safetensors").read_bytes()).hexdigest() != _WEIGHTS:
            raise OSError(f"{unpacked} does not hold the weights that were published")
        self._model = SentenceTransformer(str(unpacked), device="cpu")
        self._path = folder / "vectors"
        self._path.touch()
        kept = np.fromfile(self._path, _ROW)
        self._known: dict[bytes, npt.NDArray[np.float32]] = dict(zip(kept["key"].tolist(), kept["vector"], strict=True))

    def embed(self, texts: Sequence[str], kind: str = "document") -> npt.NDArray[np.float32]:  # noqa: ARG002
        """Return the vectors of texts, of shape (len(texts), 384)."""
        keys = [hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:20].encode() for text in texts]
        unknown = list({key: text for key, text in zip(keys, texts, strict=True) if key not in self._known}.items())
        for first in range(0, len(unknown), _AT_ONCE):
            part = dict(unknown[first : first + _AT_ONCE])
            vectors = self._model.encode(list(part.values()), normalize_embeddings=True)
            self._known |= zip(part, vectors, strict=True)
            rows = np.empty(len(part), _ROW)
            rows["key"], rows["vector"] = list(part), vectors
            with self._path.open("ab") as file:
                file.write(rows.tobytes())
        return np.array([self._known[key] for key in keys])
