r"""The law of some columns given others, for all rows of a table at once.

For a mixture of (x, y), component k gives y | x ~ N(μʸₖ + Gₖ (x − μˣₖ), Cₖ), Gₖ = Σʸˣₖ (Σˣˣₖ)⁻¹,
with weights rₖ(x) ∝ wₖ N(x; μˣₖ, Σˣˣₖ): conditioning turns weights into gates. Neither Gₖ nor Cₖ
depends on the row, so that a table takes one matrix product per batch and no loop over rows.
Moments follow from the laws of total expectation and covariance:

    E[y|x] = Σ rₖ mₖ(x),    Cov[y|x] = Σ rₖ (Cₖ + mₖ mₖᵀ) − E E ᵀ.
"""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from mixtura.arrays import compiled
from mixtura.arrays.derived import derived
from mixtura.arrays.linalg import log_softmax, logsumexp
from mixtura.arrays.namespace import (
    as_float,
    finite,
    is_numpy,
    namespace,
    normal_cdf,
    zeros,
)
from mixtura.arrays.parallel import each_batch
from mixtura.arrays.random import generator as random_source
from mixtura.covariance import Covariance
from mixtura.errors import InputError
from mixtura.mixture import algebra, convert, density, draws, reach, univariate
from mixtura.typing import Array, FloatArray, Seed

if TYPE_CHECKING:
    from mixtura.mixture.mixture import Mixture

__all__ = ["Conditional", "Predictive", "conditional"]

#: Bytes of working memory for one batch of rows.
BATCH_BYTES = 16 * 2**20
#: The same for means alone, which stay in the cache.
MEAN_BYTES = 2**21
#: What gates that are left out of a mean may add to it, in standard deviations of a component.
NO_TRACE = 1e-13
#: Component means from which a mode is sought.
MODE_STARTS = 10


@dataclass(frozen=True, eq=False)
class Conditional:
    """The law of the columns ``rest`` given the columns ``given``.

    Made by ``Mixture.conditional``. Methods take rows X (n, g) of the given columns, in the order
    in which they were given, and answer for the m remaining columns, in their original order.

    Attributes
    ----------
    mixture : Mixture
        The joint law.
    given, rest : tuple of int
        Positions of the columns.
    """

    mixture: Mixture
    given: tuple[int, ...]
    rest: tuple[int, ...]

    @derived
    def gate(self) -> Mixture:
        """The law of the given columns, whose responsibilities are the gates."""
        return algebra.marginal(self.mixture, list(self.given))

    @derived
    def _regression(self) -> tuple[Array, Covariance]:
        """Gₖ (k, m, g) and the covariance Cₖ of the rest."""
        gain, covariance = self.mixture.covariance.conditional(list(self.given), list(self.rest))
        means = self.mixture.means
        xp, g = namespace(means), len(self.given)
        eye = xp.eye(g, dtype=means.dtype, device=means.device)
        return gain(xp.broadcast_to(eye, (self.mixture.k, g, g))), covariance

    @property
    def gain(self) -> Array:
        """Slopes Gₖ (k, m, g) of each component's regression of the rest on the given."""
        return self._regression[0]

    @property
    def covariance(self) -> Covariance:
        """Covariance Cₖ of each component's law of the rest, the same for every row."""
        return self._regression[1]

    @property
    def columns(self) -> tuple[str, ...] | None:
        """Names of the remaining columns."""
        names = self.mixture.columns
        return None if names is None else tuple(names[j] for j in self.rest)

    def _rows(self, x: Any) -> Array:
        rows = self.gate._rows(x)
        if is_numpy(rows):
            reach.check(self.mixture, rows, self.given)
        return rows

    def _meet(self, *others: Any) -> Conditional:
        """This law as tensors, if there are any among ``others``."""
        mix = convert.meet(self.mixture, *others)
        return self if mix is self.mixture else Conditional(mix, self.given, self.rest)

    def _targets(self, y: Any, n: int) -> Array:
        v = as_float(y, like=self.mixture.means)
        if v.ndim == 1 and len(self.rest) == 1:
            v = v[:, None]
        if tuple(v.shape) != (n, len(self.rest)):
            raise InputError(
                f"expected Y of shape ({n}, {len(self.rest)}), got {tuple(v.shape)}; one row per "
                "row of X"
            )
        if not finite(v):
            raise InputError("expected finite values in Y, got NaN or infinity")
        return v

    def parts(self, x: Array) -> tuple[Array, Array]:
        """Log gates (b, k) and component means (b, k, m) for rows x (b, g)."""
        joint = density.log_joint(self.gate, x)
        log_resp = log_softmax(joint)
        gain, _ = self._regression
        xp = namespace(x, gain)
        k, m, g = gain.shape
        # About the gate's mean, so that columns far from the origin keep their digits.
        anchor = self.gate.mean
        start = self.mixture.means[:, list(self.rest)] + xp.sum(
            gain * (anchor - self.gate.means)[:, None, :], axis=-1
        )
        flat = xp.reshape(gain, (k * m, g))
        means = (x - anchor) @ xp.matrix_transpose(flat)
        return log_resp, xp.reshape(means, (-1, k, m)) + start[None, :, :]

    def batches(self, n: int, extra: int = 0) -> list[tuple[int, int]]:
        """Spans of rows whose working memory is bounded."""
        k, m = self.mixture.k, len(self.rest)
        size = int(max(1, BATCH_BYTES // (8 * (3 * k * m + 2 * k + extra))))
        return [(low, min(low + size, n)) for low in range(0, n, size)]

    # ---- moments and densities ---------------------------------------------------------------
    def mean(self, X: Any) -> Array:
        """E[y | x] for each row: (n, m)."""
        law = self._meet(X)
        return law._moments(law._rows(X), cov=False)[0]

    def cov(self, X: Any) -> Array:
        """Cov[y | x] for each row: (n, m, m)."""
        law = self._meet(X)
        return law._moments(law._rows(X), cov=True)[1]

    @derived
    def _mixing(self) -> tuple[FloatArray, FloatArray, FloatArray, float]:
        """Centre of the rest; starts mₖ(a) about it and slopes Gₖᵀ; gates that leave no trace."""
        gain, covariance = self._regression
        means, rest = np.asarray(self.mixture.means), list(self.rest)
        centre, anchor = np.asarray(self.mixture.mean)[rest], np.asarray(self.gate.mean)
        gaps = anchor - np.asarray(self.gate.means)
        start = means[:, rest] - centre + np.einsum("kmg,kg->km", gain, gaps)
        variance = np.asarray(self.gate.covariance.diagonal())
        reach = np.sqrt((gaps**2 + variance).max(axis=0))
        size = (np.abs(start) + np.abs(gain) @ reach).max(axis=0)
        finest = np.sqrt(np.asarray(covariance.diagonal()).min(axis=0))
        least = NO_TRACE / len(start) * float(np.min(finest / (size + finest)))
        return centre, np.ascontiguousarray(start), gain.transpose(0, 2, 1).copy(), least

    def _means(self, x: FloatArray) -> FloatArray:
        """E[y | x] (n, m) of NumPy's rows: Σ rₖ (mₖ(a) + Gₖ (x − a)) about an anchor a."""
        centre, start, slopes, least = self._mixing
        k, g, m = slopes.shape
        anchor, out = np.asarray(self.gate.mean), np.empty((len(x), m))
        mixed = compiled.choose("regression.mixed", len(x) * k)

        def work(low: int, high: int) -> None:
            resp = density.gates(self.gate, x[low:high], len(x))
            rows = np.subtract(x[low:high], anchor, order="C")
            mixed(resp, rows, start, slopes, least, out[low:high])
            out[low:high] += centre

        numbers = k if compiled.serves(len(x) * k) else k * min(g, m)
        size = int(np.clip(MEAN_BYTES // (8 * numbers), 64, 4096))
        density.gates(self.gate, x[:1], len(x))  # factors once, before the threads
        each_batch(work, len(x), size)
        return out

    def _moments(self, x: Array, *, cov: bool) -> tuple[Array, Array]:
        if not cov and is_numpy(x) and is_numpy(self.mixture.means):
            return self._means(x), None
        xp = namespace(x, self.mixture.means)
        m, k = len(self.rest), self.mixture.k
        dense = self.covariance.dense() if cov else None
        means, covariances = [], []
        for low, high in self.batches(x.shape[0], m * m if cov else 0):
            log_resp, each = self.parts(x[low:high])
            resp = xp.exp(log_resp)
            mean = xp.sum(resp[:, :, None] * each, axis=1)
            means.append(mean)
            if dense is None:
                continue
            centred = each - mean[:, None, :]
            weighted = xp.permute_dims(resp[:, :, None] * centred, (0, 2, 1))
            within = xp.reshape(resp @ xp.reshape(dense, (k, m * m)), (-1, m, m))
            covariances.append(within + xp.matmul(weighted, centred))
        like = self.mixture.means
        mean = xp.concat(means) if means else zeros((0, m), like)
        if dense is None:
            return mean, None
        return mean, xp.concat(covariances) if covariances else zeros((0, m, m), like)

    def log_density(self, X: Any, Y: Any) -> Array:
        """Log p(y | x) of each row: (n,)."""
        law = self._meet(X, Y)
        x = law._rows(X)
        return law._log_density(x, law._targets(Y, x.shape[0]))

    def _log_density(self, x: Array, y: Array) -> Array:
        xp = namespace(x, y, self.mixture.means)
        m = len(self.rest)
        covariance = self.covariance
        const = -0.5 * (m * algebra.LOG_2PI + covariance.logdet)
        out = []
        for low, high in self.batches(x.shape[0]):
            log_resp, each = self.parts(x[low:high])
            v = xp.permute_dims(y[low:high, None, :] - each, (1, 2, 0))
            delta = covariance.mahalanobis(v)  # (k, b)
            out.append(logsumexp(log_resp + xp.permute_dims(const[:, None] - 0.5 * delta, (1, 0))))
        return xp.concat(out) if out else zeros((0,), self.mixture.means)

    def responsibilities(self, X: Any) -> Array:
        """The gates rₖ(x): (n, k)."""
        law = self._meet(X)
        return density.responsibilities(law.gate, law.gate._rows(X))

    # ---- one-dimensional laws of each output -----------------------------------------------------
    def quantile(self, X: Any, q: Any) -> Array:
        """Quantiles of each output's own law.

        Parameters
        ----------
        X : array (n, g)
        q : float or array (c,)

        Returns
        -------
        array (n, m), or (n, c, m) for several probabilities
        """
        law = self._meet(X, q)
        levels = univariate.probabilities(q, law.mixture.means)
        if levels.ndim > 1 or 0 in levels.shape:
            raise InputError("expected probabilities between 0 and 1, one or a list of them")
        x, m = law._rows(X), len(law.rest)
        xp = namespace(x, law.mixture.means)
        listed = xp.reshape(levels, (-1,))
        sd = xp.sqrt(law.covariance.diagonal())
        out = []
        for low, high in law.batches(x.shape[0], 8 * law.mixture.k):
            log_resp, each = law.parts(x[low:high])
            resp, ones = xp.exp(log_resp), xp.ones_like(log_resp[:, 0])
            found = [
                univariate.row_quantile(level * ones, resp, each[:, :, j], sd[:, j])
                for level in listed
                for j in range(m)
            ]
            out.append(xp.reshape(xp.stack(found, axis=1), (high - low, listed.shape[0], m)))
        whole = xp.concat(out) if out else zeros((0, listed.shape[0], m), law.mixture.means)
        return whole[:, 0] if levels.ndim == 0 else whole

    def cdf(self, X: Any, Y: Any) -> Array:
        """P(output ≤ y) under each output's own law: (n, m)."""
        law = self._meet(X, Y)
        x = law._rows(X)
        y = law._targets(Y, x.shape[0])
        xp = namespace(x, y, law.mixture.means)
        sd = xp.sqrt(law.covariance.diagonal())
        out = []
        for low, high in law.batches(x.shape[0]):
            log_resp, each = law.parts(x[low:high])
            below = normal_cdf((y[low:high, None, :] - each) / sd)
            out.append(xp.sum(xp.exp(log_resp)[:, :, None] * below, axis=1))
        return xp.concat(out) if out else zeros((0, len(law.rest)), law.mixture.means)

    # ---- draws and points ------------------------------------------------------------------------
    def sample(
        self, X: Any, n: int | None = None, rng: Seed = None, *, gradient: str = "pathwise"
    ) -> Any:
        """Draws of y given each row.

        Parameters
        ----------
        X : array (rows, g)
        n : int, optional
            Draws per row; one by default.
        rng : int, numpy.random.Generator or torch.Generator, optional
        gradient : {"pathwise", "straight-through", "score"}
            As in ``Mixture.sample``; here gradients flow to X too.

        Returns
        -------
        y : array (rows, m), or (rows, n, m) where n is more than one
        log_choice : tensor (rows,) or (rows, n), if ``gradient="score"``
            Log probability, given the row, of the component that was drawn.
        """
        law = self._meet(X)
        try:
            count = 1 if n is None else operator.index(n)
        except TypeError:
            raise InputError(f"expected a whole number of draws per row, got {n!r}") from None
        if count < 1:
            raise InputError(f"expected at least one draw per row, got {n}")
        draws.check_gradient(gradient, law.mixture)
        generator = random_source(rng, law.mixture.means)
        if is_numpy(law.mixture.means):
            return self._sample(self._rows(X), count, generator)
        y, log_choice = law._tensors(law._rows(X), count, generator, gradient)
        y, log_choice = (y[:, 0], log_choice[:, 0]) if count == 1 else (y, log_choice)
        return (y, log_choice) if gradient == "score" else y

    def _tensors(self, x: Array, n: int, source: Any, gradient: str) -> tuple[Array, Array]:
        """Draws (rows, n, m) and the log probabilities (rows, n) of the choices, as tensors."""
        spans = self.batches(x.shape[0], n * (self.mixture.k + 1) * len(self.rest)) or [(0, 0)]
        parts = [
            draws.from_parts(*self.parts(x[low:high]), self.covariance, n, source, gradient)
            for low, high in spans
        ]
        xp = namespace(x)
        return xp.concat([y for y, _ in parts]), xp.concat([choice for _, choice in parts])

    def _sample(self, x: Array, n: int, generator: np.random.Generator) -> FloatArray:
        out = np.empty((x.shape[0], n, len(self.rest)))
        for low, high in self.batches(x.shape[0], n * (self.mixture.k + len(self.rest))):
            log_resp, each = self.parts(x[low:high])
            chosen = _choose(np.exp(log_resp), n, generator)  # (b, n)
            noise = self._noise(chosen.ravel(), generator)
            rows = np.repeat(np.arange(high - low), n)
            picked = each[rows, chosen.ravel()] + noise
            out[low:high] = picked.reshape(high - low, n, -1)
        return out[:, 0] if n == 1 else out

    def _noise(self, labels: FloatArray, generator: np.random.Generator) -> FloatArray:
        """One draw of N(0, C) for each label: (len(labels), m)."""
        noise = np.empty((len(labels), len(self.rest)))
        order = np.argsort(labels, kind="stable")
        bounds = np.searchsorted(labels[order], np.arange(self.mixture.k + 1))
        for j in range(self.mixture.k):
            where = order[bounds[j] : bounds[j + 1]]
            if len(where):
                z = generator.standard_normal((1, len(self.rest), len(where)))
                noise[where] = self.covariance.take([j]).color(z)[0].T
        return noise

    def mode(self, X: Any) -> FloatArray:
        """A mode of p(y | x): the best end of ascents from component means, (n, m).

        The fixed point y ← (Σ rₖ Cₖ⁻¹)⁻¹ Σ rₖ Cₖ⁻¹ mₖ never descends (Carreira-Perpiñán 2000).
        It starts from each row's ten highest component means; the highest mode can be missed where
        none of these leads to it.
        """
        convert.numpy_only("mode", self.mixture, X)
        x = self._rows(X)
        precision = np.asarray(self.covariance.precision())
        out = np.empty((x.shape[0], len(self.rest)))
        for low, high in self.batches(x.shape[0], self.mixture.k * len(self.rest) ** 2):
            log_resp, each = self.parts(x[low:high])
            out[low:high] = self._ascend(log_resp, each, precision)
        return out

    def _ascend(self, log_resp: FloatArray, each: FloatArray, precision: FloatArray) -> FloatArray:
        const = log_resp - 0.5 * np.asarray(self.covariance.logdet)
        everyone = np.arange(len(each))

        def joint(y: FloatArray, rows: FloatArray) -> FloatArray:
            gap = y[:, None, :] - each[rows]
            pressed = np.einsum("kij,bkj->bki", precision, gap)
            return np.asarray(const[rows] - 0.5 * np.einsum("bki,bki->bk", gap, pressed))

        heights = np.stack(
            [logsumexp(joint(each[:, j], everyone)) for j in range(each.shape[1])], axis=1
        )
        order = np.argsort(-heights, axis=1, kind="stable")[:, :MODE_STARTS]
        best, reached = np.full(len(each), -np.inf), np.empty_like(each[:, 0])
        for start in order.T:
            y = self._climb(each[everyone, start], joint, each, precision)
            height = np.asarray(logsumexp(joint(y, everyone)))
            higher = height > best
            best, reached = np.where(higher, height, best), np.where(higher[:, None], y, reached)
        return np.asarray(reached)

    @staticmethod
    def _climb(
        start: FloatArray, joint: Any, each: FloatArray, precision: FloatArray
    ) -> FloatArray:
        """The fixed point from one start per row."""
        y = start.copy()
        pulled = np.einsum("kij,bkj->bki", precision, each)
        active = np.arange(len(y))
        for _ in range(500):
            log_joint = joint(y[active], active)
            resp = np.exp(log_softmax(log_joint))
            total = np.einsum("bk,kij->bij", resp, precision)
            target = np.einsum("bk,bki->bi", resp, pulled[active])
            new = np.linalg.solve(total, target[:, :, None])[:, :, 0]
            moved = np.abs(new - y[active]).max(axis=1)
            y[active] = new
            active = active[moved > 1e-12 * (1 + np.abs(new).max(axis=1))]
            if len(active) == 0:
                break
        return np.asarray(y)

    def at(self, row: Any) -> Mixture:
        """The law of the rest given one row of values (g,)."""
        return algebra.condition(self.mixture, list(self.given), row)

    def bind(self, X: Any) -> Predictive:
        """The same law, bound to rows."""
        law = self._meet(X)
        return Predictive(law, law._rows(X))


@dataclass(frozen=True, eq=False)
class Predictive:
    """A ``Conditional`` bound to rows: one predictive distribution per row.

    Attributes
    ----------
    law : Conditional
    rows : array (n, g)
    """

    law: Conditional
    rows: Array

    @derived
    def mean(self) -> Array:
        """E[y | x] (n, m)."""
        return self.law.mean(self.rows)

    @derived
    def cov(self) -> Array:
        """Cov[y | x] (n, m, m)."""
        return self.law.cov(self.rows)

    def log_density(self, y: Any) -> Array:
        """Log p(y | x) (n,)."""
        return self.law.log_density(self.rows, y)

    def cdf(self, y: Any) -> Array:
        """P(output ≤ y) per output (n, m)."""
        return self.law.cdf(self.rows, y)

    def quantile(self, q: Any) -> Array:
        """Quantiles per output (n, m), or (n, c, m)."""
        return self.law.quantile(self.rows, q)

    def sample(self, n: int | None = None, rng: Seed = None, *, gradient: str = "pathwise") -> Any:
        """Draws (n_rows, m), or (n_rows, n, m); see ``Conditional.sample``."""
        return self.law.sample(self.rows, n, rng, gradient=gradient)


def conditional(mix: Mixture, given: list[int]) -> Conditional:
    """The batched law of the other columns; see ``Mixture.conditional``."""
    rest = [j for j in range(mix.d) if j not in set(given)]
    if not given:
        raise InputError(
            "expected at least one given column, got none; the law is then the mixture itself"
        )
    if not rest:
        raise InputError(
            f"expected at most {mix.d - 1} given columns, got all {mix.d}: nothing is left to "
            "describe; log_density gives the density at a point"
        )
    return Conditional(mix, tuple(given), tuple(rest))


#: Draws of a row beyond which components are searched for row by row.
MANY_DRAWS = 64


def _choose(resp: FloatArray, draws: int, generator: np.random.Generator) -> FloatArray:
    """Components (b, draws) drawn with probabilities resp (b, k)."""
    edges = np.cumsum(resp, axis=1)
    edges /= edges[:, -1:]
    u = generator.random((len(resp), draws))
    if draws > MANY_DRAWS:
        found = [np.searchsorted(e, row, side="right") for e, row in zip(edges, u, strict=True)]
        return np.asarray(np.minimum(np.array(found), resp.shape[1] - 1))
    chosen = (u[:, :, None] >= edges[:, None, :]).sum(axis=2)
    return np.asarray(np.minimum(chosen, resp.shape[1] - 1))
