"""Limits: what a fit makes of values that were cut off, where it is told how.

Old Faithful's eruptions are all known, so that what is lost can be seen. First, eruptions under two
minutes are noted as "under 2" and no more (19 % of them): ``censored``. Then, an observer who never
stays longer than 85 minutes knows nothing of eruptions after longer waits (11 %): ``selection``.

A fit that is told comes nearer to that of all rows than one that takes the limit for a value,
leaves such rows out, or is not told: it loses about a third of what they do. What was never seen is
extrapolated from Gaussian shapes, and that has its limit: of a component that is cut in two, the
unseen half is a guess. With waits cut at the peak of the larger group, the fit that is told runs
far away, and is worse than the one that is not.

Run from anywhere: python examples/limits.py [PICTURE]
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
PICTURE = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("limits.png")
DATA = Path(__file__).parent / "data" / "faithful.csv"

x = np.loadtxt(DATA, delimiter=",", skiprows=1)  # minutes: eruption, wait until the next
settings = {"n_components": 2, "random_state": 0, "max_iter": 2000, "tol": 1e-7}


def fit(rows, **known):
    """Two components, with whatever is known of how the rows were cut off."""
    return mx.GaussianMixture(**settings).fit(rows, **known).mixture_


whole = fit(x)

# ---- eruptions under two minutes are only known to be that ---------------------------------------
shortest = (2.0, -np.inf)
noted = np.maximum(x, shortest)
hidden = x[:, 0] < 2.0
censored = {
    "the limit taken for a value": fit(noted),
    "such rows left out": fit(x[~hidden]),
    "told of the limit": fit(noted, censored=(shortest, None)),
}

# ---- eruptions after waits over 80 minutes are not known at all ----------------------------------
longest = (np.inf, 85.0)
seen = x[x[:, 1] <= 85.0]
truncated = {
    "not told": fit(seen),
    "told of the limit": fit(seen, selection=(None, longest)),
}

print("nats per eruption lost against the fit of all rows")
print(f"  {100 * hidden.mean():.0f} % of eruptions noted as under 2 minutes")
for name, mix in censored.items():
    print(f"    {name:28}{np.mean(whole.log_density(x) - mix.log_density(x)):5.2f}")
print(f"  {100 - 100 * len(seen) / len(x):.0f} % of waits over 85 minutes, and not noted")
for name, mix in truncated.items():
    print(f"    {name:28}{np.mean(whole.log_density(x) - mix.log_density(x)):5.2f}")

# ---- the picture ---------------------------------------------------------------------------------
plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
figure, (left, right) = plt.subplots(1, 2, figsize=(11, 3.9), layout="constrained")
curves = {
    left: (0, censored, 2.0, np.linspace(1.0, 5.8, 500), "eruption, minutes"),
    right: (1, truncated, 85.0, np.linspace(35, 105, 500), "wait, minutes"),
}
for axes, (column, fits, limit, grid, label) in curves.items():
    bins = np.arange(grid[0], grid[-1], 0.2 if column == 0 else 4)
    axes.hist(x[:, column], bins, density=True, color=GREY, alpha=0.6, label="all eruptions")
    for name, mix in fits.items():
        density = np.exp(mix.marginal([column]).log_density(grid[:, None]))
        color = BLUE if name.startswith("told") else ORANGE
        style = "--" if name.endswith("left out") else "-"
        axes.plot(grid, density, color=color, linestyle=style, linewidth=2, label=name)
    axes.axvline(limit, color=INK, linewidth=1, linestyle=":")
    axes.set(xlabel=label, yticks=[])
    axes.set_ylim(0, 1.25 * axes.get_ylim()[1] if column else 1.1)
    axes.legend(frameon=False, fontsize=9, loc="upper left" if column else "upper center")
left.set_title("censored: “under 2 minutes”", loc="left", fontweight="bold")
right.set_title("truncated: no wait over 85 minutes", loc="left", fontweight="bold")

figure.savefig(PICTURE, dpi=110)
