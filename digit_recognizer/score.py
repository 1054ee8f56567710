"""`python -m digit_recognizer.score FILE`: a submission against test_labels.csv, where a source had those labels."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from digit_recognizer.arguments import Positional
from digit_recognizer.cli import OutputArguments, command, parse_arguments, print_table
from digit_recognizer.competition.submissions import check_submission, load_submission
from digit_recognizer.console import clean_lines
from digit_recognizer.data.csv import load_labels
from digit_recognizer.data.labels import load_label_set
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.metrics import Confusion, compute_accuracy_interval, find_most_frequent_confusion
from digit_recognizer.io import hash_file

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class ScoreArguments(OutputArguments):
    """Score a submission on labels that came with the test images. No run ever opens them."""

    submission: Annotated[Path, Positional("FILE")]
    """The submission, ImageId,Label."""
    input_dir: Path = Path("input")
    """Folder that holds test_labels.csv, and the test.csv that the submission was made for."""


@command
def main(arguments: list[str]) -> None:
    """Score and print."""
    chosen = parse_arguments(ScoreArguments, "score", arguments)
    found = score_submission(chosen.submission, chosen.input_dir)
    if chosen.json or chosen.csv:
        print_table(found.to_frame(), chosen)
    else:
        print(clean_lines(str(found)))


@dataclass(frozen=True)
class SubmissionScore:
    """A submission, scored; `str` gives lines for the screen.

    Attributes:
        file: the submission.
        accuracy, low, high: on the test rows, and its 95 % interval.
        rows, wrong: test rows, and how many of them are wrong.
        most_frequent_confusion: the commonest one.
        ineligible: why the submission must not enter the competition; None if it may.
        missing_test: the test.csv that is not there, so that nobody knows whether these were its rows; None if it is.
    """

    file: Path
    accuracy: float
    low: float
    high: float
    rows: int
    wrong: int
    most_frequent_confusion: Confusion
    ineligible: str | None
    missing_test: Path | None

    def __str__(self) -> str:
        line = (
            f"{self.file}: accuracy {self.accuracy:.5f} on {self.rows:,} test rows (95 % interval {self.low:.5f} "
            f"to {self.high:.5f}), {self.wrong:,} wrong; most frequent confusion {self.most_frequent_confusion}"
        )
        if self.ineligible:
            line += f"\nINELIGIBLE FOR THE COMPETITION: {self.ineligible}"
        if self.missing_test is not None:
            line += f"\nNote: {self.missing_test} is missing, so nobody knows whether these were its rows."
        return line

    def to_frame(self) -> "pd.DataFrame":
        """One row: the attributes up to `ineligible`."""
        import pandas as pd

        texts = {"file": str(self.file), "most_frequent_confusion": str(self.most_frequent_confusion)}
        return pd.DataFrame([{**vars(self), **texts}]).drop(columns="missing_test")


def score_submission(path: Path, input_dir: Path) -> SubmissionScore:
    """Score a submission on the labels that came with the test images.

    Args:
        path: the submission.
        input_dir: folder that holds test_labels.csv, test.csv, and classes.json where classes have names.

    Raises:
        InputError: if the submission or the labels are missing or malformed, or it was made for another test.csv.
    """
    truth_path, test = input_dir / "test_labels.csv", input_dir / "test.csv"
    if not os.path.lexists(truth_path):
        raise InputError("submission.no_test_labels", path=truth_path)
    truth, submission = load_labels(truth_path), load_submission(path)
    test_sha256 = hash_file(test) if os.path.lexists(test) else None
    check_submission(submission, len(truth), test_sha256)
    names = load_label_set(input_dir, test_sha256).names
    right = int((submission.labels == truth).sum())
    low, high = compute_accuracy_interval(right, len(truth))
    return SubmissionScore(
        file=path,
        accuracy=right / len(truth),
        low=low,
        high=high,
        rows=len(truth),
        wrong=len(truth) - right,
        most_frequent_confusion=find_most_frequent_confusion(truth, submission.labels, names),
        ineligible=submission.provenance.ineligible if submission.provenance else None,
        missing_test=test if test_sha256 is None else None,
    )


if __name__ == "__main__":
    sys.exit(main())
