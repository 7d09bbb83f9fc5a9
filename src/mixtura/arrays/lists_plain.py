"""Lists of candidates, refreshed by NumPy: what ``lists`` does without compiled code."""

from __future__ import annotations

import numpy as np

from mixtura.typing import FloatArray

__all__ = ["ranked", "refilled"]


def ranked(lists: FloatArray, shares: FloatArray, low: int, high: int, out: FloatArray) -> None:
    """Sort lists by their shares, largest first, but for the component that leads each.

    Parameters
    ----------
    lists : array (k, c) of int32
    shares : array (k, c)
        May be overwritten.
    low, high : int
        Which lists.
    out : array (k, c) of int32
        Written. What has equal shares stays in its order.
    """
    order = np.argsort(-shares[low:high, 1:], axis=1, kind="stable") + 1
    out[low:high, 0] = lists[low:high, 0]
    out[low:high, 1:] = np.take_along_axis(lists[low:high], order, axis=1)


def refilled(
    lists: FloatArray, kept: FloatArray, drawn: FloatArray, low: int, high: int, out: FloatArray
) -> None:
    """What each list keeps, then what is drawn and not in it, then what else it had.

    Parameters
    ----------
    lists : array (k, c) of int32
    kept : array (k,) of int64
        How many from the front of each are kept.
    drawn : array (k, m) of int32
    low, high : int
        Which lists.
    out : array (k, c) of int32
        Written.
    """
    pool = np.concatenate([lists[low:high], drawn[low:high]], axis=1)
    width = lists.shape[1]
    turn = np.where(_first_of_each(pool), 1, 3)
    turn[:, :width] = np.where(np.arange(width) < kept[low:high, None], 0, 2)
    places = np.argsort(turn, axis=1, kind="stable")[:, :width]
    out[low:high] = np.take_along_axis(pool, places, axis=1)


def _first_of_each(pool: FloatArray) -> FloatArray:
    """Where (k, m) a number occurs in its row for the first time."""
    rank = np.argsort(pool, axis=1, kind="stable")
    ordered = np.take_along_axis(pool, rank, axis=1)
    first = np.ones(pool.shape, dtype=bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    out = np.empty(pool.shape, dtype=bool)
    np.put_along_axis(out, rank, first, axis=1)
    return out
