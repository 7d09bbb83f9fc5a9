"""Every script in `examples/` runs, and the gallery `examples/README.md` shows what it is and does.

A section of the gallery shows one script: its picture, lines of its code, and what it prints.
"""

from __future__ import annotations

import ast
import os
import re
import struct
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES, IMAGES = ROOT / "examples", ROOT / "docs" / "images"
SCRIPTS = {path.name: path.read_text(encoding="utf8") for path in sorted(EXAMPLES.glob("*.py"))}
GALLERY = (EXAMPLES / "README.md").read_text(encoding="utf8")
#: Scripts that need a package beyond those of the tests.
NEEDS = {"torch_prior.py": "torch"}
#: How far a printed number may be from the gallery's, where training a network magnifies rounding.
#: All others print rounded numbers, which must be equal.
SLACK = {"torch_prior.py": 5.0}
NUMBER = re.compile(r"\d[\d,]*(?:\.\d+)?")


def fenced(section: str, language: str) -> str:
    """The one block of a language in a section; empty where there is not exactly one."""
    found = re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    return found[0] if len(found) == 1 else ""


def sections(gallery: str) -> dict[str, str]:
    """Sections by the script that their first link names."""
    named = {}
    for section in gallery.split("\n## ")[1:]:
        link = re.search(r"\]\((\w+\.py)\)", section)
        named[link[1] if link else section.splitlines()[0]] = section
    return named


def numbers(text: str) -> set[str]:
    """Numbers in a text, without the commas of thousands."""
    return {n.replace(",", "") for n in NUMBER.findall(text)}


def loose(quoted: set[str], printed: set[str]) -> list[str]:
    """Numbers that are neither years nor printed, in the digits that are quoted."""

    def found(number: str) -> bool:
        digits = len(number.partition(".")[2])
        return any(f"{float(p):.{digits}f}" == number for p in printed)

    return sorted(n for n in quoted if not re.fullmatch("1[89]..|20..", n) and not found(n))


def told(script: str) -> str:
    """The docstring of a script."""
    return ast.get_docstring(ast.parse(script)) or ""


def stands(piece: str, script: str) -> bool:
    """Whether consecutive lines stand in a script, indented or not."""
    return any("\n" + textwrap.indent(piece, " " * n) in script for n in (0, 4, 8))


def problems(gallery: str, scripts: dict[str, str]) -> list[str]:
    """What is amiss between the gallery and the scripts, short of running them."""
    pages = sections(gallery)
    amiss = [f"{name}: no section" for name in scripts.keys() - pages.keys()]
    amiss += [f"{name}: no script" for name in pages.keys() - scripts.keys()]
    for name in scripts.keys() & pages.keys():
        page, script = pages[name], scripts[name]
        picture = f"](../docs/images/{name.removesuffix('.py')}.png)"
        if picture not in page:
            amiss.append(f"{name}: no picture")
        pieces = re.split(r"^\.\.\.\n", fenced(page, "python"), flags=re.MULTILINE)
        if not all(piece and stands(piece, script) for piece in pieces):
            amiss.append(f"{name}: the code shown is not in the script")
        # Numbers that are quoted in words were printed, or are settings in the code.
        shown, docstring = fenced(page, "console"), told(script)
        words = re.sub(r"^```.*?^```$", "", page, flags=re.MULTILINE | re.DOTALL) + docstring
        settings = script.replace(docstring, "")
        if wrong := loose(numbers(words), numbers(shown) | numbers(settings)):
            amiss.append(f"{name}: {', '.join(wrong)} printed nowhere")
    return sorted(amiss)


def same(shown: str, printed: str, slack: float = 0.0) -> bool:
    """Whether two texts are equal, up to ``slack`` in each of their numbers."""
    if slack == 0:
        return shown == printed
    pairs = zip(NUMBER.findall(shown), NUMBER.findall(printed), strict=False)
    return NUMBER.sub("#", shown) == NUMBER.sub("#", printed) and all(
        abs(float(a.replace(",", "")) - float(b.replace(",", ""))) <= slack for a, b in pairs
    )


def size(png: bytes) -> tuple[int, int]:
    """Width and height in pixels, from the header."""
    assert png.startswith(b"\x89PNG")
    return struct.unpack(">II", png[16:24])


# ---- the scripts -----------------------------------------------------------------------------
@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS)
def test_example_prints_and_draws_what_the_gallery_shows(script, tmp_path):
    if script in NEEDS:
        pytest.importorskip(NEEDS[script])
    picture = tmp_path / "picture.png"
    command = [sys.executable, EXAMPLES / script, picture]
    done = subprocess.run(command, cwd=tmp_path, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, _, shown = fenced(sections(GALLERY)[script], "console").partition("\n")
    assert first == f"$ python examples/{script}"
    assert same(shown, done.stdout, SLACK.get(script, 0)), done.stdout
    committed = (IMAGES / script).with_suffix(".png").read_bytes()
    assert size(picture.read_bytes()) == size(committed)
    assert len(committed) <= 150_000


@pytest.mark.parametrize("script", NEEDS)
def test_example_without_its_package_says_so(script, tmp_path):
    (tmp_path / f"{NEEDS[script]}.py").write_text("raise ImportError('absent')")
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    command = [sys.executable, EXAMPLES / script]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, check=True, capture_output=True, text=True
    )
    assert f"pip install 'mixtura[{NEEDS[script]}]'" in done.stdout


# ---- the gallery -----------------------------------------------------------------------------
def test_gallery_shows_every_script_as_it_is():
    assert problems(GALLERY, SCRIPTS) == []
    assert "(examples/README.md)" in (ROOT / "README.md").read_text(encoding="utf8")


SCRIPT = '"""Prints 1.25."""\nx = 5 / 4\nif x:\n    print(x)\n    print("end")\n'
PAGE = """# Gallery

## One

[`a.py`](a.py)

![A picture](../docs/images/a.png)

It prints 1.25, four times less than 5.

```python
x = 5 / 4
...
print(x)
print("end")
```

```console
$ python examples/a.py
1.25
end
```
"""


@pytest.mark.parametrize(
    ("gallery", "scripts", "said"),
    [
        (PAGE, {"a.py": SCRIPT}, []),
        (PAGE, {"a.py": SCRIPT, "b.py": SCRIPT}, ["b.py: no section"]),
        (PAGE + "\n## Two\n\n[`b.py`](b.py)\n", {"a.py": SCRIPT}, ["b.py: no script"]),
        (PAGE.replace("a.png", "b.png"), {"a.py": SCRIPT}, ["a.py: no picture"]),
        (
            PAGE.replace("print(x)\n", "print(x + 1)\n"),
            {"a.py": SCRIPT},
            ["a.py: the code shown is not in the script"],
        ),
        (
            PAGE.replace("prints 1.25", "prints 1.26"),
            {"a.py": SCRIPT},
            ["a.py: 1.26 printed nowhere"],
        ),
        (PAGE, {"a.py": SCRIPT.replace("Prints 1.25", "Prints 7")}, ["a.py: 7 printed nowhere"]),
        (PAGE.replace("prints 1.25", "prints 1.2"), {"a.py": SCRIPT}, []),
    ],
)
def test_a_gallery_that_rots_is_found_out(gallery, scripts, said):
    assert problems(gallery, scripts) == said


@pytest.mark.parametrize(
    ("printed", "slack", "equal"),
    [
        ("94.1 % right\n", 0, True),
        ("94.2 % right\n", 0, False),
        ("96.0 % right\n", 3, True),
        ("90.0 % right\n", 3, False),
        ("94.1 % wrong\n", 3, False),
        ("94.1 % right\n94.1 % right\n", 3, False),
    ],
)
def test_what_is_printed_is_held_against_what_is_shown(printed, slack, equal):
    assert same("94.1 % right\n", printed, slack) is equal
