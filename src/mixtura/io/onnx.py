"""Mixtures as ONNX files, to be run without this package or even without Python.

The graph takes rows "X" (n, d), n free, and its outputs carry the names of scikit-learn's
methods: "score_samples" (n,), "predict_proba" (n, k) and "predict" (n,) of a density; "predict"
(n,) or (n, m) of a regression, the mean of what is not given. ``graph`` tells how numbers keep
their digits. The file's metadata name the columns.
"""

from __future__ import annotations

import json
import operator
import os
from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np

from mixtura.covariance.base import check_budget
from mixtura.errors import InputError, MissingExtraError
from mixtura.io.files import write_atomically
from mixtura.io.graph import (
    WHITENERS,
    Graph,
    differences,
    gates,
    log_joint,
    needs_guard,
    regression,
    score,
    whitener,
)
from mixtura.mixture import Mixture
from mixtura.mixture.conditional import Conditional
from mixtura.typing import Columns

__all__ = ["DENSITY", "OPSET", "REGRESSION", "export_onnx"]

#: Outputs of a density, and of a regression.
DENSITY = ("score_samples", "predict_proba", "predict")
REGRESSION = ("predict",)
#: The default opset, and the first whose operators can say what every graph here needs.
OPSET, FIRST_OPSET = 17, 13
#: Protocol buffers, and so ONNX files, end here.
LARGEST = 2**31 - 1


def export_onnx(
    value: Any,
    path: str | os.PathLike[str],
    *,
    outputs: str | Iterable[str] | None = None,
    given: Columns | None = None,
    opset: int = OPSET,
    dtype: Any = "float32",
    guarded: bool | None = None,
) -> None:
    """Write a mixture, or the regression that conditioning makes of it, as an ONNX file.

    Parameters
    ----------
    value : Mixture, Conditional, or fitted GaussianMixture or MixtureRegressor
        A ``Conditional`` and a ``MixtureRegressor`` are written as regressions: the conditional
        mean.
    path : path
        Written beside its target and renamed.
    outputs : str or names, optional
        Of "score_samples", "predict_proba" and "predict"; all of them by default. A regression
        has "predict" alone.
    given : positions or names of columns, optional
        Write the mean of the other columns given these, in the order in which they are given.
    opset : int
        Version of the operators, from 13.
    dtype : {"float32", "float64"}
        Of the rows and of the answers; labels are int64.
    guarded : bool, optional
        Whether a float32 graph computes in float64 between its float32 doors. None lets the
        numbers decide: it does where columns are nearly collinear.

    Raises
    ------
    InputError
        When the value, an output, the opset or the path cannot be used.
    MissingExtraError
        Where the package onnx is not installed: ``pip install 'mixtura[onnx]'``.

    Notes
    -----
    The graph holds an n × k × d array while it runs: pass many rows in batches. Answers in
    float32 are right to 1e-5 of 1 + their size for rows like those that were fitted; far out,
    at a squared distance δ from every component, the probabilities of an unguarded graph are
    right to about 1e-7 δ, and beyond the largest number its scores are −inf and its
    probabilities NaN.

    Examples
    --------
    >>> import mixtura as mx
    >>> mix = mx.Mixture([0.3, 0.7], [[0.0, 0.0], [4.0, 1.0]], [1.0, 0.5], columns=["a", "b"])
    >>> mx.export_onnx(mix, "clusters.onnx")  # doctest: +SKIP
    >>> mx.export_onnx(mix, "b_given_a.onnx", given="a")  # doctest: +SKIP
    """
    if not isinstance(path, str | os.PathLike):
        raise InputError(f"expected a path to write, such as 'model.onnx', got {path!r}")
    law, single = _law(value, given)
    wanted = _outputs(outputs, REGRESSION if isinstance(law, Conditional) else DENSITY)
    kind = _dtype(dtype)
    onnx = _onnx()
    level = _opset(opset, onnx.defs.onnx_opset_version(), law)
    model = _model(onnx, law, wanted, kind, level, single, guarded)
    try:
        onnx.checker.check_model(model, full_check=True)
    except onnx.checker.ValidationError as error:
        raise InputError(f"onnx refuses the graph for opset {level}: {error}") from None
    write_atomically(path, model.SerializeToString())


# ---- what was asked for ------------------------------------------------------------------------
def _law(value: Any, given: Any) -> tuple[Mixture | Conditional, bool]:
    """The law to write, and whether its answer is one number per row, without an axis."""
    law: Any = getattr(value, "conditional_", None)
    if law is None:
        law = getattr(value, "mixture_", value)
    else:
        point = getattr(value, "predict_with", "mean")
        if point != "mean":
            raise InputError(
                f"expected a regressor that predicts the mean, got predict_with={point!r}, which "
                "ONNX cannot express; call set_params(predict_with='mean') first"
            )
    if not isinstance(law, Mixture | Conditional):
        hint = "; call fit first" if hasattr(value, "fit") else ""
        if type(value).__module__.startswith("sklearn."):
            hint = "; make it one with Mixture.from_sklearn(model)"
        raise InputError(
            "expected a Mixture, a Conditional or a fitted GaussianMixture or MixtureRegressor, "
            f"got {type(value).__name__}{hint}"
        )
    if given is not None:
        if isinstance(law, Conditional):
            raise InputError(
                f"expected no given columns for a {type(value).__name__}, which has its own, got "
                f"{given!r}; pass the mixture itself to choose others"
            )
        law = law.conditional(given)
    joint = law.mixture if isinstance(law, Conditional) else law
    if not isinstance(joint.means, np.ndarray):
        raise InputError(
            f"expected a mixture of NumPy arrays, got {type(joint.means).__name__}s; call "
            "to('numpy') first"
        )
    return law, bool(getattr(value, "_single", False))


def _outputs(outputs: Any, known: tuple[str, ...]) -> tuple[str, ...]:
    if outputs is None:
        return known
    try:
        names = (outputs,) if isinstance(outputs, str) else tuple(outputs)
    except TypeError:
        names = (outputs,)
    if not names or not all(n in known for n in names) or len(set(names)) < len(names):
        raise InputError(
            f"expected outputs among {', '.join(map(repr, known))}, each at most once, got "
            f"{list(names)}"
        )
    return names


def _dtype(dtype: Any) -> Any:
    try:
        kind = np.dtype(dtype)
    except TypeError:
        kind = np.dtype(object)
    if kind not in (np.dtype(np.float32), np.dtype(np.float64)):
        raise InputError(f"expected dtype 'float32' or 'float64', got {dtype!r}")
    return kind


def _onnx() -> Any:
    try:
        onnx = import_module("onnx")
        for part in ("checker", "helper", "numpy_helper"):
            import_module(f"onnx.{part}")
    except ModuleNotFoundError:
        raise MissingExtraError("onnx", "onnx", "writing ONNX files") from None
    return onnx


def _opset(opset: Any, newest: int, law: Mixture | Conditional) -> int:
    try:
        level = operator.index(opset)
    except TypeError:
        raise InputError(f"expected a whole number as opset, such as {OPSET}, got {opset!r}") from (
            None
        )
    if level < FIRST_OPSET:
        joint = law.mixture if isinstance(law, Conditional) else law
        raise InputError(
            f"expected an opset of at least {FIRST_OPSET}, the first that expresses a mixture "
            f"with {joint.covariance.name} covariances, got {level}; pass opset={OPSET}"
        )
    if level > newest:
        raise InputError(
            f"expected an opset of at most {newest}, the newest that the installed onnx knows, "
            f"got {level}; pass opset={OPSET} or upgrade onnx"
        )
    return level


# ---- the file ------------------------------------------------------------------------------------
def _model(
    onnx: Any,
    law: Mixture | Conditional,
    wanted: tuple[str, ...],
    dtype: Any,
    opset: int,
    flat: bool,
    guarded: bool | None,
) -> Any:
    """The model's protocol buffer."""
    mix = law.gate if isinstance(law, Conditional) else law
    _check_size(mix)
    gain, targets = None, None
    if isinstance(law, Conditional):
        gain = np.asarray(law.gain)
        targets = np.asarray(law.mixture.means)[:, list(law.rest)]
    if guarded is None:
        guarded = needs_guard(mix, gain, targets)
    inner = np.dtype(np.float64) if guarded else dtype
    graph = Graph(onnx, inner, opset)
    tensor_type = onnx.helper.np_dtype_to_tensor_dtype
    x = "X" if inner == dtype else graph.op("Cast", "X", to=tensor_type(inner))
    v = differences(graph, x, np.asarray(mix.means))
    joint, shift = log_joint(graph, v, mix)
    answers: dict[str, tuple[str, int, list[Any]]] = {}
    floating = tensor_type(dtype)
    if gain is not None and targets is not None:
        y = regression(graph, v, gates(graph, joint), gain, targets, flat=flat)
        answers["predict"] = y, floating, ["n"] if flat else ["n", targets.shape[1]]
    else:
        if "score_samples" in wanted:
            answers["score_samples"] = score(graph, joint, shift), floating, ["n"]
        if "predict_proba" in wanted:
            answers["predict_proba"] = gates(graph, joint), floating, ["n", mix.k]
        if "predict" in wanted:
            label = graph.op("ArgMax", joint, axis=1, keepdims=0)
            answers["predict"] = label, onnx.TensorProto.INT64, ["n"]
    for name, (tensor, kind, _) in answers.items():
        graph.op("Cast", tensor, to=kind, name=name)
    info = onnx.helper.make_tensor_value_info
    model = onnx.helper.make_model(
        onnx.helper.make_graph(
            graph.nodes,
            "mixtura",
            [info("X", floating, ["n", mix.d])],
            [info(name, *answers[name][1:]) for name in wanted],
            graph.constants,
        ),
        opset_imports=[onnx.helper.make_opsetid("", opset)],
        producer_name="mixtura",
        producer_version=_version(),
    )
    model.ir_version = onnx.helper.find_min_ir_version_for(list(model.opset_import))
    onnx.helper.set_model_props(model, _metadata(law))
    if model.ByteSize() > LARGEST:
        raise _too_large(model.ByteSize())
    return model


def _check_size(mix: Mixture) -> None:
    """Refuse whitening matrices that neither memory nor the file could hold."""
    _, own = whitener(mix.covariance)
    if type(own) not in WHITENERS:
        check_budget(own.k, mix.d, "the whitening matrices of an ONNX graph")


def _too_large(size: int) -> InputError:
    return InputError(
        f"expected a model of at most 2 GiB, where ONNX files end, got {size / 2**30:.1f} GiB; "
        "fit a low-rank or tied structure, or take fewer columns with marginal()"
    )


def _metadata(law: Mixture | Conditional) -> dict[str, str]:
    """What the file says of itself; columns as JSON lists of names, or of positions."""
    mix = law.mixture if isinstance(law, Conditional) else law
    shared = getattr(mix.covariance, "shared", None)
    names: list[Any] = list(range(mix.d)) if mix.columns is None else list(mix.columns)
    told: dict[str, Any] = {
        "format": "mixtura",
        "kind": "regression" if isinstance(law, Conditional) else "density",
        "structure": mix.covariance.name if shared is None else f"tied {shared.name}",
        "components": str(mix.k),
        "columns": names,
    }
    if isinstance(law, Conditional):
        told["columns"] = [names[j] for j in law.given]
        told["targets"] = [names[j] for j in law.rest]
    return {
        key: text if isinstance(text, str) else json.dumps(text, ensure_ascii=False)
        for key, text in told.items()
    }


def _version() -> str:
    try:
        return version("mixtura")
    except PackageNotFoundError:  # run from a checkout
        return "unknown"
