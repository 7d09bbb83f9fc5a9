"""Weights: where the earth shakes near Fiji, and where the energy comes from.

``fit(quakes, sample_weight=…)`` counts a row of weight 2 twice. Weighted alike, the mixture tells
how quakes are distributed; weighted by energy, 10 to the power of 1.5 times the magnitude, how the
energy is. The deep slab below Tonga is full of small quakes: 45 % of all are deeper than 300 km,
but they have 27 % of the energy; 80 % are east of 175 degrees, with 57 % of the energy.

Energy lies with few: 1000 quakes tell as much as 43 equal ones (Kish's effective number, to which
the weights are scaled), and one has 12 % of it. So the second mixture is allowed few parameters,
and the catalogue's own shares are uncertain by 5 and 8 % (bootstrap), the mixture's as well.

Run from anywhere: python examples/weights.py [PICTURE]
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

import mixtura as mx

INK, BLUE, ORANGE = "#222222", "#2563a8", "#d9722b"
PICTURE = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("weights.png")
DATA = Path(__file__).parent / "data" / "quakes.csv"

# ---- a thousand earthquakes: longitude and latitude in degrees, depth in km, magnitude -----------
table = np.loadtxt(DATA, delimiter=",", skiprows=1)
quakes, magnitude = table[:, [1, 0, 2]], table[:, 3]

# One magnitude more is 10^1.5 times the energy (Gutenberg & Richter 1956).
energy = 10 ** (1.5 * magnitude)
effective = energy.sum() ** 2 / np.sum(energy**2)  # Kish's effective number of rows
weights = {"number": np.ones(len(quakes)), "energy": energy * effective / energy.sum()}
strongest = 100 * energy.max() / energy.sum()
print(f"{len(quakes)} quakes; by energy they tell as much as {effective:.0f} equal ones")
print(f"the strongest, of magnitude {magnitude.max()}, has {strongest:.0f} % of the energy")


def fit(weight):
    """The least BIC among fits with at most half as many parameters as there are rows."""
    sizes = {"tied": lambda k: 4 * k + 5, "full": lambda k: 10 * k - 1}
    most = weight.sum() / 2
    tried = [(k, name) for name in sizes for k in range(1, 13) if sizes[name](k) <= most]
    fits = []
    for k, name in tried:
        model = mx.GaussianMixture(k, covariance_type=name, tol=1e-4, random_state=0)
        fits.append(model.fit(quakes, sample_weight=weight))
    return min(fits, key=lambda model: model.bic(quakes, sample_weight=weight))


# ---- the mixture's word and the catalogue's, with its standard error -----------------------------
rng = np.random.default_rng(0)
draws = rng.integers(len(quakes), size=(1000, len(quakes)))
shares = {"deeper than 300 km": (2, 300.0), "east of 175 degrees": (0, 175.0)}
fitted = {}
for name, weight in weights.items():
    model = fit(weight)
    fitted[name] = mix = model.mixture_
    print(f"by {name}: {mix.k} components, {model.covariance_type}")
    for words, (column, limit) in shares.items():
        beyond = 100 * (1 - float(mix.marginal([column]).cdf(limit)))
        inside = quakes[:, column] > limit
        counted = 100 * (weight @ inside) / weight.sum()
        error = 100 * np.std((weight * inside)[draws].sum(1) / weight[draws].sum(1))
        print(f"  {words:19}  {beyond:.0f} %; in the catalogue {counted:.0f} ± {error:.0f} %")

# ---- the picture: from above, and from the south -------------------------------------------------
plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
figure, ((above, above_energy), (south, south_energy)) = plt.subplots(
    2, 2, figsize=(10, 7), layout="constrained", sharex=True, sharey="row"
)
long, lat, depth = np.linspace(163, 190, 160), np.linspace(-40, -9, 150), np.linspace(0, 720, 150)
for name, color, map_, section in (
    ("number", BLUE, above, south),
    ("energy", ORANGE, above_energy, south_energy),
):
    scale = 4.0 if name == "number" else 250 * energy / energy.max() + 0.5
    for axes, columns, other in ((map_, [0, 1], lat), (section, [0, 2], depth)):
        axes.scatter(*quakes[:, columns].T, s=scale, color=INK, alpha=0.5, linewidths=0)
        pair = fitted[name].marginal(columns)
        grid = np.stack(np.meshgrid(long, other), axis=-1)
        height = pair.log_density(grid.reshape(-1, 2)).reshape(grid.shape[:2])
        levels = np.quantile(pair.log_density(pair.sample(20_000, rng=0)), [0.1, 0.3, 0.5, 0.7])
        axes.contour(long, other, height, levels=levels, colors=color, linestyles="solid")
    map_.text(163.5, -28, "New Hebrides", color=color)
    map_.text(186, -34, "Tonga", color=color)
    map_.set_title(f"by {name}", loc="left", fontweight="bold")
    section.set(xlabel="longitude, degrees east")
above.set(ylabel="latitude, degrees north")
south.set(ylabel="depth, km", ylim=(720, 0))

figure.savefig(PICTURE, dpi=110)
