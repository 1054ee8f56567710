"""Which of two runs is better, and whether their rows show it. Nothing is trained here, and Keras is not needed.

Method: take the rows that both runs held out; count the rows that only one of them predicted correctly; test these
counts with McNemar's exact test, and give the difference of the accuracies an interval.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digit_recognizer.data.tables import load_train
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.metrics import Comparison, compare_predictions
from digit_recognizer.evaluation.predictions import find_held_out_rows, load_run_for
from digit_recognizer.training.run import find_input_dir


@dataclass(frozen=True)
class RunComparison:
    """Two runs and what their comparison found; `str` gives the table for the screen.

    Attributes:
        one, other: the run folders.
        found: accuracies, test and interval on the rows that both held out.
        all_rows: rows of train.csv.
    """

    one: Path
    other: Path
    found: Comparison
    all_rows: int

    def __str__(self) -> str:
        found = self.found
        low, high = found.interval
        rows = [
            (str(self.one), f"{found.accuracy_one:.5f}"),
            (str(self.other), f"{found.accuracy_other:.5f}"),
            ("correct in the first only", f"{found.only_one:,} rows"),
            ("correct in the second only", f"{found.only_other:,} rows"),
            ("exact McNemar test", f"p = {found.p_value:.3g}"),
            ("first minus second", f"{found.difference:+.5f}  (95 % interval {low:+.5f} to {high:+.5f})"),
            ("compared on", f"{found.rows:,} of {self.all_rows:,} rows"),
        ]
        width = max(28, *(len(name) + 2 for name, _ in rows))
        table = [f"  {name:<{width}}{value}" for name, value in rows]
        return "\n".join([*table, f"  {self.conclusion}", "  One run each: repeat both with other seeds to be sure."])

    @property
    def conclusion(self) -> str:
        """One sentence: which run is better, and by how much."""
        if not self.found.is_decided:
            return "No significant difference."
        better = self.one if self.found.difference > 0 else self.other
        near, far = sorted(100 * abs(bound) for bound in self.found.interval)
        lead = 100 * abs(self.found.difference)
        return f"{better} is better by {lead:.2f} percentage points (95 % interval {near:.2f} to {far:.2f})."


def compare_runs(one: Path, other: Path, input_dir: Path | None = None) -> RunComparison:
    """Compare two runs of the same train.csv on the rows that both held out.

    Args:
        one: a run folder.
        other: another; its folds and seeds may differ.
        input_dir: folder that holds the train.csv of both; None takes the one that `one` names.

    Raises:
        InputError: if a run is of other data or of part of it, or the two are the same or share no row.

    Example:
        >>> print(compare_runs(Path("runs/a"), Path("runs/b")))  # doctest: +SKIP
    """
    input_dir = input_dir or find_input_dir(one)
    train = load_train(input_dir / "train.csv", input_dir / ".cache")
    oof_one, oof_other = (load_run_for(path, train).oof_probabilities for path in (one, other))
    if np.array_equal(oof_one, oof_other, equal_nan=True):
        raise InputError("evaluation.same_predictions", path=one, other=other)
    held_out = find_held_out_rows(oof_one) & find_held_out_rows(oof_other)
    if not held_out.any():
        raise InputError("evaluation.no_common_rows", path=one, other=other)
    right_one, right_other = (oof[held_out].argmax(axis=1) == train.labels[held_out] for oof in (oof_one, oof_other))
    return RunComparison(one, other, compare_predictions(right_one, right_other), len(train.labels))
