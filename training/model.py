"""The model while it is trained: what the compiled core computes, in floating point and with gradients."""

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from anam_py import _core

N_PLACES = 6

class Model(nn.Module):
    def __init__(self, n_rows: int, learned: int, fixed: int, seed: int, kinds: int = 2):
        super().__init__()
        g = torch.Generator().manual_seed(seed)
        self.table = nn.Parameter(torch.randn(n_rows, learned, generator=g) / learned**0.5)
        signs = torch.randint(0, 2, (n_rows, fixed), generator=g).float() * 2 - 1
        self.register_buffer("signs", signs / fixed**0.5)
        self.weight = nn.Parameter(torch.zeros(kinds, n_rows))      # log
        self.weight_fixed = nn.Parameter(torch.zeros(kinds, n_rows))
        self.places = nn.Parameter(torch.zeros(kinds, 2, N_PLACES))   # log
        self.saturation = nn.Parameter(torch.zeros(kinds, 2) + 1.0)   # log
        self.share = nn.Parameter(torch.tensor(0.6))
        self.scale = nn.Parameter(torch.tensor(3.0))

    def forward(self, rows, counts, offsets, kind: int, keep=None):
        out = []
        for block, (table, weight) in enumerate(((self.table, self.weight), (self.signs, self.weight_fixed))):
            tf = counts @ self.places[kind, block].exp()
            k = self.saturation[kind, block].exp()
            w = weight[kind][rows].exp() * tf / (tf + k)
            if keep is not None:
                w = w * keep
            v = functional.embedding_bag(rows, table, offsets, mode="sum", per_sample_weights=w)
            out.append(functional.normalize(v, dim=1, eps=1e-6))
        share = torch.sigmoid(self.share)
        return torch.cat((out[0] * share.sqrt(), out[1] * (1 - share).sqrt()), dim=1)


class Batches:
    """Texts of a corpus gathered for the model."""
    def __init__(self, corpus):
        self.c = corpus
        self.len = np.diff(corpus.ends)
    def gather(self, texts, mask=None):
        """rows, counts, offsets; names dropped where mask."""
        ends = self.c.ends
        n = self.len[texts]
        offsets = np.zeros(len(texts) + 1, np.int64); np.cumsum(n, out=offsets[1:])
        index = np.repeat(ends[texts] - offsets[:-1], n) + np.arange(offsets[-1])
        rows = self.c.rows[index]
        counts = self.c.counts[index].astype(np.float32)
        if mask is not None:
            hide = np.repeat(mask, n)
            counts[hide, 2] = 0
        return torch.from_numpy(rows).long(), torch.from_numpy(counts), torch.from_numpy(offsets[:-1])
