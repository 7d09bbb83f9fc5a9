"""Rows as they come: any layout, dtype or mapping, without a copy of the whole."""

from __future__ import annotations

import subprocess
import sys
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose

import mixtura as mx

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def rows(n=600):
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(m, 1, (n // 2, 3)) for m in (-3.0, 3.0)])


def fitted(x):
    return mx.GaussianMixture(2, init_params="random_from_data", random_state=0).fit(x)


def forms(x, folder):
    """The same rows in other layouts."""
    wide = np.zeros((2 * len(x), 6))
    wide[::2, ::2] = x
    locked = x.copy()
    locked.flags.writeable = False
    np.save(folder / "rows.npy", x)
    return {
        "fortran": np.asfortranarray(x),
        "strided": wide[::2, ::2],
        "reversed": x[::-1].copy()[::-1],
        "read-only": locked,
        "mapped": np.load(folder / "rows.npy", mmap_mode="r"),
    }


def fits_alike(fit, x, other):
    """Law: the layout of rows does not change what is fitted, nor the rows."""
    kept = np.array(other)
    expected, got = fitted(x), fit(other)
    assert_allclose(got.means_, expected.means_, rtol=1e-9)
    assert_allclose(got.covariances_, expected.covariances_, rtol=1e-9)
    for answer in ("score_samples", "predict_proba"):
        assert_allclose(getattr(got, answer)(other), getattr(expected, answer)(x), rtol=1e-9)
    assert_allclose(got.mixture_.log_density(other), expected.mixture_.log_density(x), rtol=1e-9)
    assert (np.array(other) == kept).all()


@pytest.mark.parametrize("form", ["fortran", "strided", "reversed", "read-only", "mapped"])
def test_any_layout_is_fitted_alike(form, tmp_path):
    x = rows()
    fits_alike(fitted, x, forms(x, tmp_path)[form])


def test_a_fit_that_reads_memory_in_its_own_order_is_rejected(tmp_path):
    x = rows()
    with pytest.raises(AssertionError):
        lie = forms(x, tmp_path)["fortran"]
        fits_alike(lambda v: fitted(v.ravel(order="K").reshape(v.shape)), x, lie)


@pytest.mark.parametrize("dtype", ["int32", "int64", "uint8", "float16", "bool"])
def test_other_numbers_are_converted_and_it_is_said_once(dtype):
    x = np.clip(np.round(rows()) + 8, 0, 1 if dtype == "bool" else 16).astype(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error", FutureWarning)  # no warning: whole numbers are ordinary
        warnings.simplefilter("error", RuntimeWarning)
        gm = fitted(x)
    assert [note for note in gm.notes_ if dtype in note]
    assert len([note for note in gm.notes_ if "converted" in note]) == 1
    assert_allclose(gm.means_, fitted(x.astype(float)).means_)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_floats_need_no_conversion(dtype):
    assert fitted(rows().astype(dtype)).notes_ == ()


MEASURED = """
import sys
import numpy as np, mixtura as mx
kind, path = sys.argv[1:]
n, d = 6_000_000, 8
def high():
    return int(open("/proc/self/status").read().split("VmHWM:")[1].split()[0]) * 1024
def anonymous():
    return int(open("/proc/self/status").read().split("RssAnon:")[1].split()[0]) * 1024
x = np.lib.format.open_memmap(path, mode="r")
if kind == "strided":
    x = x[::-1]
start = np.array(x[:4])
gm = mx.GaussianMixture(
    4, weights_init=np.full(4, 0.25), means_init=start, precisions_init=np.ones((4, d)),
    covariance_type="diag", max_iter=1, tol=0,
)
import threading, time
most, going = [anonymous()], True
def watch():
    while going:
        most.append(anonymous())
        time.sleep(0.005)
thread = threading.Thread(target=watch)
before = anonymous()
thread.start()
gm.fit(x)
gm.mixture_.log_density(x[: n // 2])
going = False
thread.join()
print(max(most) - before)
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="reads /proc")
@pytest.mark.parametrize("kind", ["mapped", "fortran", "strided"])
def test_a_mapped_table_is_not_copied(kind, tmp_path):
    n, d = 6_000_000, 8
    path = tmp_path / "rows.npy"
    table = np.lib.format.open_memmap(
        path, mode="w+", dtype=np.float64, shape=(n, d), fortran_order=kind == "fortran"
    )
    rng = np.random.default_rng(0)
    for low in range(0, n, 500_000):
        table[low : low + 500_000] = rng.standard_normal((500_000, d))
    table.flush()
    del table
    command = [sys.executable, "-W", "ignore", "-c", MEASURED, kind, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=True)
    # Log densities (24 MB) and working memory, where the table has 384 MB.
    assert int(done.stdout) < 120 * 2**20
