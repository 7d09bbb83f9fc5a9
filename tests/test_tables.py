"""Tables: what is read of files in every format, which columns count as numbers, and bad files."""

from __future__ import annotations

import csv
import gzip
import io
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import feather, parquet

from mixtura.errors import InputError, MissingExtraError, MixturaError
from mixtura.sources.picking import as_option, pick, weights
from mixtura.sources.tables import Table, read

ROWS = [[1.5, -2.0], [3.25, 4e-7], [5.0, 6e20], [0.1, 7.0]]


def text(tmp_path, content, name="data.csv"):
    """Write a text table and read it."""
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return read(path)


def refusal(tmp_path, content, name="data.csv", **options):
    """The message with which a file is refused."""
    with pytest.raises(InputError) as caught:
        pick(text(tmp_path, content, name), **options)
    return str(caught.value)


def cells_of(column):
    return column.tolist() if isinstance(column, np.ndarray) else column.to_pylist()


# ------------------------------------------------------------------ text


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|", " ", "   ", " \t"])
def test_delimiter_is_detected(tmp_path, delimiter):
    lines = [delimiter.join(["alpha", "beta"])]
    lines += [delimiter.join(repr(cell) for cell in row) for row in ROWS]
    table = text(tmp_path, "\n".join(lines) + "\n")
    assert table.names == ("alpha", "beta")
    np.testing.assert_array_equal(pick(table).x, ROWS)


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_and_gzip(tmp_path, end, compressed):
    content = end.join(["a,b", "1,2", "3,4", ""]).encode()
    table = text(tmp_path, gzip.compress(content) if compressed else content, "d.csv.gz")
    assert pick(table).x.tolist() == [[1, 2], [3, 4]]


def test_gzip_is_known_by_its_bytes_not_its_name(tmp_path):
    table = text(tmp_path, gzip.compress(b"a\n1\n2\n"), "plain.csv")
    assert pick(table).x.ravel().tolist() == [1, 2]


def test_tsv_may_hold_commas(tmp_path):
    table = text(tmp_path, "a\tb, in cm\n1\tx,y\n2\tz,w\n", "d.tsv")
    assert table.names == ("a", "b, in cm")


def test_cells_stay_as_they_are_written(tmp_path):
    table = text(tmp_path, 'id,name,x\n007,"Smith, J.",1.50\n008,"say ""hi""",2\n')
    assert cells_of(table.column("id")) == ["007", "008"]
    assert cells_of(table.column("name")) == ["Smith, J.", 'say "hi"']
    assert cells_of(table.column("x")) == ["1.50", "2"]


def test_a_stray_quotation_mark_inside_a_cell_is_kept(tmp_path):
    table = text(tmp_path, 'size,x\n5" pipe,1\nrod,2\n')
    assert cells_of(table.column("size")) == ['5" pipe', "rod"]


def test_line_ends_inside_quotes(tmp_path):
    table = text(tmp_path, 'a,b\n1,"two\nlines"\n3,"x"\n')
    assert cells_of(table.column("b")) == ["two\nlines", "x"]
    assert pick(table).x.ravel().tolist() == [1, 3]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings(tmp_path, encoding):
    table = text(tmp_path, "höhe,b\n1,2\n3,4\n".encode(encoding))
    assert table.names == ("höhe", "b")
    assert ("Latin-1" in " ".join(table.notes)) == (encoding == "latin-1")


def test_numbers_in_the_first_line_are_a_row(tmp_path):
    table = text(tmp_path, "1,2\n3,4\n")
    assert table.names == ("x0", "x1")
    assert table.n == 2
    assert "read as a row" in table.notes[0]


def test_comment_above_numbers_names_the_columns(tmp_path):
    buffer = io.StringIO()
    np.savetxt(buffer, ROWS, header="alpha beta")
    table = text(tmp_path, buffer.getvalue(), "d.txt")
    assert table.names == ("alpha", "beta")
    assert "comment" in table.notes[0]
    np.testing.assert_array_equal(pick(table).x, ROWS)


def test_comments_before_a_header_are_skipped(tmp_path):
    table = text(tmp_path, "# made by hand\n\na,b\n1,2\n3,4\n")
    assert table.names == ("a", "b")
    assert table.n == 2


def test_row_names_without_a_header_cell(tmp_path):
    table = text(tmp_path, '"x" "y"\n"row one" 1 2\n"row two" 3 4\n', "r.txt")
    assert table.names == ("column 1", "x", "y")
    picked = pick(table)
    assert picked.columns == ("x", "y")
    assert picked.x.tolist() == [[1, 2], [3, 4]]


def test_delimiter_at_the_end_of_every_row(tmp_path):
    picked = pick(text(tmp_path, "a,b\n1,2,\n3,4,\n"))
    assert picked.x.tolist() == [[1, 2], [3, 4]]
    assert picked.left_out == (("column 3", "no values at all"),)


def test_decimal_commas_where_semicolons_separate(tmp_path):
    table = text(tmp_path, "a;b;c\n1,5;2;x,y\n-0,25;3;z\n")
    assert pick(table).x.tolist() == [[1.5, 2], [-0.25, 3]]
    assert table.notes == ("decimal commas were read as decimal points in a",)
    assert cells_of(table.column("c")) == ["x,y", "z"]


@given(
    st.lists(
        st.tuples(*[st.floats(allow_nan=False, allow_infinity=False)] * 3), min_size=2, max_size=20
    ),
    st.sampled_from([",", ";", "\t", "|", " "]),
)
def test_numbers_survive_text_exactly(tmp_path_factory, rows, delimiter):
    content = "\n".join(delimiter.join(map(repr, row)) for row in [("u", "v", "w"), *rows])
    table = text(tmp_path_factory.mktemp("t"), content.replace("'", ""))
    np.testing.assert_array_equal(pick(table, ["u", "v", "w"]).x, rows)


@given(st.one_of(st.binary(max_size=300), st.text(max_size=300).map(str.encode)))
def test_any_bytes_are_a_table_or_a_plain_refusal(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("t") / "any.csv"
    path.write_bytes(content)
    try:
        picked = pick(read(path))
    except MixturaError as error:
        assert "expected" in str(error)
        assert "got" in str(error)
    else:
        assert np.isfinite(picked.x).all()


# ------------------------------------------------------------------ binary formats


def test_parquet_and_arrow(tmp_path):
    frame = pa.table(
        {
            "x": pa.array([1.0, 2.0, 3.5], pa.float32()),
            "n": pa.array([1, 5, 5], pa.int16()),
            "flag": [True, False, True],
            "kind": pa.array(["a", "b", "a"]).dictionary_encode(),
            "when": pa.array([0, 1, 2], pa.timestamp("s")),
            "parts": [[1], [2], [3]],
            "digits": pa.array(["1", "2", "4"]).dictionary_encode(),
            "nothing": pa.nulls(3),
        }
    )
    parquet.write_table(frame, tmp_path / "d.parquet")
    feather.write_feather(frame, tmp_path / "d.feather")
    with pa.ipc.new_stream(tmp_path / "stream.arrow", frame.schema) as writer:
        writer.write_table(frame)
    for name in ("d.parquet", "d.feather", "stream.arrow"):
        picked = pick(read(tmp_path / name))
        assert picked.columns == ("x", "n", "digits")
        assert picked.x.tolist() == [[1, 1, 1], [2, 5, 2], [3.5, 5, 4]]
        assert dict(picked.left_out) == {
            "flag": "true or false",
            "kind": "text, such as 'a'",
            "when": "dates or times",
            "parts": "nested values",
            "nothing": "no values at all",
        }


def test_single_precision_stays_single(tmp_path, rng):
    x = rng.normal(size=(5, 2)).astype(np.float32)
    np.save(tmp_path / "d.npy", x)
    table = read(tmp_path / "d.npy")
    picked = pick(table)
    assert picked.x.dtype == np.float32
    assert picked.columns == ("x0", "x1")
    np.testing.assert_array_equal(picked.x, x)
    parquet.write_table(pa.table({"a": x[:, 0], "b": x[:, 1].astype(float)}), tmp_path / "d.pq")
    assert pick(read(tmp_path / "d.pq")).x.dtype == np.float64
    assert pick(read(tmp_path / "d.pq"), ["a"]).x.dtype == np.float32


def test_npy_shapes(tmp_path):
    np.save(tmp_path / "one.npy", np.arange(3.0) ** 2)
    assert pick(read(tmp_path / "one.npy")).x.shape == (3, 1)
    fields = np.array([(1, 2.5, "a"), (2, 3.5, "b")], dtype=[("n", "i4"), ("x", "f8"), ("t", "U1")])
    np.save(tmp_path / "fields.npy", fields)
    picked = pick(read(tmp_path / "fields.npy"))
    assert picked.columns == ("n", "x")
    assert picked.left_out == (("t", "text, such as 'a'"),)
    np.save(tmp_path / "cube.npy", np.zeros((2, 2, 2)))
    with pytest.raises(InputError, match=r"got shape \(2, 2, 2\)"):
        read(tmp_path / "cube.npy")


def test_npy_is_never_unpickled(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (pytest.fail, ("the file was unpickled",))

    np.save(tmp_path / "bomb.npy", np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match="never unpickled"):
        read(tmp_path / "bomb.npy")


def test_npy_header_that_claims_too_much(tmp_path):
    np.save(tmp_path / "d.npy", np.zeros((3, 4)))
    content = (tmp_path / "d.npy").read_bytes()
    lie = content.replace(b"(3, 4), ", b"(3000000000000, 4), ").replace(b" " * 13 + b"\n", b"\n")
    assert len(lie) <= len(content) + 13
    (tmp_path / "d.npy").write_bytes(lie[: len(content)])
    with pytest.raises(InputError, match="damaged"):
        read(tmp_path / "d.npy")


@pytest.mark.parametrize("name", ["d.parquet", "d.feather", "d.npy"])
def test_truncated_files(tmp_path, name):
    path = tmp_path / name
    if name == "d.npy":
        np.save(path, np.zeros((50, 2)))
    else:
        write = parquet.write_table if name == "d.parquet" else feather.write_feather
        write(pa.table({"a": np.arange(1000.0)}), path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(InputError, match=r"whole .* file, got a damaged one"):
        read(path)


# ------------------------------------------------------------------ which columns


def test_what_is_left_out_and_why(tmp_path):
    rows = [
        "customer_id,zip,flag,day,clock,note,mixed,price,count,empty,step",
        *(
            f"{1000 + 7 * i},0{i}123,{str(i % 2 == 0).lower()},2024-01-{i + 1:02d},12:{i:02d},n{i},"
            f"{'oops' if i == 3 else i * i},{i * 0.5}, {i * i % 7} ,NA,{i}"
            for i in range(12)
        ),
    ]
    picked = pick(text(tmp_path, "\n".join(rows)))
    assert picked.columns == ("price", "count")
    assert dict(picked.left_out) == {
        "customer_id": "an identifier: a different whole number on every row",
        "zip": "digits with leading zeros: codes rather than numbers",
        "flag": "true or false",
        "day": "dates or times",
        "clock": "dates or times",
        "note": "text, such as 'n0'",
        "mixed": "text: 1 of 12 cells are not numbers, such as 'oops'",
        "empty": "no values at all",
        "step": "it only counts the rows (0, 1, …)",
    }


def test_columns_asked_for_are_taken_in_that_order(tmp_path):
    table = text(tmp_path, "row_id,b,a\n1,2,3\n2,5,6\n3,8,1\n")
    picked = pick(table, ["a", "row_id"])
    assert picked.columns == ("a", "row_id")
    assert picked.x.tolist() == [[3, 1], [6, 2], [1, 3]]
    assert picked.left_out == ()


def test_an_identifier_by_name_that_repeats_is_a_number(tmp_path):
    picked = pick(text(tmp_path, "site_id,x\n1,2\n1,3\n2,5\n"))
    assert picked.columns == ("site_id", "x")


def test_object_columns_of_numbers_count_as_numbers(tmp_path):
    parquet.write_table(pa.table({"a": ["1", " 2.5 ", "-3e2"]}), tmp_path / "d.parquet")
    assert pick(read(tmp_path / "d.parquet")).x.ravel().tolist() == [1, 2.5, -300]


def test_rows_are_cut_without_copying(tmp_path):
    table = text(tmp_path, "a,b\n1,2\n3,4\n5,6\n")
    assert pick(table.rows(1, 3)).x.tolist() == [[3, 4], [5, 6]]


# ------------------------------------------------------------------ bad files


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", ["empty file"]),
        ("\n\n  \n", ["empty file"]),
        ("# only\n# comments\n", ["only comments"]),
        ("a,b\n", ["header alone", "2 columns"]),
        ("a,b\n1,2\n\n3\n4,5\n", ["2 cells", "got 1", "line 4"]),
        ("# c\na,b\n1,2\n3,4,5\n", ["2 cells", "got 3", "line 4", "3, 4, 5"]),
        ("a b\n1 2\n3 4 5\n", ["got 3", "line 3"]),
        ('a,b\n1,2\n1,"2\n3,4\n', ["quotation mark", "line 3"]),
        ("a,b,a\n1,2,3\n4,5,7\n", ["'a' in columns 1, 3", "rename"]),
        ("a,b\nx,y\nz,w\n", ["no", "'a': text, such as 'x'", "--columns"]),
        (bytes(range(256)), ["binary"]),
        (b"\xff\xfe" + b"\x00\xd8" * 9, ["binary"]),
        (b"PK\x03\x04" + b"x" * 40, ["zip", "CSV"]),
        (b"\x80\x04\x95" + b"x" * 40, ["pickle", "never opened"]),
        (b"\x1f\x8b\x08\x00rubbish", ["gzip", "damaged"]),
    ],
)
def test_bad_text(tmp_path, content, words):
    message = refusal(tmp_path, content)
    for word in ["expected", "got", *words]:
        assert word in message


def test_truncated_gzip(tmp_path):
    whole = gzip.compress(b"a,b\n" + b"1,2\n" * 1000)
    assert "damaged" in refusal(tmp_path, whole[: len(whole) // 2], "d.csv.gz")


def test_a_name_that_promises_another_format(tmp_path):
    assert "Parquet file that its name promises" in refusal(tmp_path, "a\n1\n", "d.parquet")
    assert "an empty file" in refusal(tmp_path, b"", "d.npy")


def test_missing_file_names_the_nearest(tmp_path):
    (tmp_path / "faithful.csv").write_text("a\n1\n")
    with pytest.raises(InputError, match=r"does not exist; did you mean 'faithful.csv'\?"):
        read(tmp_path / "faihtful.csv")
    with pytest.raises(InputError, match="got the directory"):
        read(tmp_path)
    with pytest.raises(InputError, match="check the path"):
        read(tmp_path / "nowhere" / "x.csv")


def test_unknown_columns_are_met_with_the_nearest(tmp_path):
    message = refusal(tmp_path, "height,weight\n1,2\n3,4\n", columns=["Hieght"])
    assert "did you mean 'height' or 'weight'?" in message
    assert "its columns are height, weight" in refusal(
        tmp_path, "height,weight\n1,2\n3,4\n", columns=["zzz"]
    )


def test_text_asked_for_is_refused(tmp_path):
    message = refusal(tmp_path, "a,b\n1,x\n3,y\n", columns=["a", "b"])
    assert "numbers in column 'b'" in message
    assert "text, such as 'x'" in message


@pytest.mark.parametrize("token", ["", "NA", "nan", "null", "?"])
def test_missing_cells_are_counted(tmp_path, token):
    rows = [f"{i},{token if i in (2, 5) else i},{token if i == 5 else -i}" for i in (9, 2, 5, 4)]
    message = refusal(tmp_path, "\n".join(["a,b,c", *rows]))
    assert "missing cells in 2 of 4 rows" in message
    assert "'b': 2, 'c': 1" in message
    assert "not supported yet" in message
    assert message.endswith("--columns a")


def test_infinite_cells_are_counted(tmp_path):
    message = refusal(tmp_path, "a,b\n1,2\n-inf,3\n4,5\ninf,8\n")
    assert "infinite cells in 2 of 4 rows" in message
    assert "--columns b" in message


@pytest.mark.parametrize("kind", ["text", "parquet"])
def test_missing_cells_may_be_allowed(tmp_path, kind):
    if kind == "text":
        table = text(tmp_path, "a,b,c\n1,NA,\n?,2,NaN\n3,-4,\n")
    else:
        columns = {"a": [1, None, 3], "b": [None, 2.0, -4.0], "c": pa.nulls(3)}
        parquet.write_table(pa.table(columns), tmp_path / "d.parquet")
        table = read(tmp_path / "d.parquet")
    x = [[np.nan, np.nan, 1], [2, np.nan, np.nan], [-4, np.nan, 3]]
    np.testing.assert_array_equal(pick(table, ["b", "c", "a"], missing=True).x, x)
    unasked = pick(table, missing=True)
    assert unasked.columns == ("a", "b")
    assert unasked.left_out == (("c", "no values at all"),)
    with pytest.raises(InputError, match="missing cells in 2 of 3 rows"):
        pick(table, ["a", "b"])


def test_infinite_cells_are_refused_where_missing_ones_may_be(tmp_path):
    message = refusal(tmp_path, "a,b\n1,\n-inf,3\n", columns=["a", "b"], missing=True)
    assert "expected a finite number or a missing one" in message
    assert "infinite cells in 1 of 2 rows" in message


@pytest.mark.parametrize(
    ("cells", "words"),
    [
        ("x y z", ["text, such as 'x'", "--weights"]),
        ("1 -2 3", ["1 negative", "row 2", "-2"]),
        ("0 0 0", ["only zeros"]),
        ("1 NA 3", ["1 missing or infinite", "row 2"]),
        ("1 2 inf", ["1 missing or infinite", "row 3"]),
    ],
)
def test_bad_weights(tmp_path, cells, words):
    content = "a,w\n" + "\n".join(f"{i},{w}" for i, w in enumerate(cells.split()))
    with pytest.raises(InputError) as caught:
        weights(text(tmp_path, content), "w")
    for word in ["expected", "got", *words]:
        assert word in str(caught.value)


def test_weights_are_not_taken_as_data(tmp_path):
    table = text(tmp_path, "a,w\n1,2\n3,0\n4,1\n")
    assert weights(table, "w").tolist() == [2, 0, 1]
    assert pick(table, skip=("w",)).columns == ("a",)


def test_columns_option_can_be_pasted(tmp_path):
    import shlex

    from mixtura.cli.options import names

    columns = ["plain", "with space", 'quo"te', "com,ma", "$dollar", "naïve"]
    flag, value = shlex.split(as_option(columns))
    assert flag == "--columns"
    assert names(value) == columns


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch):
    (tmp_path / "d.csv").write_text("a\n1\n2\n")
    np.save(tmp_path / "d.npy", np.arange(4.0) ** 2)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'mixtura\[cli\]'"):
        read(tmp_path / "d.csv")
    assert pick(read(tmp_path / "d.npy")).x.shape == (4, 1)


# ------------------------------------------------------------------ and out again


@given(
    st.lists(st.tuples(st.text(max_size=8), st.text(max_size=8)), min_size=1, max_size=20),
    st.sampled_from(["csv", "tsv", "csv.gz"]),
)
def test_text_written_is_read_alike(tmp_path_factory, rows, suffix):
    from mixtura.cli.tableout import writing

    path = tmp_path_factory.mktemp("t") / f"out.{suffix}"
    first, second = (pa.array(column, pa.string()) for column in zip(*rows, strict=True))
    with writing(path) as write:
        write(pa.table({'na"me,\t': first, "b": second}))
    content = path.read_bytes()
    content = gzip.decompress(content) if suffix.endswith("gz") else content
    reader = csv.reader(
        io.StringIO(content.decode(), newline=""), delimiter="\t" if suffix == "tsv" else ","
    )
    header, *back = [record for record in reader if record]
    assert header == ['na"me,\t', "b"]
    assert [tuple(record) for record in back] == rows


def test_columns_repeat_no_name():
    with pytest.raises(InputError, match="name of its own"):
        Table("d", "text", ("a", "a"), (np.zeros(2), np.zeros(2)))
