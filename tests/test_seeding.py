"""Fast starts: exact k-means++ by rejection, moving centres, partitions of many rows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.cluster import KMeans, kmeans_plusplus

from mixtura.fit import initialise, seeding
from mixtura.fit.initialise import STARTS, merged, model_from_start
from mixtura.fit.moving import moving
from mixtura.fit.nearest import Cloud, nearest_of
from mixtura.fit.partition import partition
from mixtura.fit.seeding import seeds
from mixtura.sources import Rows
from tests.laws import starts as laws

FEW = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 0.5], [4.0, 4.0], [4.5, 4.0], [-3.0, 5.0]])
WEIGHTS = np.array([1.0, 2.5, 0.5, 1.0, 3.0, 0.2])


def clusters(rng, n, k, d, spread=6.0):
    """Rows about centres of unequal masses."""
    centres = spread * rng.standard_normal((k, d))
    share = rng.dirichlet(np.ones(k))
    return centres[rng.choice(k, n, p=share)] + rng.standard_normal((n, d))


def exact_cost(x, centres):
    return ((x[:, None] - centres) ** 2).sum(axis=2).min(axis=1).mean()


# ---- the law of seeds ----------------------------------------------------------------------------
@pytest.mark.parametrize("weight", [np.ones(6), WEIGHTS], ids=["equal", "weighted"])
@pytest.mark.parametrize("k", [2, 3])
def test_seeds_follow_the_law_of_kmeans_plus_plus(k, weight):
    cloud = Cloud(FEW, weight)
    laws.follows_seeding_law(lambda rng: seeds(cloud, k, rng), FEW, weight, k)


@pytest.mark.parametrize("least", [1, 4])
def test_the_law_does_not_depend_on_how_proposals_are_judged(least, monkeypatch):
    # Tiny blocks: the bound is renewed at almost every centre, down to exact D² sampling.
    monkeypatch.setattr(seeding, "LEAST", least)
    monkeypatch.setattr(seeding, "MOST", least)
    cloud = Cloud(FEW, WEIGHTS)
    laws.follows_seeding_law(lambda rng: seeds(cloud, 3, rng), FEW, WEIGHTS, 3)


def test_the_law_holds_far_from_the_origin_and_for_single_precision():
    for x in (FEW + 1e8, FEW.astype(np.float32)):
        cloud = Cloud(x, WEIGHTS)
        laws.follows_seeding_law(lambda rng, c=cloud: seeds(c, 3, rng), FEW, WEIGHTS, 3)


def test_the_law_holds_where_single_precision_hides_distances():
    # Two far groups, each of rows that are near one another by 1e-7 of what lies between.
    x = np.concatenate([1e-7 * FEW[:3], 10 + 1e-7 * FEW[:3]])
    cloud = Cloud(x, WEIGHTS)
    laws.follows_seeding_law(lambda rng: seeds(cloud, 4, rng), x, WEIGHTS, 4)


def accepts_everything(cloud, k, rng):
    """Proposals as they come: rows by their distance to the first centre."""
    first = rng.choice(cloud.n, p=cloud.mass / cloud.mass.sum())
    p = cloud.mass * ((cloud.x - cloud.x[first]) ** 2).sum(axis=1)
    return [first, *rng.choice(cloud.n, k - 1, replace=False, p=p / p.sum())]


def accepts_by_distance(cloud, k, rng):
    """Accepted with D / √B in place of D² / B."""
    chosen = [rng.choice(cloud.n, p=cloud.mass / cloud.mass.sum())]
    bound = ((cloud.x - cloud.x[chosen[0]]) ** 2).sum(axis=1)
    p = cloud.mass * bound / (cloud.mass @ bound)
    while len(chosen) < k:
        i = rng.choice(cloud.n, p=p)
        d2 = ((cloud.x[i] - cloud.x[chosen]) ** 2).sum(axis=1).min()
        if rng.random() < np.sqrt(d2 / bound[i]):
            chosen.append(i)
    return chosen


def forgets_weights(cloud, k, rng):
    return seeds(Cloud(cloud.x), k, rng)


@pytest.mark.parametrize("liar", [accepts_everything, accepts_by_distance, forgets_weights])
def test_other_laws_are_rejected(liar):
    cloud = Cloud(FEW, WEIGHTS)
    with pytest.raises(AssertionError):
        laws.follows_seeding_law(lambda rng: liar(cloud, 3, rng), FEW, WEIGHTS, 3, 1500)


# ---- few distinct rows, rows without weight, work ------------------------------------------------
def test_repeated_rows_are_chosen_once_and_fewer_are_returned_than_asked_for():
    x = np.repeat(FEW, 50, axis=0)
    for offset in (0.0, 1e6):
        chosen = seeds(Cloud(x + offset), 10, np.random.default_rng(0))
        assert len(chosen) == 6
        assert len(np.unique(x[chosen], axis=0)) == 6
    assert len(seeds(Cloud(np.ones((30, 2))), 4, np.random.default_rng(0))) == 1


def test_rows_without_weight_are_never_chosen():
    weight = np.array([0.0, 1.0, 0.0, 1.0, 1.0, 0.0])
    for s in range(50):
        chosen = seeds(Cloud(FEW, weight), 3, np.random.default_rng(s))
        assert set(chosen) <= {1, 3, 4} and len(chosen) == 3


@pytest.mark.parametrize("outlier", [0.0, 1e6])
def test_work_is_bounded_by_passes_over_the_rows(outlier, monkeypatch):
    # A far row takes almost all proposals while the bound is stale: the bound is then renewed.
    x = clusters(np.random.default_rng(0), 20_000, 30, 4)
    x[0, 0] += outlier
    scored = [0]
    honest = seeding.nearest_of

    def counting(rows, centres):
        scored[0] += len(rows) * len(centres)
        return honest(rows, centres)

    monkeypatch.setattr(seeding, "nearest_of", counting)
    chosen = seeds(Cloud(x), 100, np.random.default_rng(0))
    assert len(np.unique(chosen)) == 100
    assert scored[0] < 3 * 20_000 * 100
    if not outlier:
        assert scored[0] < 20_000 * 100


# ---- precision -----------------------------------------------------------------------------------
def test_nearest_centres_are_found_in_the_precision_that_they_need():
    rng = np.random.default_rng(0)
    plain = Cloud(clusters(rng, 2000, 20, 3))
    assert plain.precision(plain.points(np.arange(20))) is np.float32
    x = clusters(rng, 2000, 20, 3)
    x[:1000] += 1e5  # two groups of clusters, far from each other
    far = Cloud(x)
    centres = far.points(np.arange(0, 2000, 50))
    dtype = far.precision(centres)
    assert dtype is np.float64
    labels = nearest_of(far.lifted(dtype), centres)
    direct = ((far.points(slice(None))[:, None] - centres) ** 2).sum(axis=2)
    assert_allclose(far.squared(centres, labels), direct.min(axis=1), rtol=1e-3)
    wrong = nearest_of(far.lifted(np.float32), centres)
    with pytest.raises(AssertionError):
        assert_allclose(far.squared(centres, wrong), direct.min(axis=1), rtol=1e-3)


# ---- partitions ----------------------------------------------------------------------------------
def quality(start, x, held, k, s):
    """Cost on held-out rows of the means of a start's groups."""
    labels = start(x, k, s)
    centres = np.stack([x[labels == j].mean(axis=0) for j in range(k)])
    return exact_cost(held, centres)


def costs_as_little(start, share):
    """Held-out cost within a share of scikit-learn's k-means, on the mean of three seeds."""
    rng = np.random.default_rng(3)
    table = clusters(rng, 24_000, 40, 8, spread=1.0)
    x, held = table[:20_000], table[20_000:]
    k = 50
    theirs = [
        quality(lambda x, k, s: KMeans(k, n_init=1, random_state=s).fit(x).labels_, x, held, k, s)
        for s in range(3)
    ]
    ours = [quality(start, x, held, k, s) for s in range(3)]
    assert np.mean(ours) <= (1 + share) * np.mean(theirs)


@pytest.mark.parametrize(("name", "share"), [("kmeans", 0.03), ("k-means++", 0.05)])
def test_fast_starts_cost_little_more_than_kmeans(name, share):
    costs_as_little(lambda x, k, s: STARTS[name](Rows(x), k, s), share)


def test_random_seeds_cost_more():
    def liar(x, k, s):
        rng = np.random.default_rng(s)
        cloud = Cloud(x)
        return nearest_of(cloud.lifted(np.float32), cloud.points(rng.choice(len(x), k)))

    with pytest.raises(AssertionError):
        costs_as_little(liar, 0.03)


def test_moving_betters_seeds_more_than_greedy_seeding_does():
    x = clusters(np.random.default_rng(5), 6000, 60, 6, spread=2.0)
    cloud = Cloud(x)
    ours, theirs = [], []
    for s in range(3):
        rng = np.random.default_rng(s)
        moved = moving(cloud, cloud.points(seeds(cloud, 60, rng)), rng)
        ours.append(exact_cost(x, moved * cloud.scale + cloud.mean))
        greedy = cloud.points(kmeans_plusplus(x, 60, random_state=s)[1])
        settled = moving(cloud, greedy, rng, shares=(0.0,) * 8)
        theirs.append(exact_cost(x, settled * cloud.scale + cloud.mean))
    assert np.mean(ours) <= 1.01 * np.mean(theirs)


def test_every_component_has_rows():
    x = np.concatenate([np.zeros((300, 2)), np.eye(2)[[0]] * 5, np.arange(20.0).reshape(10, 2)])
    x = x + 1e-3 * np.random.default_rng(0).standard_normal(x.shape)
    labels = partition(x, None, 40, np.random.default_rng(0), draw=60)
    assert set(labels) == set(range(40))


# ---- where fast starts are taken -----------------------------------------------------------------
@pytest.fixture
def everywhere(monkeypatch):
    monkeypatch.setattr(initialise, "MANY", 1)
    monkeypatch.setattr(initialise, "MUCH", 1)


@pytest.mark.parametrize("name", ["kmeans", "k-means++"])
def test_a_weight_of_two_starts_like_a_row_given_twice(name, everywhere):
    rng = np.random.default_rng(0)
    x = clusters(rng, 500, 5, 3)
    times = rng.integers(0, 4, len(x))
    order = np.repeat(np.arange(len(x)), times)
    weighted = STARTS[name](Rows(x, times.astype(float)), 7, 0)
    repeated = STARTS[name](Rows(x[order]), 7, 0)
    assert (
        weighted[times > 0][np.repeat(np.arange((times > 0).sum()), times[times > 0])] == repeated
    ).all()
    assert (weighted[times == 0] == -1).all()


def test_few_rows_start_as_scikit_learn_s_do(monkeypatch):
    def never(*args, **kwargs):
        raise AssertionError("the fast start was taken")

    monkeypatch.setattr(initialise, "partition", never)
    x = clusters(np.random.default_rng(0), 3000, 5, 2)
    labels = STARTS["kmeans"](Rows(x), 5, 0)
    assert (labels == KMeans(5, n_init=1, random_state=0).fit(x).labels_).all()
    with pytest.raises(AssertionError, match="was taken"):
        monkeypatch.setattr(initialise, "MANY", 3000)
        monkeypatch.setattr(initialise, "MUCH", 15_000)
        STARTS["kmeans"](Rows(x), 5, 0)


# ---- what stands around starts -------------------------------------------------------------------
def test_rows_that_repeat_are_found_wherever_they_are():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (30_000, 4)).astype(float) * [1, -1, 0.5, 1e9]
    values, weight, place = merged(Rows(x))
    expected, counts = np.unique(x, axis=0, return_counts=True)
    assert len(values) == len(expected) == 81
    assert (values[place] == x).all()
    order = np.lexsort(values.T[::-1])
    assert (values[order] == expected).all()
    assert (weight[order] == counts).all()
    whole = rng.standard_normal((9000, 3))
    values, weight, place = merged(Rows(whole))
    assert values is whole and weight is None and place is None
    assert merged(Rows(np.concatenate([whole, -0.0 * whole[:2]])))[2] is not None


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["full", "diag", "spherical", "tied", "lowrank", "VEV"])
def test_first_moments_by_groups_are_those_of_responsibilities(name, weighted):
    from mixtura.covariance import Added, structure

    rng = np.random.default_rng(0)
    x = clusters(rng, 600, 4, 5) + 100
    weight = rng.uniform(0, 2, 600) if weighted else None
    labels = rng.integers(0, 4, 600)
    labels[rng.random(600) < 0.2] = -1
    resp = (labels[:, None] == np.arange(4)).astype(float)
    rule = structure(name, 2, 5)
    ours = model_from_start(Rows(x, weight), labels, 4, rule, Added(1e-6))
    theirs = model_from_start(Rows(x, weight), resp, 4, rule, Added(1e-6))
    assert_allclose(ours.weights, theirs.weights, rtol=1e-12)
    assert_allclose(ours.means, theirs.means, rtol=1e-12)
    assert_allclose(ours.covariance.dense(), theirs.covariance.dense(), rtol=1e-7, atol=1e-8)
