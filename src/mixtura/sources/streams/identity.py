"""Which file a fit began with: the same at the start and at the end of every pass, or an error.

Rows are read several times. A file that is written to, cut short or replaced between would give
statistics of no table at all, and EM could descend; size, time of writing and the file's number
tell it.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixtura.errors import InputError

__all__ = ["Identity", "ended"]


@dataclass(frozen=True)
class Identity:
    """What the system says of a file.

    Attributes
    ----------
    path : Path
    number : (int, int)
        Of the device and of the file on it: another where a file was replaced.
    size, written : int
        Bytes, and the time of the last writing in nanoseconds.
    """

    path: Path
    number: tuple[int, int]
    size: int
    written: int

    @classmethod
    def of(cls, path: Path) -> Identity:
        """The file as it is now."""
        try:
            found = path.stat()
        except OSError as error:
            raise InputError(
                f"expected a file that can be read, got {path} ({error.strerror}); check the path"
            ) from None
        return cls(path, (found.st_dev, found.st_ino), found.st_size, found.st_mtime_ns)

    def check(self, opened: Any = None) -> None:
        """Refuse another file than the one that was met first.

        Parameters
        ----------
        opened : file, optional
            Which must be that file too.

        Raises
        ------
        InputError
        """
        try:
            found = [self.path.stat()]
            if opened is not None:
                found.append(os.fstat(opened.fileno()))
        except OSError as error:
            raise InputError(
                f"expected {self.path} to stay while it is read several times, got: "
                f"{error.strerror}; it was removed during the fit: restore it and fit again"
            ) from None
        for one in found:
            if not stat.S_ISREG(one.st_mode):
                continue  # a pipe has neither size nor time
            if (one.st_dev, one.st_ino) != self.number:
                raise InputError(
                    f"expected the same file in every pass, but {self.path} was replaced during "
                    "the fit; fit again, to a file that nobody writes meanwhile"
                )
            if one.st_size != self.size:
                raise InputError(
                    f"expected {self.path} to stay as it is while it is read several times, but "
                    f"it went from {self.size:,} to {one.st_size:,} bytes during the fit; fit "
                    "again once it is complete"
                )
            if one.st_mtime_ns != self.written:
                raise InputError(
                    f"expected {self.path} to stay as it is while it is read several times, but "
                    "it was written to during the fit; fit again once it is complete"
                )


def ended(name: str, expected: int, got: int) -> InputError:
    """The error of a pass that gave another number of rows than the first."""
    what = "ended after" if got < expected else "went on beyond its end, to"
    return InputError(
        f"expected {expected:,} rows of {name} in every pass, but one {what} {got:,}; the rows "
        "have to stay the same while they are read several times"
    )
