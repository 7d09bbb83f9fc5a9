"""Streams: every source gives the rows that it holds, pass after pass, or says why not."""

import errno
import gzip
import os
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from numpy.testing import assert_allclose
from pyarrow import csv, dataset, feather, ipc, parquet

from mixtura.errors import InputError
from mixtura.sources import Rows
from mixtura.sources.budget import as_bytes, free_memory, told_bytes
from mixtura.sources.gathering import EmptyRowError, gathered
from mixtura.sources.streamed import Streamed
from mixtura.sources.streams import Stream, stream
from mixtura.sources.streams.prefetch import buffers, prefetched
from mixtura.sources.streams.spill import spilled

N = 5003


@pytest.fixture
def x(rng):
    return rng.normal(size=(N, 3)) * [1.0, 5.0, 0.1] + [0.0, 100.0, 3.0]


@pytest.fixture
def w(rng):
    return rng.uniform(0.1, 3.0, N)


def arrow_table(x, w=None):
    columns = {name: x[:, j] for j, name in enumerate("abc")}
    return pa.table(columns if w is None else {**columns, "w": w})


def ipc_file(path, table, new, size=700):
    with pa.OSFile(str(path), "wb") as sink, new(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=size)


class OnDisk:
    """Like an array of HDF5 or Zarr: slices of it are read, and it never is as a whole."""

    def __init__(self, x):
        self.x, self.shape, self.dtype = x, x.shape, x.dtype

    def __getitem__(self, part):
        assert part.stop - part.start < len(self.x) or part.stop == len(self.x)
        return self.x[part]


def sources(x, folder):
    """The same rows in every form: names -> functions that open them."""
    table = arrow_table(x)
    np.save(folder / "c.npy", x)
    np.save(folder / "f.npy", np.asfortranarray(x))
    records = np.empty(len(x), dtype=[("a", ">f8"), ("b", float), ("c", float)])
    for j, name in enumerate("abc"):
        records[name] = x[:, j]
    np.save(folder / "records.npy", records)
    parquet.write_table(table, folder / "t.parquet", row_group_size=1111)
    ipc_file(folder / "file.arrow", table, ipc.new_file)
    ipc_file(folder / "stream.arrow", table, ipc.new_stream)
    feather.write_feather(table, folder / "t.feather", chunksize=900, compression="lz4")
    csv.write_csv(table, folder / "t.csv")
    with gzip.open(folder / "t.csv.gz", "wb") as file:
        file.write((folder / "t.csv").read_bytes())
    blank = "\r\n".join(["a b c", *("   ".join(map(repr, row)) for row in x.tolist())])
    (folder / "blank.txt").write_text(blank, encoding="utf8")
    found = {name.name: (lambda name=name: stream(name)) for name in sorted(folder.iterdir())}
    mapped = np.load(folder / "c.npy", mmap_mode="r")
    parts = [x[i : i + 617] for i in range(0, len(x), 617)]
    frame = pd.DataFrame(x, columns=list("abc"))
    return found | {
        "mapped": lambda: stream(mapped),
        "mapped-columns": lambda: stream(np.load(folder / "f.npy", mmap_mode="r")),
        "strided": lambda: stream(np.repeat(x, 2, axis=0)[::2]),
        "on disk": lambda: stream(OnDisk(x)),
        "open file": lambda: stream((folder / "c.npy").open("rb")),
        "list": lambda: stream(parts),
        "generator": lambda: stream(part for part in parts),
        "frames": lambda: stream([frame[:1000], frame[1000:]]),
        "record batches": lambda: stream(table.to_batches(max_chunksize=800)),
        "reader": lambda: stream(table.to_reader(max_chunksize=800)),
        "dataset": lambda: stream(dataset.dataset(folder / "t.parquet")),
        "ParquetFile": lambda: stream(parquet.ParquetFile(folder / "t.parquet")),
        "read_csv": lambda: stream(pd.read_csv(folder / "t.csv", chunksize=999)),
    }


FORMS = [
    *("c.npy", "f.npy", "records.npy", "t.parquet", "file.arrow", "stream.arrow", "t.feather"),
    *("t.csv", "t.csv.gz", "blank.txt", "mapped", "mapped-columns", "strided", "open file"),
    "on disk",
    *("list", "generator", "frames", "record batches", "reader", "dataset", "ParquetFile"),
    "read_csv",
]


def all_rows(rows, size):
    return np.concatenate([part.copy() for part, _ in rows.chunks(size)])


def holds_its_rows(rows, x):
    """Law: every pass gives all rows in order, in chunks of the size that was asked for."""
    assert (rows.n, rows.d, rows.dtype) == (*x.shape, x.dtype)
    for size in (1, 64, 700, len(x), 10 * len(x)):
        if size == 1:
            first, _ = next(iter(rows.chunks(1)))
            assert (first == x[:1]).all()
            continue
        parts = [part.copy() for part, _ in rows.chunks(size)]
        assert all(len(part) == min(size, len(x)) for part in parts[:-1])
        assert np.array_equal(np.concatenate(parts), x)


@pytest.mark.parametrize("form", FORMS)
def test_every_source_holds_its_rows(form, x, tmp_path):
    with sources(x, tmp_path)[form]() as rows:
        holds_its_rows(rows, x)
        assert rows.columns in (None, ("a", "b", "c"))


class Forgets(Stream):
    """A liar: what does not fill a chunk at its end is lost."""

    ahead = False

    def __init__(self, x):
        super().__init__("liar", len(x), x.shape[1], x.dtype)
        self.x = x

    def reading(self):
        raise NotImplementedError

    def chunks(self, size):
        for start in range(0, max(self.n - self.n % size, 1), size):
            yield self.x[start : start + size], None


def test_a_stream_that_loses_its_end_is_rejected(x):
    with pytest.raises(AssertionError):
        holds_its_rows(Forgets(x), x)


class Overwrites(Forgets):
    """A liar: the buffer is filled again while it is in use."""

    def chunks(self, size):
        room = np.empty((size, self.d))
        parts = [self.x[i : i + size] for i in range(0, self.n, size)]
        for part, after in zip(parts, [*parts[1:], parts[-1]], strict=True):
            room[: len(after)] = after
            yield room[: len(part)], None


def test_a_buffer_that_is_overwritten_is_rejected(x):
    with pytest.raises(AssertionError):
        holds_its_rows(Overwrites(x), x)


@pytest.mark.parametrize("dtype", ["f4", "i4", "u1", ">f8", "f2", "?"])
def test_other_types_come_as_float64_and_float32_stays(dtype, x, tmp_path):
    y = np.clip(np.round(x), 0, 1 if dtype == "?" else 100).astype(dtype)
    np.save(tmp_path / "y.npy", y)
    with stream(tmp_path / "y.npy") as rows:
        assert rows.dtype == (np.float32 if dtype == "f4" else np.float64)
        assert (all_rows(rows, 333) == y).all()
    parquet.write_table(arrow_table(x.astype("f4")), tmp_path / "t.parquet")
    assert stream(tmp_path / "t.parquet").dtype == np.float32


def test_text_from_a_pipe_is_read_once(x, tmp_path):
    csv.write_csv(arrow_table(x), tmp_path / "t.csv")
    os.mkfifo(tmp_path / "pipe")
    text = (tmp_path / "t.csv").read_bytes()
    writer = threading.Thread(target=lambda: (tmp_path / "pipe").write_bytes(text))
    writer.start()
    with stream(tmp_path / "pipe") as rows:
        writer.join()
        holds_its_rows(rows, x)


def test_a_part_of_a_mapped_file_is_read_where_it_lies(x, tmp_path):
    np.save(tmp_path / "c.npy", x)
    mapped = np.load(tmp_path / "c.npy", mmap_mode="r")
    rows = stream(mapped[100:3000])
    assert "c.npy" in rows.name
    assert (all_rows(rows, 411) == x[100:3000]).all()
    assert (all_rows(stream(mapped[::3]), 411) == x[::3]).all()
    own = np.load(tmp_path / "c.npy", mmap_mode="c")
    own[7] = 1e3  # in a copy, not in the file
    assert (all_rows(stream(own), 411) == own).all()


@pytest.mark.parametrize("name", ["t.parquet", "file.arrow", "t.csv", "records.npy"])
def test_columns_and_weights_are_found_by_name(name, x, w, tmp_path):
    table = arrow_table(x, w)
    if name.endswith("parquet"):
        parquet.write_table(table, tmp_path / name)
    elif name.endswith("arrow"):
        ipc_file(tmp_path / name, table, ipc.new_file)
    elif name.endswith("csv"):
        csv.write_csv(table, tmp_path / name)
    else:
        np.save(tmp_path / name, table.to_pandas().to_records(index=False))
    with stream(tmp_path / name, columns=["c", "a"], weights="w") as rows:
        parts = [(part.copy(), v.copy()) for part, v in rows.chunks(777)]
        assert rows.columns == ("c", "a")
    assert (np.concatenate([part for part, _ in parts]) == x[:, [2, 0]]).all()
    assert (np.concatenate([v for _, v in parts]) == w).all()
    for bad in ({"columns": ["d"]}, {"weights": "v"}, {"columns": ["a", "a"]}):
        with pytest.raises(InputError):
            stream(tmp_path / name, **bad)
    with pytest.raises(InputError, match="did you mean"):
        stream(tmp_path / name, columns=["A"])


def test_the_index_of_a_data_frame_is_no_column(x, tmp_path):
    pd.DataFrame(x, columns=list("abc"), index=np.arange(N) + 7).to_parquet(tmp_path / "t.parquet")
    assert stream(tmp_path / "t.parquet").columns == ("a", "b", "c")


# ---- what is gathered in one pass ----------------------------------------------------------------
def gathers(gather, x, w):
    """Law: moments and extremes are those of all rows, whatever the chunks."""
    rows = Rows(x, w)
    for size in (13, 1000, len(x)):
        found = gather(
            ((x[i : i + size], None if w is None else w[i : i + size])
             for i in range(0, len(x), size)),
        )  # fmt: skip
        assert_allclose(found.total, rows.total_weight, rtol=1e-13)
        assert_allclose(found.mean, rows.mean(), rtol=1e-14, atol=1e-13)
        assert_allclose(found.variance, rows.variance(), rtol=1e-12)
        assert (found.low == x.min(axis=0)).all() and (found.high == x.max(axis=0)).all()
        assert found.lightest == (1.0 if w is None else w.min())


@pytest.mark.parametrize("weighted", [False, True])
def test_moments_are_of_the_cells_that_are_there(weighted, x, w, rng):
    x += 1e6
    x[rng.random(x.shape) < 0.3] = np.nan
    x[0, 1] = np.nan
    x[np.isnan(x).all(axis=1), 0] = 1e6
    v = w if weighted else np.ones(N)
    for size in (13, 1000):
        parts = ((x[i : i + size], v[i : i + size]) for i in range(0, N, size))
        found = gathered(parts, "x", 3, 100, 0)
        for j in range(3):
            here = ~np.isnan(x[:, j])
            mean = np.average(x[here, j] - 1e6, weights=v[here])
            spread = np.average((x[here, j] - 1e6 - mean) ** 2, weights=v[here])
            assert_allclose(found.mean[j], 1e6 + mean, rtol=1e-14)
            assert_allclose(found.variance[j], spread, rtol=1e-11)
            assert (found.low[j], found.high[j]) == (x[here, j].min(), x[here, j].max())
        assert found.gaps.rows == np.isnan(x).any(axis=1).sum()
        assert (found.gaps.cells == np.isnan(x).sum(axis=0)).all()


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("offset", [0.0, 1e7])
def test_moments_are_those_of_all_rows(weighted, offset, x, w):
    chosen = w if weighted else None
    gathers(lambda parts: gathered(parts, "x", 3, 100, 0), x + offset, chosen)


def test_moments_about_zero_are_rejected(x):
    def careless(parts):
        found = gathered(parts, "x", 3, 100, 0)
        y = x + 1e7
        object.__setattr__(found, "variance", (y**2).mean(axis=0) - y.mean(axis=0) ** 2)
        return found

    with pytest.raises(AssertionError):
        gathers(careless, x + 1e7, None)


def draws_fairly(draw, x, w):
    """Law: weighted sums over the sample are unbiased, and a seed gives one sample."""
    sums = []
    for seed in range(300):
        sample = draw(x, w, seed)
        v = np.ones(sample.n) if sample.weight is None else sample.weight
        sums.append(v @ sample.x)
    true = x.sum(axis=0) if w is None else w @ x
    error = np.std(sums, axis=0) / np.sqrt(len(sums))
    assert (np.abs(np.mean(sums, axis=0) - true) < 4 * error + 1e-9 * np.abs(true)).all()


def sampled(x, w, seed, size=211):
    parts = ((x[i : i + size], None if w is None else w[i : i + size])
             for i in range(0, len(x), size))  # fmt: skip
    return gathered(parts, "x", x.shape[1], 50, seed).sample


@pytest.mark.parametrize("weighted", [False, True])
def test_samples_are_fair(weighted, x, w):
    draws_fairly(sampled, x[:800], w[:800] ** 3 if weighted else None)


def test_a_sample_of_the_first_rows_is_rejected(x, w):
    order = np.argsort(x[:800, 0])

    def first(x, w, seed):
        return Rows(x[:50], np.full(50, len(x) / 50))

    with pytest.raises(AssertionError):
        draws_fairly(first, x[:800][order], None)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_sample_does_not_depend_on_chunks(weighted, x, w):
    chosen = w if weighted else None
    one, other = (sampled(x, chosen, 3, size) for size in (17, 5000))
    assert (one.x == other.x).all()
    assert_allclose(one.weight, other.weight, rtol=1e-13)
    assert one.n == 50 and len(np.unique(one.x[:, 0])) == 50
    few = sampled(x[:40], None, 0)
    assert (few.x == x[:40]).all() and few.weight is None


def test_rows_without_weight_are_not_sampled(x, w):
    w[::2] = 0
    sample = sampled(x, w, 0)
    assert np.isin(sample.x[:, 0], x[1::2, 0]).all()
    found = gathered(iter([(x, w)]), "x", 3, 50, 0)
    assert found.n_present == (w > 0).sum() and found.lightest == w[w > 0].min()


@pytest.mark.parametrize("factor", [1e-8, 1e12])
def test_weights_that_are_only_relative_are_balanced(factor, x, w, tmp_path):
    np.save(tmp_path / "x.npy", x)
    rows = stream(tmp_path / "x.npy")
    rows.weigh(w * factor)
    found = Streamed.of(rows, chunk=1000, sample=100)
    total = sum(part.weight.sum() for part in found.chunks())
    assert_allclose([total, found.total_weight], N)


# ---- bad input -----------------------------------------------------------------------------------
def refused(what, *match, error=InputError):
    with pytest.raises(error) as caught:
        what()
    for text in match:
        assert text in str(caught.value), str(caught.value)


def test_what_is_no_source_is_refused(x, tmp_path):
    refused(lambda: stream(tmp_path), "directory", "name one table")
    refused(lambda: stream(tmp_path / "none.npy"), "does not exist")
    refused(lambda: stream(7), "iterable of batches")
    refused(lambda: stream(iter([])), "got none")
    refused(lambda: stream([]), "got none")
    refused(lambda: stream(iter([np.zeros((2, 2)), np.zeros((2, 3))])), "2 columns", "batch 1")
    refused(lambda: stream(iter([np.zeros(3)])), "shape (3,)")
    refused(lambda: stream(iter(["text"])), "numbers")
    refused(lambda: stream([x], weights="w"), "names of columns")
    import io

    refused(lambda: stream(io.BytesIO(b"a,b\n1,2\n")), "without a name")
    (tmp_path / "o.npy").write_bytes(b"\x93NUMPY rubbish")
    refused(lambda: stream(tmp_path / "o.npy"), "damaged")
    np.save(tmp_path / "t.npy", np.array([["a", "b"]]))
    refused(lambda: stream(tmp_path / "t.npy"), "numbers", "<U1")
    np.save(tmp_path / "cube.npy", np.zeros((2, 2, 2)))
    refused(lambda: stream(tmp_path / "cube.npy"), "2 dimensions")


def test_columns_of_text_are_refused_by_name(x, tmp_path):
    table = arrow_table(x).append_column("name", pa.array(["u"] * N))
    parquet.write_table(table, tmp_path / "t.parquet")
    refused(lambda: stream(tmp_path / "t.parquet"), "'name'", "string", "leave it out")
    csv.write_csv(table, tmp_path / "t.csv")
    refused(lambda: stream(tmp_path / "t.csv"), "'name'", "text")
    assert stream(tmp_path / "t.csv", columns=["a", "b"]).d == 2


def test_text_that_turns_up_late_is_refused_with_its_place(tmp_path):
    lines = ["a,b", *(f"{i},{i / 7}" for i in range(60_000)), "oops,1"]
    (tmp_path / "t.csv").write_text("\n".join(lines), encoding="utf8")
    refused(lambda: stream(tmp_path / "t.csv"), "'a'", "oops", "60,001")
    lines[-1] = "1,2,3"
    (tmp_path / "t.csv").write_text("\n".join(lines), encoding="utf8")
    refused(lambda: stream(tmp_path / "t.csv"), "line 60002", "2 cells")


def test_quotes_may_hold_line_ends(tmp_path):
    rows = [(i, f'"text\n""{i}"', i / 3) for i in range(50_000)]
    lines = "a,t,b\n" + "\n".join(f"{a},{t},{b!r}" for a, t, b in rows)
    (tmp_path / "t.csv").write_text(lines, encoding="utf8")
    with stream(tmp_path / "t.csv", columns=["a", "b"]) as found:
        assert (all_rows(found, 9999) == [(a, b) for a, _, b in rows]).all()


@pytest.mark.parametrize("bad", [-np.inf, np.inf])
def test_infinite_cells_are_refused_with_their_place(bad, x, tmp_path):
    x[4321, 1] = bad
    parquet.write_table(arrow_table(x), tmp_path / "t.parquet")
    rows = stream(tmp_path / "t.parquet")
    refused(lambda: Streamed.of(rows, chunk=500, sample=50), "row 4,322, column b")


def test_rows_and_columns_of_nothing_are_refused(x, w, tmp_path):
    x[4321] = np.nan
    np.save(tmp_path / "x.npy", x)
    rows = stream(tmp_path / "x.npy")
    gather = lambda: Streamed.of(rows, chunk=500, sample=50)  # noqa: E731
    refused(gather, "in row 4,322", error=EmptyRowError)
    w[4321] = 0
    rows.weigh(w)
    assert gather().measured
    x[:, 1] = np.nan
    parquet.write_table(arrow_table(x), tmp_path / "t.parquet")
    rows = stream(tmp_path / "t.parquet")
    rows.weigh(w)
    refused(gather, "none in b;")


@pytest.mark.parametrize("value", [-1.0, np.nan, np.inf])
def test_weights_that_are_none_are_refused(value, x, w, tmp_path):
    w[4000] = value
    parquet.write_table(arrow_table(x, w), tmp_path / "t.parquet")
    rows = stream(tmp_path / "t.parquet", weights="w")
    refused(lambda: Streamed.of(rows, chunk=500, sample=50), "weights", "row 4,001")
    np.save(tmp_path / "x.npy", x)
    refused(lambda: stream(tmp_path / "x.npy").weigh(w), "sample_weight")
    refused(lambda: stream(tmp_path / "x.npy").weigh(np.ones(3)), "shape (5003,)")


def changes(path, how):
    """Do something to a file, later than it was written."""
    data = path.read_bytes()
    if how == "shorter":
        os.truncate(path, len(data) // 2)
    elif how == "longer":
        with path.open("ab") as file:
            file.write(b"0" * 64)
    elif how == "written":
        path.write_bytes(data)
        os.utime(path, ns=(1, 1))
    elif how == "replaced":
        other = path.with_name("other")
        other.write_bytes(data)
        os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
        other.replace(path)
    else:
        path.unlink()


HOW = {
    "shorter": "bytes during the fit",
    "longer": "bytes during the fit",
    "written": "written to",
    "replaced": "was replaced",
    "removed": "removed",
}


def notices(open_stream, path, how):
    """Law: a file that changed is refused, between passes and within one, by its name."""
    rows = open_stream()
    all_rows(rows, 500)
    changes(path, how)
    with pytest.raises(InputError) as caught:
        all_rows(rows, 500)
    assert HOW[how] in str(caught.value) and path.name in str(caught.value)


@pytest.mark.parametrize("how", HOW)
@pytest.mark.parametrize("name", ["c.npy", "f.npy", "t.parquet", "file.arrow", "stream.arrow"])
def test_files_that_change_between_passes_are_refused(name, how, x, tmp_path):
    sources(x, tmp_path)
    notices(lambda: stream(tmp_path / name), tmp_path / name, how)


def test_a_stream_that_trusts_its_file_is_rejected(x, tmp_path):
    sources(x, tmp_path)

    class Trusts:
        n, d = x.shape

        def chunks(self, size):
            yield np.load(tmp_path / "c.npy"), None

    with pytest.raises((AssertionError, pytest.fail.Exception)):
        notices(Trusts, tmp_path / "c.npy", "replaced")


@pytest.mark.parametrize("how", ["shorter", "replaced", "written", "removed"])
@pytest.mark.parametrize("name", ["c.npy", "t.parquet"])
def test_files_that_change_within_a_pass_are_refused(name, how, x, tmp_path):
    sources(x, tmp_path)
    rows = stream(tmp_path / name)
    parts = rows.chunks(100)
    next(parts)
    changes(tmp_path / name, how)
    refused(lambda: list(parts), name)
    assert not [t for t in threading.enumerate() if t.name == "mixtura-read"]


def test_iterables_that_change_between_passes_are_refused(x):
    parts = [x[:100], x[100:200]]
    rows = stream(parts)
    parts.append(x[200:])
    refused(lambda: all_rows(rows, 50), "200 rows")
    del parts[1:]
    refused(lambda: all_rows(rows, 50), "ended after 100")


class Full:
    """A file on a disk that fills."""

    def __init__(self, inner, room):
        self.inner, self.room = inner, room

    def __getattr__(self, name):
        return getattr(self.inner, name)

    def write(self, data):
        if self.room < len(data):
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= len(data)
        return self.inner.write(data)


def test_a_disk_that_fills_is_told_and_the_spill_is_gone(x, tmp_path, monkeypatch):
    made, make = [], tempfile.TemporaryFile

    def temporary(**how):
        made.append(Full(make(**how), 50_000))
        return made[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", temporary)
    parts = (x[i : i + 500] for i in range(0, N, 500))
    refused(lambda: stream(parts, folder=tmp_path), "full disk", "TMPDIR", str(tmp_path), "48 kB")
    assert made[0].closed and not list(tmp_path.iterdir())


def test_spills_are_gone_after_any_end(x, tmp_path):
    def breaks():
        yield x[:10]
        assert len(os.listdir(tmp_path)) <= 1
        raise RuntimeError("the source broke")

    with pytest.raises(RuntimeError, match="broke"):
        stream(breaks(), folder=tmp_path)
    rows = stream(iter([x]), folder=tmp_path)
    assert [note for note in rows.notes if "120 kB" in note and str(tmp_path) in note]
    rows.close()
    assert not list(tmp_path.iterdir())
    refused(lambda: stream(iter([x]), folder=tmp_path / "none"), "No such file")


def test_spilled_rows_keep_type_and_weights(x, w, tmp_path):
    single = x.astype("f4")
    parts = iter([(single[:3000], w[:3000]), (single[3000:], w[3000:])])
    rows = spilled(parts, "rows", folder=tmp_path, columns=["a", "b", "c"])
    assert rows.dtype == np.float32 and rows.columns == ("a", "b", "c")
    for part, weight in rows.chunks(N):
        assert (part == single).all() and (weight == w).all()


# ---- reading ahead -------------------------------------------------------------------------------
def test_reading_overlaps_with_work_and_its_errors_come_in_turn(x):
    from contextlib import contextmanager

    log = []

    @contextmanager
    def reading():
        left = [3]

        def fill(out, weight):
            if not left[0]:
                raise InputError("the disk broke")
            left[0] -= 1
            out[:] = left[0]
            log.append(("read", time.perf_counter()))
            return len(out)

        yield fill

    got = []
    with pytest.raises(InputError, match="broke"):
        for part, _ in prefetched(reading, buffers(4, 2, float, False)):
            time.sleep(0.05)
            log.append(("done", time.perf_counter()))
            got.append(part[0, 0])
    assert got == [2, 1, 0]
    second, first = log[1][1], next(at for what, at in log if what == "done")
    assert log[1][0] == "read" and second < first  # the second chunk came during work on the first


def test_a_pass_that_is_given_up_leaves_no_thread(x, tmp_path):
    np.save(tmp_path / "c.npy", x)
    rows = stream(tmp_path / "c.npy")
    parts = rows.chunks(10)
    next(parts)
    parts.close()
    assert not [t for t in threading.enumerate() if t.name == "mixtura-read"]
    assert (all_rows(rows, 100) == x).all()


# ---- amounts -------------------------------------------------------------------------------------
def test_amounts_of_memory():
    assert as_bytes("500MB") == as_bytes(" 500 mb ") == as_bytes(500_000_000) == 500_000_000
    assert as_bytes("1.5GiB") == 3 * 2**29 and as_bytes(".5k") == 500
    for bad in ("much", "", "-1MB", "0", 0, -5, True, None, "1 PB", float("nan"), "MB"):
        refused(lambda bad=bad: as_bytes(bad), "'500MB'")
    assert told_bytes(1.6e9) == "1.6 GB"
    assert 2**20 < free_memory() < 2**50
    assert Path("/proc/meminfo").exists() or free_memory()


# ---- damaged files -------------------------------------------------------------------------------
@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.95])
@pytest.mark.parametrize("name", ["c.npy", "t.parquet", "file.arrow", "stream.arrow", "t.csv.gz"])
def test_files_that_end_too_soon_are_refused(name, share, x, tmp_path):
    sources(x, tmp_path)
    path = tmp_path / name
    os.truncate(path, int(share * path.stat().st_size))
    refused(lambda: all_rows(stream(path), 500), name)


@pytest.mark.parametrize("name", ["t.parquet", "file.arrow", "stream.arrow", "t.feather"])
def test_batches_that_cannot_be_read_are_refused(name, x, tmp_path, rng):
    sources(x, tmp_path)
    path = tmp_path / name
    whole = path.read_bytes()
    told = 0
    for _ in range(40):  # some hit numbers alone, which are then others
        data = bytearray(whole)
        at = int(rng.integers(16, len(data) - 64))
        data[at : at + 48] = rng.bytes(48)
        path.write_bytes(bytes(data))
        try:
            rows = stream(path)
            for _ in range(2):
                assert all_rows(rows, 500).shape == (rows.n, rows.d)
        except InputError as error:
            assert name in str(error)
            told += 1
    assert told or name == "file.arrow"
    rows = None
    path.write_bytes(whole)
    holds_its_rows(stream(path), x)
