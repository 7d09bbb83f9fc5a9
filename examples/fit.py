"""Fit: how many components, and which structure of covariance, chosen by BIC.

With ``n_components="auto"`` and ``covariance_type="auto"`` the estimator tries numbers and
structures and keeps the fit with the least BIC; ``search_.trials`` is the table of all it tried.

The eruptions of Old Faithful come out as 3 components that share one covariance: two groups to the
eye, the longer of which is no single ellipse. Iris comes out as 2 components with covariances of
their own, as two of its three species overlap: the adjusted Rand index with the species is 0.57.
Told that there are 3, the fit finds the species (0.90), although BIC is worse. BIC counts
Gaussians, and knows of no species.

Run from anywhere: python examples/fit.py [PICTURE]
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_iris
from sklearn.metrics import adjusted_rand_score

import mixtura as mx

INK, BLUE, ORANGE, GREY = "#222222", "#2563a8", "#d9722b", "#b8bdc4"
PURPLE = "#7a4fa3"
STYLES = {"full": (BLUE, "-"), "tied": (ORANGE, "-"), "diag": (INK, "--"), "spherical": (GREY, "-")}
PICTURE = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("fit.png")

faithful = np.loadtxt(Path(__file__).parent / "data" / "faithful.csv", delimiter=",", skiprows=1)
iris, species = load_iris(return_X_y=True)

# ---- numbers and structures are searched ---------------------------------------------------------
# reg_covar="auto" keeps variances off zero relative to the data's own scale.
settings = {"reg_covar": "auto", "tol": 1e-5, "random_state": 1}
geyser = mx.GaussianMixture("auto", covariance_type="auto", **settings).fit(faithful)
flowers = mx.GaussianMixture("auto", covariance_type="auto", **settings).fit(iris)

for name, model in (("Old Faithful", geyser), ("iris", flowers)):
    best = model.search_.best
    print(f"{name}: {best.n_components} components, {best.covariance_type}, BIC {best.bic:.1f}")

# ---- do the clusters agree with the species? -----------------------------------------------------
# An adjusted Rand index of 1 is perfect agreement; chance alone gives 0.
three = mx.GaussianMixture(3, **settings).fit(iris)
print(f"iris told 3 components, full: BIC {three.bic(iris):.1f}")
for k, model in ((2, flowers), (3, three)):
    index = adjusted_rand_score(species, model.predict(iris))
    print(f"adjusted Rand index of {k} components with the species: {index:.2f}")

# ---- the picture ---------------------------------------------------------------------------------
plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
figure, ((rows, curve), (petals, curve_iris)) = plt.subplots(
    2, 2, figsize=(10, 7.2), layout="constrained", width_ratios=[1.25, 1]
)


def ellipses(axes, mix, **line):
    """Draw what holds half, and nine tenths, of each component of a mixture in two columns."""
    angle = np.linspace(0, 2 * np.pi, 100)
    circle = np.stack([np.cos(angle), np.sin(angle)])
    for mean, cov in zip(mix.means, mix.covariance.dense(), strict=True):
        for share in (0.5, 0.9):
            radius = np.sqrt(-2 * np.log(1 - share))
            axes.plot(*(mean[:, None] + radius * np.linalg.cholesky(cov) @ circle), **line)


def bic_curves(axes, model, floor, ceiling):
    """BIC against the number of components, a line per structure; the one chosen is ringed."""
    best = model.search_.best
    for name, (color, line) in STYLES.items():
        tried = [t for t in model.search_.trials if t.covariance_type == name and t.error is None]
        counts, bics = [t.n_components for t in tried], [t.bic for t in tried]
        label = name if min(bics) < ceiling else f"{name} (above)"
        axes.plot(counts, bics, line, marker=".", color=color, label=label)
    axes.plot(best.n_components, best.bic, "o", markersize=12, markerfacecolor="none", color=INK)
    axes.set(xlabel="components", ylabel="BIC (lower is better)", ylim=(floor, ceiling))
    axes.legend(frameon=False, loc="upper right", fontsize=9)


rows.plot(*faithful.T, ".", color=INK, markersize=3, alpha=0.5)
ellipses(rows, geyser.mixture_, color=BLUE)
rows.set(xlabel="eruption, minutes", ylabel="wait, minutes")
rows.set_title("Old Faithful", loc="left", fontweight="bold")
bic_curves(curve, geyser, 2290, 2650)

names = (("setosa", INK), ("versicolor", ORANGE), ("virginica", PURPLE))
for s, (name, color) in enumerate(names):
    petals.plot(*iris[species == s][:, 2:].T, ".", color=color, markersize=5, label=name)
ellipses(petals, flowers.mixture_.marginal([2, 3]), color=BLUE)
petals.set(xlabel="petal length, cm", ylabel="petal width, cm")
petals.legend(frameon=False, loc="upper left", fontsize=9)
petals.set_title("iris", loc="left", fontweight="bold")
bic_curves(curve_iris, flowers, 540, 1050)

figure.savefig(PICTURE, dpi=110)
