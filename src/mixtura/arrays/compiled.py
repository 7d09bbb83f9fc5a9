"""Compiled kernels: when they serve, how they are compiled, and where compiled code is kept.

Numba takes a second to load and compile, which work of n rows times k components below 10⁶ does not
repay: there NumPy serves, and Numba is not even imported. Modules of kernels are therefore imported
by name, here, when work is large::

    # arrays/shapes.py: the only kind of module that imports Numba, by ``jit``
    @jit(fastmath={"reassoc", "contract"})
    def area(x, out): ...


    SIGNATURES = {"area": ["void(f8[:, ::1], f8[::1])"]}  # what ``warm`` compiles

    # arrays/shapes_plain.py: functions of the same names and arguments, by NumPy

    # where it is called
    compiled.choose("shapes.area", work=n * k)(x, out)

``compiled.warm("shapes.area", work=n * k)`` compiles in the background, in parallel with the start
of a fit.
``n`` is the number of rows of the whole table and not of a batch, so that which path is taken
depends on the data alone, never on what was compiled before. ``MIXTURA_NUMBA=0`` turns Numba off.

Compiled code is kept beside the source, or in the user's cache where that is not writable, or
nowhere: a cache that cannot be written, or read, is never an error.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["LEAST_WORK", "choose", "jit", "kernel", "serves", "wait", "warm"]

#: Rows times components from which kernels are compiled.
LEAST_WORK = 1_000_000

_threads: list[threading.Thread] = []


def serves(work: float) -> bool:
    """Whether compiled kernels serve for so many rows times components."""
    return _wanted(work) and _numba_loads()


def _wanted(work: float) -> bool:
    return work >= LEAST_WORK and os.environ.get("MIXTURA_NUMBA", "1") != "0"


@cache
def _numba_loads() -> bool:
    try:
        import_module("numba")
    except Exception:  # absent, or made for another NumPy
        return False
    return True


def kernel(name: str) -> Callable[..., Any]:
    """A compiled kernel ``"module.function"`` of this folder."""
    module, function = name.rsplit(".", 1)
    return getattr(import_module(f"mixtura.arrays.{module}"), function)  # type: ignore[no-any-return]


def choose(name: str, work: float) -> Callable[..., Any]:
    """A kernel ``"module.function"``, or the function of ``module_plain`` where that serves."""
    if serves(work):
        return kernel(name)
    module, function = name.rsplit(".", 1)
    return kernel(f"{module}_plain.{function}")


def warm(*names: str, work: float, real: str = "") -> None:
    """Begin to compile kernels in the background, where they will serve for so much work.

    Parameters
    ----------
    real : str
        "f8" or "f4": only signatures that compute in it; all by default.
    """
    if not _wanted(work):
        return
    _threads[:] = [thread for thread in _threads if thread.is_alive()]
    # The interpreter waits for the thread at its end: compilers do not like to be cut off.
    thread = threading.Thread(target=_compile, args=(names, real), name="mixtura-compile")
    _threads.append(thread)
    thread.start()


def wait() -> None:
    """Wait until what ``warm`` began is done."""
    for thread in list(_threads):
        if thread is not threading.current_thread():
            thread.join()


# A child must not inherit a compiler's lock that nobody will release.
if hasattr(os, "register_at_fork"):
    os.register_at_fork(before=wait)


def _compile(names: tuple[str, ...], real: str) -> None:
    with suppress(Exception):  # whoever calls the kernel will be told
        if not _numba_loads():
            return
        types = import_module("numba.core.sigutils")
        for name in names:
            dispatcher: Any = kernel(name)
            module = import_module(dispatcher.__module__)
            signatures = getattr(module, "SIGNATURES", {}).get(name.rsplit(".", 1)[1], ())
            if isinstance(signatures, dict):
                signatures = [one for key, one in signatures.items() if key.endswith(real)]
            for signature in signatures:
                # As types, which a call goes by too when it looks for code that was kept.
                dispatcher.compile(types.normalize_signature(signature)[0])


def jit(function: Callable[..., Any] | None = None, *, fastmath: Any = False) -> Any:
    """``numba.njit``, without the interpreter's lock, and with a cache that never fails."""
    if function is None:
        return lambda f: jit(f, fastmath=fastmath)
    numba = import_module("numba")
    how = {"nogil": True, "fastmath": fastmath, "error_model": "numpy"}  # x / 0 is no exception
    try:
        dispatcher = numba.njit(cache=True, **how)(function)
    except (RuntimeError, OSError):  # no folder is writable
        return numba.njit(**how)(function)
    if hasattr(dispatcher, "_cache"):
        dispatcher._cache = _Forgiving(dispatcher._cache)
    return dispatcher


class _Forgiving:
    """Numba's cache of one function: failures are ignored, and writers take turns.

    Without turns, two processes that compile a function for different types at once may enter the
    same file name for both.
    """

    def __init__(self, inner: Any) -> None:
        self._inner = inner

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["_inner"], name)

    def load_overload(self, signature: Any, context: Any) -> Any:
        try:
            with _turn(self._inner.cache_path):
                return self._inner.load_overload(signature, context)
        except Exception:  # unreadable or damaged: compile anew
            return None

    def save_overload(self, signature: Any, data: Any) -> None:
        with suppress(Exception), _turn(self._inner.cache_path, make=True):
            try:
                self._inner.save_overload(signature, data)
            except Exception:  # an index that cannot be read
                self._inner.flush()
                self._inner.save_overload(signature, data)


@contextmanager
def _turn(folder: str, *, make: bool = False) -> Iterator[None]:
    """Hold the lock of a folder, where the system has such locks."""
    try:
        import fcntl
    except ImportError:
        yield
        return
    path = Path(folder)
    if not make and not path.is_dir():
        yield
        return
    path.mkdir(parents=True, exist_ok=True)
    try:
        lock = (path / ".mixtura.lock").open("a")
    except OSError:  # may be read, not written: nobody else writes either
        yield
        return
    with lock:
        with suppress(OSError):  # a file system without locks
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
