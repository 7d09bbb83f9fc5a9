"""Files written beside their target and renamed, so that none is ever half-written."""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from mixtura.errors import InputError

__all__ = ["check_source", "check_target", "replacing"]


def check_target(option: str, path: Path, others: Sequence[tuple[str, Path]] = ()) -> None:
    """Make sure, before long work, that a file can be written there.

    Parameters
    ----------
    option : str
        The option that names it, for messages.
    path : Path
        The file to be written.
    others : sequence of (what, Path)
        Files that it must not be.

    Raises
    ------
    InputError
    """
    for what, other in others:
        if path.resolve() == other.resolve():
            raise InputError(
                f"expected {option} to name a file of its own, got {path}, which is {what}; "
                "choose another name"
            )
    if path.is_dir():
        raise InputError(
            f"expected a file name for {option}, got the directory {path}; add a file name"
        )
    if _is_device(path):
        return
    folder = path.resolve().parent
    if not folder.is_dir():
        raise InputError(
            f"expected {option} to lie in an existing directory, got {path}; "
            f"create it first: mkdir -p {folder}"
        )
    try:
        probe = _beside(path)
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        raise InputError(
            f"expected to be able to write {option} {path}, got: {error.strerror}; "
            "choose another directory or mend its permissions"
        ) from None


def check_source(path: Path, what: str) -> None:
    """Make sure that a file to be read is one.

    Raises
    ------
    InputError
    """
    if path.is_dir():
        raise InputError(f"expected {what}, got the directory {path}; name a file in it")
    if not path.exists():
        raise InputError(f"expected {what}, got {path}, which does not exist; check the path")


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A temporary file beside ``path`` that takes its place when the block ends well.

    If the block fails, the temporary file is removed and what was at ``path`` stays.
    """
    if _is_device(path):
        yield path
        return
    target = path.resolve()  # a link stays a link
    temporary = _beside(path)
    try:
        yield temporary
        if target.exists():
            os.chmod(temporary, stat.S_IMODE(target.stat().st_mode))
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)


def _beside(path: Path) -> Path:
    """A name in the same folder that nothing has, with the same suffix."""
    target = path.resolve()
    return target.with_name(f".{target.stem[:80]}.{secrets.token_hex(4)}{target.suffix}")


def _is_device(path: Path) -> bool:
    return path.exists() and not path.is_file() and not path.is_dir()
