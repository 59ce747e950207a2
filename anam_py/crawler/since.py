"""Which files were written since a moment, so that a search can be confined to them."""

import datetime as dt
import math

import numpy as np

from anam_py._core import lstat_many
from anam_py._validation import describe
from anam_py.crawler.known import INDEXED
from anam_py.crawler.roots import located, placed
from anam_py.exceptions import ValidationError
from anam_py.store import HTMCore, Ledger

__all__ = ["check_moment", "written_since"]

_MODE, _MTIME = 0, 2


def check_moment(when: object, name: str = "changed_since") -> float:
    """Return a moment in seconds since 1970.

    Raises
    ------
    ValidationError
        If it is neither a datetime nor a finite number.
    """
    if isinstance(when, dt.datetime):
        return when.timestamp()
    if isinstance(when, int | float) and not isinstance(when, bool) and math.isfinite(when):
        return float(when)
    raise ValidationError(f"{name} must be a datetime, or a number of seconds since 1970, got {describe(when)}")


def written_since(htm: HTMCore, moment: float) -> list[str]:
    """Return the keys of the files of the index that were written at a moment or later.

    What counts is when a file was written last by what the disk says now. Of a file that is not there it is what was so when
    it was indexed.

    Parameters
    ----------
    htm : HTMCore
    moment : float
        In seconds since 1970.

    Returns
    -------
    list of str
    """
    ledger = Ledger(htm)
    keys = ledger.paths(INDEXED)
    chosen: list[str] = []
    absent = set(keys)
    for paths in located(keys, placed(ledger.roots(), htm.storage_path)).values():
        status = lstat_many(list(paths.values()))
        is_there = status[:, _MODE] > 0
        placed_keys = np.array(list(paths), object)
        absent.difference_update(placed_keys[is_there])
        chosen += placed_keys[is_there & (status[:, _MTIME] >= moment * 1e9)].tolist()
    records = htm.get_embeddings(sorted(absent))
    return chosen + [
        record["key"] for record in records if record is not None and record["metadata"].get("mtime", -math.inf) >= moment
    ]
