"""ONNX files, run in onnxruntime and held against the float64 answers of the value itself."""

from __future__ import annotations

import json
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from numpy.testing import assert_allclose
from sklearn.mixture import GaussianMixture as SklearnMixture

import mixtura as mx
from mixtura.covariance import base
from mixtura.errors import InputError, MissingExtraError, MixturaError
from mixtura.io import onnx as door
from mixtura.io.graph import needs_guard
from tests.laws.cases import NAMES, Case, cases, mixture_of, structure_of

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

DENSITY = ("score_samples", "predict_proba", "predict")


def answers(model, x, names=None):
    """What onnxruntime answers for rows, by name of output; ``model`` is a path or bytes."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    session = ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["X"]
    outputs = [o.name for o in session.get_outputs()] if names is None else list(names)
    return dict(zip(outputs, session.run(outputs, {"X": x}), strict=True))


def near(got, expected, tolerance):
    """|Δ| ≤ tolerance · (1 + |value|)."""
    assert got.shape == expected.shape
    assert np.isfinite(got).all()
    error = np.abs(got - expected) / (1 + np.abs(expected))
    assert error.max(initial=0.0) <= tolerance, error.max()


def same_density(model, mix, x, tolerance=1e-5):
    """Law: scores, probabilities and labels are those of the value in float64."""
    got = answers(model, x)
    rows = x.astype(np.float64)
    resp = mix.responsibilities(rows)
    near(got["score_samples"], mix.log_density(rows), tolerance)
    assert_allclose(got["predict_proba"], resp, rtol=0, atol=tolerance)
    two = np.sort(resp, axis=1)[:, -2:]
    clear = two[:, -1] - two[:, 0] > 2 * tolerance if mix.k > 1 else np.ones(len(x), bool)
    assert got["predict"].dtype == np.int64
    np.testing.assert_array_equal(got["predict"][clear], resp.argmax(axis=1)[clear])


def same_regression(model, law, x, tolerance=1e-5):
    """Law: predictions are the conditional mean in float64."""
    near(answers(model, x)["predict"], np.asarray(law.mean(x.astype(np.float64))), tolerance)


@pytest.fixture
def export(tmp_path):
    """Write a value; the path."""

    def write(value, **options):
        path = tmp_path / "model.onnx"
        mx.export_onnx(value, path, **options)
        return path

    return write


def far_off(name):
    """A mixture whose spread in columns 0 and 2 is small beside their distance from the origin."""
    mix = mixture_of(name, np.random.default_rng(3), 3, 4)
    return mix.affine(np.diag([0.05, 1.0, 0.05, 1.0]), np.array([3e3, 0.0, 7e3, 1.0]) + 1 / 3)


# ---- real data -----------------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("data", ["iris", "faithful", "thyroid", "wdbc"])
def test_real_data(data, name, load, export):
    table = load(data)
    x = table.x.astype(np.float32)
    model = mx.GaussianMixture(
        3,
        covariance_type=structure_of(name, x.shape[1]),
        max_iter=15,
        tol=0,
        reg_covar="auto",
        random_state=0,
    )
    with pytest.warns(match="converge"):
        mix = model.fit(table.x).mixture_
    same_density(export(model), mix, x)
    same_regression(export(mix, given=[0]), mix.conditional([0]), x[:, :1])
    if x.shape[1] > 2:
        pair = [x.shape[1] - 1, 0]
        same_regression(export(mix, given=pair), mix.conditional(pair), x[:, pair])


# ---- every structure -----------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=5)
@given(case=cases())
def test_random_mixtures(name, case, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "model.onnx"
    rng = case.rng
    mix = mixture_of(name, rng, case.k, case.d)
    x = mix.sample(20, rng=rng) + 0.5 * rng.standard_normal((20, case.d))
    mx.export_onnx(mix, path, dtype="float64")
    same_density(str(path), mix, x, 1e-10)
    mx.export_onnx(mix, path)
    same_density(str(path), mix, x.astype(np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_data_far_from_the_origin(name, export):
    mix = far_off(name)
    x = mix.sample(200, rng=0).astype(np.float32)
    same_density(export(mix), mix, x)
    same_regression(export(mix, given=[2, 0]), mix.conditional([2, 0]), x[:, [2, 0]])


def swapped(path, place):
    """The model with one addition turned into a subtraction, or the other way round."""
    model = onnx.load(str(path))
    node = [n for n in model.graph.node if n.op_type in ("Add", "Sub")][place]
    node.op_type = {"Add": "Sub", "Sub": "Add"}[node.op_type]
    return model.SerializeToString()


def signs(path):
    """Number of additions and subtractions."""
    return sum(n.op_type in ("Add", "Sub") for n in onnx.load(str(path)).graph.node)


@pytest.mark.parametrize("name", NAMES)
def test_any_term_of_the_wrong_sign_is_rejected(name, export):
    mix = far_off(name)
    x = mix.sample(200, rng=0).astype(np.float32)
    path = export(mix)
    same_density(path, mix, x)
    assert signs(path) >= 6
    for place in range(signs(path)):
        with pytest.raises(AssertionError):
            same_density(swapped(path, place), mix, x)


@pytest.mark.parametrize("name", NAMES)
def test_any_term_of_a_regression_of_the_wrong_sign_is_rejected(name, export):
    mix = far_off(name)
    law = mix.conditional([2, 0])
    x = mix.sample(200, rng=0)[:, [2, 0]].astype(np.float32)
    path = export(law)
    same_regression(path, law, x)
    for place in range(signs(path)):
        with pytest.raises(AssertionError):
            same_regression(swapped(path, place), law, x)


def test_a_regression_with_the_wrong_gain_is_rejected(export):
    mix = far_off("full")
    law = mix.conditional([0])
    x = mix.sample(50, rng=0)[:, :1].astype(np.float32)
    lie = far_off("full").affine(np.diag([1.0, -1, -1, -1]), [0, *2 * law.mixture.mean[1:]])
    same_regression(export(lie, given=[0]), lie.conditional([0]), x)
    with pytest.raises(AssertionError):
        same_regression(export(lie, given=[0]), law, x)


def collinear():
    """Two columns that are nearly one."""
    cov = np.array([[1.0, 1.0, 0.3], [1.0, 1.0 + 1e-8, 0.3], [0.3, 0.3, 1.0]])
    return mx.Mixture([0.4, 0.6], [[0, 0, 0], [2, 2.0001, 1]], np.stack([cov, 2 * cov]))


def test_nearly_collinear_columns_are_guarded(export):
    mix = collinear()
    x = mix.sample(300, rng=0).astype(np.float32)
    assert needs_guard(mix)
    same_density(export(mix), mix, x)
    assert answers(export(mix), x)["score_samples"].dtype == np.float32
    with pytest.raises(AssertionError):
        same_density(export(mix, guarded=False), mix, x)
    assert not needs_guard(mixture_of("full", np.random.default_rng(0), 3, 4))
    same_density(export(mix, dtype="float64"), mix, x.astype(np.float64), 1e-6)


def test_low_rank_forms_nothing_that_is_square(export):
    def largest(path):
        return max(np.prod(c.dims) for c in onnx.load(str(path)).graph.initializer)

    rng = np.random.default_rng(0)
    d = 60
    mix = mx.Mixture(
        [0.5, 0.5],
        rng.standard_normal((2, d)),
        mx.LowRankCovariance(rng.standard_normal((2, d, 2)), np.full((2, d), 0.5)),
    )
    assert largest(export(mix)) < d * d
    dense = mx.Mixture(mix.weights, mix.means, mix.covariance.dense())
    assert largest(export(dense)) == 2 * d * d
    x = mix.sample(30, rng=0).astype(np.float32)
    same_density(export(mix), mix, x)


# ---- rows that are hard --------------------------------------------------------------------------
def test_rows_at_which_every_component_underflows(export):
    mix = mixture_of("full", np.random.default_rng(2), 3, 2)
    x = np.array([[1e3, 1e3], [-2e3, 5.0]], np.float32)
    assert (np.exp(mix.log_density(x)) == 0).all()
    got = answers(export(mix), x)
    near(got["score_samples"], mix.log_density(x.astype(float)), 1e-5)
    assert_allclose(got["predict_proba"].sum(axis=1), 1, rtol=1e-5)
    beyond = answers(export(mix), np.full((1, 2), 1e30, np.float32))
    assert beyond["score_samples"] == [-np.inf]


def test_components_without_weight(export):
    mix = mx.Mixture([0.0, 1.0, 2.0], [[0.0], [1.0], [3.0]], [1.0, 1.0, 2.0])
    x = np.linspace(-3, 5, 9, dtype=np.float32)[:, None]
    same_density(export(mix), mix, x)


@pytest.mark.parametrize("n", [1, 7])
def test_any_number_of_rows(n, export):
    mix = mixture_of("full", np.random.default_rng(2), 3, 2)
    x = mix.sample(n, rng=0).astype(np.float32)
    got = answers(export(mix), x)
    assert [got[name].shape for name in DENSITY] == [(n,), (n, 3), (n,)]
    assert answers(export(mix, given=1), x[:, 1:])["predict"].shape == (n, 1)


# ---- doors ---------------------------------------------------------------------------------------
def test_regressors(load, export):
    x = load("wdbc", ["Radius_mean", "Texture_mean", "Smoothness_mean", "Symmetry_mean"]).x
    for targets, shape in ((x[:, 3], (569,)), (x[:, 2:], (569, 2))):
        model = mx.MixtureRegressor(3, random_state=0).fit(x[:, :2], targets)
        rows = x[:, :2].astype(np.float32)
        got = answers(export(model), rows)
        assert list(got) == ["predict"]
        assert got["predict"].shape == shape
        near(got["predict"], model.predict(rows.astype(float)), 1e-5)


def test_names_and_order_of_given_columns(export):
    mix = mixture_of("full", np.random.default_rng(4), 3, 3, columns=("a", "b", "c"))
    x = mix.sample(20, rng=0).astype(np.float32)
    law = mix.conditional(["c", "a"])
    for value, options in ((mix, {"given": ["c", "a"]}), (mix, {"given": [2, 0]}), (law, {})):
        same_regression(export(value, **options), law, x[:, [2, 0]])
    with pytest.raises(AssertionError):
        same_regression(export(mix, given=["a", "c"]), law, x[:, [2, 0]])


@pytest.mark.parametrize(
    "outputs", ["predict", ("predict_proba",), ["predict", "score_samples"], iter(DENSITY)]
)
def test_outputs_are_the_ones_asked_for_in_their_order(outputs, export):
    mix = mixture_of("diag", np.random.default_rng(4), 3, 3)
    wanted = ("predict",) if isinstance(outputs, str) else tuple(outputs)
    got = answers(export(mix, outputs=outputs if isinstance(outputs, str) else wanted), X3)
    assert tuple(got) == wanted
    whole = answers(export(mix), X3)
    for name in wanted:
        np.testing.assert_array_equal(got[name], whole[name])


X3 = np.random.default_rng(0).standard_normal((6, 3)).astype(np.float32)


@pytest.mark.parametrize("opset", [13, 15, 17, 18, 20])
def test_opsets(opset, export):
    mix = mixture_of("lowrank", np.random.default_rng(4), 3, 3)
    path = export(mix, opset=opset)
    (stated,) = onnx.load(str(path)).opset_import
    assert (stated.domain, stated.version) == ("", opset)
    same_density(path, mix, X3)
    same_regression(export(mix, given=[0], opset=opset), mix.conditional([0]), X3[:, :1])


def told(path):
    """The metadata of a file."""
    return {p.key: p.value for p in onnx.load(str(path)).metadata_props}


def test_files_say_what_they_are(export):
    mix = mixture_of("tied lowrank", np.random.default_rng(4), 3, 3, columns=("a", "b", "ü"))
    path = export(mix)
    model = onnx.load(str(path))
    onnx.checker.check_model(model, full_check=True)
    assert model.producer_name == "mixtura"
    assert model.producer_version
    assert told(path) == {
        "format": "mixtura",
        "kind": "density",
        "structure": "tied lowrank",
        "components": "3",
        "columns": '["a", "b", "ü"]',
    }
    regression = told(export(mix, given=["ü"]))
    assert regression["kind"] == "regression"
    assert (json.loads(regression["columns"]), json.loads(regression["targets"])) == (
        ["ü"],
        ["a", "b"],
    )
    nameless = mx.Mixture(mix.weights, mix.means, mix.covariance)
    assert json.loads(told(export(nameless))["columns"]) == [0, 1, 2]


def test_nothing_is_left_beside_the_file(export, tmp_path):
    mix = mixture_of("diag", np.random.default_rng(4), 3, 3)
    path = export(mix)
    before = path.read_bytes()
    with pytest.raises(InputError):
        mx.export_onnx(mix, path, opset=3)
    assert path.read_bytes() == before
    mx.export_onnx(mix, str(path), outputs="predict")
    assert path.read_bytes() != before
    assert list(tmp_path.iterdir()) == [path]


# ---- refusals ------------------------------------------------------------------------------------
MIX = mixture_of("full", np.random.default_rng(4), 3, 3, columns=("a", "b", "c"))
MEDIAN = mx.MixtureRegressor(1, predict_with="median", random_state=0).fit(X3[:, :1], X3[:, 1])


@pytest.mark.parametrize(
    ("value", "options", "message"),
    [
        (MIX, {"opset": 12}, r"at least 13, .* full covariances, got 12; pass opset=17"),
        (MIX, {"opset": 10_000}, r"at most \d+, .* got 10000; .* upgrade onnx"),
        (MIX, {"opset": "17"}, r"whole number as opset, such as 17, got '17'"),
        (MIX, {"outputs": "score"}, r"among 'score_samples', .* got \['score'\]"),
        (MIX, {"outputs": []}, r"outputs among .* got \[\]"),
        (MIX, {"outputs": 3}, r"outputs among .* got \[3\]"),
        (MIX, {"outputs": ["predict"] * 2}, r"at most once, got \['predict', 'predict'\]"),
        (MIX, {"outputs": "predict_proba", "given": "a"}, r"among 'predict', each"),
        (MIX, {"dtype": "float16"}, r"'float32' or 'float64', got 'float16'"),
        (MIX, {"dtype": "number"}, r"'float32' or 'float64', got 'number'"),
        (MIX, {"given": "z"}, r"columns among a, b, c in conditional, got 'z'"),
        (MIX, {"given": ["a", "b", "c"]}, r"at most 2 given columns, got all 3"),
        (MIX.conditional("a"), {"given": "b"}, r"no given columns for a Conditional"),
        (MEDIAN, {}, r"got predict_with='median'.*set_params\(predict_with='mean'\)"),
        (np.eye(3), {}, r"expected a Mixture, .* got ndarray"),
        (mx.GaussianMixture(2), {}, r"got GaussianMixture; call fit first"),
        (mx.MixtureRegressor(2), {}, r"got MixtureRegressor; call fit first"),
        (SklearnMixture(2).fit(X3), {}, r"Mixture.from_sklearn\(model\)"),
    ],
)
def test_what_cannot_be_written_says_how_to_mend_it(value, options, message, tmp_path):
    with pytest.raises(InputError, match=message):
        mx.export_onnx(value, tmp_path / "model.onnx", **options)
    assert list(tmp_path.iterdir()) == []


def test_bad_paths(tmp_path):
    for path, message in (
        (tmp_path, "got the directory"),
        (tmp_path / "absent" / "model.onnx", "cannot write .*No such file"),
        (3, "expected a path to write, such as 'model.onnx', got 3"),
    ):
        with pytest.raises(InputError, match=message):
            mx.export_onnx(MIX, path)


def test_models_that_are_too_large(tmp_path, monkeypatch):
    monkeypatch.setattr(door, "LARGEST", 1000)
    with pytest.raises(InputError, match=r"at most 2 GiB, .*low-rank or tied"):
        mx.export_onnx(MIX, tmp_path / "model.onnx")
    monkeypatch.setattr(base, "MEMORY_BUDGET", 100)
    with pytest.raises(MixturaError, match="whitening matrices of an ONNX graph"):
        mx.export_onnx(MIX, tmp_path / "model.onnx")


def test_without_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'mixtura\[onnx\]'"):
        mx.export_onnx(MIX, tmp_path / "model.onnx")


def test_a_graph_for_another_mixture_is_rejected(export):
    mix = mixture_of("full", *[Case(1, 2, 3).rng], 2, 3)
    x = mix.sample(50, rng=0).astype(np.float32)
    path = export(mix)
    same_density(path, mix, x)
    with pytest.raises(AssertionError):
        same_density(path, mix.relabel([1, 0]), x)
    with pytest.raises(AssertionError):
        same_density(path, mix.blur(1e-3), x)
