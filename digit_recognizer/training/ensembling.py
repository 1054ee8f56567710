"""Several runs, or several submissions, made into one. Nothing is trained here, and Keras is not needed."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digit_recognizer.competition.metrics import compute_wilson_interval
from digit_recognizer.competition.submissions import (
    SUBMISSIONS,
    Provenance,
    Submission,
    check_new_submission_path,
    check_submission,
    count_image_ids,
    find_free_path,
    load_submission,
    name_submission,
    write_submission,
)
from digit_recognizer.data.tables import load_test_table, load_train_table
from digit_recognizer.errors import InputError
from digit_recognizer.files import hash_file
from digit_recognizer.training.runs import FinishedRun, describe_command, find_commit, load_run

CLASSES = 10


@dataclass(frozen=True)
class EnsembleScore:
    """Out-of-fold accuracies of an ensemble and its members, all on the rows that every member held out.

    Attributes:
        accuracy: the ensemble's.
        interval: its 95 % Wilson interval.
        rows: how many rows that are, of `all_rows` training rows.
        member_accuracies: in the order of the members.
    """

    accuracy: float
    interval: tuple[float, float]
    rows: int
    all_rows: int
    member_accuracies: list[float]


def ensemble(members: Sequence[Path], method: str, input_dir: Path, submission: Path | None) -> str:
    """Combine members and write a submission.

    Args:
        members: run folders and submission files, at least two.
        method: "mean" of probabilities (runs only), or "vote".
        input_dir: folder that holds the data set which the members were made for.
        submission: file to write; None for one under submissions/.

    Returns:
        A table for the screen: each member's out-of-fold accuracy and the ensemble's, where all members have one.

    Raises:
        InputError: if the members are of different data, or not of the data at hand.
    """
    if len(members) < 2:
        raise InputError(f"an ensemble takes two or more runs or submissions; received {len(members)}.")
    if submission is not None:
        check_new_submission_path(submission)
    rows = count_image_ids(input_dir / "sample_submission.csv")
    cache_dir = input_dir / ".cache"
    test_sha256 = load_test_table(input_dir / "test.csv", cache_dir).sha256
    runs, files = _load_members(members, rows, test_sha256)
    if method == "mean" and files:
        raise InputError(
            f"--method mean takes runs, whose probabilities are saved; {files[0].path} holds labels only. Use vote."
        )
    train_sha256, score = None, None
    if runs:
        train = load_train_table(input_dir / "train.csv", cache_dir)
        train_sha256 = train.sha256
        for run in runs:
            _check_run(run, train_sha256, len(train.labels), test_sha256, rows)
        if not files:
            score = _score_out_of_fold(runs, train.labels, method)
    unfit = next(
        filter(None, [run.metrics["unfit_for_competition"] for run in runs] + [_unfit(f) for f in files]), None
    )

    labels = combine([run.test_probabilities for run in runs], [file.labels for file in files], method)
    name = "ensemble" if score is None else f"ensemble-{score.accuracy:.5f}"
    path = submission or find_free_path(SUBMISSIONS, name_submission(name, input_dir, unfit))
    provenance = Provenance(
        model="ensemble",
        command=describe_command(),
        commit=find_commit(),
        train_sha256=train_sha256,
        test_sha256=test_sha256,
        oof_accuracy=None if score is None else score.accuracy,
        unfit=unfit,
    )
    write_submission(path, labels, rows, provenance)
    return _format([run.path for run in runs] + [file.path for file in files], score, path, unfit)


def combine(probabilities: Sequence[np.ndarray], labels: Sequence[np.ndarray], method: str) -> np.ndarray:
    """Combine predictions of the same rows.

    Args:
        probabilities: float (n, classes) each, of members that have them.
        labels: int (n,) each, of members that have only these; "vote" only.
        method: "mean", or "vote": each member has one vote per row; a tie goes to the tied class with the highest
            summed probability, and, where no member has any, to the tied class that the earliest member named.

    Returns:
        int64 (n,).
    """
    if method == "mean":
        mean: np.ndarray = np.mean(probabilities, axis=0)
        return mean.argmax(axis=1)
    ballots = [member.argmax(axis=1) for member in probabilities] + list(labels)
    rows = np.arange(len(ballots[0]))
    votes = np.zeros((len(rows), CLASSES))
    for position, ballot in enumerate(ballots):
        votes[rows, ballot] += 1 - 1e-6 * position  # less than a vote in sum: it only settles what is left tied
    if probabilities:
        # confidence ranks above the order of members, and below a vote
        votes += 1e-3 * np.mean(probabilities, axis=0)
    return votes.argmax(axis=1)


def _load_members(members: Sequence[Path], rows: int, test_sha256: str) -> tuple[list[FinishedRun], list[Submission]]:
    runs, files = [], []
    for member in members:
        if member.is_dir():
            runs.append(load_run(member))
        elif member.is_file():
            file = load_submission(member)
            check_submission(file, rows, test_sha256)
            files.append(file)
        else:
            raise InputError(f"{member} must be a run folder or a submission file: there is none of that name.")
    for file in files:
        if (file.labels == file.labels[0]).all():
            raise InputError(
                f"{file.path} gives every image the label {file.labels[0]}: it is no prediction; leave it out."
            )
    seen: dict[str, Path] = {}
    for path, digest in [(run.path, hash_file(run.path / "test_probabilities.npy")) for run in runs] + [
        (file.path, hash_file(file.path)) for file in files
    ]:
        if digest in seen:
            raise InputError(f"{path} and {seen[digest]} hold the same predictions, which would count twice: name one.")
        seen[digest] = path
    return runs, files


def _check_run(run: FinishedRun, train_sha256: str, train_rows: int, test_sha256: str, test_rows: int) -> None:
    for file, ours, theirs in (
        ("train.csv", train_sha256, run.metrics["train_sha256"]),
        ("test.csv", test_sha256, run.metrics["test_sha256"]),
    ):
        if ours != theirs:
            raise InputError(f"{run.path} was made from another {file} than the one at hand: name its --input-dir.")
    if (len(run.oof_probabilities), len(run.test_probabilities)) != (train_rows, test_rows):
        raise InputError(
            f"{run.path} used {len(run.oof_probabilities):,} of {train_rows:,} training rows and "
            f"{len(run.test_probabilities):,} of {test_rows:,} test rows (--train-rows, --test-rows or --smoke): leave "
            "it out, or run it on all rows."
        )
    if not np.isfinite(run.test_probabilities).all():
        raise InputError(f"{run.path} holds probabilities that are no numbers: its training failed; leave it out.")


def _unfit(file: Submission) -> str | None:
    return file.provenance.unfit if file.provenance else None


def _score_out_of_fold(runs: Sequence[FinishedRun], labels: np.ndarray, method: str) -> EnsembleScore | None:
    """Score the ensemble and its members on the rows that every run held out; None if there are none."""
    judged = np.all([np.isfinite(run.oof_probabilities).all(axis=1) for run in runs], axis=0)
    if not judged.any():
        return None
    truth, members = labels[judged], [run.oof_probabilities[judged] for run in runs]
    right = int((combine(members, [], method) == truth).sum())
    return EnsembleScore(
        accuracy=right / len(truth),
        interval=compute_wilson_interval(right, len(truth)),
        rows=len(truth),
        all_rows=len(labels),
        member_accuracies=[float((member.argmax(axis=1) == truth).mean()) for member in members],
    )


def _format(members: Sequence[Path], score: EnsembleScore | None, path: Path, unfit: str | None) -> str:
    """The table that ends the command."""
    width = max(len(str(member)) for member in members) + 4
    width = max(width, 28)
    if score is None:
        lines = [f"  {member!s:<{width}}no score" for member in members]
        lines.append(f"  {'ensemble':<{width}}no score: not every member has out-of-fold predictions of the same rows")
    else:
        lines = [f"  {m!s:<{width}}{a:.5f}" for m, a in zip(members, score.member_accuracies, strict=True)]
        low, high = score.interval
        lines.append(
            f"  {'ensemble, out-of-fold':<{width}}{score.accuracy:.5f}  (95 % interval {low:.5f} to {high:.5f})"
        )
        lines.append(f"  {'all on the same rows':<{width}}{score.rows:,} of {score.all_rows:,}")
    lines.append(f"  {'submission':<{width}}{path}")
    if unfit:
        lines.append(f"  UNFIT FOR THE COMPETITION: {unfit}")
    return "\n".join(lines)
