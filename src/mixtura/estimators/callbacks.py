"""scikit-learn's callback protocol (1.9 and newer), where it is installed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

__all__ = ["CallbackSupport", "fit_context", "fit_end", "managed"]

try:
    from sklearn.callback import CallbackSupportMixin as CallbackSupport
    from sklearn.callback._callback_support import callback_management_context
except ImportError:  # scikit-learn 1.8

    class CallbackSupport:  # type: ignore[no-redef]
        """Stands in where scikit-learn has no callbacks."""

    callback_management_context = None


@contextmanager
def managed(estimator: Any) -> Iterator[None]:
    """Tear callbacks down when the fit ends, however it ends."""
    if callback_management_context is None:
        yield
        return
    try:
        with callback_management_context(estimator):
            yield
    finally:
        estimator.__dict__.pop("_callback_root", None)


def fit_context(estimator: Any, X: Any) -> Callable[[], bool] | None:
    """Begin the fit's task; the function returned reports one EM iteration.

    It returns True when a callback asks to stop. None where no callback is set.
    """
    if callback_management_context is None or not getattr(estimator, "_skl_callbacks", None):
        return None
    root = estimator._init_callback_context(max_subtasks=None)
    root.call_on_fit_task_begin(estimator=estimator, X=X)

    def report() -> bool:
        child = root.subcontext(task_name="em-iteration")
        child.call_on_fit_task_begin(estimator=estimator, X=X)
        return bool(child.call_on_fit_task_end(estimator=estimator, X=X))

    estimator._callback_root = root
    return report


def fit_end(estimator: Any, X: Any) -> None:
    """End the fit's task."""
    root = estimator.__dict__.pop("_callback_root", None)
    if root is not None:
        root.call_on_fit_task_end(estimator=estimator, X=X)
