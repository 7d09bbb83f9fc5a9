"""The library's exceptions: each message says what was expected, what came, and how to mend it."""

from __future__ import annotations

__all__ = [
    "ConstructionError",
    "FormatError",
    "IllDefinedCovarianceError",
    "InputError",
    "MissingExtraError",
    "MixturaError",
    "NotPositiveDefiniteError",
]


class MixturaError(Exception):
    """Base of every error that the library raises on purpose."""


class InputError(MixturaError, ValueError):
    """Data or arguments that cannot be used; the message says how to mend them."""


class ConstructionError(InputError):
    """Parameters that do not describe a mixture."""


class FormatError(InputError):
    """A model file that is damaged, foreign, hostile or of a newer format."""


class NotPositiveDefiniteError(InputError):
    """A matrix that should be a covariance and is not positive definite."""


class IllDefinedCovarianceError(InputError):
    """A component collapsed during a fit that was told not to recover it."""

    def __init__(self) -> None:
        # The wording is scikit-learn's (BSD-3): code that catches and matches it keeps working.
        super().__init__(
            "Fitting the mixture model failed because some components have ill-defined empirical "
            "covariance (for instance caused by singleton or collapsed samples). Try to decrease "
            "the number of components, increase reg_covar, or scale the input data."
        )


class MissingExtraError(MixturaError, ImportError):
    """An optional package is needed; the message names the extra that installs it."""

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{purpose} needs the package {package!r}, which is not installed; "
            f"install it with: pip install 'mixtura[{extra}]'"
        )
