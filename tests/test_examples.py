"""Every script in `examples/` runs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_example_runs_and_draws(script, tmp_path):
    picture = tmp_path / "picture.png"
    subprocess.run([sys.executable, script, picture], cwd=tmp_path, check=True)
    assert picture.read_bytes().startswith(b"\x89PNG")
