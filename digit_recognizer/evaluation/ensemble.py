"""Several runs, or several submissions, made into one. Nothing is trained here, and Keras is not needed."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np

from digit_recognizer.competition.submissions import (
    SUBMISSIONS,
    SUFFIXES,
    Provenance,
    Submission,
    check_new_submission_path,
    check_submission,
    count_image_ids,
    describe_command,
    find_commit,
    load_submission,
    name_submission,
    refuse_if_barred,
    write_submission,
)
from digit_recognizer.data.tables import load_test, load_train
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.metrics import compute_accuracy_interval
from digit_recognizer.io import find_free_path
from digit_recognizer.training.run import FinishedRun, find_input_dir, load_run

CLASSES = 10
SUM_TOLERANCE = 0.01  # float16 rounds each of ten probabilities by up to 5e-4


@dataclass(frozen=True)
class EnsembleScore:
    """Out-of-fold accuracies of an ensemble and its members, all on the rows that every member held out.

    Attributes:
        accuracy: the ensemble's.
        interval: its 95 % interval.
        rows: how many rows that are, of `all_rows` training rows.
        member_accuracies: in the order of the members.
    """

    accuracy: float
    interval: tuple[float, float]
    rows: int
    all_rows: int
    member_accuracies: list[float]


def ensemble(members: Sequence[Path], method: str, input_dir: Path | None, submission: Path | None) -> str:
    """Combine members and write a submission.

    Args:
        members: run folders and submission files, at least two.
        method: "mean" of probabilities (runs only), or "vote".
        input_dir: folder of the data set that the members were made for; None for the one that the first run names.
        submission: file to write; None for one under submissions/.

    Returns:
        A table for the screen: each member's out-of-fold accuracy and the ensemble's, where all members have one.

    Raises:
        InputError: if the members are of different data, or not of the data at hand; after `bar_submissions`.
    """
    refuse_if_barred()
    if len(members) < 2:
        raise InputError(f"an ensemble takes two or more runs or submissions; received {len(members)}.")
    input_dir = input_dir or find_input_dir(*members)
    if submission is not None:
        check_new_submission_path(submission, input_dir)
    rows, cache_dir = count_image_ids(input_dir / "sample_submission.csv"), input_dir / ".cache"
    test_sha256 = load_test(input_dir / "test.csv", cache_dir).sha256
    loaded = _load_members(members, rows, test_sha256)
    runs = [member for member in loaded if isinstance(member, FinishedRun)]
    files = [member for member in loaded if isinstance(member, Submission)]
    if method == "mean" and files:
        raise InputError(
            f"--method mean takes runs, whose probabilities are saved; {files[0].path} holds labels only. Use vote."
        )
    train_sha256, score = None, None
    if runs:
        train = load_train(input_dir / "train.csv", cache_dir)
        train_sha256 = train.sha256
        for run in runs:
            _check_run(run, train_sha256, len(train.labels), test_sha256, rows)
        if not files:
            score = _score_out_of_fold(runs, train.labels, method)
    _check_repeats(runs, files)
    ineligible = next(filter(None, map(_find_unfit, loaded)), None)

    labels = combine([_find_predictions(member) for member in loaded], method)
    name = "ensemble" if score is None else f"ensemble-{score.accuracy:.5f}"
    path = submission or find_free_path(SUBMISSIONS, name_submission(name, input_dir, ineligible), *SUFFIXES)
    provenance = Provenance(
        model="ensemble",
        command=describe_command(),
        commit=find_commit(),
        train_sha256=train_sha256,
        test_sha256=test_sha256,
        oof_accuracy=None if score is None else score.accuracy,
        ineligible=ineligible,
        run=" ".join(str(member.path) for member in loaded),
    )
    write_submission(path, labels, rows, provenance)
    return _format([member.path for member in loaded], score, path, ineligible)


def combine(members: Sequence[np.ndarray], method: str) -> np.ndarray:
    """Combine predictions of the same rows.

    Args:
        members: each either probabilities, float (n, classes), or labels, int (n,); labels for "vote" only.
        method: "mean", or "vote": each member has one vote per row. A tie goes to the tied class with the highest
            probability summed over the members that have any, and what is tied even so to the member named first.

    Returns:
        int64 (n,).
    """
    if method == "mean":
        return np.stack(members).mean(axis=0, dtype=np.float64).argmax(axis=1)
    ballots = [member.argmax(axis=1) if member.ndim == 2 else member for member in members]
    votes = np.sum([np.eye(CLASSES, dtype=np.int64)[ballot] for ballot in ballots], axis=0)
    summed = np.zeros(votes.shape)
    for member in members:
        if member.ndim == 2:
            summed += member
    summed[votes < votes.max(axis=1, keepdims=True)] = -1
    leading = summed == summed.max(axis=1, keepdims=True)
    rows = np.arange(len(votes))
    winners = ballots[0]
    for ballot in reversed(ballots):
        winners = np.where(leading[rows, ballot], ballot, winners)
    return winners


def _find_predictions(member: FinishedRun | Submission) -> np.ndarray:
    return member.test_probabilities if isinstance(member, FinishedRun) else member.labels


def _find_unfit(member: FinishedRun | Submission) -> str | None:
    if isinstance(member, FinishedRun):
        return cast("str | None", member.metrics["ineligible"])
    return member.provenance.ineligible if member.provenance else None


def _load_members(members: Sequence[Path], rows: int, test_sha256: str) -> list[FinishedRun | Submission]:
    loaded: list[FinishedRun | Submission] = []
    for path in members:
        if path.is_dir():
            loaded.append(load_run(path))
        elif os.path.lexists(path):
            file = load_submission(path)
            check_submission(file, rows, test_sha256)
            if (file.labels == file.labels[0]).all():
                raise InputError(f"{path} gives every image the label {file.labels[0]}: no prediction. Leave it out.")
            loaded.append(file)
        else:
            raise InputError(f"{path} must be a run folder or a submission file: there is none of that name.")
    return loaded


def _check_repeats(runs: Sequence[FinishedRun], files: Sequence[Submission]) -> None:
    """Refuse what would count twice: a run or a file named twice, or a run beside its own submission."""
    by_probabilities: dict[bytes, Path] = {}
    for run in runs:
        _claim(by_probabilities, run.test_probabilities, run.path)
    by_labels = {run.test_probabilities.argmax(axis=1).tobytes(): run.path for run in runs}
    for file in files:
        _claim(by_labels, file.labels, file.path)


def _claim(seen: dict[bytes, Path], predictions: np.ndarray, path: Path) -> None:
    if (other := seen.get(predictions.tobytes())) is not None:
        raise InputError(f"{path} and {other} hold the same predictions, which would count twice: name one.")
    seen[predictions.tobytes()] = path


def _check_run(run: FinishedRun, train_sha256: str, train_rows: int, test_sha256: str, test_rows: int) -> None:
    for file, ours, theirs in (
        ("train.csv", train_sha256, run.metrics["train_sha256"]),
        ("test.csv", test_sha256, run.metrics["test_sha256"]),
    ):
        if ours != theirs:
            raise InputError(f"{run.path} was made from another {file} than that at hand: name the right --input-dir.")
    if (len(run.oof_probabilities), len(run.test_probabilities)) != (train_rows, test_rows):
        raise InputError(
            f"{run.path} used {len(run.oof_probabilities):,} of {train_rows:,} training rows and "
            f"{len(run.test_probabilities):,} of {test_rows:,} test rows (--limit-train, --limit-test or --smoke): leave "
            "it out, or run it on all rows."
        )
    check_probabilities(run.path / "oof_probabilities.npy", run.oof_probabilities)
    check_probabilities(run.path / "test_probabilities.npy", run.test_probabilities)
    ineligible = run.metrics["ineligible"]
    if not (ineligible is None or (isinstance(ineligible, str) and ineligible.isprintable())):
        raise InputError(
            f"{run.path / 'metrics.json'} must give its ineligible as a line or null, but gives "
            f"{repr(ineligible)[:40]}: leave the run out."
        )


def check_probabilities(path: Path, probabilities: np.ndarray) -> None:
    """Refuse what is no float (n, 10) of rows that sum to 1; out-of-fold rows of NaN alone were never held out."""
    if probabilities.shape[1] != CLASSES:
        columns = probabilities.shape[1]
        raise InputError(f"{path} must have {CLASSES} columns, one per class, but has {columns}: leave the run out.")
    judged = ~np.isnan(probabilities).all(axis=1)
    if not (np.isfinite(probabilities[judged]).all() and (judged.all() or path.name.startswith("oof"))):
        raise InputError(f"{path} holds probabilities that are no numbers: its training failed; leave the run out.")
    probabilities = np.where(judged[:, None], probabilities, 1 / CLASSES)
    sums = probabilities.sum(axis=1, dtype=np.float64)
    wrong = np.flatnonzero((probabilities < 0).any(axis=1) | (np.abs(sums - 1) > SUM_TOLERANCE))
    if len(wrong):
        raise InputError(
            f"{path}, row {wrong[0] + 1}: probabilities must be 0 or more and sum to 1, but these sum to "
            f"{sums[wrong[0]]:.3g}: leave the run out."
        )


def _score_out_of_fold(runs: Sequence[FinishedRun], labels: np.ndarray, method: str) -> EnsembleScore | None:
    """Score the ensemble and its members on the rows that every run held out; None if there are none."""
    judged = np.all([np.isfinite(run.oof_probabilities).all(axis=1) for run in runs], axis=0)
    if not judged.any():
        return None
    truth, members = labels[judged], [run.oof_probabilities[judged] for run in runs]
    right = int((combine(members, method) == truth).sum())
    return EnsembleScore(
        accuracy=right / len(truth),
        interval=compute_accuracy_interval(right, len(truth)),
        rows=len(truth),
        all_rows=len(labels),
        member_accuracies=[float((member.argmax(axis=1) == truth).mean()) for member in members],
    )


def _format(members: Sequence[Path], score: EnsembleScore | None, path: Path, ineligible: str | None) -> str:
    """The table that ends the command."""
    width = max(28, *(len(str(member)) + 4 for member in members))
    if score is None:
        lines = [f"  {member!s:<{width}}not scored" for member in members]
        lines.append(f"  {'ensemble':<{width}}no score: not every member has out-of-fold predictions of the same rows")
    else:
        lines = [f"  {m!s:<{width}}{a:.5f}" for m, a in zip(members, score.member_accuracies, strict=True)]
        interval = "{:.5f} to {:.5f}".format(*score.interval)
        lines.append(f"  {'ensemble, out-of-fold':<{width}}{score.accuracy:.5f}  (95 % interval {interval})")
        lines.append(f"  {'all on the same rows':<{width}}{score.rows:,} of {score.all_rows:,}")
    lines.append(f"  {'submission':<{width}}{path}")
    if ineligible:
        lines.append(f"  INELIGIBLE FOR THE COMPETITION: {ineligible}")
    return "\n".join(lines)
