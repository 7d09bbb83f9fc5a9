"""Extreme deconvolution against astroML and pygmmis: seconds per EM iteration, equal starts.

``python -m benchmarks.noise`` fits noisy rows (a covariance for each) with every library that is
installed, in turns, from one start and for equal numbers of iterations, and prints the ratios of
(T(1 + m) − T(1)) / m, by the clock and in processor time, and what each reached. The peers come
with ``pip install astroML pygmmis``. With ``--why`` it prints instead what pygmmis reaches step by
step beside EM as it is written and EM whose covariances are taken about the former means.
"""

from __future__ import annotations

import argparse
import gc
import os
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]


class Problem(NamedTuple):
    """Noisy rows y with covariances s, and where all libraries begin."""

    y: Floats
    s: Floats
    weights: Floats
    means: Floats
    covariances: Floats


def problem(n: int, d: int, k: int, rng: np.random.Generator) -> Problem:
    """Correlated clusters, each row with a covariance of its own."""
    centres = 3 * rng.standard_normal((k, d))
    maps = rng.standard_normal((k, d, d)) / np.sqrt(d) + 0.3 * np.eye(d)
    labels = rng.integers(k, size=n)
    x = centres[labels] + np.einsum("nij,nj->ni", maps[labels], rng.standard_normal((n, d)))
    roots = 0.5 * rng.standard_normal((n, d, d)) / np.sqrt(d)
    s = roots @ np.swapaxes(roots, 1, 2) + 0.05 * np.eye(d)
    y = x + np.einsum("nij,nj->ni", np.linalg.cholesky(s), rng.standard_normal((n, d)))
    means = centres + 0.5 * rng.standard_normal((k, d))
    return Problem(y, s, np.full(k, 1 / k), means, np.tile(2 * np.eye(d), (k, 1, 1)))


def ours(p: Problem, iterations: int) -> tuple[Floats, Floats, Floats]:
    """Mixtura."""
    import mixtura as mx

    model = mx.GaussianMixture(
        len(p.weights),
        weights_init=p.weights,
        means_init=p.means,
        precisions_init=np.linalg.inv(p.covariances),
        reg_covar=0.0,
        tol=0.0,
        max_iter=iterations,
    ).fit(p.y, noise=p.s)
    return model.weights_, model.means_, model.covariances_


def astroml(p: Problem, iterations: int) -> tuple[Floats, Floats, Floats]:
    """astroML's own EM steps, from the same start."""
    from astroML.density_estimation import XDGMM

    model = XDGMM(len(p.weights))
    model.mu, model.alpha, model.V = p.means.copy(), p.weights.copy(), p.covariances.copy()
    for _ in range(iterations):
        model._EMstep(p.y, p.s)
    return model.alpha, model.mu, model.V


def pygmmis_(p: Problem, iterations: int) -> tuple[Floats, Floats, Floats]:
    """pygmmis, without its cutoff, background or regularisation."""
    import pygmmis

    model = pygmmis.GMM(K=len(p.weights), D=p.y.shape[1])
    model.amp[:], model.mean[:], model.covar[:] = p.weights, p.means, p.covariances
    pygmmis.fit(
        model, p.y, covar=p.s, init_method="none", w=0.0, cutoff=None, maxiter=iterations, tol=0.0
    )
    return model.amp, model.mean, model.covar


def steps(p: Problem, iterations: int, former: bool = False) -> tuple[Floats, Floats, Floats]:
    """EM in plain NumPy (Bovy, Hogg & Roweis 2011), the reference of ``--why``.

    The M-step's covariance is Σᵢ rᵢ (Bᵢ + eᵢ eᵢᵀ) / Σᵢ rᵢ with eᵢ = E[xᵢ | yᵢ] − μ, where μ is the
    new mean. With ``former`` it is the mean before the step, which adds (μ' − μ)(μ' − μ)ᵀ.
    """
    from scipy.special import logsumexp

    weights, means, covariances = p.weights.copy(), p.means.copy(), p.covariances.copy()
    for _ in range(iterations):
        joint, expected, rest = [], [], []
        for weight, mean, covariance in zip(weights, means, covariances, strict=True):
            inverse, away = np.linalg.inv(covariance + p.s), p.y - mean
            square = np.einsum("ni,nij,nj->n", away, inverse, away)
            joint.append(np.log(weight) + 0.5 * (np.linalg.slogdet(inverse)[1] - square))
            expected.append(mean + np.einsum("ij,njk,nk->ni", covariance, inverse, away))
            rest.append(covariance - covariance @ inverse @ covariance)
        resp = np.exp(np.array(joint) - logsumexp(joint, axis=0))
        for j, r in enumerate(resp):
            mean = r @ expected[j] / r.sum()
            away = expected[j] - (means[j] if former else mean)
            spread = np.einsum("n,ni,nj->ij", r, away, away) + np.einsum("n,nij->ij", r, rest[j])
            weights[j], means[j], covariances[j] = r.mean(), mean, spread / r.sum()
    return weights, means, covariances


def why() -> None:
    """Print where pygmmis goes, and which EM goes there."""
    p = problem(3000, 3, 3, np.random.default_rng(3))
    print("nats a row below mixtura after equal numbers of EM steps (3,000 x 3, k=3)")
    print("steps   pygmmis  EM, new means  EM, former means  farthest from pygmmis, former means")
    for m in (1, 3, 10, 100):
        mine, peer = reached(p, ours(p, m)), pygmmis_(p, m)
        plain, former = steps(p, m), steps(p, m, former=True)
        gaps = [mine - reached(p, each) for each in (peer, plain, former)]
        far = max(np.abs(a - b).max() for a, b in zip(former, peer, strict=True))
        print(f"{m:5d} {gaps[0]:9.1e} {gaps[1]:14.1e} {gaps[2]:17.1e} {far:38.1e}")


def reached(p: Problem, parameters: tuple[Floats, Floats, Floats]) -> float:
    """Mean log-likelihood per row."""
    from benchmarks.real.cases import Table
    from benchmarks.real.score import log_likelihood

    return log_likelihood(Table(p.y, noise=p.s), *parameters) / len(p.y)


def available() -> dict[str, Callable[[Problem, int], tuple[Floats, Floats, Floats]]]:
    """Libraries that are installed."""
    from importlib.util import find_spec

    peers = {"astroML": ("astroML", astroml), "pygmmis": ("pygmmis", pygmmis_)}
    found = {name: fit for name, (module, fit) in peers.items() if find_spec(module)}
    return {"mixtura": ours, **found}


def clocks() -> Floats:
    """Seconds by the clock, and of processors, those of finished child processes included."""
    spent = os.times()
    return np.array([time.perf_counter(), sum(spent[:4])])


def timed(fit: Any, p: Problem, iterations: int) -> Floats:
    """What a fit of so many iterations took, in both times."""
    gc.collect()
    began = clocks()
    fit(p, iterations)
    return clocks() - began


def main() -> None:
    """Print the table."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--why", action="store_true", help="what pygmmis does otherwise")
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--columns", type=int, nargs="*", default=[2, 3, 5])
    parser.add_argument("--components", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--iterations", type=int, default=2)
    options = parser.parse_args()
    if options.why:
        why()
        return
    for d in options.columns:
        p = problem(options.rows, d, options.components, np.random.default_rng(d))
        fits = available()
        spent: dict[str, list[Floats]] = {name: [] for name in fits}
        scores: dict[str, float] = {}
        for fit in fits.values():  # compiles kernels
            fit(Problem(p.y[:1000], p.s[:1000], *p[2:]), 1)
        for _ in range(options.repeats):
            for name, fit in fits.items():
                m = options.iterations * (10 if fit is ours else 1)  # enough to be timed
                times = [timed(fit, p, steps) for steps in (1, 1 + m)]
                spent[name].append((times[1] - times[0]) / m)
                scores[name] = reached(p, fit(p, 1 + options.iterations))
        own = np.median(spent["mixtura"], axis=0)
        for name in fits:
            clock, cpu = median = np.median(spent[name], axis=0)
            print(
                f"{options.rows} x {d}, k={options.components} {name:8s} {clock:8.4f} s, "
                f"{cpu:8.4f} s of processors "
                f"(x {median[0] / own[0]:.1f}, {median[1] / own[1]:.1f}) "
                f"{scores[name]:.9f} nats a row",
                flush=True,
            )


if __name__ == "__main__":
    main()
