r"""Scores by those components that matter to a row: told by float32, evaluated by float64.

A product in float32 gives log joints ℓ that are wrong by at most ε. What lies more than 37 below
the largest of its row is nothing; what lies more than c below it, where k ε exp(−c) is nothing,
enters sums as it is; the others, one or a few, are evaluated from differences x − μₖ in float64.
ε is the bound of a sum's rounding error (Higham 2002, section 3.1) from the row's own numbers, and
rows that it leaves in doubt are left to the caller.

Rows of a tile are lanes of vector instructions: joints lie component by component. The reference is
``scores`` of a product in float64. This module needs Numba, and is imported where it is used.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from mixtura.arrays.compiled import jit
from mixtura.arrays.exponential import exp
from mixtura.typing import FloatArray

__all__ = ["labels", "log_total", "memory", "shares"]

#: Components whose largest is looked at before any of them.
BLOCK = 8
#: Nats below the largest from which an entry is nothing.
NOTHING = 37.0
#: The error of a row's sum that entries in float32 may leave, relative to the sum.
TOLERANCE = 1e-12
#: Rows whose ε is larger are left to the caller.
DOUBT = 0.5
#: Sums may be reordered, and numbers compared as if none were NaN.
FAST = {"reassoc", "contract", "nsz", "nnan"}


@jit(fastmath={"reassoc", "contract", "nsz"})
def _near(
    x: FloatArray, low: int, width: int, screen: Any, near: FloatArray, error: FloatArray
) -> None:
    """Differences to the anchor (t, d), and ε (t,); differences of rows in doubt are zero."""
    anchor, scale, doubt = screen[0], screen[1], screen[4]
    for t in range(width):
        row, source, square = near[t], x[low + t], 0.0
        for c in range(len(anchor)):
            row[c] = source[c] - anchor[c]
            square += (row[c] * scale[c]) ** 2
        error[t] = doubt[0] * square + doubt[1] * math.sqrt(square) + doubt[2]
        if not error[t] <= DOUBT:
            error[t] = np.inf
            row[:] = 0
    near[width:] = 0
    error[width:] = np.inf


@jit(fastmath=FAST)
def _features(near: FloatArray, products: FloatArray, phi: FloatArray) -> None:
    """The features (f, t) of rows (t, d) in float32."""
    size, d = near.shape
    first = len(phi) - d - 1
    for c in range(d):
        column = phi[first + c]
        for t in range(size):
            column[t] = near[t, c]
    last = -1
    for i in range(products.shape[1]):
        one, other = phi[first + products[0, i]], phi[first + products[1, i]]
        out = phi[products[2, i]]
        if products[2, i] != last:
            for t in range(size):
                out[t] = one[t] * other[t]
        else:
            for t in range(size):
                out[t] += one[t] * other[t]
        last = products[2, i]


@jit(fastmath=FAST)
def _fold(rows: FloatArray, out: FloatArray) -> None:
    """The largest of every eight rows."""
    last = len(rows) - 1
    for g in range(len(out)):
        j = BLOCK * g
        a, b, c, d = rows[j], rows[min(j + 1, last)], rows[min(j + 2, last)], rows[min(j + 3, last)]
        e, f = rows[min(j + 4, last)], rows[min(j + 5, last)]
        u, v = rows[min(j + 6, last)], rows[min(j + 7, last)]
        best = out[g]
        for t in range(len(best)):
            best[t] = max(
                max(max(a[t], b[t]), max(c[t], d[t])), max(max(e[t], f[t]), max(u[t], v[t]))
            )


@jit(fastmath=FAST)
def _tops(joint: FloatArray, blocks: FloatArray, spare: FloatArray, top: FloatArray) -> None:
    """The largest of each column, of all rows and of blocks of rows."""
    _fold(joint, blocks)
    level, start = blocks, 0
    while len(level) > 1:
        stop = start + (len(level) + BLOCK - 1) // BLOCK
        _fold(level, spare[start:stop])
        level, start = spare[start:stop], stop
    for t in range(len(top)):  # Numba takes seconds to compile the assignment of an array
        top[t] = level[0, t]


@jit(fastmath=FAST)
def _pick(
    joint: FloatArray,
    blocks: FloatArray,
    shift: FloatArray,
    least: FloatArray,
    places: FloatArray,
    rows: FloatArray,
    gaps: FloatArray,
    bounds: FloatArray,
) -> Any:
    """Entries above ``least``, component by component; their number, −1 if there is no room."""
    k, size = joint.shape
    one, kept = np.uint64(1), np.uint64(0)  # indices that cannot be negative
    room = np.uint64(len(rows) - size)
    for g in range(len(blocks)):
        some = np.uint64(0)
        for t in range(size):
            if blocks[g, t] > least[t]:
                places[some] = t
                some += one
        for j in range(BLOCK * g, min(BLOCK * g + BLOCK, k)):
            bounds[j] = kept
            if kept > room:
                return -1
            for h in range(some):
                t = places[h]
                if joint[j, t] > least[t]:
                    rows[kept] = t
                    gaps[kept] = joint[j, t] - shift[t]
                    kept += one
    bounds[k] = kept
    return np.int64(kept)


@jit(fastmath=FAST)
def _powers(gaps: FloatArray, many: int, out: FloatArray) -> None:
    for p in range(many):
        out[p] = exp(gaps[p])


@jit(fastmath=FAST)
def _choose(
    rows: FloatArray, gaps: FloatArray, deep: FloatArray, kept: int, chosen: FloatArray
) -> Any:
    """Entries to be evaluated; their number, −1 if they are too many."""
    many, room = np.uint64(0), np.uint64(len(chosen) - 1)
    for p in range(kept):
        chosen[many] = p
        many += np.uint64(gaps[p] > deep[rows[p]])
        if many > room:
            return -1
    return np.int64(many)


@jit(fastmath=FAST)
def _full(
    near: FloatArray,
    means: FloatArray,
    whiteners: FloatArray,
    rows: FloatArray,
    bounds: FloatArray,
    chosen: FloatArray,
    many: int,
    delta: FloatArray,
) -> None:
    """‖Wₖ (x − μₖ)‖² of entries, Wₖ lower triangular and padded with zeros to multiples of four."""
    d, j = means.shape[1], 0
    wide = whiteners.shape[1]
    apart = np.zeros(wide)
    for m in range(many):
        while bounds[j + 1] <= chosen[m]:
            j += 1
        t = rows[chosen[m]]
        for c in range(d):
            apart[c] = near[t, c] - means[j, c]
        total = 0.0
        for c in range(0, wide, 4):
            t0, t1, t2, t3 = 0.0, 0.0, 0.0, 0.0
            for i in range(c + 4):
                t0 += whiteners[j, c, i] * apart[i]
                t1 += whiteners[j, c + 1, i] * apart[i]
                t2 += whiteners[j, c + 2, i] * apart[i]
                t3 += whiteners[j, c + 3, i] * apart[i]
            total += t0 * t0 + t1 * t1 + t2 * t2 + t3 * t3
        delta[m] = total


@jit(fastmath=FAST)
def _diagonal(
    near: FloatArray,
    means: FloatArray,
    precisions: FloatArray,
    rows: FloatArray,
    bounds: FloatArray,
    chosen: FloatArray,
    many: int,
    delta: FloatArray,
) -> None:
    """Σ (x − μₖ)² / vₖ of entries."""
    j = 0
    for m in range(many):
        while bounds[j + 1] <= chosen[m]:
            j += 1
        t, total = rows[chosen[m]], 0.0
        for c in range(means.shape[1]):
            total += (near[t, c] - means[j, c]) ** 2 * precisions[j, 0, c]
        delta[m] = total


@jit(fastmath=FAST)
def _put(
    const: FloatArray,
    shift: FloatArray,
    rows: FloatArray,
    bounds: FloatArray,
    chosen: FloatArray,
    many: int,
    delta: FloatArray,
    values: FloatArray,
) -> None:
    """exp(cₖ − ½ δ − s) in the place of entries."""
    j = 0
    for m in range(many):
        while bounds[j + 1] <= chosen[m]:
            j += 1
        delta[m] = const[j] - 0.5 * delta[m] - shift[rows[chosen[m]]]
    for m in range(many):
        delta[m] = exp(delta[m])
    for m in range(many):
        values[chosen[m]] = delta[m]


@jit(fastmath=FAST)
def _find(x: FloatArray, low: int, width: int, screen: Any, work: Any) -> Any:
    """exp(ℓ − s) of a tile of rows, component by component; their number, −1 if too many matter."""
    _, _, table, products, _, means, whiteners, const = screen
    near, error, phi, joint, blocks, spare, shift, least, deep = work[:9]
    rows, values, bounds, places, gaps, chosen, delta, _ = work[9:]
    _near(x, low, width, screen, near, error)
    _features(near, products, phi)
    np.dot(table, phi, joint)
    _tops(joint, blocks, spare, shift)
    for t in range(len(shift)):
        cut = max(math.log(len(joint) * error[t] / TOLERANCE), 0.0) + 2 * error[t]
        least[t], deep[t] = shift[t] - NOTHING, -cut - DOUBT
        shift[t] += np.float32(DOUBT)  # no exact ℓ is above
        if error[t] > DOUBT:
            shift[t] = least[t] = np.inf
    kept = _pick(joint, blocks, shift, least, places, rows, gaps, bounds)
    many = _choose(rows, gaps, deep, kept, chosen) if kept >= 0 else -1
    if many < 0:
        return -1
    _powers(gaps, kept, values)
    if whiteners.shape[1] > 1:
        _full(near, means, whiteners, rows, bounds, chosen, many, delta)
    else:
        _diagonal(near, means, whiteners, rows, bounds, chosen, many, delta)
    _put(const, shift, rows, bounds, chosen, many, delta, values)
    return kept


def memory(k: int, d: int, features: int, tile: int, most: float) -> tuple[FloatArray, ...]:
    """Working memory for tiles of so many rows, and ``most`` entries of a row to be evaluated.

    It is made outside of compiled code, which would take seconds more to compile.
    """
    blocks = -(-k // BLOCK)
    room, chosen = tile * (1 + min(k, int(4 * most) + 16)), int(tile * most) + 1
    phi = np.zeros((features, tile), dtype=np.float32)
    phi[-1] = 1

    def single(*shape: int) -> FloatArray:
        return np.empty(shape, dtype=np.float32)

    return (
        np.empty((tile, d)),  # near, error
        np.empty(tile),
        phi,
        single(k, tile),  # joint, blocks, spare
        single(blocks, tile),
        single(-(-blocks // BLOCK) + blocks, tile),
        single(tile),  # shift, least, deep
        single(tile),
        single(tile),
        np.empty(room, dtype=np.uint32),  # rows, values, bounds, places, gaps
        np.empty(room),
        np.empty(k + 1, dtype=np.int64),
        np.empty(tile, dtype=np.uint32),
        single(room),
        np.empty(chosen, dtype=np.int64),  # chosen, delta
        np.empty(chosen),
        np.empty(tile),  # total
    )


@jit
def log_total(x: FloatArray, screen: Any, work: Any, out: FloatArray) -> int:
    """Write log Σₖ exp ℓₖ of rows (b, d) to ``out`` (b,).

    Parameters
    ----------
    screen : tuple of arrays
        anchor (d,); scale (d,); coefficients (k, f) of the features (Φ, x, 1) in ℓ, in float32;
        products (3, q) of int, the two columns of each and the feature to which it is added; doubt
        (3,), ε = doubt · (‖scale x‖², ‖scale x‖, 1); means (k, d) about the anchor; whiteners, or
        precisions (k, 1, d) where covariances are diagonal; and the log joints (k,) at the means.
    work : tuple of arrays
        Working memory, of ``memory``.

    Returns
    -------
    int
        The number of rows done: fewer than b where more entries matter than should be evaluated.
        Rows in doubt are done, and get NaN.
    """
    shift, rows, values, total = work[6], work[9], work[10], work[16]
    tile = len(total)
    for low in range(0, len(x), tile):
        width = min(tile, len(x) - low)
        kept = _find(x, low, width, screen, work)
        if kept < 0:
            return low
        total[:] = 0
        for p in range(kept):
            total[rows[p]] += values[p]
        for t in range(width):
            out[low + t] = shift[t] + math.log(total[t])  # ∞ − ∞ in doubt
    return len(x)


@jit
def shares(x: FloatArray, screen: Any, work: Any, out: FloatArray) -> int:
    """Write exp ℓₖ / Σ exp ℓ to ``out`` (b, k); otherwise as ``log_total``."""
    shift, rows, values, bounds, total = work[6], work[9], work[10], work[11], work[16]
    tile = len(total)
    for low in range(0, len(x), tile):
        width = min(tile, len(x) - low)
        kept = _find(x, low, width, screen, work)
        if kept < 0:
            return low
        total[:] = 0
        for p in range(kept):
            total[rows[p]] += values[p]
        out[low : low + width] = 0
        for t in range(width):
            total[t] = 1 / total[t]
            if shift[t] == np.inf:
                out[low + t] = np.nan
        for j in range(out.shape[1]):
            for p in range(bounds[j], bounds[j + 1]):
                out[low + rows[p], j] = values[p] * total[rows[p]]
    return len(x)


@jit
def labels(x: FloatArray, screen: Any, work: Any, out: FloatArray) -> int:
    """Write the first component of the largest ℓ to ``out`` (b,), −1 in doubt; as ``log_total``."""
    rows, values, bounds, best = work[9], work[10], work[11], work[16]
    tile = len(best)
    for low in range(0, len(x), tile):
        width = min(tile, len(x) - low)
        if _find(x, low, width, screen, work) < 0:
            return low
        best[:] = 0
        out[low : low + width] = -1
        for j in range(len(bounds) - 1):
            for p in range(bounds[j], bounds[j + 1]):
                if values[p] > best[rows[p]]:
                    best[rows[p]] = values[p]
                    out[low + rows[p]] = j
    return len(x)


_work = (
    "Tuple((f8[:, ::1], f8[::1], f4[:, ::1], f4[:, ::1], f4[:, ::1], f4[:, ::1], f4[::1], f4[::1], "
    "f4[::1], u4[::1], f8[::1], i8[::1], u4[::1], f4[::1], i8[::1], f8[::1], f8[::1]))"
)
_screen = (
    "Tuple((f8[::1], f8[::1], f4[:, ::1], i8[:, ::1], f8[::1], f8[:, ::1], f8[:, :, ::1], f8[::1]))"
)
SIGNATURES = {
    name: [f"i8({rows}[:, ::1], {_screen}, {_work}, {out})" for rows in ("f8", "f4")]
    for name, out in (("log_total", "f8[::1]"), ("shares", "f8[:, ::1]"), ("labels", "i8[::1]"))
}
