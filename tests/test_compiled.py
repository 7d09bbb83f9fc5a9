"""Compiled kernels: equal to NumPy's path, not loaded for small work, cached where that can be."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose

import mixtura as mx
from mixtura.arrays import compiled, lanes_plain, patterns_plain, rotations_plain
from mixtura.covariance import STRUCTURES
from mixtura.fit.ground import arrive

EQUAL = {"rtol": 1e-10, "atol": 1e-10}

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# ---- kernels beside NumPy ------------------------------------------------------------------------
def components(rng, k, d):
    """Means (k, d), covariances (k, d, d) and their factors."""
    a = rng.standard_normal((k, d, d)) / d
    sigma = a @ np.swapaxes(a, 1, 2) + 0.3 * np.eye(d)
    return rng.standard_normal((k, d)), sigma, np.linalg.cholesky(sigma)


def groups(rng, n, k, p):
    """What ``patterns`` takes: y, starts, variance, means, sigma; base; resp."""
    means, sigma, base = components(rng, k, p)
    variance, label = np.unique(
        np.where(rng.random((n, p)) < 0.3, np.inf, 0.1), axis=0, return_inverse=True
    )
    label = np.sort(label.ravel())
    starts = np.searchsorted(label, np.arange(len(variance) + 1)).astype(np.int64)
    return (rng.standard_normal((n, p)), starts, variance, means, sigma), base, rng.random((k, n))


def lanes(rng, n, k, p, d, correlated, projected):
    """What ``lanes`` takes: y … base; resp."""
    means, sigma, base = components(rng, k, d)
    variance = np.where(rng.random((n, p)) < 0.2, np.inf, rng.random((n, p)))
    noise = rng.standard_normal((n, p, p)) if correlated else np.empty((0, p, p))
    operator = rng.standard_normal((n, p, d)) if projected else np.empty((0, p, d))
    noise = noise @ np.swapaxes(noise, 1, 2)
    y = rng.standard_normal((n, p))
    return (y, variance, noise, operator, means, sigma, base), rng.random((k, n))


def answers(module, family, seen, base, resp):
    """Log densities, moments and centres by one module."""
    k, n, d = *resp.shape, base.shape[2]
    out, first, second = np.zeros((k, n)), np.zeros((k, d)), np.zeros((k, d, d))
    centres = np.zeros((n, d))
    more = (base,) if family == "group" else ()
    said = [
        getattr(module, f"{family}_log_density")(*seen, out),
        getattr(module, f"{family}_moments")(*seen, *more, resp, first, second),
        getattr(module, f"{family}_centres")(*seen, *more, centres),
    ]
    return out, first, second, centres, said


def agree(got, expected):
    """Law: two paths say the same of densities, moments, centres, and of who failed."""
    assert got[-1] == expected[-1]
    for one, other in zip(got[:-1], expected[:-1], strict=True):
        assert_allclose(one, other, **EQUAL)


@pytest.mark.parametrize(("n", "k", "p"), [(1, 1, 1), (60, 3, 2), (200, 2, 5), (90, 4, 9)])
def test_groups_by_numpy_are_those_compiled(n, k, p):
    from mixtura.arrays import patterns

    case = groups(np.random.default_rng(n), n, k, p)
    agree(answers(patterns_plain, "group", *case), answers(patterns, "group", *case))


@pytest.mark.parametrize(
    ("n", "k", "p", "d", "correlated", "projected"),
    [
        (1, 1, 1, 1, False, False),
        (50, 3, 4, 4, False, False),
        (50, 2, 3, 3, True, False),
        (70, 3, 2, 5, False, True),
        (30, 2, 7, 3, True, True),
    ],
)
def test_lanes_by_numpy_are_those_compiled(n, k, p, d, correlated, projected):
    from mixtura.arrays import lanes as kernels

    seen, resp = lanes(np.random.default_rng(n + p), n, k, p, d, correlated, projected)
    case = seen, seen[-1], resp
    agree(answers(lanes_plain, "row", *case), answers(kernels, "row", *case))


def test_tiles_and_stacks_of_any_size_say_the_same(monkeypatch):
    rng = np.random.default_rng(0)
    grouped, (seen, resp) = groups(rng, 100, 2, 3), lanes(rng, 100, 2, 3, 3, True, True)
    whole = [
        answers(patterns_plain, "group", *grouped),
        answers(lanes_plain, "row", seen, seen[-1], resp),
    ]
    monkeypatch.setattr(patterns_plain, "HELD", 1)
    monkeypatch.setattr(lanes_plain, "HELD", 1)
    agree(answers(patterns_plain, "group", *grouped), whole[0])
    agree(answers(lanes_plain, "row", seen, seen[-1], resp), whole[1])


def test_both_name_the_component_that_is_not_definite():
    from mixtura.arrays import lanes as kernels
    from mixtura.arrays import patterns

    rng = np.random.default_rng(0)
    (y, starts, variance, means, sigma), base, resp = groups(rng, 40, 3, 2)
    sigma[1] = -np.eye(2)
    for module in (patterns, patterns_plain):
        *_, said = answers(module, "group", (y, starts, variance, means, sigma), base, resp)
        assert said == [1, 1, -1]
    seen, resp = lanes(rng, 40, 3, 2, 2, False, False)
    seen[5][1] = -5 * np.eye(2)
    for module in (kernels, lanes_plain):
        *_, said = answers(module, "row", seen, seen[-1], resp)
        assert said == [1, 1, -1]


class ForgetsConstants:
    """A liar: a missing cell still counts log 2π."""

    def __init__(self, module):
        self.module = module

    def __getattr__(self, name):
        function = getattr(self.module, name)
        if not name.endswith("log_density"):
            return function

        def lie(*arguments):
            said = function(*arguments)
            arguments[-1][:] -= 0.5 * np.log(2 * np.pi)
            return said

        return lie


def test_agreement_rejects_a_path_that_counts_missing_cells():
    case = groups(np.random.default_rng(0), 50, 2, 3)
    honest = answers(patterns_plain, "group", *case)
    with pytest.raises(AssertionError):
        agree(answers(ForgetsConstants(patterns_plain), "group", *case), honest)


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize(("k", "d"), [(2, 2), (3, 4), (4, 7)])
def test_rotations_by_numpy_are_those_compiled(k, d, free):
    from mixtura.arrays import rotations

    rng = np.random.default_rng(d)
    _, sigma, _ = components(rng, k, d)
    mass, power = 100 * rng.random(k), 0.0 if free else 1 / d
    ends = []
    for module in (rotations, rotations_plain):
        moments, axes = sigma.copy(), np.eye(d)
        module.rotate_axes(moments, axes, mass, power, 200, 1e-12)
        assert_allclose(np.swapaxes(axes @ moments @ axes.T, 1, 2), sigma, **EQUAL)
        ends.append((moments, axes))
    for one, other in zip(*ends, strict=True):
        assert_allclose(one, other, atol=1e-9)


# ---- every structure, rows of every kind ---------------------------------------------------------
def table(kind):
    """Rows and how they were measured."""
    rng = np.random.default_rng(7)
    x = np.concatenate([rng.normal(m, 1, (60, 3)) for m in (-3.0, 3.0)])
    x[:, 2] += 0.5 * x[:, 0]
    if kind == "missing":
        x[rng.random(x.shape) < 0.2] = np.nan
        x[np.isnan(x).all(axis=1), 0] = 0.0
    how = {
        "clean": {},
        "missing": {},
        "noisy": {"noise": rng.uniform(0.1, 0.5, x.shape)},
        "projected": {"noise": 0.1, "operators": np.eye(3) + 0.1 * rng.random((len(x), 3, 3))},
        "censored": {"censored": ([-3.5, None, None], None)},
    }[kind]
    return x, how


def fitted(name, kind):
    """Log densities of a short fit, and its parameters."""
    x, how = table(kind)
    if "censored" in how:
        how = {"censored": (np.array([-3.5, -np.inf, -np.inf]), None)}
    rank = 1 if name == "lowrank" else None
    gm = mx.GaussianMixture(
        2, covariance_type=name, rank=rank, random_state=0, max_iter=6, reg_covar=1e-6
    ).fit(x, **how)
    mix = gm.mixture_
    return gm.score_samples(x, **how), mix.weights, mix.means, mix.covariance.dense()


@pytest.mark.parametrize("kind", ["clean", "missing", "noisy", "projected", "censored"])
@pytest.mark.parametrize("name", [n for n in STRUCTURES if n != "kronecker"])
def test_fits_without_numba_are_those_with_it(name, kind, monkeypatch):
    monkeypatch.setattr(compiled, "LEAST_WORK", 0)
    with_numba = fitted(name, kind)
    monkeypatch.setenv("MIXTURA_NUMBA", "0")
    monkeypatch.setattr(compiled, "_numba_loads", lambda: pytest.fail("Numba was looked for"))
    for one, other in zip(fitted(name, kind), with_numba, strict=True):
        assert_allclose(one, other, rtol=1e-8, atol=1e-8)


# ---- when kernels serve --------------------------------------------------------------------------
def test_kernels_serve_from_a_million_rows_times_components(monkeypatch):
    monkeypatch.delenv("MIXTURA_NUMBA", raising=False)
    assert not compiled.serves(999_999)
    assert compiled.serves(1_000_000)
    assert compiled.choose("patterns.group_moments", 10) is patterns_plain.group_moments
    monkeypatch.setattr(compiled, "_numba_loads", lambda: False)
    assert not compiled.serves(1e12)
    assert compiled.choose("lanes.row_moments", 1e12) is lanes_plain.row_moments


def test_a_batch_is_taken_for_part_of_its_table():
    x, _ = table("missing")
    rows = arrive(x, None)
    assert rows.channel.whole == len(x)
    assert rows.batch(3, 7).channel.whole == len(x)
    assert rows.channel.as_of(5)[:2].whole == 5 * len(x)


def test_warm_compiles_in_the_background(monkeypatch):
    from mixtura.arrays import patterns

    compiled.warm("patterns.group_centres", work=10)
    assert not any(thread.is_alive() for thread in compiled._threads)
    compiled.warm("patterns.group_centres", "no.such_kernel", work=1e6)
    compiled.wait()
    before = list(patterns.group_centres.signatures)
    assert before
    seen, base, _ = groups(np.random.default_rng(0), 20, 1, 2)
    patterns.group_centres(*seen, base, np.zeros((20, 2)))
    assert patterns.group_centres.signatures == before, "a call has other types"


def fresh(code, **environment):
    """What a new interpreter prints."""
    env = {**os.environ, **environment}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


FIRST_USE = """
import sys, time
import numpy as np, mixtura as mx
x = np.random.default_rng(0).normal(size=(1000, 4))
gaps, noise = x.copy(), np.random.default_rng(1).random(x.shape)
gaps[::7, 1] = np.nan
for rows, how in ((x, {}), (gaps, {}), (x, {"noise": noise}), (x, {"censored": (-2.0, None)})):
    one = "diag" if "censored" in how else "full"
    gm = mx.GaussianMixture(3, random_state=0, covariance_type=one).fit(rows, **how)
    gm.score_samples(rows, **how), gm.predict_proba(rows, **how)
mx.GaussianMixture(3, covariance_type="EVE", random_state=0, max_iter=5).fit(x)
gm.mixture_.conditional([0]).mean(x[:, :1]), gm.mixture_.impute(gaps), gm.mixture_.sample(5)
print(*[name for name in ("numba", "llvmlite", "matplotlib", "torch") if name in sys.modules])
"""


@pytest.mark.filterwarnings("ignore")
def test_first_use_compiles_nothing(tmp_path):
    cache = tmp_path / "cache"
    assert fresh(FIRST_USE, NUMBA_CACHE_DIR=str(cache)) == ""
    assert not cache.exists()


def test_first_use_would_be_caught_compiling(tmp_path):
    lie = "from mixtura.arrays import patterns\n"  # as if a module imported kernels at its top
    assert "numba" in fresh(lie + FIRST_USE, NUMBA_CACHE_DIR=str(tmp_path))


def test_first_use_costs_little_beside_scikit_learn():
    # Processor time in one process, so that neither a busy machine nor a slow one matters.
    code = """
import time
import numpy as np
x = np.random.default_rng(0).normal(size=(1000, 4))
import sklearn.cluster, sklearn.mixture
sklearn.mixture.GaussianMixture(3).fit(x)
peer = time.process_time()
import mixtura as mx
mx.GaussianMixture(3).fit(x)
print((time.process_time() - peer) / peer)
"""
    assert min(float(fresh(code)) for _ in range(2)) < 0.5


# ---- where compiled code is kept -----------------------------------------------------------------
KERNEL = """
import sys
import numpy as np
from mixtura.arrays.compiled import jit

@jit
def twice(x):
    return 2 * x

@jit(fastmath={"reassoc"})
def area(x, out):
    for i in range(len(x)):
        out[i] = twice(x[i])

if __name__ == "__main__":
    dtype = sys.argv[1] if len(sys.argv) > 1 else "f8"
    x = np.arange(5, dtype=dtype)
    out = np.zeros_like(x)
    area(x, out)
    assert (out == 2 * x).all()
    print(sum(area.stats.cache_hits.values()))
"""


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "area.py"
    path.write_text(KERNEL, encoding="utf8")
    return path


def called(script, *arguments, **environment):
    """Cache hits of one run of the script."""
    placed = ("NUMBA_CACHE_DIR", "HOME", "XDG_CACHE_HOME")
    env = {k: v for k, v in os.environ.items() if k not in placed}
    command = [sys.executable, str(script), *arguments]
    done = subprocess.run(
        command, env={**env, **environment}, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    return int(done.stdout)


def test_compiled_code_is_kept(script, tmp_path):
    kept = {"NUMBA_CACHE_DIR": str(tmp_path / "kept"), "HOME": str(tmp_path)}
    assert [called(script, **kept) for _ in range(2)] == [0, 1]


def test_a_read_only_install_keeps_code_in_the_users_cache(script, tmp_path):
    (tmp_path / "__pycache__").write_text("in the way")  # also for root, whom no mode stops
    home = {"HOME": str(tmp_path / "home")}
    assert [called(script, **home) for _ in range(2)] == [0, 1]
    assert list((tmp_path / "home").rglob("*.nbc"))


@pytest.mark.parametrize(
    "environment",
    [{"HOME": "/proc/none"}, {"HOME": "/proc/none", "NUMBA_CACHE_DIR": "/proc/none"}],
    ids=["no home", "no such folder"],
)
def test_a_cache_that_cannot_be_written_is_no_error(script, tmp_path, environment):
    (tmp_path / "__pycache__").write_text("in the way")
    assert [called(script, **environment) for _ in range(2)] == [0, 0]


@pytest.mark.parametrize("suffix", [".nbi", ".nbc"])
def test_a_damaged_cache_is_made_anew(script, tmp_path, suffix):
    kept = {"NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    called(script, **kept)
    damaged = list((tmp_path / "kept").rglob(f"*{suffix}"))
    assert damaged
    for path in damaged:
        path.write_bytes(b"junk")
    assert [called(script, **kept) for _ in range(2)] == [0, 1]


@pytest.mark.slow
def test_eight_processes_may_start_at_once(script, tmp_path):
    kept = {"NUMBA_CACHE_DIR": str(tmp_path / "kept")}
    types = ["f8", "f4"] * 4  # in turns: two types in one file name would be the end
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda dtype: called(script, dtype, **kept), types))
    assert [called(script, dtype, **kept) for dtype in ("f8", "f4")] == [1, 1]
    assert not list(Path(kept["NUMBA_CACHE_DIR"]).rglob("*.tmp.*"))
