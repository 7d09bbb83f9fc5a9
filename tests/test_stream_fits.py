"""Fits to streams: the answers of memory, whatever the chunks, in memory that does not grow."""

import subprocess
import sys
import tracemalloc
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose
from pyarrow import parquet
from sklearn.base import clone
from threadpoolctl import threadpool_limits

import mixtura as mx
from mixtura.arrays import compiled
from mixtura.covariance import STRUCTURES, Added, structure
from mixtura.errors import InputError
from mixtura.fit import driver, search
from mixtura.fit.accelerate import squarem_step
from mixtura.fit.budget import plan
from mixtura.fit.engines import Chunked, Dense, Truncated
from mixtura.fit.ground import arrive
from mixtura.fit.initialise import model_from_start
from mixtura.fit.recover import sow
from mixtura.sources import Rows
from mixtura.sources.streamed import Streamed
from mixtura.sources.streams import stream
from tests.test_streams import OnDisk

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

#: A budget within which the table below is not held.
TIGHT = "22MB"


@pytest.fixture(autouse=True)
def one_thread():
    """Budgets hold a batch for every thread: the same number of them on any machine."""
    with threadpool_limits(1, user_api="blas"):
        yield


def groups(n, d=3, k=3, seed=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % k
    maps = rng.normal(size=(k, d, d)) / np.sqrt(d) + np.eye(d)
    x = 4.0 * rng.normal(size=(k, d))[labels]
    return x + np.einsum("nij,nj->ni", maps[labels], rng.normal(size=(n, d))), labels


@pytest.fixture
def weight(rng):
    return rng.uniform(0.2, 3.0, 3001)


def in_pieces(x, w=None, chunk=500, sample=10**6, size=977):
    """The same rows as a stream of batches."""
    rows = stream([x[i : i + size] for i in range(0, len(x), size)])
    rows.weigh(w)
    return Streamed.of(rows, chunk=chunk, sample=sample)


def model_of(name, x, labels, w=None):
    rows = Rows(x, w)
    rule = structure(name, None, x.shape[1])
    return model_from_start(rows, labels, int(labels.max()) + 1, rule, Added(1e-6)), rows


def alike(one, other, rtol=1e-12):
    """Two models, to rounding: covariances in units of their own scale."""
    assert_allclose(one.weights, other.weights, rtol=rtol)
    scale = np.sqrt(other.covariance.diagonal())
    assert (np.abs(one.means - other.means) <= rtol * (scale + np.abs(other.means))).all()
    a, b = (np.asarray(m.covariance.dense()) for m in (one, other))
    size = np.sqrt(np.einsum("kii,kjj->kij", b, b))
    assert np.abs((a - b) / size).max() <= rtol


# ---- statistics and iterations -------------------------------------------------------------------
def adds_up(engine, model, rows, streamed, rtol=1e-12):
    """Law: the statistics of a stream are those of its rows in memory."""
    expected, height, _ = Dense().expect(model, rows)
    stats, loglik, _ = engine.expect(model, streamed)
    assert_allclose(loglik, height, rtol=rtol)
    stats = stats.about(expected.anchor)
    for part in ("mass", "first", "second"):
        a, b = getattr(stats, part), getattr(expected, part)
        assert np.abs(a - b).max() <= rtol * np.abs(b).max(), part


@pytest.mark.parametrize("eager", [False, True])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["full", "tied", "diag", "spherical", "lowrank", "VEV", "VVI"])
def test_statistics_of_chunks_add_up(name, weighted, eager, weight, monkeypatch):
    if eager:
        monkeypatch.setattr(compiled, "LEAST_WORK", 1)
    x, labels = groups(3001, 4)
    w = weight if weighted else None
    model, rows = model_of(name, x, labels, w)
    for chunk in (7, 500, 3001):
        if chunk == 7:
            small = groups(60, 4)[0]
            part = None if w is None else w[:60]
            adds_up(Chunked(Dense()), model, Rows(small, part), in_pieces(small, part, 7))
            continue
        adds_up(Chunked(Dense()), model, rows, in_pieces(x, w, chunk))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["full", "tied", "diag", "lowrank", "VEV"])
def test_statistics_of_rows_with_gaps_add_up(name, weighted, dtype, weight, monkeypatch, rng):
    monkeypatch.setattr("mixtura.fit.engines.chunked.PIECE", 300)
    x, labels = groups(3001, 4)
    w = weight if weighted else None
    model, _ = model_of(name, x, labels, w)
    x[rng.random(x.shape) < 0.2] = np.nan
    x[np.isnan(x).all(axis=1), 1] = 0.5
    x[:700] = groups(700, 4)[0]  # whole chunks between
    x = x.astype(dtype)
    rows = arrive(x, w)
    rtol = 1e-12 if dtype == np.float64 else 1e-11
    for chunk in (333, 3001):
        adds_up(Chunked(Dense()), model, rows, in_pieces(x, w, chunk), rtol)


def test_gaps_that_are_filled_with_zeros_are_rejected(rng):
    class Fills(Chunked):
        def expect(self, model, rows, memory=None):
            x = np.concatenate([np.nan_to_num(chunk.x) for chunk in rows.chunks()])
            return self.inner.expect(model, Rows(x), memory)

    x, labels = groups(3001, 4)
    model, _ = model_of("full", x, labels)
    x[::7, 2] = np.nan
    with pytest.raises(AssertionError):
        adds_up(Fills(Dense()), model, arrive(x, None), in_pieces(x))


class Drops(Chunked):
    """A liar: the last chunk does not count."""

    def expect(self, model, rows, memory=None):
        chunks = list(rows.chunks())
        parts = [self.inner.expect(model, replace(c, x=c.x.copy())) for c in chunks[:-1]]
        stats, loglik, _ = parts[0]
        for part, more, _ in parts[1:]:
            stats, loglik = stats.absorb(part), loglik + more
        return stats, loglik, memory


class Unweighted(Chunked):
    """A liar: weights are left at the door."""

    def expect(self, model, rows, memory=None):
        x = np.concatenate([c.x.copy() for c in rows.chunks()])
        return self.inner.expect(model, Rows(x), memory)


@pytest.mark.parametrize("lie", [Drops, Unweighted])
def test_engines_that_lose_rows_or_weights_are_rejected(lie, weight):
    x, labels = groups(3001, 4)
    model, rows = model_of("full", x, labels, weight)
    with pytest.raises(AssertionError):
        adds_up(lie(Dense()), model, rows, in_pieces(x, weight))


@pytest.mark.parametrize("step", ["plain", "accelerated"])
@pytest.mark.parametrize("name", ["full", "tied", "diag", "VEV"])
def test_iterations_are_those_of_memory(name, step, weight):
    x, labels = groups(3001, 3)
    labels = np.roll(labels, 700)
    model, rows = model_of(name, x, labels, weight)
    how = {"max_iter": 12, "tol": 0.0}
    if step == "accelerated":
        how["step"] = squarem_step
    expected = driver.run(model, rows, Dense(), **how)
    for chunk in (333, 3001):
        found = driver.run(model, in_pieces(x, weight, chunk), Chunked(Dense()), **how)
        assert_allclose(found.trace, expected.trace, rtol=1e-12)
        alike(found.model, expected.model, 1e-11)


def test_engines_are_left_alone_with_rows_in_memory():
    x, labels = groups(500)
    model, rows = model_of("full", x, labels)
    a, b = (engine.expect(model, rows) for engine in (Dense(), Chunked(Dense())))
    assert a[1] == b[1] and (a[0].second == b[0].second).all()


def test_collapsed_components_are_sown_in_the_sample():
    x, labels = groups(3001)
    model, _ = model_of("full", x, labels)
    rows = in_pieces(x, sample=200)
    mended = sow(model, rows, np.array([1]))
    assert (np.isclose(mended.means[1], rows.held.x).all(axis=1)).any()


# ---- the estimator -------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A table of 200,000 rows as NPY, as Parquet, and in memory."""
    x, _ = groups(200_000, 4)
    folder = tmp_path_factory.mktemp("large")
    np.save(folder / "x.npy", x)
    names = ("a", "b", "c", "d")
    parquet.write_table(pa.table(dict(zip(names, x.T, strict=True))), folder / "x.parquet")
    return folder, x


def given(k, d, x):
    return {
        "weights_init": np.full(k, 1 / k),
        "means_init": x[:k],
        "precisions_init": np.stack([np.eye(d)] * k),
    }


@pytest.mark.parametrize("precision", ["double", "mixed", "single"])
@pytest.mark.parametrize("form", ["x.npy", "x.parquet", "mapped", "generator", "lazy"])
def test_fits_to_streams_are_those_of_memory(form, precision, large):
    folder, x = large
    how = {"max_iter": 8, "tol": 0.0, "precision": precision, **given(3, 4, x)}
    expected = mx.GaussianMixture(3, **how).fit(x)
    source = folder / form
    if form == "mapped":
        source = np.load(folder / "x.npy", mmap_mode="r")
    if form == "lazy":
        source = OnDisk(x)
    if form == "generator":
        source = (x[i : i + 30_000] for i in range(0, len(x), 30_000))
    found = mx.GaussianMixture(3, memory=TIGHT, **how).fit(source)
    rtol = {"double": 1e-11, "mixed": 1e-4, "single": 1e-2}[precision]
    assert_allclose(found.trace_, expected.trace_, rtol=1e-12 if precision == "double" else 1e-5)
    alike(found.mixture_, expected.mixture_, rtol)
    if form == "generator":
        assert [note for note in found.notes_ if "6.4 MB" in note]


def test_a_fit_begins_on_a_sample_and_ends_on_all_rows(large):
    folder, x = large
    how = {"random_state": 0, "tol": 1e-6, "n_init": 4}
    best = mx.GaussianMixture(3, **how).fit(x)
    for memory in (TIGHT, "24MB"):
        found = mx.GaussianMixture(3, memory=memory, **how).fit(folder / "x.npy")
        assert abs(found.score(x) - best.score(x)) < 1e-4
        again = mx.GaussianMixture(3, memory=memory, **how).fit(folder / "x.npy")
        assert (found.means_ == again.means_).all()


def test_a_file_that_fits_is_fitted_as_an_array(large):
    folder, x = large
    how = {"random_state": 0, "max_iter": 20}
    expected = mx.GaussianMixture(3, **how).fit(x)
    for memory in ("1GB", None):
        found = mx.GaussianMixture(3, memory=memory, **how).fit(folder / "x.parquet")
        assert (found.means_ == expected.means_).all()
    holes = x[:1000].copy()
    holes[5, 1] = np.nan
    np.save(folder / "holes.npy", holes)
    found = mx.GaussianMixture(2, **how).fit(folder / "holes.npy")
    assert_allclose(found.means_, mx.GaussianMixture(2, **how).fit(holes).means_)


def test_accelerated_fits_begin_on_the_sample(large):
    folder, x = large
    how = {"tol": 1e-6, "max_iter": 500, **given(3, 4, x)}
    plain = mx.GaussianMixture(3, **how).fit(x)
    found = mx.GaussianMixture(3, memory=TIGHT, accelerate=True, **how).fit(folder / "x.npy")
    assert found.converged_ and found.lower_bound_ > plain.lower_bound_ - 1e-4
    assert (np.diff(found.trace_) > -1e-9).all()


@pytest.mark.parametrize("precision", ["double", "mixed"])
def test_missing_cells_are_fitted_as_in_memory(precision, large, tmp_path, rng):
    _, x = large
    x = x.copy()
    x[rng.random(x.shape) < 0.05] = np.nan
    x[np.isnan(x).all(axis=1)] = 0.0
    np.save(tmp_path / "x.npy", x)
    how = {"max_iter": 4, "tol": 0.0, "precision": precision, **given(3, 4, np.nan_to_num(x))}
    expected = mx.GaussianMixture(3, **how).fit(x)
    found = mx.GaussianMixture(3, memory=TIGHT, **how).fit(tmp_path / "x.npy")
    assert_allclose(found.trace_, expected.trace_, rtol=1e-12)
    alike(found.mixture_, expected.mixture_, 1e-10)
    assert_allclose(found.score(tmp_path / "x.npy"), expected.score(x), rtol=1e-11)
    own = mx.GaussianMixture(3, memory=TIGHT, random_state=0, reg_covar="auto", tol=1e-5)
    best = mx.GaussianMixture(3, random_state=0, reg_covar="auto", tol=1e-5).fit(x)
    assert abs(own.fit(tmp_path / "x.npy").score(x) - best.score(x)) < 1e-3


def test_weights_by_name_and_from_memory(large, tmp_path):
    _, x = large
    w = np.random.default_rng(0).uniform(0.1, 2.0, len(x))
    columns = dict(zip("abcd", x.T, strict=True))
    parquet.write_table(pa.table({**columns, "w": w}), tmp_path / "w.parquet")
    np.save(tmp_path / "x.npy", x)
    how = {"max_iter": 5, "tol": 0.0, **given(3, 4, x)}
    expected = mx.GaussianMixture(3, **how).fit(x, sample_weight=w)
    gm = mx.GaussianMixture(3, memory=TIGHT, **how)
    alike(gm.fit(tmp_path / "w.parquet", sample_weight="w").mixture_, expected.mixture_, 1e-11)
    assert list(gm.feature_names_in_) == list("abcd")
    score = expected.score(x, sample_weight=w)
    assert_allclose(gm.score(tmp_path / "w.parquet", sample_weight="w"), score, rtol=1e-11)
    alike(gm.fit(tmp_path / "x.npy", sample_weight=w).mixture_, expected.mixture_, 1e-11)
    assert_allclose(gm.score(tmp_path / "x.npy", sample_weight=w), score, rtol=1e-11)
    bic = expected.bic(x, sample_weight=w)
    assert_allclose(gm.bic(tmp_path / "x.npy", sample_weight=w), bic, rtol=1e-11)


def test_streams_are_scored_chunk_by_chunk(large, monkeypatch):
    folder, x = large
    monkeypatch.setattr("mixtura.estimators.streaming.SCORED", 30_001)
    gm = mx.GaussianMixture(3, random_state=0).fit(pd.DataFrame(x, columns=list("abcd")))
    frame = pd.DataFrame(x, columns=list("abcd"))
    for source in (folder / "x.parquet", folder / "x.npy", stream(folder / "x.npy")):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for answer in ("score_samples", "predict", "predict_proba"):
                got = getattr(gm, answer)(source)
                assert_allclose(got, getattr(gm, answer)(frame), rtol=1e-11, atol=1e-300)
            assert_allclose(gm.score(source), gm.score(frame), rtol=1e-12)
            assert_allclose(gm.bic(source), gm.bic(frame), rtol=1e-12)
            assert_allclose(gm.aic(source), gm.aic(frame), rtol=1e-12)
    assert (gm.fit_predict(folder / "x.npy") == gm.predict(x)).all()


def test_columns_of_a_file_are_found_by_name(large, tmp_path):
    folder, x = large
    gm = mx.GaussianMixture(3, random_state=0).fit(folder / "x.parquet")
    assert gm.n_features_in_ == 4 and list(gm.feature_names_in_) == list("abcd")
    assert gm.mixture_.columns == tuple("abcd")
    turned = pa.table({name: x[:, "abcd".index(name)] for name in "cdab"} | {"more": x[:, 0]})
    parquet.write_table(turned, tmp_path / "t.parquet")
    assert_allclose(
        gm.score_samples(tmp_path / "t.parquet"), gm.score_samples(folder / "x.parquet")
    )
    parquet.write_table(turned.select(["a", "b", "c"]), tmp_path / "t.parquet")
    with pytest.raises(InputError, match="'d'"):
        gm.score(tmp_path / "t.parquet")
    np.save(tmp_path / "three.npy", x[:, :3])
    with pytest.raises(InputError, match="3 features"):
        gm.score(tmp_path / "three.npy")


def test_parameters_are_stored_as_given():
    gm = mx.GaussianMixture(3, memory="500MB")
    assert clone(gm).memory == "500MB" and gm.get_params()["memory"] == "500MB"


def test_a_search_runs_on_streams(large):
    folder, x = large
    how = {"n_components": [2, 3, 4], "covariance_type": ["full", "diag"], "memory": "24MB"}
    gm = mx.GaussianMixture(**how, random_state=0).fit(folder / "x.npy")
    assert (gm.n_components_, gm.covariance_type_) == (3, "full")
    rows = Streamed.of(stream(folder / "x.npy"), chunk=50_000, sample=5000)
    result = search(rows, n_components=3, covariance_type="full", engine=Chunked(Dense()))
    total = result.mixture.log_density(x).sum()
    assert_allclose(result.best.log_likelihood * len(x), total, rtol=1e-9)


def test_automatic_floors_are_those_of_all_rows(large):
    folder, x = large
    gm = mx.GaussianMixture(3, reg_covar="auto", memory=TIGHT, random_state=0)
    gm.fit(folder / "x.npy")
    floor = search.__globals__["make_floor"]("auto", Rows(x))
    assert_allclose(gm._model.floor.scale, floor.scale, rtol=0.05)
    assert STRUCTURES  # the registry that floors serve


# ---- memory --------------------------------------------------------------------------------------
def peak(work):
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def stays_within(fit, folder, budget):
    """Law: what a fit takes is bounded by its budget, and does not grow with the rows."""
    peaks = []
    for n in (400_000, 1_200_000):  # compiled code serves both
        path = folder / f"{n}.npy"
        if not path.exists():
            np.save(path, groups(n, 6)[0].astype(np.float32))
        peaks.append(peak(lambda path=path: fit(path)))
    assert max(peaks) <= budget, peaks
    assert peaks[1] <= 1.1 * peaks[0] + 2**18, peaks


def fitted_within(path, memory="14MB"):
    mx.GaussianMixture(3, memory=memory, max_iter=3, random_state=0).fit(path)


@pytest.fixture
def warmed(tmp_path):
    x = groups(400_000, 6)[0].astype(np.float32)
    np.save(tmp_path / "warm.npy", x)
    fitted_within(tmp_path / "warm.npy")
    compiled.wait()
    return tmp_path


def test_memory_stays_within_its_budget(warmed):
    stays_within(fitted_within, warmed, 14_000_000)


def test_a_fit_that_holds_all_rows_is_rejected(warmed):
    def whole(path):
        x = np.load(path)
        mx.GaussianMixture(3, max_iter=3, random_state=0, init_params="random_from_data").fit(x)

    with pytest.raises(AssertionError):
        stays_within(whole, warmed, 14_000_000)


def test_the_least_budget_is_told_and_works(large):
    folder, _ = large
    for k in (1, 3, 50):
        with pytest.raises(InputError, match="the least that works") as caught:
            mx.GaussianMixture(k, memory="1MB").fit(folder / "x.npy")
        least = str(caught.value).split("memory='")[1].split("'")[0]
        found = plan(stream(folder / "x.npy"), int(least.removesuffix("MB")) * 10**6, k)
        assert found.chunk >= 1024 and not found.whole
        mx.GaussianMixture(k, memory=least, max_iter=1).fit(folder / "x.npy")


# ---- bad input -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "how",
    [
        {"noise": 0.1},
        {"censored": (0.0, None)},
        {"selection": (0.0, None)},
        {"operators": np.eye(4)},
    ],
)
def test_what_streams_do_not_take_is_refused(how, large):
    folder, _ = large
    with pytest.raises(InputError, match=f"expected {next(iter(how))}=None"):
        mx.GaussianMixture(2, memory=TIGHT).fit(folder / "x.npy", **how)
    gm = mx.GaussianMixture(2, max_iter=1).fit(folder / "x.npy")
    if "selection" not in how:
        with pytest.raises(InputError, match="streamed"):
            gm.predict(folder / "x.npy", **how)


def test_other_bad_input_is_refused(large, tmp_path):
    folder, x = large
    with pytest.raises(InputError, match="resp_init=None"):
        labels = np.zeros(len(x), dtype=int)
        mx.GaussianMixture(1, memory=TIGHT, resp_init=labels).fit(folder / "x.npy")
    holes = x.copy()
    holes[150_000] = np.nan
    np.save(tmp_path / "holes.npy", holes)
    with pytest.raises(InputError, match="none in row 150,001"):
        mx.GaussianMixture(2, memory=TIGHT).fit(tmp_path / "holes.npy")
    with pytest.raises(InputError, match="directory"):
        mx.GaussianMixture(2).fit(tmp_path)
    with pytest.raises(InputError, match="does not exist"):
        mx.GaussianMixture(2).fit("none.parquet")
    with pytest.raises(InputError, match="'500MB'"):
        mx.GaussianMixture(2, memory="lots").fit(folder / "x.npy")
    np.save(tmp_path / "one.npy", x[:1])
    with pytest.raises(InputError, match="at least 2 rows"):
        mx.GaussianMixture(1).fit(tmp_path / "one.npy")
    np.save(tmp_path / "few.npy", x[:3])
    with pytest.raises(InputError, match="n_samples = 3"):
        mx.GaussianMixture(4).fit(tmp_path / "few.npy")


def test_a_file_that_is_replaced_during_a_fit_is_refused(large, tmp_path):
    _, x = large
    path = tmp_path / "x.npy"
    np.save(path, x)

    class Replaces(Dense):
        def expect(self, model, rows, memory=None):
            np.save(tmp_path / "other.npy", x + 1)
            (tmp_path / "other.npy").replace(path)
            return super().expect(model, rows, memory)

    rows = Streamed.of(stream(path), chunk=20_000, sample=1000)
    model, _ = model_of("full", x, groups(200_000, 4)[1])
    with pytest.raises(InputError, match="was replaced"):
        driver.run(model, rows, Chunked(Replaces()))


def test_rows_beyond_float32_are_computed_in_float64(tmp_path):
    x = groups(200_000, 4)[0].astype(np.float32)
    x[7] *= np.float32(1e17)
    np.save(tmp_path / "x.npy", x)
    rows = Streamed.of(stream(tmp_path / "x.npy"), chunk=50_000, sample=1000)
    assert rows.x.dtype == np.float64 and next(rows.chunks()).x.dtype == np.float64


# ---- around it -----------------------------------------------------------------------------------
def test_npy_files_and_arrays_need_no_pyarrow(tmp_path):
    np.save(tmp_path / "x.npy", groups(500)[0])
    code = (
        "import sys\n"
        "class None_:\n"
        "    def find_spec(self, name, *more):\n"
        "        if name.startswith('pyarrow'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, None_())\n"
        "import mixtura as mx\n"
        "gm = mx.GaussianMixture(2).fit(sys.argv[1])\n"
        "assert gm.score(sys.argv[1]) < 0\n"
        "try: gm.fit(sys.argv[2])\n"
        "except mx.MixturaError as error: print(error)"
    )
    (tmp_path / "t.csv").write_text("a,b\n1,2\n3,4\n", encoding="utf8")
    command = [sys.executable, "-c", code, str(tmp_path / "x.npy"), str(tmp_path / "t.csv")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "mixtura[cli]" in done.stdout


def test_the_benchmark_times_the_same_iterations(tmp_path):
    from benchmarks.stream import passes, prepare

    paths = prepare(4000, 3, 4, tmp_path)
    found = passes(paths, 3, 4, 2, "100MB")
    assert set(found["seconds"]) == {"memory", "npy", "parquet"}
    assert all(len(seconds) == 2 for seconds in found["seconds"].values())
    assert_allclose(list(found["heights"].values()), found["heights"]["memory"], rtol=1e-12)
    assert (
        parquet.read_table(paths["parquet"]).to_pandas().to_numpy() == np.load(paths["npy"])
    ).all()


@pytest.mark.parametrize("engine", ["truncated", Truncated(4)])
def test_a_truncated_engine_is_refused(engine, tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((60_000, 3)))
    fit = mx.GaussianMixture(3, engine=engine, memory="24MB")
    with pytest.raises(InputError, match="engine='dense' or 'auto'"):
        fit.fit(tmp_path / "x.npy")
