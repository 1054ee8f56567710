"""`python -m digit_recognizer.models`: every model with its recipe, and what was measured with it.

The figures are in results.csv: a line per model, with the command, the seed, the rows that were held out and the commit
that they were measured at. README.md, docs/training.md and docs/models.md show them
(`benchmarks/model_tables.py` writes their tables).
"""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from digit_recognizer.cli import OutputArguments, command, parse_arguments, print_table
from digit_recognizer.config import RunConfig, flag
from digit_recognizer.console import format_command, print_next
from digit_recognizer.evaluation.metrics import compute_accuracy_interval
from digit_recognizer.models import build_config, list_models, load_preset

if TYPE_CHECKING:
    import pandas as pd

RESULTS = Path(__file__).with_name("results.csv")
SHOWN = ("model", "parameters", "recipe", "command", "accuracy", "low", "high", "seconds")  # on the screen


@dataclass(frozen=True, kw_only=True)
class ModelsArguments(OutputArguments):
    """List all models: parameters, recipe, and the accuracy and time that were measured with it.

    Accuracies are of MNIST's rows in the competition's form, on 2 cores without a GPU: of cv on 42,000 out-of-fold
    rows, of train on 8,398 held-out rows.
    """


@command
def main(arguments: list[str]) -> None:
    """Print the table."""
    chosen = parse_arguments(ModelsArguments, "models", arguments)
    frame = load_results()
    if chosen.json or chosen.csv:
        print_table(frame, chosen)
        return
    configs = map(build_config, frame["model"])
    frame["recipe"] = [f"{one.epochs} epochs, {one.optimizer} {one.learning_rate:g}" for one in configs]
    print_table(frame[list(SHOWN)], chosen)
    print_next(format_command("cv", "--model", frame.loc[frame["accuracy"].idxmax(), "model"]))


def load_results() -> "pd.DataFrame":
    """The models, in the order of results.csv, and files added since then, of which nothing was measured.

    Returns:
        Columns: model, description, parameters, recipe (flags that differ from the defaults), command, seed, rows (that
        were held out), accuracy and its 95 % interval from low to high, lowest_fold, highest_fold (0 to 1), seconds,
        commit, seed_report. What was not measured is missing.
    """
    import pandas as pd

    kinds = dict.fromkeys(("parameters", "seed", "rows", "seconds"), "Int64")
    frame = pd.read_csv(RESULTS, dtype=kinds, keep_default_na=False, na_values=[""])
    added = pd.DataFrame({"model": [name for name in list_models() if name not in set(frame["model"])]})
    if len(added):
        frame = pd.concat([frame, added], ignore_index=True)
    bounds = [
        (None, None) if pd.isna(accuracy) else compute_accuracy_interval(round(accuracy * rows), rows)
        for accuracy, rows in zip(frame["accuracy"], frame["rows"], strict=True)
    ]
    place = frame.columns.get_loc("accuracy")
    frame.insert(place + 1, "low", pd.Series([low for low, _ in bounds], dtype="float64"))
    frame.insert(place + 2, "high", pd.Series([high for _, high in bounds], dtype="float64"))
    frame.insert(3, "recipe", frame["model"].map(format_recipe))
    return frame


def format_recipe(model: str) -> str:
    """A model's recipe as flags: its differences from the defaults.

    Example:
        >>> format_recipe("padded")
        '--learning-rate 0.006'
    """
    defaults = RunConfig()
    changes = {name: value for name, value in load_preset(model).items() if value != getattr(defaults, name)}
    texts = {name: " ".join(value) if isinstance(value, tuple) else value for name, value in changes.items()}
    return " ".join(f"{flag(name)} {text}" for name, text in texts.items())


if __name__ == "__main__":
    sys.exit(main())
