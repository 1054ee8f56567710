"""The kernel as a notebook that one reads: data, training, errors and submission, each with its picture."""

from pathlib import Path
from string import Template

from digit_recognizer import __version__
from digit_recognizer.competition.kernels import HOURS, KERNELS, UNPACK, KernelPlan, pack, write_kernel

FILE = "notebook.ipynb"
HIDDEN = {"_kg_hide-input": True, "jupyter": {"source_hidden": True}}  # Kaggle's way to fold a cell, and Jupyter's

# Markdown and code in turn; a cell is code if it does not begin with #.
CELLS = (
    """\
# From 784 pixels to a submission

Kaggle's [Digit Recognizer](https://www.kaggle.com/competitions/digit-recognizer) is MNIST as two tables: 42,000 scanned
digits with their labels, 28,000 without. This notebook looks at them, fits the model `$model` to four fifths at a time,
judges it on the fifth that it has not seen, looks at what it gets wrong, and leaves a `submission.csv`.

It carries the package `digit_recognizer` $version (commit $commit), folded away in the next cell, and needs neither
internet nor an installation.""",
    '$unpack\n\n\nPACKAGE = """\n$package\n"""\nunpack()',
    """\
## Settings

`SETTINGS` holds what differs from the model's recipe: `{"seed": 1}` draws everything anew, `{"smoke": True}` tries the
whole notebook in a minute (its score then means nothing). After `HOURS` the run stops and keeps what is done; a next
version that has this one's output attached goes on from there.""",
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
## The net and its recipe

This is the package's own file for the model, unchanged: `PRESET` is how it is fitted, `build` is the net, layer by
layer. What the preset does not name has the package's defaults.""",
    "print(session.read_model())",
    """\
## Training and cross-validation

The rows are dealt into folds. A fresh net is fitted to all folds but one, and predicts that one; so every row is
judged by a net that has never seen it. Rows that show nearly the same image share a fold. The test images are predicted
by every net, and the mean of their probabilities decides.

Loss and accuracy in each line are those of training, on images that are augmented anew in every epoch.""",
    "result = session.cross_validate()",
    """\
## How training went, and what is still wrong

The diamonds are the accuracy on held-out rows: that is what to expect of Kaggle's test images. In the table of
confusions a row is the label, a column the prediction; the grey diagonal is right. Last come the digits whose label got
the least probability: some are hard for anyone, some labels look wrong.""",
    "show(session.plot_results())",
    """\
## The submission

`submission.csv` lies in the output: hand it in by the button *Submit to competition*, or fetch it with
`python -m digit_recognizer.kernel output` and hand it in with `python -m digit_recognizer.submit`, which waits for the
score and writes it down beside the accuracy below.""",
    """\
import pandas

if result is not None:
    low, high = result.score.oof_accuracy_interval
    print(f"out-of-fold accuracy {result.score.oof_accuracy:.5f}, 95 % interval {low:.5f} to {high:.5f}")
    print(f"most frequent confusion: {result.score.confusion}")
    display(pandas.read_csv(result.submission).head(10))""",
)


def build_notebook(plan: KernelPlan, folder: Path | None = None) -> Path:
    """Write a notebook kernel.

    Args:
        plan: what it is to be.
        folder: where; by default kernels/notebook-<model>. A kernel that is there is replaced, unless it was edited.

    Returns:
        The folder.

    Raises:
        InputError: for an unknown model, or a folder that holds something else.
    """
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    plan.list_data_sources()  # an unknown model is told before anything is packed
    values = {
        "model": plan.model,
        "version": __version__,
        "commit": plan.find_commit(),
        "hours": HOURS,
        "unpack": UNPACK,
        "package": pack(plan),
    }
    cells = []
    for number, text in enumerate(CELLS):
        source = Template(text).substitute(values)
        make = new_markdown_cell if text.startswith("#") else new_code_cell
        metadata = HIDDEN if "$package" in text else {}
        cells.append(make(source, id=f"cell-{number:02}", metadata=metadata))  # by default an id is left to chance
    notebook = new_notebook(
        cells=cells,
        metadata={
            "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
            "language_info": {"name": "python"},
        },
    )
    nbformat.validate(notebook)
    text = nbformat.writes(notebook) + "\n"
    return write_kernel(
        folder or KERNELS / f"notebook-{plan.model}", FILE, text, plan, f"Digit Recognizer notebook {plan.model}"
    )
