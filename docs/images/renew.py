"""Run the examples, draw their pictures anew, and copy what they print into the gallery.

Run from anywhere: python docs/images/renew.py [NAME …], for example renew.py fit impute; all of
them by default. Pictures are kept in 128 colours, which makes them small. Sentences in
`examples/README.md` that quote a number are for a person to renew: the tests say which.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

IMAGES = Path(__file__).resolve().parent
EXAMPLES = IMAGES.parents[1] / "examples"
GALLERY = EXAMPLES / "README.md"


def renew(script: Path) -> None:
    """Run one script, and keep what it draws and prints."""
    with tempfile.TemporaryDirectory() as folder:
        drawn = Path(folder) / "picture.png"
        command = [sys.executable, script, drawn]
        done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
        with Image.open(drawn) as picture:
            small = picture.convert("RGB").quantize(128, dither=Image.Dither.NONE)
        small.save(IMAGES / f"{script.stem}.png", optimize=True)
    command_line = f"$ python examples/{script.name}\n"
    block = re.compile(re.escape(command_line) + r".*?(?=^```$)", re.MULTILINE | re.DOTALL)
    gallery = block.sub(lambda _: command_line + done.stdout, GALLERY.read_text(encoding="utf8"))
    GALLERY.write_text(gallery, encoding="utf8")
    print(f"{script.stem}: {(IMAGES / f'{script.stem}.png').stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    for name in sys.argv[1:] or sorted(path.stem for path in EXAMPLES.glob("*.py")):
        renew(EXAMPLES / f"{name}.py")
