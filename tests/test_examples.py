"""The notebooks of examples/: what is committed is what their sources say, and runs."""

import importlib.util
import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[1]
spec = importlib.util.spec_from_file_location("build_examples", ROOT / "examples" / "build.py")
build = importlib.util.module_from_spec(spec)
spec.loader.exec_module(build)

MAX_LINES = 22  # of a cell
KERNEL = build.KERNEL.relative_to(ROOT)
COMMITTED = [*(Path("examples", f"{name}.ipynb") for name in build.NAMES), KERNEL]


def read(path):
    notebook = nbformat.read(ROOT / path, as_version=4)
    nbformat.validate(notebook)
    return notebook


def list_cells(notebook):
    return [(cell.cell_type, cell.id, cell.source, dict(cell.metadata)) for cell in notebook.cells]


@pytest.mark.fast
@pytest.mark.parametrize("name", build.NAMES)
def test_a_committed_notebook_is_that_of_its_source(name):
    assert list_cells(read(f"examples/{name}.ipynb")) == list_cells(build.read_source(name)), "run make notebooks"
    assert (ROOT / "docs" / "images" / f"example-{name[:2]}.png").is_file()


@pytest.mark.fast
@pytest.mark.parametrize("path", COMMITTED, ids=str)
def test_a_notebook_has_clean_outputs_of_one_run_from_top_to_bottom(path):
    notebook = read(path)
    assert build.find_flaws(notebook) == []
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert count_pictures(notebook) >= 5
    assert (ROOT / path).stat().st_size < build.LIMIT_BYTES


@pytest.mark.fast
@pytest.mark.parametrize("path", COMMITTED, ids=str)
def test_a_notebook_opens_with_what_it_shows_and_a_table_of_contents(path):
    notebook = read(path)
    first = notebook.cells[0].source
    assert first.startswith("# ") and "**What you will see:**" in first
    links = re.findall(r"\]\(#([^)]+)\)", first)
    headings = re.findall(r"(?m)^## (.+)$", "\n".join(c.source for c in notebook.cells if c.cell_type == "markdown"))
    assert links == [heading.replace(" ", "-") for heading in headings]
    if path != KERNEL:
        assert f"colab.research.google.com/github/{build.REPOSITORY}/blob/main/{path}" in first
        assert f"kaggle.com/kernels/welcome?src=https://github.com/{build.REPOSITORY}/blob/main/{path}" in first
    assert max(len(c.source.splitlines()) for c in notebook.cells if c.cell_type == "code") <= MAX_LINES


@pytest.mark.fast
def test_flaws_are_found():
    outputs = [
        nbformat.v4.new_output("stream", name="stderr", text="WARNING"),
        nbformat.v4.new_output("stream", text=f"{ROOT}/runs"),
        nbformat.v4.new_output("stream", text="training:  50%|#####"),
        nbformat.v4.new_output("execute_result", {"text/html": f"<b>{Path.home()}</b>"}),
        nbformat.v4.new_output("error", ename="NameError"),
        nbformat.v4.new_output("stream", text="run: 0.98 of 100 % are right"),
    ]
    cells = [nbformat.v4.new_code_cell("x", outputs=[output]) for output in outputs]
    flaws = build.find_flaws(nbformat.v4.new_notebook(cells=cells))
    assert [flaw.partition(":")[0] for flaw in sorted(flaws)] == sorted(cell.id for cell in cells[:-1])


def count_pictures(notebook):
    return sum("image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", []))


@pytest.mark.slow
@pytest.mark.parametrize("name", build.NAMES)
def test_a_notebook_runs(name, tmp_path):
    notebook = build.read_source(name)
    build.execute(notebook, tmp_path)
    assert build.find_flaws(notebook) == []
    assert count_pictures(notebook) == count_pictures(read(f"examples/{name}.ipynb"))
