"""Make the notebooks of this folder, and the outputs of kernels/notebook-champion: `make notebooks`.

    python examples/build.py                 # all four
    python examples/build.py 02 --data input # one, on other data than the bundled sample
    python examples/build.py --text          # new prose around the outputs that are there, if no code has changed

The first notebook is the one that travels to Kaggle (digit_recognizer/competition/kernel_notebook.md), with another
set-up; the sources of the others lie beside this file, in Markdown whose Python blocks become cells. Each is executed
in an empty folder, by this interpreter, and written with its outputs; the picture of its cell `cover` goes to
docs/images/. The same code gives the same text; pictures may differ where Matplotlib does.
"""

import argparse
import base64
import io
import re
import shutil
import sys
import tempfile
from pathlib import Path

import nbclient
import nbformat
from PIL import Image

from digit_recognizer.competition.kernels import COVER, NOTEBOOK, PACKED, describe_recipe, make_notebook
from digit_recognizer.data.sources import download

ROOT = Path(__file__).resolve().parents[1]
REPOSITORY = "OWNER/digit_recognizer"  # on GitHub; see CONTRIBUTING.md, "Change an example"
NAMES = ("01-from-pixels-to-a-submission", "02-what-the-network-learned", "03-your-own-handwriting")
KERNEL = ROOT / "kernels" / "notebook-champion" / "notebook.ipynb"
COLOURS = 64  # of a picture: a tenth of the bytes, and nobody sees it
COVER_PX = 720
SECONDS = 1800  # for one cell
LIMIT_BYTES = 500_000

BADGES = """\
[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]\
(https://colab.research.google.com/github/{repository}/blob/main/examples/{name}.ipynb)
[![Open in Kaggle](https://kaggle.com/static/images/open-in-kaggle.svg)]\
(https://kaggle.com/kernels/welcome?src=https://github.com/{repository}/blob/main/examples/{name}.ipynb)

"""
ORIGIN = """\
It runs on the competition's data where they are (on Kaggle, or in `input/`), else on the bundled sample, 1,797 digits
of another source. The outputs are of the sample, so that anybody can make them again."""
SET_UP = """\
import importlib.util

if importlib.util.find_spec("digit_recognizer") is None:  # on Colab and on Kaggle
    %pip install --quiet "digit_recognizer[vision] @ git+https://github.com/{repository}"
"""
SET_UP_TEXT = """\
The package does what is tedious and already tested: reading and checking the tables, folds that know near-duplicates,
the interval of the score, the submission with its provenance, and the optimizer. Model, augmentation and training loop
are not taken from it: they are in the cells below."""
NEXT = "- What the network has learned, and which labels are wrong: the next notebook, `02-what-the-network-learned`.\n"


def read_source(name: str) -> nbformat.NotebookNode:
    """The notebook without outputs."""
    values = {
        "badges": BADGES.format(repository=REPOSITORY, name=name),
        "origin": ORIGIN,
        "package_text": SET_UP_TEXT,
        "package_code": SET_UP.format(repository=REPOSITORY),
        "next": NEXT,
    }
    path = NOTEBOOK if name == NAMES[0] else Path(__file__).with_name(f"{name}.md")
    notebook = make_notebook(path.read_text(encoding="utf-8"), {**values, **describe_recipe("champion")})
    for cell in notebook.cells:
        if cell.metadata.get("_kg_hide-input"):  # a few lines that one should see
            cell.metadata = nbformat.NotebookNode(tags=[PACKED])
    return notebook


def execute(notebook: nbformat.NotebookNode, folder: Path) -> None:
    """Run all cells in a folder, and make their outputs small and free of what differs from machine to machine."""
    client = nbclient.NotebookClient(
        notebook, timeout=SECONDS, kernel_name="python3", record_timing=False, resources={"metadata": {"path": folder}}
    )
    client.execute()
    notebook.metadata["language_info"] = {"name": "python"}
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            if "image/png" in data:
                data["image/png"] = base64.b64encode(shrink(base64.b64decode(data["image/png"]))).decode()
                data.pop("text/plain", None)  # <Figure size …>


def shrink(content: bytes) -> bytes:
    """A PNG of few colours."""
    with Image.open(io.BytesIO(content)) as image:
        flat = Image.new("RGB", image.size, "white")
        flat.paste(image, mask=image.getchannel("A") if image.mode == "RGBA" else None)
    packed = io.BytesIO()
    flat.quantize(COLOURS, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(packed, "PNG", optimize=True)
    return packed.getvalue()


def find_flaws(notebook: nbformat.NotebookNode) -> list[str]:
    """What must not be in a saved notebook: errors, bars, start-up notes, and paths of this machine."""
    places = "|".join(re.escape(str(path)) for path in (ROOT, Path.home(), Path(tempfile.gettempdir())))
    outputs = [(cell.id, output) for cell in notebook.cells for output in cell.get("outputs", [])]
    flaws = [f"{cell}: {output.ename}" for cell, output in outputs if output.output_type == "error"]
    for cell, output in outputs:
        text = output.get("text", "") + "".join(
            str(part) for kind, part in output.get("data", {}).items() if kind.startswith("text/")
        )
        if output.get("name") == "stderr" or re.search(rf"({places})\b|\r|it/s|%\|", text):
            flaws.append(f"{cell}: {text[:200]!r}")
    return flaws


def write_cover(notebook: nbformat.NotebookNode, path: Path) -> None:
    """Write the picture of the cell `cover`."""
    cell = next(cell for cell in notebook.cells if COVER in cell.metadata.get("tags", []))
    content = next(output.data["image/png"] for output in cell.outputs if "image/png" in output.get("data", {}))
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        image.thumbnail((COVER_PX, COVER_PX))
        image.save(path, optimize=True)


def keep_outputs(notebook: nbformat.NotebookNode, earlier: nbformat.NotebookNode) -> None:
    """Give cells the outputs of an earlier build, if their code is the same; the packed code may be another."""
    pairs = [[cell for cell in one.cells if cell.cell_type == "code"] for one in (notebook, earlier)]
    for cell, old in zip(*pairs, strict=True):
        if cell.source != old.source and "PACKAGE = " not in cell.source:
            raise SystemExit(f"{cell.id} has changed: leave --text out")
        cell.outputs, cell.execution_count = old.outputs, old.execution_count


def build(notebook: nbformat.NotebookNode, path: Path, data: Path | None, earlier: Path | None) -> None:
    """Execute a notebook, or take over the outputs of an earlier one, and write it; a flaw keeps the file there."""
    if earlier is not None:
        keep_outputs(notebook, nbformat.read(earlier, as_version=4))
    else:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            if data is not None:
                shutil.copytree(data, folder / "input", ignore=shutil.ignore_patterns(".cache", "sample"))
            execute(notebook, folder)
    content = nbformat.writes(notebook) + "\n"
    flaws = find_flaws(notebook) + ["it is too large"] * (len(content) > LIMIT_BYTES)
    if flaws:
        raise SystemExit("\n".join([f"{path.name}:", *flaws]))
    path.write_text(content, encoding="utf-8")
    print(f"{path.relative_to(ROOT)}: {len(content) / 1000:.0f} kB", flush=True)


def main() -> int:
    """Build what is asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("which", nargs="*", help="01, 02, 03 or kernel; by default all")
    parser.add_argument("--data", type=Path, help="a folder with the competition's files, in place of the sample")
    parser.add_argument("--text", action="store_true", help="keep the outputs, if no code has changed")
    parser.add_argument("--earlier", type=Path, help="the kernel's notebook whose outputs --text keeps")
    chosen = parser.parse_args()
    for name in NAMES:
        if not chosen.which or name[:2] in chosen.which:
            notebook, path = read_source(name), ROOT / "examples" / f"{name}.ipynb"
            build(notebook, path, chosen.data, path if chosen.text else None)
            write_cover(notebook, ROOT / "docs" / "images" / f"example-{name[:2]}.png")
    if not chosen.which or "kernel" in chosen.which:
        with tempfile.TemporaryDirectory() as sample:  # which the kernel does not carry
            if chosen.data is None:
                download("sample", Path(sample))
            earlier = (chosen.earlier or KERNEL) if chosen.text else None
            build(nbformat.read(KERNEL, as_version=4), KERNEL, chosen.data or Path(sample), earlier)
    return 0


if __name__ == "__main__":
    sys.exit(main())
