"""`python -m digit_recognizer.score FILE`: a submission against test_labels.csv, where a source had those labels."""

import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digit_recognizer.cli import command, parse_arguments
from digit_recognizer.competition.submissions import check_submission, load_submission
from digit_recognizer.data.csv import load_labels
from digit_recognizer.data.labels import load_label_set
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.metrics import compute_accuracy_interval, find_most_frequent_confusion
from digit_recognizer.io import hash_file


@dataclass(frozen=True)
class ScoreArguments:
    """Score a submission on labels that came with the test images. No run ever opens them."""

    submission: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """The submission, ImageId,Label."""
    input_dir: Path = Path("input")
    """Folder that holds test_labels.csv, and the test.csv that the submission was made for."""


@command
def main(arguments: list[str]) -> None:
    """Score and print."""
    chosen = parse_arguments(ScoreArguments, "score", arguments)
    print(score_submission(chosen.submission, chosen.input_dir))


def score_submission(path: Path, input_dir: Path) -> str:
    """Score a submission on the labels that came with the test images.

    Args:
        path: the submission.
        input_dir: folder that holds test_labels.csv, test.csv, and classes.json where classes have names.

    Returns:
        A line for the screen; further ones if the submission is ineligible for the competition, or test.csv is missing.

    Raises:
        InputError: if the submission or the labels are missing or malformed, or it was made for another test.csv.
    """
    truth_path, test = input_dir / "test_labels.csv", input_dir / "test.csv"
    if not os.path.lexists(truth_path):
        raise InputError("submission.no_test_labels", path=truth_path)
    truth, submission = load_labels(truth_path), load_submission(path)
    test_sha256 = hash_file(test) if os.path.lexists(test) else None
    check_submission(submission, len(truth), test_sha256)

    right = int((submission.labels == truth).sum())
    low, high = compute_accuracy_interval(right, len(truth))
    confusion = find_most_frequent_confusion(truth, submission.labels, load_label_set(input_dir, test_sha256).names)
    line = (
        f"{path}: accuracy {right / len(truth):.5f} on {len(truth):,} test rows (95 % interval {low:.5f} to "
        f"{high:.5f}), {len(truth) - right:,} wrong; most frequent confusion {confusion}"
    )
    if submission.provenance and submission.provenance.ineligible:
        line += f"\nINELIGIBLE FOR THE COMPETITION: {submission.provenance.ineligible}"
    if test_sha256 is None:
        line += f"\nNote: {test} is missing, so whether the submission was made for these test images is unknown."
    return line


if __name__ == "__main__":
    sys.exit(main())
