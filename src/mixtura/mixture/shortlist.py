r"""When scores go by a shortlist of components: the screen of a mixture, and its error bound.

The log joint is a sum Σ Θ_f φ_f(x) of f features. In float32, u the unit roundoff, it is wrong by
at most ε = (f + d + 6) u Σ |Θ_f φ_f| (Higham 2002, section 3.1), which for x in units of the
columns' spread D is bounded for all components by the norms of their largest coefficients,

    Σ |Θ φ| ≤ λ ‖x/D‖² + ‖D maxₖ |Λₖ|‖ ‖x/D‖ + maxₖ |γₖ|,    λ = λ_max(D maxₖ |Θₖ| D).

Where that leaves little in doubt for rows within the spread, ``arrays.shortlist`` serves, and takes
half the time of a product in float64. Where many components matter to most rows it does not, which
is found in the first rows of a batch: the rest then goes by the form, as do rows in doubt.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mixtura.arrays import compiled
from mixtura.covariance.form import Quadratic
from mixtura.statistics import Full
from mixtura.typing import FloatArray

if TYPE_CHECKING:
    from mixtura.mixture.mixture import Mixture

__all__ = ["LEAST_WORK", "Screen", "Shortlisted", "screen"]

#: Rows times components from which the kernels repay their compilation, which takes seconds.
LEAST_WORK = 10_000_000
#: ε of a row at the columns' spread up to which a screen serves.
DOUBT = 0.1
#: Coefficients up to which products neither overflow nor lose digits by underflow.
LARGEST = 1e25
#: Features × components, and components, from which a screen repays itself.
LEAST, LEAST_COMPONENTS = 6000, 32
#: Nanoseconds that the screen saves by feature and component and by component; what the evaluation
#: of an entry costs, at least and by number of its products.
SAVED, SAVED_EACH, COST, COST_EACH = 0.025, 1.5, 12.0, 0.15
#: Numbers of a tile's joints, and the most rows in it.
NUMBERS, ROWS = 2**17, 512
#: Batches for which a screen is left alone once it has failed, at most.
PATIENCE = 64


@dataclass(frozen=True, eq=False)
class Screen:
    """What ``arrays.shortlist`` takes: see there."""

    parts: tuple[FloatArray, ...]
    tile: int
    most: float


def screen(mix: Mixture) -> Screen | None:
    """The screen of a mixture; None where it would not serve."""
    anchor, form = mix._kernel
    k, d = mix.k, mix.d
    if not isinstance(form, Quadratic) or form.coefficients.dtype != np.float64:
        return None
    products = form.kind.products(d)
    table = form.coefficients
    if products is None or k < LEAST_COMPONENTS or table.size < LEAST:
        return None
    live = np.isfinite(table[-1])
    size = np.abs(table[:, live]).max(axis=1)
    if not size.max() < LARGEST:
        return None
    means = np.ascontiguousarray(mix.means - anchor)
    variance = np.asarray(mix.covariance.diagonal()) + np.zeros((k, d))
    spread = np.sqrt((means**2 + variance).max(axis=0))
    doubt = _doubt(size, products, spread)
    if not doubt @ (d, np.sqrt(d), 1) <= DOUBT:
        return None
    const = mix.log_weights - 0.5 * (d * np.log(2 * np.pi) + mix.covariance.logdet)
    full = isinstance(form.kind, Full) and d > 1
    if full:
        wide = -(-d // 4) * 4
        whiteners = np.zeros((k, wide, wide))
        whiteners[:, :d, :d] = mix.covariance.whiten(np.broadcast_to(np.eye(d), (k, d, d)))
    else:
        whiteners = 1 / variance[:, None, :]
    parts = (
        np.ascontiguousarray(anchor),
        1 / spread,
        np.ascontiguousarray(table.T, dtype=np.float32),
        np.stack(products).astype(np.int64),
        doubt,
        means,
        whiteners,
        np.ascontiguousarray(const),
    )
    saved = k * (SAVED * len(table) + SAVED_EACH)
    most = saved / (COST + COST_EACH * (d * (d + 1) / 2 if full else d))
    tile = int(np.clip(NUMBERS // k // 128 * 128, 128, ROWS))
    return Screen(parts, tile, most)


def _doubt(size: FloatArray, products: Any, spread: FloatArray) -> FloatArray:
    """ε as coefficients of ‖x/D‖², ‖x/D‖ and 1, from the largest coefficients (f,)."""
    d = len(spread)
    left, right, place = products
    square = np.zeros((d, d))
    np.add.at(square, (left, right), 0.5 * size[place])
    np.add.at(square, (right, left), 0.5 * size[place])
    largest = np.linalg.eigvalsh(spread[:, None] * square * spread)[-1]
    unit = 1.01 * (len(size) + d + 6) * 2.0**-24
    return unit * np.array([largest, np.linalg.norm(size[-d - 1 : -1] * spread), size[-1]])


class Shortlisted:
    """Scores of batches of a table by the screen where it serves, by another way where it does not.

    Parameters
    ----------
    screen : Screen
    name : {"log_total", "shares", "labels"}
        A kernel of ``arrays.shortlist``.
    other : callable (x (b, d), out)
        Writes the same of any rows.
    """

    def __init__(
        self, screen: Screen, name: str, other: Callable[[FloatArray, FloatArray], None]
    ) -> None:
        self._screen, self._other = screen, other
        self._kernel = compiled.kernel(f"shortlist.{name}")
        self._mine = threading.local()
        self._rest = self._pause = 0

    def __call__(self, x: FloatArray, out: FloatArray) -> None:
        """Write the scores of rows (b, d)."""
        if self._rest > 0:
            self._rest -= 1
            self._other(x, out)
            return
        own = self._screen
        if not hasattr(self._mine, "work"):
            table, means = own.parts[2], own.parts[5]
            memory = compiled.kernel("shortlist.memory")
            self._mine.work = memory(*means.shape, table.shape[1], own.tile, own.most)
        done = self._kernel(np.ascontiguousarray(x), own.parts, self._mine.work, out)
        if done < len(x):
            self._pause = min(2 * self._pause + 1, PATIENCE)
            self._rest = self._pause
            self._other(x[done:], out[done:])
        else:
            self._pause = 0
        first = out[:done] if out.ndim == 1 else out[:done, 0]
        doubtful = np.flatnonzero(first < 0 if out.dtype.kind == "i" else np.isnan(first))
        if len(doubtful):
            found = np.empty((len(doubtful), *out.shape[1:]), dtype=out.dtype)
            self._other(x[doubtful], found)
            out[doubtful] = found
