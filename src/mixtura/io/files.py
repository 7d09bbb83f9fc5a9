"""Model files: safetensors with JSON metadata in the header; never pickle.

The header's metadata hold ``format`` ("mixtura"), ``version`` and ``model``, a JSON text with the
kind of value, its structure, column names and whatever ``info`` says of the fit. Tensors are
float64. Files are written beside their target and renamed, so that a reader never sees half a
file. Reading trusts nothing: sizes are checked against the file before memory is asked for, and
the parameters go through the same constructor as everyone's.
"""

from __future__ import annotations

import json
import os
import struct
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_tensors
from safetensors.numpy import save as save_tensors

from mixtura.covariance import Covariance, TiedCovariance
from mixtura.errors import FormatError, InputError
from mixtura.mixture import Mixture

__all__ = ["FORMAT_VERSION", "load", "read", "save", "write_atomically"]

FORMAT_VERSION = 1
#: Largest header that is read; ours are a few kilobytes.
MAX_HEADER = 16 * 2**20
#: Means and standard deviations beyond these overflow wherever they are used.
LARGEST, SMALLEST = 1e153, 1e-306


def save(value: Any, path: str | os.PathLike[str], info: dict[str, Any] | None = None) -> None:
    """Write a mixture, or the mixture of a fitted estimator, to a safetensors file.

    Parameters
    ----------
    value : Mixture, or fitted estimator with ``mixture_``
    path : path
        Written beside its target and renamed.
    info : dict, optional
        JSON-able facts to keep with it, such as how it was fitted.

    Raises
    ------
    InputError
        When the value is not a mixture, ``info`` is not JSON, or the path cannot be written.
    """
    if not isinstance(info, dict | None):
        raise InputError(f"expected info as a dict of JSON values, got {type(info).__name__}")
    mix = getattr(value, "mixture_", value)
    if not isinstance(mix, Mixture):
        raise InputError(f"expected a Mixture or a fitted estimator, got {type(value).__name__}")
    covariance, tied = mix.covariance, isinstance(mix.covariance, TiedCovariance)
    if isinstance(covariance, TiedCovariance):
        covariance = covariance.shared
    described = {
        "kind": "mixture",
        "structure": covariance.name,
        "tied": tied,
        "columns": None if mix.columns is None else list(mix.columns),
        "info": info or {},
    }
    try:
        text = json.dumps(described, allow_nan=False, sort_keys=True)
    except (TypeError, ValueError) as error:
        raise InputError(f"expected info of JSON values, got {error}") from None
    if len(text) > MAX_HEADER // 2:
        raise InputError(
            f"expected info of at most {MAX_HEADER // 2**21} MiB, got {len(text) / 2**20:.0f} MiB; "
            "keep large data in a file of its own"
        )
    tensors = {"weights": mix.weights, "means": mix.means}
    tensors |= {f"covariance.{name}": a for name, a in covariance.parameters().items()}
    arrays = {n: np.ascontiguousarray(a, dtype=np.float64) for n, a in tensors.items()}
    metadata = {"format": "mixtura", "version": str(FORMAT_VERSION), "model": text}
    write_atomically(path, save_tensors(arrays, metadata=metadata))


def write_atomically(path: str | os.PathLike[str], content: bytes) -> None:
    """Write beside the target under a temporary name, then rename."""
    target = Path(os.path.realpath(_path(path)))  # a link stays a link
    if target.is_dir():
        raise InputError(f"expected a file name to write, got the directory {target}")
    if target.exists() and not target.is_file():
        target.write_bytes(content)  # a device or a pipe is written to, never replaced
        return
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{target.name}.", dir=target.parent)
    except OSError as error:
        raise InputError(f"cannot write {target}: {error.strerror}; choose another place") from None
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, _mode(target))
        os.replace(temporary, target)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise InputError(f"cannot write {target}: {error.strerror}") from None
        raise


def _path(path: Any) -> Path:
    """A path from what was passed for one."""
    if not isinstance(path, str | os.PathLike) or "\0" in os.fspath(path):
        raise InputError(f"expected a path, got {path!r}; pass a text or a pathlib.Path")
    return Path(path)


def _mode(target: Path) -> int:
    """The permissions that the file has, or that a new one would get."""
    if target.exists():
        return target.stat().st_mode & 0o777
    umask = os.umask(0)
    os.umask(umask)
    return 0o666 & ~umask


def load(path: str | os.PathLike[str]) -> Mixture:
    """Read a mixture from a file written by ``save``.

    Raises
    ------
    FormatError
        When the file is missing parts, damaged, foreign, hostile or of a newer format.
    """
    return read(path)[0]


def read(path: str | os.PathLike[str]) -> tuple[Mixture, dict[str, Any]]:
    """Read a mixture and the facts that were saved with it."""
    source = _path(path)
    if source.is_dir():
        raise FormatError(f"expected a model file, got the directory {source}")
    try:
        with source.open("rb") as file:
            metadata = _metadata(file.read(8), file, source)
            file.seek(0)
            content = file.read()
    except OSError as error:
        raise FormatError(f"cannot read the model {source}: {error.strerror}") from None
    described = _described(metadata, source)
    try:
        tensors = load_tensors(content)
    except (SafetensorError, ValueError, KeyError, OverflowError, MemoryError) as error:
        raise FormatError(f"the model file {source} is damaged: {error}; save it again") from None
    try:
        return _mixture(tensors, described), dict(described.get("info") or {})
    except FormatError as error:
        raise FormatError(f"the model file {source} cannot be used: {error}") from None
    except (InputError, LookupError, TypeError, ValueError, AttributeError) as error:
        raise FormatError(
            f"the model file {source} does not describe a mixture: {error}; save it again"
        ) from None


def _metadata(prefix: bytes, file: Any, source: Path) -> dict[str, Any]:
    """The header's metadata, with its claims checked against the size of the file."""
    size = os.fstat(file.fileno()).st_size
    pickled = prefix[:1] == b"\x80" and prefix[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05")
    kind = "a pickle, which is never read" if pickled else "not a model file"
    foreign = FormatError(
        f"expected a model written by mixtura, got {source}, which is {kind}; "
        "write one with mixtura.save or the command `mixtura fit`"
    )
    if len(prefix) < 8:
        raise foreign
    (length,) = struct.unpack("<Q", prefix)
    if length > min(MAX_HEADER, size - 8):
        first = file.read(1)
        if first == b"{" and length <= MAX_HEADER:
            raise FormatError(
                f"the model file {source} is truncated: its header needs {length} bytes and the "
                f"file has {size}; copy or save it again"
            )
        raise foreign
    try:
        header = json.loads(file.read(length))
        metadata = header.pop("__metadata__", {})
        ends = [int(entry["data_offsets"][1]) for entry in header.values()]
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError):
        raise foreign from None
    if not isinstance(metadata, dict) or metadata.get("format") != "mixtura":
        raise FormatError(
            f"expected a model written by mixtura, got {source}, a safetensors file of something "
            "else; write one with mixtura.save"
        )
    if max(ends, default=0) > size - 8 - length:
        raise FormatError(
            f"the model file {source} is truncated or its header is false: it claims "
            f"{max(ends)} bytes of numbers and has {size - 8 - length}; copy or save it again"
        )
    return metadata


def _described(metadata: dict[str, Any], source: Path) -> dict[str, Any]:
    try:
        version = int(metadata.get("version", ""))
        if version < 1:
            raise ValueError(version)
        if version > FORMAT_VERSION:
            raise FormatError(
                f"the model file {source} has format version {version}, and this mixtura reads up "
                f"to {FORMAT_VERSION}; upgrade mixtura"
            )
        described = json.loads(metadata["model"])
    except FormatError:
        raise
    except (ValueError, KeyError, TypeError, RecursionError):
        raise FormatError(f"the model file {source} has a damaged header; save it again") from None
    if not isinstance(described, dict) or described.get("kind") != "mixture":
        raise FormatError(f"the model file {source} does not hold a mixture")
    return described


def _mixture(tensors: dict[str, Any], described: dict[str, Any]) -> Mixture:
    name = described["structure"]
    if name not in Covariance.representations:
        raise FormatError(f"unknown covariance structure {name!r}; upgrade mixtura")
    weights, means = tensors["weights"], tensors["means"]
    if means.ndim != 2:
        raise FormatError(f"expected means (k, d), got {means.shape}")
    k, d = means.shape
    prefix = "covariance."
    parts = {n.removeprefix(prefix): a for n, a in tensors.items() if n.startswith(prefix)}
    foreign = {str(a.dtype) for a in tensors.values()} - {"float64"}
    if foreign:
        raise FormatError(f"expected numbers of float64, got {', '.join(sorted(foreign))}")
    names = described.get("columns")
    if not (names is None or (isinstance(names, list) and all(isinstance(c, str) for c in names))):
        raise FormatError("expected column names as a list of texts")
    rank = parts["loadings"].shape[-1] if name == "lowrank" else 0
    if rank > d:
        raise FormatError(f"expected a rank of at most {d}, the number of columns, got {rank}")
    for part in parts.values():
        if part.ndim == 0 or part.shape[0] not in (1, k) or not np.isfinite(part).all():
            raise FormatError("covariance parameters of the wrong shape, or not finite")
    count = 1 if described["tied"] else k
    covariance: Covariance = Covariance.representations[name].from_parameters(parts, count, d)
    if covariance.k != count:
        raise FormatError(f"expected {count} covariances, got {covariance.k}")
    if described["tied"]:
        covariance = TiedCovariance(covariance, k)
    variance = np.asarray(covariance.diagonal())
    if np.abs(means).max() > LARGEST or variance.min() < SMALLEST or variance.max() > LARGEST**2:
        raise FormatError("expected means and variances that can be squared and divided by")
    return Mixture(weights, means, covariance, columns=described.get("columns"))
