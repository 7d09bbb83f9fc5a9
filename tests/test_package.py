"""The package as a user installs it: what its import costs and loads, what it ships and claims."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import resources
from pathlib import Path

import pytest

import mixtura

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
EXTRAS = ("cli", "torch", "dask", "onnx")


def run(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a fresh interpreter."""
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)


def own_seconds(report: str) -> float:
    """Add up the time that `-X importtime` reports for the package's own modules."""
    line = re.compile(r"^import time:\s*(\d+) \|\s*\d+ \|\s*mixtura(?:\.\S+)?$", re.MULTILINE)
    microseconds = [int(self_time) for self_time in line.findall(report)]
    assert microseconds, "the report names no module of the package"
    return sum(microseconds) / 1e6


def test_import_takes_under_half_a_second_beyond_dependencies():
    # The first run may have to compile bytecode and the machine may be busy: the best of eight.
    def taken() -> float:
        return own_seconds(run("-X", "importtime", "-c", "import mixtura").stderr)

    assert any(taken() < 0.5 for _ in range(8))


def test_own_seconds_counts_only_the_package():
    report = """import time: self [us] | cumulative | imported package
import time:   9000000 |    9000000 |   numpy
import time:    250000 |     250000 |     mixtura.errors
import time:    500000 |    9750000 | mixtura
import time:   7000000 |    7000000 | mixturama
"""
    assert own_seconds(report) == pytest.approx(0.75)


def module_of(requirement: str) -> str:
    """The module that a requirement of an extra installs."""
    return re.match(r"[A-Za-z0-9_.-]+", requirement)[0].lower().replace("-", "_")


def optional_modules() -> set[str]:
    """The modules of the extras that users install."""
    requirements = PROJECT["optional-dependencies"]
    return {module_of(item) for extra in EXTRAS for item in requirements[extra]}


WATCH = """
import builtins, importlib, sys
entry, *optional = sys.argv[1:]
original = builtins.__import__

def watch(name, globals=None, locals=None, fromlist=(), level=0):
    importer = (globals or {}).get("__name__", "")
    if level == 0 and importer.startswith("mixtura") and name.partition(".")[0] in optional:
        print(name)
    return original(name, globals, locals, fromlist, level)

builtins.__import__ = watch
importlib.import_module(entry)
"""

ABSENT = """
import importlib, sys
entry, *absent = sys.argv[1:]

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in absent:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Absent())
importlib.import_module(entry)
"""


def extras_imported_by(entry: str, cwd: Path = ROOT) -> set[str]:
    """Modules of extras that the package's own modules import when `entry` is imported.

    What a dependency loads of its own accord (scikit-learn takes rich where it finds it) is
    not the package's doing.
    """
    found = run("-c", WATCH, entry, *optional_modules(), cwd=cwd).stdout.split()
    return {name.partition(".")[0] for name in found}


def test_import_loads_no_extra():
    assert extras_imported_by("mixtura") == set()


def test_import_works_where_no_extra_is_installed():
    run("-c", ABSENT, "mixtura", *optional_modules())


def test_a_module_that_needs_an_extra_is_caught(tmp_path):
    (tmp_path / "mixtura_liar.py").write_text("import rich.table", encoding="utf8")
    assert extras_imported_by("mixtura_liar", cwd=tmp_path) == {"rich"}
    with pytest.raises(subprocess.CalledProcessError):
        run("-c", ABSENT, "mixtura_liar", *optional_modules(), cwd=tmp_path)


def test_core_dependencies_are_the_agreed_ones():
    core = {module_of(item) for item in PROJECT["dependencies"]}
    assert core == {
        "numpy",
        "scipy",
        "scikit_learn",
        "numba",
        "array_api_compat",
        "threadpoolctl",
        "safetensors",
    }


def test_type_information_is_shipped():
    assert resources.files("mixtura").joinpath("py.typed").is_file()


def test_versions_agree():
    version = PROJECT["version"]
    assert mixtura.__version__ == version
    assert f"\nversion: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf8")
    assert f"\n## {version}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf8")


def test_licence_is_stated_alike():
    assert (ROOT / "LICENSE").read_text(encoding="utf8").startswith("BSD 3-Clause License")
    assert PROJECT["license"] == "BSD-3-Clause"
    assert "\nlicense: BSD-3-Clause\n" in (ROOT / "CITATION.cff").read_text(encoding="utf8")


@pytest.mark.parametrize("folder", ["examples/data", "tests/data"])
def test_every_data_file_has_its_source_told(folder):
    told = (ROOT / folder / "README.md").read_text(encoding="utf8")
    files = [path.name for path in (ROOT / folder).iterdir() if path.is_file()]
    assert len(files) > 1
    assert [name for name in files if f"`{name}`" not in told and name != "README.md"] == []


def test_every_public_name_resolves():
    assert len(mixtura.__all__) == len(set(mixtura.__all__)) > 0
    assert [name for name in mixtura.__all__ if not hasattr(mixtura, name)] == []
