"""Kernels for Kaggle, built: a folder with one script or notebook, which carries the package, and its metadata.

A kernel is one file, so the package is packed inside it. Only modules that the kernel imports are packed: the walk
starts at what the kernel calls, follows every import, and leaves out what Kaggle's machine never uses. Other files in
the package's folder, secrets above all, are never packed. The same package, model and commit give the same bytes: JSON
in a fixed order, compressed by bzip2, of which there is one encoder (zlib has several).

`kernels/` is rebuilt at each version (`make kernels`), not at each commit.
"""

import ast
import base64
import bz2
import json
import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Annotated, Any

import tyro

from digit_recognizer import __version__
from digit_recognizer.competition.client import COMPETITION
from digit_recognizer.competition.submissions import COMMIT, PACKAGE, find_commit
from digit_recognizer.errors import MESSAGES, InputError
from digit_recognizer.io import write_json, write_text
from digit_recognizer.models import load_model_module

KERNELS = Path("kernels")
METADATA = "kernel-metadata.json"
OWNER = "OWNER"  # stands for the account's name until a kernel is pushed
HOURS = 11.5  # Kaggle ends a session after 12, and then keeps nothing
LINE_LENGTH = 116
CALLED = ("digit_recognizer.backend", "digit_recognizer.competition.kernel_session")  # by UNPACK and the templates
LEFT_OUT = ("digit_recognizer.training.ray_executor",)  # imported only inside functions that a kernel never calls

SCRIPT = Template('''\
"""Kaggle's Digit Recognizer by the model $model: cross-validated, with a submission.

This one file carries the package digit_recognizer $version (commit $commit), packed below, and runs the
cross-validation that `python -m digit_recognizer.cv --model $model` runs at home. It needs no network.

Input   the competition $competition$attached
Output  submission.csv and its note; class_counts, samples, curves, confusion and hardest .png; run/ with every
        probability and model

Built by `python -m digit_recognizer.kernel build $model`. Change the settings here, the rest in the package.
"""

SETTINGS = {}  # what differs from the model's recipe, as {"seed": 1}; {"smoke": True} tries everything in a minute
HOURS = $hours  # then the run stops and keeps what is done; a next version that has this one attached resumes it


def main():
    """Unpack the package, then cross-validate."""
    unpack()
    from digit_recognizer.competition.kernel_session import run_session
    from digit_recognizer.errors import InputError

    try:
        run_session("$model", SETTINGS, HOURS)
    except InputError as error:  # something attached or set is wrong, and this line says what
        raise SystemExit(f"$model: {error}") from None


$unpack


# From here on there is only the package, as base64 of bzip2 of JSON: the text of each file by its path.
PACKAGE = """
$package
"""

if __name__ == "__main__":
    main()
''')

UNPACK = '''\
def unpack():
    """Write the package to a folder of its own and import from there."""
    import base64
    import bz2
    import json
    import os
    import sys
    import tempfile
    from pathlib import Path

    folder = Path(tempfile.mkdtemp())
    for name, text in json.loads(bz2.decompress(base64.b64decode(PACKAGE))).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    sys.path.insert(0, str(folder))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # hides TensorFlow's start-up messages
    from digit_recognizer.backend import import_keras

    import_keras()'''

HIDDEN = {"_kg_hide-input": True, "jupyter": {"source_hidden": True}}  # Kaggle's way to fold a cell, and Jupyter's
# The notebook's Markdown and code in turn; a cell is code if it does not begin with #.
CELLS = (
    """\
# From 784 pixels to a submission

Kaggle's [Digit Recognizer](https://www.kaggle.com/competitions/digit-recognizer) is MNIST as two tables: 42,000 scanned
digits with their labels, 28,000 without. This notebook looks at them, trains the model `$model` on four fifths of the
rows at a time, evaluates it on the fifth that it has not seen, looks at its errors, and writes a `submission.csv`.

It carries the package `digit_recognizer` $version (commit $commit), folded away in the next cell, and needs neither
internet nor an installation.""",
    '$unpack\n\n\nPACKAGE = """\n$package\n"""\nunpack()',
    """\
## Settings

`SETTINGS` holds what differs from the model's recipe: `{"seed": 1}` draws all random numbers anew, `{"smoke": True}`
tries the whole notebook in a minute (its score then means nothing). After `HOURS` the run stops and keeps what is done;
a next version that has this one's output attached resumes it.""",
    """\
from IPython.display import Image, display

from digit_recognizer.competition.kernel_session import Session

MODEL = "$model"
SETTINGS = {}
HOURS = $hours

session = Session(MODEL, SETTINGS, HOURS)


def show(paths):
    for path in paths:
        display(Image(str(path)))""",
    """\
## The data at a glance

All digits are about equally frequent, so accuracy is a fair measure and every fold can have its share of each. A row of
the table is one digit: 28 by 28 pixels, 0 for paper and 255 for ink, centred by its mass.""",
    "show(session.plot_data())",
    """\
## The model and its recipe

This is the package's own file for the model, unchanged: `PRESET` is how it is trained, `build` is the network, layer by
layer. What the preset does not name has the package's defaults.""",
    "print(session.read_model())",
    """\
## Training and cross-validation

The rows are dealt into folds. A fresh model is trained on all folds but one, and predicts that one; so every row is
predicted by a model that has never seen it. Rows that show nearly the same image share a fold. Every model predicts the
test images, and the mean of their probabilities decides.

Loss and accuracy in each line are those of training, on images that are augmented anew in every epoch.""",
    "result = session.cross_validate()",
    """\
## Learning curves and errors

The diamonds are the accuracy on held-out rows, which is what to expect on Kaggle's test images. In the confusion matrix
a row is the label, a column the prediction; the grey diagonal is correct. Last come the digits whose label got the
least probability: some are hard for anyone, some labels look wrong.""",
    "show(session.plot_results())",
    """\
## The submission

`submission.csv` is in the output. Submit it by the button *Submit to competition*, or download it with
`python -m digit_recognizer.kernel output` and send it with `python -m digit_recognizer.submit`, which waits for the
score and records it beside the accuracy below.""",
    """\
import pandas

if result is not None:
    low, high = result.score.oof_accuracy_interval
    print(f"out-of-fold accuracy {result.score.oof_accuracy:.5f}, 95 % interval {low:.5f} to {high:.5f}")
    print(f"most frequent confusion: {result.score.confusion}")
    display(pandas.read_csv(result.submission).head(10))""",
)


@dataclass(frozen=True)
class KernelPlan:
    """Write kernels/MODEL: one script that carries the package, and kernel-metadata.json."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """What it cross-validates."""
    owner: str = OWNER
    """The account's name on Kaggle; `kernel push` fills in OWNER."""
    gpu: bool = False
    """Ask for an accelerator, which uses up a weekly quota."""
    resume: bool = False
    """Attach the output of its earlier version, to resume where that ran out of time."""
    weights_source: str | None = None
    """Pretrained models: the data set, as owner/name, that holds the weights; None takes the model's own."""
    output_dir: Path | None = None
    """Folder to write; None takes the kernel's own under kernels/."""
    overwrite: bool = False
    """Replace a kernel that is there, with what was edited in it."""

    @property
    def data_sources(self) -> list[str]:
        """The data sets to attach.

        Raises:
            InputError: for a data set that cannot exist, or one for a model without pretrained weights.
        """
        own = getattr(load_model_module(self.model), "WEIGHTS_SOURCE", None)
        if self.weights_source is None:
            return [own] if own else []
        if not re.fullmatch("[A-Za-z0-9-]+/[A-Za-z0-9-]+", self.weights_source):
            raise InputError("kernel.weights_source", received=repr(self.weights_source))
        if not own:
            raise InputError("kernel.no_weights", received=self.model)
        return [self.weights_source]


def check_owner(owner: str) -> None:
    """Refuse what cannot be an account's name.

    Raises:
        InputError: with what was received.
    """
    if not re.fullmatch("[A-Za-z0-9-]+", owner):
        raise InputError("kernel.owner", received=repr(owner))


# ---- the package as one text


def pack_package(modules: Sequence[str], commit: str) -> str:
    """The files that `modules` need, as lines of base64. Without docstrings, but for `modules` themselves."""
    contents = {
        f"{PACKAGE.name}/{COMMIT}": f"{commit}\n",
        f"{PACKAGE.name}/{MESSAGES.name}": MESSAGES.read_text(encoding="utf-8"),
    }
    for path in list_needed(modules):
        text, name = path.read_text(encoding="utf-8"), path.relative_to(PACKAGE.parent).as_posix()
        contents[name] = text if name.removesuffix(".py").replace("/", ".") in modules else _blank_docstrings(text)
    packed = bz2.compress(json.dumps(contents, sort_keys=True, ensure_ascii=False).encode())
    return "\n".join(textwrap.wrap(base64.b64encode(packed).decode(), LINE_LENGTH))


def _blank_docstrings(code: str) -> str:
    """Code with empty lines for docstrings, which are a third of the bytes; line numbers in tracebacks stay true."""
    lines = code.splitlines()
    for node in ast.walk(ast.parse(code)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and len(node.body) > 1:
            first = node.body[0]
            if ast.get_docstring(node) is not None and first.end_lineno:
                lines[first.lineno - 1 : first.end_lineno] = [""] * (first.end_lineno - first.lineno + 1)
    return "\n".join(lines)


def unpack_package(text: str) -> Mapping[str, str]:
    """The files of a packed package: their text by their path."""
    contents: dict[str, str] = json.loads(bz2.decompress(base64.b64decode(text)))
    return contents


def list_needed(modules: Iterable[str]) -> list[Path]:
    """The files of some modules and of all that these import, in alphabetical order.

    Imports inside functions count; those for type checkers and `LEFT_OUT` do not. The standard library's modulefinder
    would pack what only type checkers import. A module whose name is put together at run time, as a model's is, must
    be named.
    """
    found: set[Path] = set()
    waiting = list(modules)
    while waiting:
        for path in _find_files(waiting.pop()):
            if path not in found:
                found.add(path)
                names = _list_imports(ast.parse(path.read_bytes()))
                waiting += [name for name in names if not name.startswith(LEFT_OUT)]
    return sorted(found)


def _list_imports(node: ast.AST) -> Iterator[str]:
    """Absolute names of this package's modules, or of names in them, that are imported below `node`."""
    if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
        return
    if isinstance(node, ast.Import):
        yield from (alias.name for alias in node.names if alias.name.split(".")[0] == PACKAGE.name)
    elif isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == PACKAGE.name:
        yield from (f"{node.module}.{alias.name}" for alias in node.names)
    for child in ast.iter_child_nodes(node):
        yield from _list_imports(child)


def _find_files(name: str) -> Iterator[Path]:
    """The files of a module and of the packages around it; a name inside a module finds that module."""
    parts = name.split(".")
    for depth in range(1, len(parts) + 1):
        place = PACKAGE.parent.joinpath(*parts[:depth])
        yield from (path for path in (place / "__init__.py", place.with_suffix(".py")) if path.is_file())


# ---- the files of a kernel


def build_script(plan: KernelPlan) -> Path:
    """Write a script kernel; returns its folder.

    Raises:
        InputError: for an unknown model, an impossible owner or data set, or a folder that holds a kernel already.
    """
    return _write_kernel(plan, plan.model, f"{plan.model}.py", SCRIPT.substitute(_describe_package(plan)))


def build_notebook(plan: KernelPlan) -> Path:
    """Write the same as a notebook that explains each step.

    Raises:
        InputError: as `build_script`.
    """
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    values = _describe_package(plan)
    cells = []
    for number, text in enumerate(CELLS):
        make = new_markdown_cell if text.startswith("#") else new_code_cell
        metadata = HIDDEN if "$package" in text else {}
        # ids are random by default, and the same package must give the same bytes
        cells.append(make(Template(text).substitute(values), id=f"cell-{number:02}", metadata=metadata))
    python = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook = new_notebook(cells=cells, metadata={"kernelspec": python, "language_info": {"name": "python"}})
    nbformat.validate(notebook)
    return _write_kernel(plan, f"notebook-{plan.model}", "notebook.ipynb", nbformat.writes(notebook) + "\n")


def _describe_package(plan: KernelPlan) -> dict[str, Any]:
    """What fills the gaps of SCRIPT and CELLS."""
    check_owner(plan.owner)
    sources, commit = plan.data_sources, find_commit() or "unknown"
    return {
        "model": plan.model,
        "version": __version__,
        "commit": commit,
        "competition": COMPETITION,
        "attached": "".join(f", the data set {source}" for source in sources),
        "hours": HOURS,
        "unpack": UNPACK,
        "package": pack_package([*CALLED, f"digit_recognizer.models.{plan.model}"], commit),
    }


def _write_kernel(plan: KernelPlan, name: str, file: str, content: str) -> Path:
    folder = plan.output_dir or KERNELS / name
    if (folder / file).exists() and not plan.overwrite:
        raise InputError("kernel.exists", path=folder / file)
    write_text(folder / file, content)
    write_json(folder / METADATA, describe_kernel(file, plan, f"Digit Recognizer {name.replace('-', ' ')}"))
    return folder


def describe_kernel(file: str, plan: KernelPlan, title: str) -> dict[str, Any]:
    """The content of kernel-metadata.json, with every field whose default on Kaggle differs from ours."""
    name = f"{plan.owner}/{title.lower().replace(' ', '-')}"
    return {
        "id": name,
        "title": title,
        "code_file": file,
        "language": "python",
        "kernel_type": "notebook" if file.endswith(".ipynb") else "script",
        "is_private": True,
        "enable_gpu": plan.gpu,
        "enable_tpu": False,
        "enable_internet": False,
        "competition_sources": [COMPETITION],
        "dataset_sources": plan.data_sources,
        "kernel_sources": [name] if plan.resume else [],
        "model_sources": [],
    }
