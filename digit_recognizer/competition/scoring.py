"""A submission judged by the labels that came with the test images."""

import os
from pathlib import Path

from digit_recognizer.competition.metrics import compute_accuracy_interval, find_costliest_confusion
from digit_recognizer.competition.submissions import check_submission, load_submission
from digit_recognizer.data.alphabets import load_alphabet
from digit_recognizer.data.csv_header import open_regular_file
from digit_recognizer.data.tables import load_label_table
from digit_recognizer.errors import InputError
from digit_recognizer.files import hash_file


def score_submission(path: Path, input_dir: Path) -> str:
    """Score a submission.

    Args:
        path: the submission.
        input_dir: folder that holds test.csv and test_labels.csv, and classes.json where classes have names.

    Returns:
        A line for the screen; further ones if the submission is unfit for the competition, or test.csv is missing.

    Raises:
        InputError: if the submission or the labels are missing or malformed, or it was made for another test.csv.
    """
    answers = input_dir / "test_labels.csv"
    if not os.path.lexists(answers):
        raise InputError(
            f"{answers} is missing: name the data's folder with --input-dir. Only sources that carry test labels "
            "(sample, idx, .npz) can be scored here; Kaggle keeps its own, and scores what is submitted."
        )
    truth = load_label_table(answers)
    submission = load_submission(path)
    test = input_dir / "test.csv"
    test_sha256 = _hash_table(test) if os.path.lexists(test) else None
    check_submission(submission, len(truth.labels), test_sha256)
    names = load_alphabet(input_dir, test_sha256).names
    right = int((submission.labels == truth.labels).sum())
    low, high = compute_accuracy_interval(right, len(truth.labels))
    confusion = find_costliest_confusion(truth.labels, submission.labels, names)
    line = (
        f"{path}: accuracy {right / len(truth.labels):.5f} on {len(truth.labels):,} test rows "
        f"(95 % interval {low:.5f} to {high:.5f}), {len(truth.labels) - right:,} wrong; costliest confusion {confusion}"
    )
    if submission.provenance and submission.provenance.unfit:
        line += f"\nUNFIT FOR THE COMPETITION: {submission.provenance.unfit}"
    if test_sha256 is None:
        line += f"\nnote: {test} is missing, so that nothing tells whether the submission was made for its images"
    return line


def _hash_table(path: Path) -> str:
    with open_regular_file(path):  # a pipe under that name would keep hash_file waiting for ever
        return hash_file(path)
