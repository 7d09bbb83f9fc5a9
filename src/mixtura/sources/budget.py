"""Amounts of memory: as people write them, and as much as is free."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

from mixtura.errors import InputError

__all__ = ["SHARE", "as_bytes", "free_memory", "told_bytes", "usual"]

#: Share of the free memory that a table may take before it is streamed unasked.
SHARE = 0.25
#: What is taken to be free where the system does not tell.
UNKNOWN = 4 * 2**30

UNITS = {
    **{"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12},
    **{"K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12},
    **{"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40},
}


def as_bytes(memory: Any) -> int:
    """Bytes from ``500_000_000``, ``"500MB"``, ``"0.5 GB"`` or ``"512 MiB"``.

    Raises
    ------
    InputError

    Examples
    --------
    >>> as_bytes("500MB"), as_bytes("0.5 GiB")
    (500000000, 536870912)
    """
    found = None
    if isinstance(memory, str):
        found = re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)\s*([A-Za-z]*)\s*", memory)
        if found and found[2].upper() in UNITS and float(found[1]) > 0:
            return int(float(found[1]) * UNITS[found[2].upper()])
    elif not isinstance(memory, bool):
        try:
            if 1 <= float(memory) < 2**63:
                return int(memory)
        except (TypeError, ValueError, OverflowError):
            pass
    raise InputError(
        "expected memory as a number of bytes or a text such as '500MB', '2GB' or '512MiB', got "
        f"{memory!r}"
    )


def told_bytes(size: float) -> str:
    """``1.6 GB``: decimal units, as disks are sold and ``as_bytes`` reads.

    >>> told_bytes(1_600_000_000), told_bytes(900)
    ('1.6 GB', '900 bytes')
    """
    for unit in ("TB", "GB", "MB", "kB"):
        if size >= UNITS[unit.upper()]:
            return f"{size / UNITS[unit.upper()]:.3g} {unit}"
    return f"{size:.0f} bytes"


def free_memory() -> int:
    """Bytes that programs may still take, within the limits of a control group."""
    found = [_of_system(), *_of_group()]
    return min([size for size in found if size], default=UNKNOWN)


def usual() -> int:
    """The budget of a stream for which none was given: a quarter of the free memory."""
    return int(SHARE * free_memory())


def _of_system() -> int:
    try:
        for line in Path("/proc/meminfo").read_text(encoding="ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return int(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return 0


def _of_group() -> list[int]:
    """What the limit of a container leaves."""
    for limit, used in (
        ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory.current"),
        (
            "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            "/sys/fs/cgroup/memory/memory.usage_in_bytes",
        ),
    ):
        try:
            most = int(Path(limit).read_text(encoding="ascii"))
            return [max(most - int(Path(used).read_text(encoding="ascii")), 1)]
        except (OSError, ValueError):
            continue
    return []
