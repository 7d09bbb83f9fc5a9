"""Model files: what is saved comes back, and nothing else is let in."""

from __future__ import annotations

import json
import os
import pickle
import struct

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from safetensors.numpy import save as save_tensors

import mixtura as mx
from mixtura import Mixture
from mixtura.errors import FormatError, InputError, MixturaError
from mixtura.io import files, read
from tests.laws.cases import NAMES, mixture_of

INFO = {"command": "fit", "bic": -12.5, "notes": ["é", None, True], "n": {"rows": 3}}


@pytest.fixture
def mix():
    return mixture_of("full", np.random.default_rng(0), 2, 3, columns=["a", "b", "ü"])


@pytest.fixture
def saved(mix, tmp_path):
    """A model file, and its parts: path, header as a dict, bytes of the tensors."""
    path = tmp_path / "model.safetensors"
    mx.save(mix, path, INFO)
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    return path, json.loads(content[8 : 8 + length]), content[8 + length :]


def assemble(header, tensors):
    """The bytes of a safetensors file."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + tensors


def refused(path, content, *words):
    """Law: the file is refused with a FormatError that names it and says what is wrong."""
    path.write_bytes(content)
    with pytest.raises(FormatError) as caught:
        mx.load(path)
    message = str(caught.value)
    assert path.name in message
    for word in words:
        assert word in message, message


# ---- round trip --------------------------------------------------------------------------------
def returns(saved_mix, loaded, x):
    """Law: the same value came back, to the last bit."""
    assert repr(loaded) == repr(saved_mix)
    assert loaded.columns == saved_mix.columns
    for name, array in saved_mix.covariance.parameters().items():
        assert_array_equal(loaded.covariance.parameters()[name], array)
    assert_array_equal(loaded.means, saved_mix.means)
    np.testing.assert_allclose(loaded.weights, saved_mix.weights, rtol=4e-16)
    np.testing.assert_allclose(loaded.log_density(x), saved_mix.log_density(x), rtol=1e-14)


@pytest.mark.parametrize("columns", [None, ["x", "y y", "ü"]])
@pytest.mark.parametrize("name", NAMES)
def test_what_is_saved_comes_back(name, columns, tmp_path):
    mix = mixture_of(name, np.random.default_rng(1), 3, 3, columns=columns)
    path = tmp_path / "model.safetensors"
    mx.save(mix, path, INFO)
    again, info = read(path)
    returns(mix, again, mix.sample(7, rng=0))
    assert info == INFO
    returns(mix, mx.load(str(path)), mix.sample(7, rng=0))
    mix.save(path)
    returns(mix, Mixture.load(path), mix.sample(7, rng=0))
    assert read(path)[1] == {}


def test_another_value_is_rejected(mix):
    other = Mixture(mix.weights, mix.means + 1e-15, mix.covariance, columns=mix.columns)
    returns(mix, mix, mix.means)
    with pytest.raises(AssertionError):
        returns(mix, other, mix.means)


def test_estimators_are_saved_by_their_mixture(tmp_path, load):
    gm = mx.GaussianMixture(3, init_params="deterministic").fit(load("iris").x)
    mx.save(gm, tmp_path / "model")
    returns(gm.mixture_, mx.load(tmp_path / "model"), load("iris").x)


def test_files_are_plain_safetensors(mix, tmp_path):
    mx.save(mix, tmp_path / "one", INFO)
    content = (tmp_path / "one").read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + length])
    metadata = header.pop("__metadata__")
    assert metadata["format"] == "mixtura"
    assert metadata["version"] == str(files.FORMAT_VERSION)
    assert json.loads(metadata["model"])["columns"] == ["a", "b", "ü"]
    assert {entry["dtype"] for entry in header.values()} == {"F64"}


# ---- nothing half-written ----------------------------------------------------------------------
def test_a_failed_save_leaves_the_old_file_and_nothing_else(mix, tmp_path, monkeypatch):
    path = tmp_path / "model"
    mx.save(mix, path)
    before = path.read_bytes()

    def fail(*arguments):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(InputError, match=r"cannot write .*model: No space left"):
        mx.save(mix.blur(1.0), path)
    monkeypatch.undo()
    monkeypatch.setattr(os, "replace", lambda *arguments: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        mx.save(mix.blur(1.0), path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["model"]


@pytest.mark.parametrize(
    ("info", "word"),
    [({"x": float("nan")}, "JSON"), ({"x": object()}, "JSON"), ({"x": {1j: 2}}, "JSON")],
)
def test_info_that_is_not_json_is_refused(mix, tmp_path, info, word):
    with pytest.raises(InputError, match=word):
        mx.save(mix, tmp_path / "model", info)
    assert list(tmp_path.iterdir()) == []


def test_info_that_is_no_dict_is_refused(mix, tmp_path):
    with pytest.raises(InputError, match="info"):
        mx.save(mix, tmp_path / "model", ["a", "list"])
    assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_saved_is_refused(mix, tmp_path):
    with pytest.raises(InputError, match="expected a Mixture or a fitted estimator, got dict"):
        mx.save({"weights": [1]}, tmp_path / "model")
    with pytest.raises(InputError, match="got GaussianMixture"):
        mx.save(mx.GaussianMixture(2), tmp_path / "model")
    with pytest.raises(InputError, match="expected a file name to write, got the directory"):
        mx.save(mix, tmp_path)
    with pytest.raises(InputError, match="cannot write"):
        mx.save(mix, tmp_path / "missing" / "model")
    assert list(tmp_path.iterdir()) == []


def test_permissions_and_links_stay(mix, tmp_path):
    path, link = tmp_path / "model", tmp_path / "link"
    mx.save(mix, path)
    umask = os.umask(0)
    os.umask(umask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask
    path.chmod(0o600)
    link.symlink_to(path)
    mx.save(mix.blur(1.0), link)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o600
    returns(mix.blur(1.0), mx.load(path), mix.means)


# ---- files that are refused --------------------------------------------------------------------
def test_a_file_cut_anywhere_is_refused(saved):
    path, _, _ = saved
    content = path.read_bytes()
    for length in range(len(content)):
        refused(path, content[:length])
    refused(path, content[:-1], "truncated")
    refused(path, content[:100], "truncated")
    refused(path, content + b"more")


@pytest.mark.filterwarnings("ignore:overflow:RuntimeWarning")  # of numbers that damage made huge
def test_a_file_damaged_anywhere_is_refused_or_a_mixture(saved):
    path, _, _ = saved
    content = path.read_bytes()
    rng = np.random.default_rng(0)
    survived = 0
    for place in range(len(content)):
        damaged = bytearray(content)
        damaged[place] ^= int(rng.integers(1, 256))
        path.write_bytes(damaged)
        try:
            value = mx.load(path)
        except FormatError:
            continue
        survived += 1
        assert isinstance(value, Mixture)
        assert np.isfinite(value.log_density(value.means)).all()
    assert 0 < survived < len(content)  # a digit of a number may be another digit


def test_files_that_are_missing_or_no_files_are_refused(tmp_path):
    with pytest.raises(FormatError, match=r"cannot read the model .*No such file"):
        mx.load(tmp_path / "missing")
    with pytest.raises(FormatError, match="expected a model file, got the directory"):
        mx.load(tmp_path)


@pytest.mark.parametrize(
    "content",
    [b"", b"x", b"\x00" * 8, b"a,b\n1,2\n3,4\n", b"\xff" * 64, bytes(range(256)) * 20],
    ids=["empty", "a byte", "zeros", "text", "ones", "rubbish"],
)
def test_rubbish_is_refused(content, tmp_path):
    refused(tmp_path / "rubbish", content, "expected a model written by mixtura")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_pickles_are_never_opened(protocol, mix, tmp_path):
    trap = tmp_path / "trap"

    class Bomb:
        def __reduce__(self):
            return os.mkdir, (str(trap),)

    for value in (Bomb(), mix, [1, 2]):
        content = pickle.dumps(value, protocol=protocol)
        words = ["expected a model", "mixtura.save"] + (["pickle"] if protocol >= 2 else [])
        refused(tmp_path / "pickled.safetensors", content, *words)
    assert not trap.exists()


def test_a_newer_format_asks_for_an_upgrade(saved):
    path, header, tensors = saved
    for version in ("2", "10"):
        header["__metadata__"]["version"] = version
        refused(path, assemble(header, tensors), f"version {version}", "up to 1", "upgrade mixtura")


@pytest.mark.parametrize("version", ["", "new", "1.0", "0", "-1"])
def test_a_version_that_is_no_version_is_refused(saved, version):
    path, header, tensors = saved
    header["__metadata__"]["version"] = version
    refused(path, assemble(header, tensors))


def test_safetensors_of_something_else_are_refused(tmp_path):
    path = tmp_path / "bert.safetensors"
    content = save_tensors({"layer.0.weight": np.zeros((2, 2), np.float32)})
    refused(path, content, "safetensors file of something else", "mixtura.save")
    metadata = {"format": "pt", "version": "1", "model": "{}"}
    refused(path, save_tensors({"weights": np.ones(1)}, metadata=metadata), "something else")


@pytest.mark.parametrize(
    "length", [2**63, 2**64 - 1, 2**40, 100_000_001, 16 * 2**20 + 1, 16 * 2**20]
)
def test_gigantic_headers_are_refused_before_memory_is_asked_for(length, tmp_path):
    path = tmp_path / "hostile"
    refused(path, struct.pack("<Q", length) + b'{"__metadata__":' + b" " * 100)


@pytest.mark.parametrize(
    "offsets",
    [
        [0, 2**62],
        [0, 10**30],
        [0, 1e300],
        [0, float("inf")],
        [-8, 8],
        [16, 0],
        [8],
        [],
        ["0", "8"],
        [0, None],
        None,
        {"0": 1},
    ],
    ids=str,
)
def test_false_offsets_are_refused(saved, offsets):
    path, header, tensors = saved
    header["means"]["data_offsets"] = offsets
    refused(path, assemble(header, tensors))


@pytest.mark.parametrize(
    "shape",
    [[2**40, 2**40], [2**62], [-1, 3], [2, 4], [6], [], [2, 3, 1], [0, 3], "23", None, [2.0, 3]],
    ids=str,
)
def test_false_shapes_are_refused(saved, shape):
    path, header, tensors = saved
    header["means"]["shape"] = shape
    refused(path, assemble(header, tensors))


@pytest.mark.parametrize(
    "text",
    [
        b"{" * 100_000,
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[]",
        b"1",
        b"null",
        b'{"a": 1}',
        b"\xff\xfe{}",
        b'{"__metadata__": 3}',
        b'{"__metadata__": {"format": "mixtura"}}',
        b'{"__metadata__": {"format": "mixtura", "version": "1"}}',
        b'{"__metadata__": {"format": "mixtura", "version": "1", "model": "{"}}',
        b'{"__metadata__": {"format": "mixtura", "version": "1", "model": "[]"}}',
        b'{"__metadata__": {"format": "mixtura", "version": "1", "model": "{}"}}',
        b'{"n": ' + b"9" * 10_000 + b"}",
    ],
    ids=lambda text: text[:60].decode(errors="replace") + "…" * (len(text) > 60),
)
def test_headers_that_say_nothing_of_use_are_refused(text, tmp_path):
    refused(tmp_path / "odd", assemble(text, b""))


def test_a_deeply_nested_model_is_refused(saved):
    path, header, tensors = saved
    header["__metadata__"]["model"] = '{"kind":' + "[" * 100_000
    refused(path, assemble(header, tensors))


@pytest.mark.parametrize(
    "change",
    [
        {"kind": "denoiser"},
        {"kind": None},
        {"structure": "toeplitz"},
        {"structure": ["full"]},
        {"structure": "diagonal"},
        {"structure": "lowrank"},
        {"structure": "isotropic"},
        {"tied": True},
        {"columns": ["a"]},
        {"columns": ["a", "a", "b"]},
        {"columns": 7},
        {"info": [1, 2]},
        {"info": "text"},
    ],
    ids=str,
)
def test_descriptions_that_contradict_the_tensors_are_refused(saved, change):
    path, header, tensors = saved
    model = json.loads(header["__metadata__"]["model"])
    header["__metadata__"]["model"] = json.dumps({**model, **change})
    refused(path, assemble(header, tensors))


@pytest.mark.parametrize("key", ["kind", "structure", "tied"])
def test_descriptions_that_lack_something_are_refused(saved, key):
    path, header, tensors = saved
    model = json.loads(header["__metadata__"]["model"])
    del model[key]
    header["__metadata__"]["model"] = json.dumps(model)
    refused(path, assemble(header, tensors))


GOOD = {"weights": np.array([0.4, 0.6]), "means": np.zeros((2, 2))}


def written(structure, tied=False, **tensors):
    """A file as ``save`` would write it, from any tensors."""
    model = {"kind": "mixture", "structure": structure, "tied": tied, "columns": None, "info": {}}
    metadata = {"format": "mixtura", "version": "1", "model": json.dumps(model)}
    named = {
        (f"covariance.{name}" if name not in ("weights", "means") else name): np.asarray(array)
        for name, array in tensors.items()
    }
    return save_tensors(named, metadata=metadata)


@pytest.mark.parametrize(
    ("structure", "tensors"),
    [
        ("full", {"values": np.stack([np.eye(2)] * 2), "weights": np.array([0.4, -0.6])}),
        ("full", {"values": np.stack([np.eye(2)] * 2), "weights": np.zeros(2)}),
        ("full", {"values": np.stack([np.eye(2)] * 2), "weights": np.ones(3)}),
        ("full", {"values": np.stack([np.eye(2)] * 2), "means": np.full((2, 2), np.nan)}),
        ("full", {"values": np.stack([np.eye(2)] * 2), "means": np.zeros((2, 2), np.complex64)}),
        ("full", {"values": np.stack([-np.eye(2)] * 2)}),
        ("full", {"values": np.stack([np.eye(2)] * 3)}),
        ("full", {"values": np.stack([np.eye(3)] * 2)}),
        ("full", {"values": np.ones((2, 2))}),
        ("full", {"values": np.ones((2, 3, 2))}),
        ("full", {"values": np.ones((2, 2, 2, 2))}),
        ("full", {"values": np.array([[[1.0, 0.9], [0.0, 1.0]]] * 2)}),
        ("full", {"variance": np.ones((2, 2))}),
        ("diagonal", {"variance": np.ones((2, 3))}),
        ("diagonal", {"variance": np.ones(2)}),
        ("diagonal", {"variance": np.ones((2, 2, 1))}),
        ("diagonal", {"variance": np.zeros((2, 2))}),
        ("diagonal", {"variance": np.full((2, 2), np.inf)}),
        ("isotropic", {"variance": np.ones((2, 2))}),
        ("isotropic", {"variance": np.float64(1)}),
        ("isotropic", {"variance": -np.ones(2)}),
        ("lowrank", {"loadings": np.ones((2, 2, 1))}),
        ("lowrank", {"loadings": np.ones((2, 2, 1)), "noise": np.ones((2, 3))}),
        ("lowrank", {"loadings": np.ones((2, 2)), "noise": np.ones((2, 2))}),
        ("lowrank", {"loadings": np.ones((2, 2, 1, 1)), "noise": np.ones((2, 2))}),
        ("lowrank", {"loadings": np.ones((2, 2, 1)), "noise": np.zeros((2, 2))}),
    ],
    ids=str,
)
def test_tensors_that_are_no_mixture_are_refused(structure, tensors, tmp_path):
    refused(tmp_path / "odd", written(structure, **{**GOOD, **tensors}))


def test_tensors_that_are_one_are_not(tmp_path):
    # Beside the list above, so that each of its entries is refused for what it changes.
    path = tmp_path / "good"
    for structure, tensors in [
        ("full", {"values": np.stack([np.eye(2)] * 2)}),
        ("diagonal", {"variance": np.ones((2, 2))}),
        ("isotropic", {"variance": np.ones(2)}),
        ("lowrank", {"loadings": np.ones((2, 2, 1)), "noise": np.ones((2, 2))}),
    ]:
        path.write_bytes(written(structure, **{**GOOD, **tensors}))
        assert mx.load(path).covariance.name == structure
    path.write_bytes(written("full", tied=True, **GOOD, values=np.eye(2)[None]))
    assert mx.load(path).covariance.name == "tied"


@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.int64, np.uint8, bool])
def test_other_numbers_become_float64_or_are_refused(dtype, tmp_path):
    path = tmp_path / "odd"
    tensors = {"weights": np.ones(2), "means": np.ones((2, 2)), "variance": np.ones((2, 2))}
    path.write_bytes(written("diagonal", **{n: a.astype(dtype) for n, a in tensors.items()}))
    try:
        mix = mx.load(path)
    except FormatError:
        return
    assert mix.means.dtype == mix.weights.dtype == np.float64
    np.testing.assert_allclose(mix.means, 1)


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3", "C128", "F128", "", None, 7])
def test_unknown_numbers_are_refused(saved, dtype):
    path, header, tensors = saved
    header["means"]["dtype"] = dtype
    refused(path, assemble(header, tensors))


def test_every_refusal_is_ours_to_catch(tmp_path):
    with pytest.raises(MixturaError):
        mx.load(tmp_path / "missing")
    assert issubclass(FormatError, ValueError)
