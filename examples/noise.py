"""Noise: two groups of stars that their measurements blur into one.

``fit(seen, noise=errors)`` takes the error of every single row, here a covariance for each star,
out of the fit (extreme deconvolution; Bovy, Hogg & Roweis 2011): the mixture is that of the true
motions, not of the measured ones.

The stars are simulated, with errors in the manner of Gaia's: small for bright stars, large for
faint ones, and known. A fit that ignores them finds one broad group, and is 0.69 nats from the
truth; with them BIC finds 2 groups and the field of other stars, at 0.02 nats, and the groups'
spread (0.09 where the truth is 0.08), although half of the errors are above 0.24. A star is then
put into its group by its own error: 95 % rightly where it is small, 74 % where it is large.

Run from anywhere: python examples/noise.py [PICTURE]
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

import mixtura as mx

INK, BLUE, ORANGE, PURPLE = "#222222", "#2563a8", "#d9722b", "#7a4fa3"
PICTURE = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("noise.png")

# ---- a simulated sky: proper motions (mas a year) of two groups before a field of other stars ----
spreads = np.array([0.08, 0.08, 1.2]) ** 2
truth = mx.Mixture([0.35, 0.25, 0.4], [[-4.75, 11.1], [-4.3, 11.45], [-4.3, 10.9]], spreads)
rng = np.random.default_rng(5)
n = 2000
moves, group = truth.sample(n, rng=rng, return_labels=True)

# ---- errors as Gaia's: larger for fainter stars, correlated, and told for every star -------------
magnitude = np.clip(20 - rng.exponential(1.7, n), 9, 20)
faint = 10 ** (0.4 * (np.maximum(magnitude, 13) - 15))
sd = np.sqrt(40 + 800 * faint + 30 * faint**2) / 1000
correlation = rng.uniform(-0.5, 0.5, n)
errors = sd[:, None, None] ** 2 * (np.eye(2) + correlation[:, None, None] * (1 - np.eye(2)))
seen = moves + np.einsum("nij,nj->ni", np.linalg.cholesky(errors), rng.standard_normal((n, 2)))
tenth, half, most = np.quantile(sd, [0.1, 0.5, 0.9])
print(f"errors of {n} stars, mas a year: 10 % < {tenth:.2f}, 50 % < {half:.2f}, 90 % < {most:.2f}")

# ---- with and without the errors, the number of components by BIC --------------------------------
settings = {"reg_covar": "auto", "tol": 1e-6, "max_iter": 1000, "random_state": 0}
fits = {}
for name, noise in (("as observed", None), ("errors taken out", errors)):
    tried = [mx.GaussianMixture(k, **settings).fit(seen, noise=noise) for k in range(1, 5)]
    model = min(tried, key=lambda m: m.bic(seen, noise=noise))
    fits[name] = model
    mix = model.mixture_
    divergence = mx.kl(truth, mix, rng=0)
    widths = np.sqrt(np.linalg.det(mix.covariance.dense())) ** 0.5
    far = f"{divergence.estimate:.2f} ± {divergence.se:.2f}"
    print(f"{name}: {mix.k} components, {far} nats from the truth")
    for j in np.argsort(widths):
        mean = ", ".join(f"{m:.2f}" for m in mix.means[j])
        print(f"  {100 * mix.weights[j]:.0f} % of stars, at ({mean}), spread {widths[j]:.2f}")

# ---- stars of the groups, each put where it most likely belongs by its own error -----------------
model = fits["errors taken out"]
nearest = ((model.means_[:, None] - truth.means) ** 2).sum(axis=2).argmin(axis=1)
sharp = sd < half
put = nearest[model.predict(seen, noise=errors)]
for words, stars in (("smaller", sharp), ("larger", ~sharp)):
    right = np.mean((put == group)[stars & (group < 2)])
    print(
        f"stars of the two groups whose error is {words}: {100 * right:.0f} % put in the right one"
    )

# ---- the picture ---------------------------------------------------------------------------------
plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
figure, panels = plt.subplots(1, 3, figsize=(12, 4.3), layout="constrained", sharey=True)
east, north = np.linspace(-6.2, -2.9, 220), np.linspace(9.7, 12.7, 220)
grid = np.stack(np.meshgrid(east, north), axis=-1)
levels = [0.04, 0.12, 0.36, 1.1, 3.3]
shown = {name: model.mixture_ for name, model in fits.items()} | {"the truth": truth}
for axes, (name, mix) in zip(panels, shown.items(), strict=True):
    density = np.exp(mix.log_density(grid.reshape(-1, 2))).reshape(grid.shape[:2])
    stars = moves if mix is truth else seen
    axes.plot(*stars.T, ".", color=INK, markersize=2, alpha=0.35)
    color = ORANGE if name == "errors taken out" else BLUE
    axes.contour(east, north, density, levels=levels, colors=color, linewidths=1.2)
    axes.set(xlim=(east[0], east[-1]), ylim=(north[0], north[-1]), aspect="equal")
    axes.set(xlabel="eastward, mas a year")
    axes.set_title(name, loc="left", fontweight="bold")
panels[0].set(ylabel="northward, mas a year")
panels[0].text(-3.0, 9.8, "rings: errors of six stars", color=PURPLE, ha="right")
for star in np.random.default_rng(1).choice(n, 6, replace=False):
    values, axes_ = np.linalg.eigh(errors[star])
    turn = np.degrees(np.arctan2(axes_[1, 1], axes_[0, 1]))
    size = 2 * np.sqrt(values[::-1])
    mark = matplotlib.patches.Ellipse(seen[star], *size, angle=turn, fill=False, color=PURPLE)
    panels[0].add_patch(mark)

figure.savefig(PICTURE, dpi=110)
