"""The ground on which starts of measured rows stand: one Gaussian, and what it fills in.

Starts (k-means, seeds, partitions) need whole rows. Under the one Gaussian x ~ N(μ, Σ) each row is
taken to lie at E[x | y]: gaps are filled by regression on what was observed, and noisy rows are
drawn towards the mean. The first M-step then also counts Cov[x | y], as every later one does, so
that no component starts too narrow where cells are missing.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mixtura.arrays.parallel import each_batch
from mixtura.channels import as_selection, measured
from mixtura.covariance import (
    Clipped,
    Covariance,
    Diagonal,
    DiagonalCovariance,
    Full,
    FullCovariance,
    TiedCovariance,
)
from mixtura.covariance.observed import MAX_COLUMNS
from mixtura.errors import InputError
from mixtura.fit.driver import run
from mixtura.fit.engines import Dense
from mixtura.fit.model import GaussianModel
from mixtura.sources import Rows
from mixtura.typing import FloatArray

__all__ = ["Ground", "arrive", "grounded"]

#: EM iterations for the one Gaussian, and the change in nats per row that ends them.
STEPS, TOLERANCE = 30, 1e-3
#: Smallest variance of the one Gaussian, as a share of the data's.
SHARE = 1e-6
BATCH = 4096


@dataclass(frozen=True, eq=False)
class Ground:
    """One Gaussian, and where it puts the rows.

    Attributes
    ----------
    mean : array (d,)
    covariance : Covariance
        With one component.
    points : array (n, d)
        E[x | y].
    """

    mean: FloatArray
    covariance: Covariance
    points: FloatArray

    def components(self, k: int) -> tuple[FloatArray, Covariance]:
        """Means (k, d) and covariance of k components that all are the one Gaussian."""
        return np.repeat(self.mean[None], k, axis=0), TiedCovariance(self.covariance, k)


def arrive(
    x: FloatArray,
    weight: FloatArray | None,
    noise: Any = None,
    operators: Any = None,
    censored: Any = None,
    selection: Any = None,
    *,
    k: int = 1,
) -> Rows:
    """Rows for a fit, from a table at the door.

    Parameters
    ----------
    x : array (n, p)
        NaN where a cell is missing.
    weight : array (n,), optional
    noise, operators, censored : optional
        See ``channels.measured``.
    selection : optional
        See ``channels.as_selection``.
    k : int
        Components that are to be fitted, if known: by them it is decided what to compile.

    Raises
    ------
    InputError
        For noise, operators, limits or selections that cannot be used, and for rows or columns
        without any cell.
    """
    chosen = as_selection(selection, x, noise, operators)
    arrival = measured(x, noise, operators, censored)
    if arrival is None:
        return Rows(x, weight, selection=chosen)
    arrival.channel.warm(k)
    _check_apart(chosen, arrival.channel.censored)
    x, weight, chosen = arrival.sorted(x), arrival.sorted(weight), arrival.sorted(chosen)
    order = np.arange(len(x)) if arrival.order is None else arrival.order
    missing, hidden = arrival.channel.missing, arrival.channel.censored
    x = arrival.channel.shown(x)  # NaN in cells of infinite variance too
    present = np.ones(len(x), dtype=bool) if weight is None else weight > 0
    empty = present & missing.all(axis=1)
    if empty.any():
        raise InputError(
            f"expected at least one observed cell in every row, got none in {int(empty.sum())} "
            f"of {len(x)} rows, the first of them row {int(order[empty].min())}; drop them, or "
            "give them a weight of 0: they say nothing of the density"
        )
    bare = missing[present].all(axis=0)
    if bare.any():
        raise InputError(
            "expected at least one observed cell in every column, got none in column "
            f"{', '.join(str(j) for j in np.flatnonzero(bare)[:10])}; leave such columns out"
        )
    unknown = (missing | hidden)[present].all(axis=0)
    if unknown.any():
        raise InputError(
            "expected some values within the limits in every column, got none in column "
            f"{', '.join(str(j) for j in np.flatnonzero(unknown)[:10])}, where every cell is "
            "censored; leave such columns out, or check the limits"
        )
    rows = Rows(x, weight, channel=arrival.channel, selection=chosen, order=order)
    return grounded(rows, k)


def _check_apart(chosen: Any, censored: FloatArray) -> None:
    """Refuse cells that are censored in columns by which rows were selected."""
    if chosen is None or not censored.any():
        return
    both = [j for j in chosen.columns if censored[:, j].any()]
    if both:
        raise InputError(
            "expected known values in the columns of the selection, got censored cells in column "
            f"{both[0]}; censor and select by different columns"
        )


def grounded(table: Rows, k: int = 1) -> Rows:
    """Measured rows with the ground for their starts; other rows as they are.

    ``k`` components are to be fitted: where kernels are compiled for them, they serve here too.
    """
    if table.channel is None or table.ground is not None:
        return table
    rows = replace(table, channel=table.channel.as_of(k))
    mean, variance = _first_guess(rows)
    covariance: Covariance = DiagonalCovariance(variance[None])
    several = bool((rows.channel.censored.sum(axis=1) > 1).any())  # exact where independent
    dense = rows.d <= MAX_COLUMNS and not several
    if dense:
        covariance = FullCovariance(np.diag(variance)[None])
    scale = np.sqrt(variance)
    floor = Clipped(scale, SHARE)
    rule = Full() if dense else Diagonal()
    model = GaussianModel(np.ones(1), mean[None], covariance, rule, floor, mean)
    model = run(model, replace(rows, selection=None), Dense(), max_iter=STEPS, tol=TOLERANCE).model
    points = np.empty((rows.n, rows.d))

    def fill(start: int, stop: int) -> None:
        batch = rows.batch(start, stop)
        points[start:stop] = model.components(batch).centres(batch.x, batch.channel)

    model.components(rows).log_density(rows.x[:1], rows.channel[:1])  # factors, once
    each_batch(fill, rows.n, BATCH)
    points = points.astype(rows.x.dtype, copy=False)
    return replace(table, ground=Ground(model.means[0], model.covariance, points))


def _first_guess(rows: Rows) -> tuple[FloatArray, FloatArray]:
    """A mean and variances (d,) of x to begin with."""
    if rows.channel.operator is None:
        mean, variance = rows.mean(), rows.variance()
        flat = ~(variance > 0)
        return mean, np.where(flat, max(float(variance.max(initial=0.0)), 1e-300), variance)
    # y = A x + e: least squares for the mean, and what is left over for one common variance.
    d = rows.d
    gram, right, weights = np.zeros((d, d)), np.zeros(d), _weights(rows)
    for a, y, w in _equations(rows, weights):
        gram += np.einsum("npi,npj,n->ij", a, a, w)
        right += np.einsum("npi,np,n->i", a, y, w)
    mean = np.linalg.lstsq(gram, right, rcond=1e-10)[0]
    rest = sum(
        float(w @ ((y - a @ mean) ** 2).sum(axis=1)) for a, y, w in _equations(rows, weights)
    )
    size = max(float(np.trace(gram)), 1e-300)
    return mean, np.full(d, max(rest / size, 1e-12 * max(float(mean @ mean), 1e-288)))


def _weights(rows: Rows) -> FloatArray:
    return np.ones(rows.n) if rows.weight is None else rows.weight


def _equations(rows: Rows, weights: FloatArray) -> Any:
    """Operators (b, p, d), observations (b, p) and weights (b,) in batches, gaps as zeros."""
    for low in range(0, rows.n, BATCH):
        batch = rows.batch(low, min(low + BATCH, rows.n))
        seen = ~np.isnan(batch.x)
        a = np.where(seen[:, :, None], batch.channel.operator, 0.0)
        yield a, np.where(seen, batch.x, 0.0), weights[low : low + BATCH]
