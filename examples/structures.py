"""Structures: which of mclust's fourteen fits a laboratory's tests of the thyroid.

A name has three letters, for volume, shape and orientation of the components: E where they are
equal, V where they vary, I where shape or orientation is that of the axes. All fourteen are tried
with one to five components, and scored by BIC.

The least BIC is that of 4 components whose axes are those of the tests but whose volumes and shapes
differ (VVI, 4766): the 34 patients who are alone in their component all have an overactive thyroid,
and 2 components hold most of the underactive ones. The adjusted Rand index with the
diagnosis, which no fit has seen, is 0.88; with 3 components, at a worse BIC (4778), it is 0.89.
Full covariances (VVV) pay for parameters that they do not need (4810, 0.86), and a covariance that
all share (EEE) misses the groups (0.47).

Run from anywhere: python examples/structures.py [PICTURE]
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from sklearn.metrics import adjusted_rand_score

import mixtura as mx

INK, BLUE, ORANGE, PURPLE = "#222222", "#2563a8", "#d9722b", "#7a4fa3"
PICTURE = Path(sys.argv[1]) if len(sys.argv) > 1 else Path("structures.png")
DATA = Path(__file__).parent / "data" / "thyroid.csv"
FOURTEEN = [
    *("EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE"),
    *("VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV"),
]
COUNTS = range(1, 6)

# ---- five tests of 215 patients, and what the doctors found --------------------------------------
tests = np.loadtxt(DATA, delimiter=",", skiprows=1, usecols=range(5))
diagnosis = np.loadtxt(DATA, delimiter=",", skiprows=1, usecols=5, dtype=str)
NAMES = {"Normal": INK, "Hyper": ORANGE, "Hypo": PURPLE}

# ---- fourteen structures, five numbers of components ---------------------------------------------
settings = {"reg_covar": "auto", "tol": 1e-5, "random_state": 0}
model = mx.GaussianMixture(COUNTS, covariance_type=FOURTEEN, **settings).fit(tests)
trials = [trial for trial in model.search_.trials if trial.error is None]
best = model.search_.best
print(
    f"{len(trials)} fits; least BIC {best.bic:.1f}: {best.covariance_type}, {model.n_components_}"
)

# ---- do the components agree with the diagnosis, which no fit has seen? --------------------------
# An adjusted Rand index of 1 is perfect agreement; chance alone gives 0.
print("structure  components    BIC  adjusted Rand index")
for name, counts in (("VVI", COUNTS), ("VVI", [3]), ("VVV", COUNTS), ("EEE", COUNTS)):
    one = mx.GaussianMixture(counts, covariance_type=[name], **settings).fit(tests)
    index = adjusted_rand_score(diagnosis, one.predict(tests))
    print(f"{name}        {one.n_components_:10}  {one.search_.best.bic:.0f}  {index:19.2f}")

groups = model.predict(tests)
order = np.argsort(-np.bincount(groups))
print("component  " + "  ".join(NAMES))
table = np.array([[np.sum((groups == j) & (diagnosis == name)) for name in NAMES] for j in order])
for number, row in enumerate(table, 1):
    print(f"{number:9}  {row[0]:6}  {row[1]:5}  {row[2]:4}")

# ---- the picture ---------------------------------------------------------------------------------
plt.rcParams.update({"font.size": 10, "axes.spines.top": False, "axes.spines.right": False})
figure, (left, middle, right) = plt.subplots(
    1, 3, figsize=(12, 4.4), layout="constrained", width_ratios=[1, 1.25, 0.8]
)

bic = np.full((len(FOURTEEN), len(COUNTS)), np.nan)
for trial in trials:
    bic[FOURTEEN.index(trial.covariance_type), trial.n_components - 1] = trial.bic
left.imshow(np.log(bic - bic.min() + 30), cmap="Blues_r", aspect="auto")
for (row, column), value in np.ndenumerate(bic):
    pale = value > np.median(bic)
    left.text(column, row, f"{value:,.0f}", color=INK if pale else "white", ha="center",
              va="center", fontsize=8)  # fmt: skip
at = COUNTS.index(best.n_components), FOURTEEN.index(best.covariance_type)
left.add_patch(plt.Rectangle(np.subtract(at, 0.5), 1, 1, fill=False, edgecolor=ORANGE, linewidth=3))
left.set(xticks=range(5), xticklabels=COUNTS, yticks=range(14), yticklabels=FOURTEEN)
left.set(xlabel="components")
left.set_title("BIC (lower is better)", loc="left", fontweight="bold")

for name, color in NAMES.items():
    middle.plot(*tests[diagnosis == name][:, [1, 4]].T, ".", color=color, label=name.lower())
pair = model.mixture_.marginal([1, 4])
angle = np.linspace(0, 2 * np.pi, 100)
circle = np.stack([np.cos(angle), np.sin(angle)])
for number, j in enumerate(order, 1):
    for share in (0.5, 0.9):
        radius = np.sqrt(-2 * np.log(1 - share))
        factor = np.linalg.cholesky(pair.covariance.dense()[j])
        outline = pair.means[j][:, None] + radius * factor @ circle
        middle.plot(*outline, color=BLUE, linewidth=1)
    middle.text(*outline[:, 12], f" {number}", color=BLUE, fontweight="bold")
middle.set(xlabel="thyroxin (T4), µg / 100 ml", ylabel="rise of TSH, µU / ml")
middle.legend(frameon=False, loc="upper right", fontsize=9)
middle.set_title("two of five tests", loc="left", fontweight="bold")

bottom = np.zeros(len(table))
for count, (name, color) in zip(table.T, NAMES.items(), strict=True):
    right.bar(range(1, len(table) + 1), count, bottom=bottom, color=color, label=name.lower())
    bottom += count
right.set(xlabel="component", ylabel="patients", xticks=range(1, len(table) + 1))
right.set_title("and the diagnosis", loc="left", fontweight="bold")

figure.savefig(PICTURE, dpi=110)
