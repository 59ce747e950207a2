"""The model while it is trained: what the compiled core computes, in floating point and with gradients."""

import numpy as np
import numpy.typing as npt
import torch
from pairs import Corpus
from start import rarity
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["DEFINED", "Model", "gather"]

N_PLACES = 6
DEFINED = 2  # the place of the words of a definition's name
FIXED = 384


class Model(nn.Module):
    """Two blocks: a learned row for each word, and a row of random signs. Weights are kept as logarithms.

    Parameters
    ----------
    corpus : Corpus
        Whose rare words start with large weights.
    table : float32 Tensor of shape (n_rows, D)
        Where the learned rows start.
    stems : int64 ndarray of shape (n_words,)
        The first word with the same stem; such words have the same signs.
    seed : int
    """

    def __init__(self, corpus: Corpus, table: Tensor, stems: npt.NDArray[np.int64], seed: int) -> None:
        super().__init__()
        n_rows = len(table)
        chance = torch.Generator().manual_seed(seed)
        signs = torch.randint(0, 2, (n_rows, FIXED), generator=chance).float() * 2 - 1
        signs[: len(stems)] = signs[torch.from_numpy(stems)]
        rare = rarity(corpus, n_rows)
        weight = torch.from_numpy(np.log(rare / rare.mean())).float()
        self.table = nn.Parameter(table)
        self.signs = nn.Buffer(signs)
        self.weights = nn.Parameter(weight.repeat(2, 1))
        self.places = nn.Parameter(torch.zeros(2, N_PLACES))
        self.saturations = nn.Parameter(torch.ones(2))
        self.share = nn.Parameter(torch.tensor(0.6))
        self.scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, rows: Tensor, counts: Tensor, offsets: Tensor, kept: Tensor) -> Tensor:
        """Return the vectors of texts.

        Parameters
        ----------
        rows : int64 Tensor of shape (n_features,)
        counts : float32 Tensor of shape (n_features, N_PLACES)
        offsets : int64 Tensor of shape (n,)
        kept : float32 Tensor of shape (n_features,)
            0 for the words to leave out.

        Returns
        -------
        Tensor of shape (n, D + FIXED)
        """
        blocks = []
        for block, table in enumerate((self.table, self.signs)):
            often = counts @ self.places[block].exp()
            weights = kept * self.weights[block][rows].exp() * often / (often + self.saturations[block].exp())
            total = functional.embedding_bag(rows, table, offsets, mode="sum", per_sample_weights=weights)
            blocks.append(functional.normalize(total, dim=1, eps=1e-6))
        share = torch.sigmoid(self.share)
        return torch.cat((blocks[0] * share.sqrt(), blocks[1] * (1 - share).sqrt()), dim=1)


def gather(
    corpus: Corpus, texts: npt.NDArray[np.int32], masked: npt.NDArray[np.bool_] | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the rows, counts and offsets of texts; where they are masked without the names of definitions."""
    lengths = (corpus.ends[1:] - corpus.ends[:-1])[texts]
    offsets = np.concatenate(([0], np.cumsum(lengths)))
    places = np.repeat(corpus.ends[texts] - offsets[:-1], lengths) + np.arange(offsets[-1])
    counts = corpus.counts[places].astype(np.float32)
    if masked is not None:
        counts[np.repeat(masked, lengths), DEFINED] = 0
    return torch.from_numpy(corpus.rows[places].astype(np.int64)), torch.from_numpy(counts), torch.from_numpy(offsets[:-1])
