"""The value on PyTorch: NumPy's numbers, right gradients, the device and dtype asked for."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import numpy as np
import pytest

import mixtura as mx
from mixtura import Mixture, TiedCovariance
from mixtura.errors import ConstructionError, InputError, MissingExtraError
from tests.laws.cases import NAMES, lying, mixture_of, random_covariance_matrix, rows_near

torch = pytest.importorskip("torch")

K, D, N = 3, 4, 12
RNG = np.random.default_rng(0)
A, Y = RNG.standard_normal((2, D)), RNG.standard_normal(D)
MATRIX, VECTOR = random_covariance_matrix(RNG, D), RNG.uniform(0.1, 1.0, D)
SELECTOR = 2 * np.eye(D)[[3, 1]]
OTHER = mixture_of("full", RNG, 2, D)

#: What a mixture and rows give; `c` takes NumPy's arrays and mixtures to the library in hand.
ANSWERS = {
    "log_density": lambda m, x, c: m.log_density(c(x)),
    "responsibilities": lambda m, x, c: m.responsibilities(c(x)),
    "grad_log_density": lambda m, x, c: m.grad_log_density(c(x)),
    "hessian_log_density": lambda m, x, c: m.hessian_log_density(c(x)),
    "moments": lambda m, x, c: (m.mean, m.cov),
    "marginal": lambda m, x, c: m.marginal(["c", "a"]),
    "condition": lambda m, x, c: m.condition(["d", "b"], c(x[0, [3, 1]])),
    "affine": lambda m, x, c: m.affine(c(A), c(Y[:2])),
    "affine, columns": lambda m, x, c: m.affine(c(SELECTOR)),
    "blur by a number": lambda m, x, c: m.blur(0.1),
    "blur by a vector": lambda m, x, c: m.blur(c(VECTOR)),
    "blur by a matrix": lambda m, x, c: m.blur(c(MATRIX)),
    "blur by a diagonal": lambda m, x, c: m.blur(c(np.diag(VECTOR))),
    "product": lambda m, x, c: m.product(c(OTHER)),
    "product with itself": lambda m, x, c: m.product(m),
    "observe": lambda m, x, c: m.observe(c(Y), None, 0.1),
    "observe, vector": lambda m, x, c: m.observe(c(Y), None, c(VECTOR)),
    "observe, matrix": lambda m, x, c: m.observe(c(Y), None, c(MATRIX)),
    "observe columns": lambda m, x, c: m.observe(c(Y[:2]), c(SELECTOR), c(VECTOR[:2])),
    "observe a map": lambda m, x, c: m.observe(c(Y[:2]), c(A), c(MATRIX[:2, :2])),
    "log_evidence": lambda m, x, c: m.log_evidence(c(Y[:2]), c(A), 0.3),
    "blend": lambda m, x, c: mx.blend([m, c(OTHER)], [0.2, 0.8]),
    "blend with itself": lambda m, x, c: mx.blend([m, m]),
    "relabel": lambda m, x, c: m.relabel([2, 0, 1]),
    "denoise": lambda m, x, c: m.denoise(c(x), 0.5, return_cov=True),
    "denoise, matrix": lambda m, x, c: m.denoise(c(x), c(MATRIX), return_cov=True),
    "conditional mean": lambda m, x, c: m.conditional([3, 0]).mean(c(x[:, [3, 0]])),
    "conditional cov": lambda m, x, c: m.conditional([3, 0]).cov(c(x[:, [3, 0]])),
    "conditional log_density": lambda m, x, c: m.conditional([3, 0]).log_density(
        c(x[:, [3, 0]]), c(x[:, 1:3])
    ),
    "conditional cdf": lambda m, x, c: m.conditional([3, 0]).cdf(c(x[:, [3, 0]]), c(x[:, 1:3])),
    "conditional quantiles": lambda m, x, c: m.conditional([3, 0]).quantile(
        c(x[:, [3, 0]]), c(np.array([0.05, 0.5, 0.999]))
    ),
    "cdf": lambda m, x, c: m.marginal([1]).cdf(c(x[:, 1])),
    "quantile": lambda m, x, c: m.marginal([1]).quantile(c(np.array([1e-6, 0.4, 0.999]))),
    "gates": lambda m, x, c: m.conditional([3, 0]).responsibilities(c(x[:, [3, 0]])),
    "l2": lambda m, x, c: mx.l2(m, c(OTHER)),
    "mmd": lambda m, x, c: mx.mmd(m, c(OTHER), 1.3),
    "wasserstein": lambda m, x, c: mx.wasserstein(m, c(OTHER)),
    "bures": lambda m, x, c: mx.bures(c(MATRIX), m.covariance.dense()),
}


#: Answers that are found by looking at numbers.
LOOKING = ("l2", "mmd", "wasserstein", "bures", "quantile", "conditional quantiles")


def tensors(value, **options):
    """A NumPy array or mixture on PyTorch."""
    if isinstance(value, Mixture):
        return value.to("torch", **options)
    return torch.tensor(value, **options)


def case(name, k=K, d=D, n=N, seed=1):
    """A mixture with named columns, and rows near it."""
    rng = np.random.default_rng(seed)
    mix = mixture_of(name, rng, k, d, columns="abcdefgh"[:d])
    return mix, rows_near(mix, rng, n)


def agrees(got, expected, tolerance=1e-12):
    """Law: tensors with NumPy's numbers, structures and names."""
    if isinstance(expected, tuple):
        for one, other in zip(got, expected, strict=True):
            agrees(one, other, tolerance)
    elif isinstance(expected, Mixture):
        assert got.columns == expected.columns
        assert structure(got) == structure(expected)
        for part in (lambda m: m.log_weights, lambda m: m.means, lambda m: m.covariance.dense()):
            agrees(part(got), part(expected), tolerance)
    else:
        assert isinstance(got, torch.Tensor)
        expected = np.asarray(expected)
        assert tuple(got.shape) == expected.shape
        size = max(1.0, np.abs(expected).max(initial=0.0))
        np.testing.assert_allclose(got.detach(), expected, rtol=0, atol=tolerance * size)


def structure(mix):
    """Names of the structure and of what a tied one shares."""
    return mix.covariance.name, getattr(mix.covariance, "shared", mix.covariance).name


# ---- the same numbers ----------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("answer", ANSWERS)
def test_tensors_give_what_numpy_gives(answer, name):
    mix, x = case(name)
    agrees(ANSWERS[answer](tensors(mix), x, tensors), ANSWERS[answer](mix, x, lambda a: a))


@pytest.mark.parametrize("answer", ANSWERS)
def test_numpy_meets_tensors(answer):
    mix, x = case("lowrank")
    expected = ANSWERS[answer](mix, x, lambda a: a)
    # Lists and arrays join a mixture of tensors, and a NumPy mixture joins tensors.
    agrees(ANSWERS[answer](tensors(mix), x, lambda a: a), expected)
    got = ANSWERS[answer](mix, x, tensors)
    if isinstance(got, torch.Tensor):
        agrees(got, expected)


def test_an_answer_that_differs_is_rejected():
    mix, x = case("full")
    liar = lying(tensors(mix), log_density=lambda self, X: mx.Mixture.log_density(self, X) + 1e-9)
    agrees(tensors(mix).log_density(x), mix.log_density(x))
    with pytest.raises(AssertionError):
        agrees(liar.log_density(x), mix.log_density(x))


def test_batches_are_the_same_as_all_at_once(monkeypatch):
    from mixtura.mixture import density

    mix, x = case("full", n=50)
    monkeypatch.setattr(density, "TENSOR_BYTES", 8 * K * D * 7)
    agrees(tensors(mix).log_density(x), mix.log_density(x))
    agrees(tensors(mix).responsibilities(x), mix.responsibilities(x))


def test_no_rows_give_no_rows():
    mix = tensors(case("full")[0])
    x = torch.zeros((0, D), dtype=torch.float64)
    law = mix.conditional([0])
    assert mix.log_density(x).shape == (0,)
    assert mix.grad_log_density(x).shape == mix.denoise(x, 0.1).shape == (0, D)
    assert law.mean(x[:, :1]).shape == law.sample(x[:, :1]).shape == (0, D - 1)
    assert law.cov(x[:, :1]).shape == (0, D - 1, D - 1)
    assert law.log_density(x[:, :1], x[:, 1:]).shape == (0,)


def test_quantiles_at_the_ends_are_infinite():
    mix = tensors(case("diag")[0]).marginal([0])
    ends = torch.tensor([0.0, 1.0], dtype=torch.float64, requires_grad=True)
    assert mix.quantile(ends).tolist() == [-torch.inf, torch.inf]


def test_far_from_every_component():
    mix, _ = case("full")
    far = np.full((1, D), 1e4)
    assert np.isfinite(mix.log_density(far)).all()
    agrees(tensors(mix).log_density(far), mix.log_density(far), 1e-9)
    agrees(tensors(mix).condition([0], [1e4]), mix.condition([0], [1e4]), 1e-9)


# ---- to PyTorch and back -------------------------------------------------------------------------
@pytest.mark.parametrize("name", NAMES)
def test_round_trip_loses_nothing(name):
    mix, x = case(name)
    there = mix.to("torch")
    assert there.means.dtype == torch.float64
    back = there.to("numpy")
    for start, end in ((mix, back), (mix, mix.to("numpy"))):
        assert end.columns == start.columns
        assert structure(end) == structure(start)
        for attribute in ("weights", "means", "log_weights"):
            np.testing.assert_array_equal(getattr(end, attribute), getattr(start, attribute))
        np.testing.assert_array_equal(end.log_density(x), start.log_density(x))
    assert not back.means.flags.writeable


def test_tensors_share_no_memory_with_the_mixture_they_come_from():
    mix, _ = case("diag")
    before = mix.means.copy()
    mix.to("torch").means.zero_()
    np.testing.assert_array_equal(mix.means, before)


def test_weights_that_underflow_survive_the_round_trip():
    mix = Mixture([0.5, 0.5], [[0.0, 0.0], [200.0, 0.0]], [1.0, 1.0]).condition([0], [0.0])
    assert mix.weights[1] == 0
    there = mix.to("torch")
    assert there.log_weights[1] == mix.log_weights[1] < -1e4
    assert there.to("numpy").log_weights[1] == mix.log_weights[1]


@pytest.mark.parametrize("dtype", ["float32", torch.float32, np.float32])
def test_dtype_is_preserved(dtype):
    mix, x = case("lowrank")
    single = mix.to("torch", dtype=dtype)
    for answer, operation in ANSWERS.items():
        got = operation(single, x, lambda a: a)
        first = got.means if isinstance(got, Mixture) else got[0] if isinstance(got, tuple) else got
        assert first.dtype == torch.float32, answer
        agrees(got, operation(mix, x, lambda a: a), 2e-4)
    assert single.sample(3).dtype == single.conditional([0]).sample(x[:, :1]).dtype == torch.float32
    assert mix.log_density(torch.tensor(x, dtype=torch.float32)).dtype == torch.float32
    assert single.to("torch", dtype="float64").means.dtype == torch.float64
    np.testing.assert_array_equal(single.to("numpy").means, mix.means.astype(np.float32))


@pytest.mark.parametrize("name", NAMES)
def test_device_is_preserved(name):
    # The device "meta" has shapes without numbers: what is made on the CPU by mistake fails there.
    mix, x = case(name)
    there = mix.to("torch", device="meta")
    assert there.to("torch").means.device.type == "meta"
    for answer, operation in ANSWERS.items():
        if answer not in LOOKING:
            got = operation(there, x, lambda a: a)
            first = got if isinstance(got, torch.Tensor) else got[0] if type(got) is tuple else got
            first = first.means if isinstance(first, Mixture) else first
            assert first.device.type == "meta", answer


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("name", NAMES)
def test_on_cuda(name):
    mix, x = case(name)
    there = mix.to("torch", device="cuda")
    for answer, operation in ANSWERS.items():
        got = operation(there, x, lambda a: a)
        got = got.to("torch", device="cpu") if isinstance(got, Mixture) else got
        got = tuple(g.cpu() for g in got) if isinstance(got, tuple) else got
        got = got.cpu() if isinstance(got, torch.Tensor) else got
        agrees(got, operation(mix, x, lambda a: a), 1e-10), answer
    assert there.sample(5, rng=0).device.type == "cuda"


def test_parameters_of_different_kinds_join():
    mix = Mixture([0.3, 0.7], torch.zeros(2, 3), np.ones((2, 3)))
    assert mix.weights.dtype == mix.covariance.variance.dtype == torch.float32
    wide = Mixture(torch.ones(2, dtype=torch.float64), torch.zeros(2, 3), np.ones(2))
    assert wide.means.dtype == wide.covariance.variance.dtype == torch.float64
    tied = TiedCovariance(mx.FullCovariance(np.eye(3)[None]), 2)
    assert Mixture([1, 1], torch.zeros(2, 3), tied).covariance.shared.values.dtype == torch.float32
    each = [torch.tensor(v, requires_grad=True) for v in (1.0, 3.0)]
    assert Mixture(each, np.zeros((2, 1)), np.ones(2)).weights.requires_grad
    low = mx.LowRankCovariance(torch.ones(2, 3, 1), np.ones((2, 3)))
    assert isinstance(Mixture([1, 1], np.zeros((2, 3)), low).means, torch.Tensor)
    assert Mixture(torch.tensor([1, 3]), [[0.0], [1.0]], [1.0, 1.0]).weights.tolist() == [
        0.25,
        0.75,
    ]


def test_pickles_copies_files_and_scikit_learn(tmp_path):
    mix = mixture_of("tied", np.random.default_rng(1), K, D)
    there, x = tensors(mix), mix.sample(N, rng=0)
    for other in (pickle.loads(pickle.dumps(there)), copy.deepcopy(there)):
        agrees(other.log_density(x), mix.log_density(x))
    mx.save(there, tmp_path / "model.safetensors")
    np.testing.assert_array_equal(mx.load(tmp_path / "model.safetensors").means, mix.means)
    np.testing.assert_allclose(there.to_sklearn().score_samples(x), mix.log_density(x))


# ---- gradients -----------------------------------------------------------------------------------
def leaves(mix):
    """Weights, means and the parameters of the covariance as tensors that require gradients."""
    parts = getattr(mix.covariance, "shared", mix.covariance).parameters().values()
    return [torch.tensor(np.array(a)).requires_grad_() for a in (mix.weights, mix.means, *parts)]


def rebuilt(mix, values):
    """A mixture like another one with such parameters."""
    weights, means, *parts = values
    shared = getattr(mix.covariance, "shared", mix.covariance)
    covariance = shared.from_parameters(
        dict(zip(shared.parameters(), parts, strict=True)), shared.k, shared.d
    )
    tied = isinstance(mix.covariance, TiedCovariance)
    return Mixture(weights, means, TiedCovariance(covariance, mix.k) if tied else covariance)


def flat(value):
    """A mixture as tensors."""
    if isinstance(value, Mixture):
        return value.log_weights, value.means, value.covariance.dense()
    return value


def correct_gradient(function, *inputs):
    """Law: gradients to all inputs are those of finite differences."""
    assert torch.autograd.gradcheck(function, inputs, raise_exception=False)


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_log_density(name):
    mix, x = case(name, k=2, d=3, n=3)
    rows = torch.tensor(x, requires_grad=True)
    correct_gradient(lambda r, *p: rebuilt(mix, p).log_density(r), rows, *leaves(mix))


def test_gradients_of_dense_matrices():
    mix, x = case("full", k=2, d=3, n=3)
    correct_gradient(lambda *p: Mixture(*p).log_density(x), *leaves(mix))


def test_a_wrong_gradient_is_rejected():
    mix, x = case("full", k=2, d=3, n=3)

    def broken(weights, means, values):
        return Mixture(weights.detach() + 0 * weights, means, values).log_density(x)

    with pytest.raises(AssertionError):
        correct_gradient(broken, *leaves(mix))


#: What is differentiated in rows, a map, noise (number, vector, matrix) and all parameters.
DIFFERENTIATED = {
    "cdf": lambda m, x, a, s, v, r: m.marginal([1]).cdf(x[:, 1]),
    "quantile": lambda m, x, a, s, v, r: m.marginal([1]).quantile(
        torch.stack([0.2 * s / (1 + s), 0.9 * v[0] / (1 + v[0])])
    ),
    "conditional cdf": lambda m, x, a, s, v, r: m.conditional([2]).cdf(x[:, 2:], x[:, :2]),
    "conditional quantile": lambda m, x, a, s, v, r: m.conditional([2]).quantile(x[:, 2:], 0.3),
    "hessian": lambda m, x, a, s, v, r: m.hessian_log_density(x),
    "condition": lambda m, x, a, s, v, r: m.condition([2, 0], x[0, :2]),
    "affine": lambda m, x, a, s, v, r: m.affine(a, a[:, 0]),
    "blur by a number": lambda m, x, a, s, v, r: m.blur(s),
    "blur by a vector": lambda m, x, a, s, v, r: m.blur(v),
    "blur by a matrix": lambda m, x, a, s, v, r: m.blur(r @ r.mT),
    "product": lambda m, x, a, s, v, r: m.product(m.blur(s)),
    "observe, number": lambda m, x, a, s, v, r: m.observe(x[0], None, s),
    "observe, vector": lambda m, x, a, s, v, r: m.observe(x[0], None, v),
    "observe, matrix": lambda m, x, a, s, v, r: m.observe(x[0], None, r @ r.mT),
    "observe columns": lambda m, x, a, s, v, r: m.observe(x[0, :2], SELECTOR[:, 1:], v[:2]),
    "observe a map": lambda m, x, a, s, v, r: m.observe(x[0, :2], a, v[:2]),
    "a map that happens to pick": lambda m, x, a, s, v, r: m.observe(
        x[0, :2], 0 * a + torch.eye(3)[:2], s
    ),
    "log_evidence": lambda m, x, a, s, v, r: m.log_evidence(x[0, :2], a, v[:2]),
    "blend": lambda m, x, a, s, v, r: mx.blend([m, m.blur(s)], v[:2]),
    "denoise": lambda m, x, a, s, v, r: m.denoise(x, s, return_cov=True),
    "conditional mean": lambda m, x, a, s, v, r: m.conditional([2]).mean(x[:, :1]),
    "conditional cov": lambda m, x, a, s, v, r: m.conditional([2]).cov(x[:, :1]),
    "conditional log_density": lambda m, x, a, s, v, r: m.conditional([2]).log_density(
        x[:, :1], x[:, 1:]
    ),
    "draws": lambda m, x, a, s, v, r: rebuilt(
        m,
        [
            m.weights.detach(),
            m.means,
            *getattr(m.covariance, "shared", m.covariance).parameters().values(),
        ],
    ).sample(4, rng=0),
    "conditional draws": lambda m, x, a, s, v, r: m.conditional([2]).sample(x[:, :1], 2, rng=0),
    "l2": lambda m, x, a, s, v, r: mx.l2(m, m.blur(s)),
    "wasserstein": lambda m, x, a, s, v, r: mx.wasserstein(m, m.affine(r)),
}


@pytest.mark.parametrize("name", ["diag", "full", "tied lowrank"])
@pytest.mark.parametrize("answer", DIFFERENTIATED)
def test_gradients_of_the_algebra(answer, name):
    mix, x = case(name, k=2, d=3, n=2, seed=3)
    rng = np.random.default_rng(4)
    inputs = [x, rng.standard_normal((2, 3)), 0.3, np.full(3, 0.5), MATRIX[:3, :3]]
    operation = DIFFERENTIATED[answer]
    correct_gradient(
        lambda x, a, s, v, r, *p: flat(operation(rebuilt(mix, p), x, a, s, v, r)),
        *(torch.tensor(value, dtype=torch.float64, requires_grad=True) for value in inputs),
        *leaves(mix),
    )


@pytest.mark.parametrize("name", NAMES)
def test_score_and_hessian_are_autograd_s(name):
    mix, x = case(name)
    there, rows = tensors(mix), torch.tensor(x, requires_grad=True)
    score = there.grad_log_density(rows)
    (slope,) = torch.autograd.grad(there.log_density(rows).sum(), rows)
    agrees(slope, score.detach().numpy())
    hessian = torch.stack(
        [torch.autograd.grad(score[:, j].sum(), rows, retain_graph=True)[0] for j in range(D)],
        dim=2,
    )
    agrees(hessian, there.hessian_log_density(rows).detach().numpy(), 1e-11)


def test_transforms_of_functions():
    mix, x = case("full")
    there, rows = tensors(mix), torch.tensor(x)
    score = torch.func.vmap(torch.func.grad(lambda row: there.log_density(row[None])[0]))
    for _ in range(2):  # nothing of the first transform is left behind
        agrees(score(rows), mix.grad_log_density(x))
        agrees(there.log_density(rows), mix.log_density(x))
    means = torch.stack([there.means, there.means + 1])
    both = torch.func.vmap(lambda m: Mixture(mix.weights, m, mix.covariance).log_density(rows))
    agrees(both(means)[0], mix.log_density(x))


def test_a_weight_of_zero_has_a_finite_gradient():
    weights = torch.tensor([0.0, 0.4, 0.6], requires_grad=True)
    means = torch.zeros((3, 2), requires_grad=True)
    mix = Mixture(weights, means, torch.ones(3))
    mix.log_density(torch.ones((2, 2))).sum().backward()
    assert torch.isfinite(weights.grad).all()
    assert torch.isfinite(means.grad).all()
    mix = Mixture(weights, means, torch.ones(3)).condition([0], [0.1])
    mix.log_density(torch.ones((2, 1))).sum().backward()
    assert torch.isfinite(weights.grad).all()


@pytest.mark.parametrize("name", NAMES)
def test_nothing_stale_is_kept_while_gradients_flow(name):
    mix, x = case(name)
    parameters = leaves(mix)
    weights = parameters[0].detach()
    there = rebuilt(mix, [weights, *parameters[1:]])
    with torch.no_grad():
        there.log_density(x), there.cov, there.conditional([0]).mean(x[:, :1])
    with torch.inference_mode():
        there.log_density(x)
    law, gradients = there.conditional([0]), []
    for _ in range(2):  # twice through the same mixture
        loss = there.log_density(x).sum() + there.cov.sum() + law.mean(x[:, :1]).sum()
        gradients.append(torch.autograd.grad(loss, parameters[1:]))
    for once, again in zip(*gradients, strict=True):
        assert once.abs().sum() > 0
        torch.testing.assert_close(once, again)


def test_without_gradients_factors_are_kept():
    there = tensors(case("full")[0])
    assert there.covariance.cholesky is there.covariance.cholesky
    assert there.mean is there.mean


# ---- errors --------------------------------------------------------------------------------------
MIX = case("full")[0]
HALF = torch.zeros((2, D), dtype=torch.float16)
REFUSED = {
    "a device that is absent": (lambda: MIX.to("torch", device="cuda:99"), "on this machine .cpu"),
    "nonsense for a device": (lambda: MIX.to("torch", device="toaster"), "got 'toaster'; pass"),
    "no device at all": (lambda: MIX.to("torch", device=3.5), r"device=\"cpu\""),
    "a device for NumPy": (lambda: MIX.to("numpy", device="cuda"), 'device "cpu" for NumPy'),
    "a device for a library": (lambda: MIX.to("cuda"), r'\.to\("torch", device="cuda"\)'),
    "a library that is not known": (lambda: MIX.to("jax"), '"numpy" or "torch", got \'jax\''),
    "half precision": (lambda: MIX.to("torch", dtype="float16"), "float64 or float32, got float16"),
    "integers": (lambda: MIX.to("torch", dtype=torch.int32), "got torch.int32"),
    "single precision in NumPy": (lambda: MIX.to("numpy", dtype="float32"), "expected float64"),
    "half precision rows": (lambda: MIX.log_density(HALF), r"torch.float16; convert .*double"),
    "two devices": (
        lambda: MIX.to("torch").log_density(torch.zeros((2, D), device="meta")),
        "on one device, got cpu and meta",
    ),
    "NaN": (lambda: MIX.log_density(torch.full((2, D), torch.nan)), "infinity in 2 rows"),
    "one row": (lambda: MIX.log_density(torch.zeros(D)), r"pass one row as X\[None, :\]"),
    "modes of tensors": (
        lambda: MIX.to("torch").modes(),
        r'NumPy arrays in modes.*\.to\("numpy"\)',
    ),
    "a probability that is none": (
        lambda: MIX.to("torch").marginal([0]).quantile(torch.tensor([0.5, 1.5])),
        "between 0 and 1",
    ),
    "imputing tensors": (lambda: MIX.impute(torch.zeros((2, D))), "NumPy arrays in impute"),
    "a negative weight": (
        lambda: Mixture(torch.tensor([-1.0, 2.0]), np.zeros((2, 1)), [1.0, 1.0]),
        "non-negative weights",
    ),
    "an asymmetric matrix": (
        lambda: Mixture([1.0], torch.zeros(1, 2), torch.tensor([[[1.0, 0.5], [0.0, 1.0]]])),
        "symmetric",
    ),
    "a matrix that is no covariance": (
        lambda: Mixture([1.0], torch.zeros(1, 2), -torch.eye(2)[None]),
        "smallest eigenvalue is -1 in component 0",
    ),
    "a variance of zero": (
        lambda: Mixture([1.0], torch.zeros(1, 2), torch.zeros(1, 2)),
        "got 0 in component 0, column 0",
    ),
}


@pytest.mark.parametrize("why", REFUSED)
def test_errors_say_what_to_do(why):
    attempt, message = REFUSED[why]
    with pytest.raises(InputError, match=message):
        attempt()


def test_parameters_on_two_devices_are_refused():
    with pytest.raises(ConstructionError, match="on one device"):
        Mixture([1.0], torch.zeros(1, 2), torch.ones(1, 2, device="meta"))


def test_without_pytorch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'mixtura\[torch\]'"):
        MIX.to("torch")


def test_pytorch_is_not_imported_before_a_tensor_comes_in():
    code = """if True:
        import sys, mixtura
        mix = mixtura.Mixture([1.0], [[0.0, 0.0]], [1.0])
        mix.log_density([[1.0, 2.0]]), mix.condition([0], [1.0]), mix.blur(0.1), mix.sample(3)
        assert "torch" not in sys.modules
        mix.to("torch")
        assert "torch" in sys.modules
    """
    subprocess.run([sys.executable, "-c", code], check=True)
