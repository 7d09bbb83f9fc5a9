"""Distances: how far two mixtures are apart, and what lies between them.

A barycentre moves the components of one mixture onto those of the other along optimal transport; a
blend lets one fade out while the other fades in. Half-way between a heart and a star the barycentre
is an outline of its own, between the two; the blend shows both.

What is near depends on what is asked. Along the barycentres the mixture-Wasserstein distance grows
in step with the share, from 0.08 at a quarter to 0.32 at the star: it measures how far mass has to
travel. The Kullback–Leibler divergence measures surprise: 10.91 nats for the star, as it is almost
nowhere where the heart is, but only 0.53 for the blend, half of which is the heart. It has no
closed form: it comes with a standard error, and with bounds that hold for certain.

Run from anywhere: python examples/distances.py [PICTURE]
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import LinearSegmentedColormap

import mixtura as mx

INK, BLUE, ORANGE, GREY = "#222222", "#2563a8", "#d9722b", "#b8bdc4"
PICTURE = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("distances.png")


# ---- two clouds of 3,000 points: along a heart, and along a star ---------------------------------
def cloud(x, y, seed):
    """Points scattered evenly along the closed line through corners x, y."""
    rng = np.random.default_rng(seed)
    x, y = np.append(x, x[0]), np.append(y, y[0])
    length = np.append(0, np.cumsum(np.hypot(np.diff(x), np.diff(y))))
    place = rng.uniform(0, length[-1], 3000)
    line = np.stack([np.interp(place, length, x), np.interp(place, length, y)], axis=1)
    return line + 0.04 * rng.standard_normal(line.shape)


a = np.linspace(0, 2 * np.pi, 200)
rise = 13 * np.cos(a) - 5 * np.cos(2 * a) - 2 * np.cos(3 * a) - np.cos(4 * a)
hearts = cloud(np.sin(a) ** 3, rise / 16, seed=0)
corner, reach = np.pi / 2 + np.arange(10) * np.pi / 5, np.tile([1.25, 0.5], 5)
stars = cloud(reach * np.cos(corner), reach * np.sin(corner), seed=1)

heart, star = (
    mx.GaussianMixture(30, tol=1e-5, max_iter=500, random_state=0).fit(x).mixture_
    for x in (hearts, stars)
)

# ---- between the two, and how far from the heart -------------------------------------------------
shares = (0.0, 0.25, 0.5, 0.75, 1.0)
moved = [mx.barycenter([heart, star], [1 - t, t]) for t in shares]
faded = [mx.blend([heart, star], [1 - t, t]) for t in shares]

print("from the heart to   Kullback–Leibler, bounds      L2  mixture-W.       sliced W.")
rows = [(f"barycentre {t}", mix) for t, mix in zip(shares, moved, strict=True)]
for name, mix in [*rows, ("blend 0.5", faded[2])]:
    kl = mx.kl(heart, mix, rng=0)
    sliced = mx.sliced_wasserstein(heart, mix, n_projections=100, rng=0)
    print(
        f"  {name:15}  {kl.estimate:5.2f} ± {kl.se:.2f}, {kl.lower:.1f} to {kl.upper:4.1f}"
        f"  {mx.l2(heart, mix):6.2f}  {mx.wasserstein(heart, mix):10.2f}"
        f"   {sliced.estimate:.3f} ± {sliced.se:.3f}"
    )

# ---- the picture ---------------------------------------------------------------------------------
plt.rcParams.update({"font.size": 10})
figure, panels = plt.subplots(2, 5, figsize=(12, 4.9), layout="constrained")
ticks = np.linspace(-1.5, 1.5, 181)
grid = np.stack(np.meshgrid(ticks, ticks), axis=-1).reshape(-1, 2)
for row, mixtures, name, hues in (
    (panels[0], moved, "barycentre", ["#e6eef6", BLUE]),
    (panels[1], faded, "blend", ["#fbece2", ORANGE]),
):
    shades = LinearSegmentedColormap.from_list("shades", hues)
    for axes, t, mix in zip(row, shares, mixtures, strict=True):
        density = np.exp(mix.log_density(grid)).reshape(181, 181)
        levels = np.linspace(0.1, 1.4, 8)
        axes.contourf(ticks, ticks, density, levels=levels, cmap=shades, extend="max")
        axes.set(aspect="equal", xticks=[], yticks=[], xlim=(-1.4, 1.4), ylim=(-1.3, 1.4))
        axes.spines[:].set_visible(False)
        axes.set_title({0.0: "the heart", 1.0: "the star"}.get(t, f"{name}, {t}"))
for axes, points in ((panels[0, 0], hearts), (panels[0, 4], stars)):
    axes.plot(*points[:400].T, ".", color=INK, markersize=1.5)

figure.savefig(PICTURE, dpi=110)
