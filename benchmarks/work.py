r"""Nominal work of one EM iteration, in floating point operations: what shares refer to.

The E-step evaluates f quadratic features of every row against every component, and the M-step sums
them up again: two matrix products, n × f × k and k × n × f, of 2 operations each,

    flops = 4 n k f,
    f = d (d + 1) / 2 + d + 1 (full),    2 d + 1 (diagonal),    2 d + 1 + d r (rank r)

One Lloyd iteration of k-means is one product, 2 n k d. The count is the same for every library,
whatever it does instead, so that shares order as times do; one that leaves out what is negligible
may pass 100%. Exponentials, Cholesky factors and passes over memory count for nothing.
"""

from __future__ import annotations

from benchmarks.workloads import Workload

__all__ = ["features", "lloyd_flops", "nominal_flops"]


def features(workload: Workload, structure: str | None = None) -> int:
    """Numbers per row and component that a dense EM iteration must see."""
    d, structure = workload.d, structure or workload.covariance_type
    if structure == "full":
        return d * (d + 1) // 2 + d + 1
    return 2 * d + 1 + (d * workload.rank if structure == "lowrank" else 0)


def nominal_flops(workload: Workload, structure: str | None = None) -> float:
    """Of one EM iteration; ``structure`` where it is not the workload's own."""
    return 4.0 * workload.n * workload.k * features(workload, structure)


def lloyd_flops(workload: Workload) -> float:
    """Of one iteration of k-means."""
    return 2.0 * workload.n * workload.k * workload.d
