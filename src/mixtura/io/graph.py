r"""A mixture as a graph of ONNX operators: rows in, log joints, gates and conditional means out.

Numbers are worked out in float64 and stored in the graph's own precision so that they keep their
digits there. A mean is stored as two numbers whose sum is exact, μ = μ₁ + μ₂, and subtracted
first, (x − μ₁) − μ₂: differences are then right to the last digit however far the data lie from
the origin. Differences are whitened, so that δ is a sum of squares and never a difference of
large numbers; with low rank, δ = ‖(v − W z)/√Ψ‖² + ‖z‖², z the factors, and nothing is d × d.
The largest constant is added after log Σ exp, where it cannot hide the differences between
components.

What remains is that whitening nearly collinear columns takes differences of large numbers. For
rows of the component itself the error of δ/2 is about ε √s, s = Σᵢⱼ Zᵢⱼ² Σⱼⱼ with Z the whitening
matrix: the sum of the variance inflation factors. Where that ``strain`` s is large a float32
graph is guarded: it computes in float64 between its float32 doors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from mixtura.arrays.linalg import transpose
from mixtura.covariance import (
    Covariance,
    DiagonalCovariance,
    IsotropicCovariance,
    LowRankCovariance,
    TiedCovariance,
)
from mixtura.mixture import Mixture
from mixtura.typing import FloatArray

__all__ = [
    "WHITENERS",
    "Graph",
    "Whitener",
    "differences",
    "gates",
    "log_joint",
    "needs_guard",
    "regression",
    "score",
    "whitener",
]

#: From this opset on, the axes of ReduceMax are an input and no attribute.
AXES_AS_INPUT = 18
#: Error in nats that float32 may be expected to make; answers are then right to 1e-5.
TOLERANCE = 2.5e-6


class Graph:
    """Nodes and constants in the order of computation; methods return names of tensors."""

    def __init__(self, helpers: Any, dtype: Any, opset: int) -> None:
        self.helpers, self.dtype, self.opset = helpers, np.dtype(dtype), opset
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def number(self, values: Any, dtype: Any = None) -> str:
        """A constant tensor."""
        name = f"c{len(self.constants)}"
        array = np.ascontiguousarray(values, dtype=self.dtype if dtype is None else dtype)
        self.constants.append(self.helpers.numpy_helper.from_array(array, name))
        return name

    def op(self, kind: str, *inputs: str, name: str | None = None, **attributes: Any) -> str:
        """One operator."""
        out = f"{kind.lower()}{len(self.nodes)}" if name is None else name
        node = self.helpers.helper.make_node(kind, list(inputs), [out], name=out, **attributes)
        self.nodes.append(node)
        return out

    def axes(self, *positions: int) -> str:
        """Axes as a constant."""
        return self.number(positions, np.int64)

    def total(self, x: str, axis: int, *, keep: bool = False) -> str:
        """Sum over one axis."""
        return self.op("ReduceSum", x, self.axes(axis), keepdims=int(keep))

    def largest(self, x: str, axis: int) -> str:
        """Maximum over one axis, which stays with length 1."""
        if self.opset >= AXES_AS_INPUT:
            return self.op("ReduceMax", x, self.axes(axis), keepdims=1)
        return self.op("ReduceMax", x, axes=[axis], keepdims=1)

    def squares(self, x: str) -> str:
        """Squared norms over the last axis."""
        return self.total(self.op("Mul", x, x), -1)


def differences(graph: Graph, x: str, means: FloatArray) -> str:
    """x − μₖ (k, n, d), exact to the last digit, for rows x (n, d) and means (k, d)."""
    high = np.asarray(means, dtype=graph.dtype)
    low = np.asarray(means) - high
    rows = graph.op("Unsqueeze", x, graph.axes(0))
    near = graph.op("Sub", rows, graph.number(high[:, None, :]))
    return graph.op("Sub", near, graph.number(low[:, None, :])) if low.any() else near


# ---- δ = ‖whitened differences‖² (k, n), by structure ------------------------------------------
@dataclass(frozen=True)
class Whitener:
    """How a structure says δ, and how much it strains single precision.

    Attributes
    ----------
    emit : callable
        (graph, differences (k, n, d), covariance) to δ (k, n).
    strain : callable
        Σᵢⱼ Zᵢⱼ² Σⱼⱼ of each component (k,).
    """

    emit: Callable[[Graph, str, Any], str]
    strain: Callable[[Any], FloatArray]


def _diagonal(graph: Graph, v: str, covariance: Any) -> str:
    root = 1 / np.sqrt(np.asarray(covariance.diagonal()))
    return graph.squares(graph.op("Mul", v, graph.number(root[:, None, :])))


def _lowrank(graph: Graph, v: str, covariance: Any) -> str:
    root = np.sqrt(np.asarray(covariance.noise))
    y = graph.op("Mul", v, graph.number(1 / root[:, None, :]))
    if covariance.rank == 0:
        return graph.squares(y)
    z = graph.op("MatMul", y, graph.number(root[:, :, None] * covariance.regression()))
    scaled = covariance.loadings / root[:, :, None]
    rest = graph.op("Sub", y, graph.op("MatMul", z, graph.number(transpose(scaled))))
    return graph.op("Add", graph.squares(rest), graph.squares(z))


def _matrix(covariance: Covariance) -> FloatArray:
    eye = np.broadcast_to(np.eye(covariance.d), (covariance.k, covariance.d, covariance.d))
    return np.asarray(covariance.whiten(eye))


def _dense(graph: Graph, v: str, covariance: Covariance) -> str:
    return graph.squares(graph.op("MatMul", v, graph.number(transpose(_matrix(covariance)))))


def _dense_strain(covariance: Covariance) -> FloatArray:
    scaled = _matrix(covariance) * np.sqrt(np.asarray(covariance.diagonal()))[:, None, :]
    return np.asarray((scaled**2).sum(axis=(1, 2)))


_DIAGONAL = Whitener(_diagonal, lambda c: np.full(c.k, float(c.d)))
_LOWRANK = Whitener(_lowrank, lambda c: np.asarray((c.diagonal() / c.noise).sum(axis=1)))
_DENSE = Whitener(_dense, _dense_strain)
#: Structures that have something better than a dense whitening matrix.
WHITENERS: dict[type[Covariance], Whitener] = {
    IsotropicCovariance: _DIAGONAL,
    DiagonalCovariance: _DIAGONAL,
    LowRankCovariance: _LOWRANK,
}


def whitener(covariance: Covariance) -> tuple[Whitener, Any]:
    """How to whiten, and the covariance to do it with: the shared one where it is tied."""
    own = covariance.shared if isinstance(covariance, TiedCovariance) else covariance
    return WHITENERS.get(type(own), _DENSE), own


def needs_guard(mix: Mixture, gain: FloatArray | None = None, targets: Any = None) -> bool:
    """Whether float32 arithmetic would miss what float32 answers can hold.

    Parameters
    ----------
    mix : Mixture
    gain, targets : array (k, m, d), (k, m), optional
        Of a regression on top of it.
    """
    how, own = whitener(mix.covariance)
    strain = float(how.strain(own).max())
    if gain is not None:
        spread = (gain**2 * np.asarray(mix.covariance.diagonal())[:, None, :]).sum(axis=2)
        strain = max(strain, float((spread / (1 + np.abs(targets)) ** 2).max()))
    return bool(np.finfo(np.float32).eps * np.sqrt(strain) > TOLERANCE)


# ---- answers -------------------------------------------------------------------------------------
def log_joint(graph: Graph, v: str, mix: Mixture) -> tuple[str, float]:
    """Log wₖ + log N(x; μₖ, Σₖ) (n, k) less a constant, and that constant."""
    covariance = mix.covariance
    const = np.asarray(mix.log_weights - 0.5 * (mix.d * np.log(2 * np.pi) + covariance.logdet))
    shift = float(const.max())
    how, own = whitener(covariance)
    delta = how.emit(graph, v, own)
    halved = graph.op("Mul", delta, graph.number(-0.5))
    joint = graph.op("Add", halved, graph.number((const - shift)[:, None]))
    return graph.op("Transpose", joint, perm=[1, 0]), shift


def gates(graph: Graph, joint: str) -> str:
    """P(component | x) (n, k)."""
    return graph.op("Softmax", joint, axis=1)


def score(graph: Graph, joint: str, shift: float) -> str:
    """Log p(x) (n,)."""
    # A maximum of −inf (squares beyond the largest number) would make NaN of −inf − (−inf).
    least = graph.number(np.finfo(graph.dtype).min)
    top = graph.op("Max", graph.largest(joint, 1), least)
    summed = graph.total(graph.op("Exp", graph.op("Sub", joint, top)), 1, keep=True)
    near = graph.op("Add", graph.op("Log", summed), top)
    flat = graph.op("Squeeze", near, graph.axes(1))
    return graph.op("Add", flat, graph.number(shift))


def regression(
    graph: Graph,
    v: str,
    resp: str,
    gain: FloatArray,
    targets: FloatArray,
    *,
    flat: bool,
) -> str:
    """Σₖ rₖ (μₖ + Gₖ v) (n, m) about the targets' centre; without its last axis where ``flat``.

    Parameters
    ----------
    v, resp : (k, n, g), (n, k)
    gain : array (k, m, g)
    targets : array (k, m)
        Means of what is predicted.
    """
    centre = targets.mean(axis=0)
    moved = graph.op("MatMul", v, graph.number(transpose(gain)))
    each = graph.op("Add", moved, graph.number((targets - centre)[:, None, :]))
    turned = graph.op("Transpose", resp, perm=[1, 0])
    weight = graph.op("Unsqueeze", turned, graph.axes(2))
    near = graph.total(graph.op("Mul", weight, each), 0)
    if flat:
        near = graph.op("Squeeze", near, graph.axes(1))
    return graph.op("Add", near, graph.number(centre[0] if flat else centre))
