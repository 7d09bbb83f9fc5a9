"""The cases: which data, how many components, which structure, and who takes part.

All libraries begin at one partition, that of k-means on standardised columns (fixed seed), or at
the weights, means and covariances that it gives, whichever the library takes.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

__all__ = ["CASES", "FOURTEEN", "GROUPS", "Case", "Start", "Table", "read", "start"]

Floats = np.ndarray[Any, np.dtype[np.floating[Any]]]

ROOT = Path(__file__).resolve().parents[2]
TESTS, EXAMPLES = ROOT / "tests" / "data", ROOT / "examples" / "data"
FOURTEEN = (
    *("EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE"),
    *("VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV"),
)


class Table(NamedTuple):
    """Rows (n, d), in which NaN is missing, with weights (n,) or noise covariances (n, d, d)."""

    x: Floats
    weights: Floats | None = None
    noise: Floats | None = None


class Start(NamedTuple):
    """A partition (n,), and the parameters of its groups; covariances are (k, d, d)."""

    labels: np.ndarray[Any, np.dtype[np.intp]]
    weights: Floats
    means: Floats
    covariances: Floats


@dataclass(frozen=True)
class Case:
    """One comparison.

    Attributes
    ----------
    group, data : str
        What is compared, and the name of a reader in ``DATA``.
    k : int
        Components.
    structure : str
        mclust's name.
    peers : tuple of str
        Who takes part beside us.
    iterations : int
        EM steps of the timed fit, the same for all.
    limit : int
        Most EM steps on the way to convergence; 0 where that is not asked for.
    """

    group: str
    data: str
    k: int
    structure: str
    peers: tuple[str, ...]
    iterations: int = 20
    limit: int = 10_000

    @property
    def name(self) -> str:
        """For messages."""
        return f"{self.group}: {self.data} {self.structure} k={self.k}"


def csv(path: Path) -> Floats:
    """The numeric columns of a CSV file with a header; a last column of classes is left out."""
    table = np.genfromtxt(path, delimiter=",", skip_header=1, missing_values="NA")
    return np.asarray(table[:, ~np.isnan(table).all(axis=0)])


def iris_with_holes() -> Table:
    """Iris, with one cell in five hidden at random."""
    x = csv(TESTS / "iris.csv.gz")
    hide = np.random.default_rng(0).random(x.shape) < 0.2
    hide[hide.all(axis=1), 0] = False
    return Table(np.where(hide, np.nan, x))


def quakes() -> Table:
    """Where the earth shook near Fiji (100 km, roughly), weighted by the stations that felt it."""
    lat, long, depth, _, stations = csv(EXAMPLES / "quakes.csv").T
    east = (long - 180) * np.cos(np.radians(lat)) * 1.1119
    return Table(np.stack([east, lat * 1.1119, depth / 100], axis=1), weights=stations)


def gaia(path: Path) -> Table:
    """Parallax and proper motion of a cluster's stars, with Gaia's errors and no correlations."""
    table = np.genfromtxt(path, delimiter=",", names=True)
    x = np.stack([table[name] for name in ("Plx", "pmRA", "pmDE")], axis=1)
    errors = np.stack([table[name] for name in ("e_Plx", "e_pmRA", "e_pmDE")], axis=1)
    return Table(x, noise=errors[:, :, None] ** 2 * np.eye(3))


def noisy() -> Table:
    """20,000 simulated rows in three columns, each with an error covariance of its own."""
    from benchmarks.noise import problem

    made = problem(20_000, 3, 5, np.random.default_rng(3))
    return Table(made.y, noise=made.s)


def digits(n: int = 100_000, holes: float = 0.0) -> Table:
    """A smoothed bootstrap of scikit-learn's digits in eight principal components."""
    from benchmarks.workloads import bootstrap

    rng = np.random.default_rng(0)
    x = bootstrap(n, 8, rng)
    if holes:
        hide = rng.random(x.shape) < holes
        hide[hide.all(axis=1), 0] = False
        x = np.where(hide, np.nan, x)
    return Table(x)


#: Names -> readers. ``gaia`` is read from a file that is not part of the project.
DATA: dict[str, Callable[[], Table]] = {
    "thyroid": lambda: Table(csv(TESTS / "thyroid.csv.gz")),
    "iris": lambda: Table(csv(TESTS / "iris.csv.gz")),
    "diabetes": lambda: Table(csv(TESTS / "diabetes.csv.gz")),
    "faithful": lambda: Table(csv(TESTS / "faithful.csv.gz")),
    "airquality": lambda: Table(csv(TESTS / "airquality.csv.gz")[:, :4]),
    "iris, 20 % hidden": iris_with_holes,
    "quakes, stations": quakes,
    "simulated errors": noisy,
    "digits": digits,
    "digits, 10 % hidden": lambda: digits(holes=0.1),
}


def read(data: str, files: dict[str, Path]) -> Table:
    """The rows of a case; ``files`` has the paths of what the project does not hold."""
    return gaia(files[data]) if data in files else DATA[data]()


def start(table: Table, k: int) -> Start:
    """Groups of k-means, and their weights, means and covariances (observed cells alone)."""
    from sklearn.cluster import KMeans

    x, n = table.x, len(table.x)
    middle, spread = np.nanmean(x, axis=0), np.nanstd(x, axis=0)
    whole = np.nan_to_num((x - middle) / spread)
    labels = KMeans(k, n_init=10 if n < 10_000 else 1, random_state=0).fit(whole).labels_
    mass = np.ones(n) if table.weights is None else table.weights
    weights = np.array([mass[labels == j].sum() for j in range(k)]) / mass.sum()
    means, covariances = [], []
    for j in range(k):
        rows, w = x[labels == j], mass[labels == j]
        seen = ~np.isnan(rows)
        mean = (w @ np.nan_to_num(rows)) / (w @ seen)
        centred = np.where(seen, rows - mean, 0)
        if seen.all():
            covariance = centred.T @ (w[:, None] * centred) / w.sum()
        else:
            covariance = np.diag((w @ centred**2) / (w @ seen))
        means.append(mean)
        covariances.append(covariance)
    return Start(labels.astype(np.intp), weights, np.array(means), np.array(covariances))


SMALL = (("thyroid", 3), ("iris", 3), ("diabetes", 3), ("faithful", 2))
FOUR = ("VVV", "VVI", "EEE", "VII")
ALL_BUT_STEPMIX = ("mclust", "scikit-learn")
CASES = (
    *(
        Case("structures", data, k, s, ALL_BUT_STEPMIX if s in FOUR else ("mclust",))
        for data, k in SMALL
        for s in FOURTEEN
    ),
    Case("missing cells", "airquality", 2, "VVI", ("StepMix",)),
    Case("missing cells", "airquality", 2, "VII", ("StepMix",)),
    Case("missing cells", "iris, 20 % hidden", 3, "VVI", ("StepMix",)),
    Case("missing cells", "iris, 20 % hidden", 3, "VVV", ("pygmmis",), limit=3_000),
    Case("weights", "quakes, stations", 4, "VVV", ("mclust",)),
    Case("weights", "quakes, stations", 4, "VVI", ("mclust", "StepMix")),
    Case("noise", "gaia", 2, "VVV", ("pygmmis",), limit=3_000),
    Case("noise", "simulated errors", 5, "VVV", ("pygmmis",), 5, 0),
    Case("size", "digits", 10, "VVV", ("mclust", "scikit-learn"), 5, 0),
    Case("size", "digits", 10, "VVI", ("mclust", "scikit-learn", "StepMix"), 5, 0),
    Case("size", "digits", 10, "EEE", ("mclust", "scikit-learn"), 5, 0),
    Case("size", "digits", 10, "VEV", ("mclust",), 5, 0),
    Case("size", "digits, 10 % hidden", 10, "VVI", ("StepMix",), 5, 0),
)
GROUPS = tuple(dict.fromkeys(case.group for case in CASES))
