"""Every script in `examples/` runs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
#: Scripts that need a package beyond those of the tests.
NEEDS = {"torch_prior.py": "torch"}


@pytest.mark.parametrize("script", sorted(EXAMPLES.glob("*.py")), ids=lambda path: path.name)
def test_example_runs_and_draws(script, tmp_path):
    if script.name in NEEDS:
        pytest.importorskip(NEEDS[script.name])
    picture = tmp_path / "picture.png"
    subprocess.run([sys.executable, script, picture], cwd=tmp_path, check=True)
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("script", NEEDS)
def test_example_without_its_package_says_so(script, tmp_path):
    (tmp_path / f"{NEEDS[script]}.py").write_text("raise ImportError('absent')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, EXAMPLES / script]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    assert f"pip install 'mixtura[{NEEDS[script]}]'" in done.stdout
