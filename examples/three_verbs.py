"""Fit, condition and denoise with one mixture of Old Faithful's eruptions, drawn side by side.

One value answers all three: what eruptions are like (64 % are long), how long the next wait will be
after one of 3 minutes (90 % between 59 and 82 minutes), and what a rough measurement was most
likely of (waits that were off by 8.4 minutes are off by 4.4).

Run from anywhere: python examples/three_verbs.py [PICTURE]
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np

import mixtura as mx

INK, BLUE, ORANGE, GREY = "#222222", "#2563a8", "#d9722b", "#b8bdc4"
DATA = Path(__file__).parent / "data" / "faithful.csv"


def draw(picture: Path) -> None:
    """Draw the three panels."""
    x = np.loadtxt(DATA, delimiter=",", skiprows=1)
    mix = mx.GaussianMixture(n_components=2, random_state=0).fit(x).mixture_

    plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.7), layout="constrained")

    print(f"fit: {100 * mix.weights.max():.0f} % of eruptions are long")

    # fit: the density, as regions that hold 50, 80 and 95 % of draws
    lengths, waits = np.linspace(1.0, 5.8, 220), np.linspace(36, 102, 220)
    grid = np.stack(np.meshgrid(lengths, waits), axis=-1)
    height = mix.log_density(grid.reshape(-1, 2)).reshape(grid.shape[:2])
    levels = np.quantile(mix.log_density(mix.sample(50_000, rng=0)), [0.05, 0.2, 0.5])
    for axes in (left, right):
        axes.contour(lengths, waits, height, levels=levels, colors=BLUE, linestyles="solid")
        axes.set(xlabel="eruption, minutes", ylabel="wait, minutes")
        axes.set(xlim=(1.0, 5.8), ylim=(36, 102))
    left.plot(*x.T, ".", color=INK, markersize=3, alpha=0.5)
    left.axvline(3.0, color=ORANGE, linewidth=1.2, linestyle="--")
    left.set_title("fit", loc="left", fontweight="bold")

    # condition: the wait after an eruption of three minutes
    wait = mix.condition([0], [3.0])
    density = np.exp(wait.log_density(waits[:, None]))
    low, high = wait.quantile([0.05, 0.95])
    inside = (waits >= low) & (waits <= high)
    middle.fill_between(waits[inside], density[inside], color=ORANGE, alpha=0.25, linewidth=0)
    middle.plot(waits, density, color=ORANGE)
    middle.set(xlabel="wait after an eruption of 3 minutes", yticks=[], ylim=(0, None))
    print(f"condition: after 3 minutes, 90 % of waits are between {low:.0f} and {high:.0f} minutes")
    said = f"90 % between\n{low:.0f} and {high:.0f} minutes"
    middle.text(37, density.max() * 0.75, said, color=ORANGE)
    middle.set_title("condition", loc="left", fontweight="bold")

    # denoise: draws, measured with known noise, and their exact posterior means
    noise = np.diag([0.5**2, 10.0**2])
    rng = np.random.default_rng(4)
    clean = mix.sample(24, rng=rng)
    noisy = clean + rng.multivariate_normal(np.zeros(2), noise, size=len(clean))
    better = mix.denoise(noisy, noise)
    before, after = (np.sqrt(np.mean((y - clean)[:, 1] ** 2)) for y in (noisy, better))
    print(f"denoise: waits off by {before:.1f} minutes are off by {after:.1f}")
    for start, end in zip(noisy, better, strict=True):
        right.annotate("", end, start, arrowprops={"arrowstyle": "->", "color": GREY})
    right.plot(*noisy.T, "o", color=GREY, markersize=4, label="measured")
    right.plot(*better.T, "o", color=ORANGE, markersize=4, label="denoised")
    right.legend(frameon=False, loc="upper left", fontsize=9)
    right.set_title("denoise", loc="left", fontweight="bold")

    figure.savefig(picture, dpi=110)
    plt.close(figure)


if __name__ == "__main__":
    draw(Path(sys.argv[1]) if len(sys.argv) > 1 else Path("three_verbs.png"))
