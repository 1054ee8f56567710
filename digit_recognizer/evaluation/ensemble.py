"""Several runs or submissions combined into one submission. Nothing is trained here, and Keras is not needed.

Method: load the members, and check that all predict the same test rows and that none counts twice; combine their test
predictions by the mean of probabilities or by vote; score the same combination of the out-of-fold predictions on the
rows that every run held out; write the submission with its provenance.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digit_recognizer.competition.submissions import (
    SUBMISSIONS,
    SUFFIXES,
    Provenance,
    check_new_submission_path,
    check_submission,
    describe_command,
    find_commit,
    is_line,
    load_submission,
    name_submission,
    refuse_if_blocked,
    write_submission,
)
from digit_recognizer.data.csv import CLASSES, load_labels
from digit_recognizer.data.tables import TrainTable, load_test, load_train
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.metrics import compute_accuracy_interval
from digit_recognizer.evaluation.predictions import find_held_out_rows, load_run_for
from digit_recognizer.io import find_free_path
from digit_recognizer.training.run import find_input_dir


@dataclass(frozen=True)
class Member:
    """A run or a submission file.

    Attributes:
        path: of the run folder or the file.
        test: predictions of the test rows: probabilities, float32 (m, 10), of a run; labels, int64 (m,), of a file.
        oof: out-of-fold probabilities, float32 (n, 10), of a run; None of a file.
        ineligible: why it must not enter the competition; None if it may.
    """

    path: Path
    test: np.ndarray
    oof: np.ndarray | None
    ineligible: str | None


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


@dataclass(frozen=True)
class EnsembleResult:
    """What `ensemble` did; `str` gives the table for the screen.

    Attributes:
        members: their paths.
        labels: int64 (m,), the predicted labels of the test rows.
        submission: the file that holds them.
        score: None where not every member has out-of-fold predictions, or they share no row.
        ineligible: why the submission must not enter the competition; None if it may.
    """

    members: list[Path]
    labels: np.ndarray
    submission: Path
    score: EnsembleScore | None
    ineligible: str | None

    def __str__(self) -> str:
        score = self.score
        if score is None:
            rows = [(str(member), "not scored") for member in self.members]
            rows.append(("ensemble", "not scored: not every member has out-of-fold predictions of the same rows"))
        else:
            rows = [
                (str(member), f"{accuracy:.5f}")
                for member, accuracy in zip(self.members, score.member_accuracies, strict=True)
            ]
            low, high = score.interval
            rows.append(("ensemble, out-of-fold", f"{score.accuracy:.5f}  (95 % interval {low:.5f} to {high:.5f})"))
            rows.append(("scored on", f"{score.rows:,} of {score.all_rows:,} rows"))
        rows.append(("submission", str(self.submission)))
        width = max(28, *(len(name) + 2 for name, _ in rows))
        lines = [f"  {name:<{width}}{value}" for name, value in rows]
        if self.ineligible:
            lines.append(f"  INELIGIBLE FOR THE COMPETITION: {self.ineligible}")
        return "\n".join(lines)


def ensemble(
    members: Sequence[Path], method: str = "mean", input_dir: Path | None = None, submission: Path | None = None
) -> EnsembleResult:
    """Combine runs and submissions, and write a submission.

    Args:
        members: run folders and submission files, at least two.
        method: "mean" of probabilities (runs only), or "vote".
        input_dir: folder of the data that the members were made for; None takes the one that the first run names.
        submission: file to write; None takes a free name under submissions/.

    Raises:
        InputError: if the members are of different data, or not of the data at hand, or two of them are the same.

    Example:
        >>> result = ensemble([Path("runs/a"), Path("runs/b")])  # doctest: +SKIP
    """
    refuse_if_blocked()
    if len(members) < 2:
        raise InputError("evaluation.too_few_members", received=len(members))
    input_dir = input_dir or find_input_dir(*members)
    if submission is not None:
        check_new_submission_path(submission, input_dir)
    cache_dir = input_dir / ".cache"
    test_rows = len(load_labels(input_dir / "sample_submission.csv"))
    test_sha256 = load_test(input_dir / "test.csv", cache_dir).sha256
    has_runs = any(path.is_dir() for path in members)
    train = load_train(input_dir / "train.csv", cache_dir) if has_runs else None

    loaded = [_load_member(path, train, test_sha256, test_rows) for path in members]
    _refuse_repeats(loaded)
    if method == "mean":
        for member in loaded:
            if member.oof is None:
                raise InputError("evaluation.mean_of_labels", path=member.path)

    labels = combine([member.test for member in loaded], method)
    oofs = [member.oof for member in loaded if member.oof is not None]
    score = _score_out_of_fold(oofs, train.labels, method) if train is not None and len(oofs) == len(loaded) else None
    ineligible = next((member.ineligible for member in loaded if member.ineligible), None)

    name = "ensemble" if score is None else f"ensemble-{score.accuracy:.5f}"
    path = submission or find_free_path(SUBMISSIONS, name_submission(name, input_dir, ineligible), *SUFFIXES)
    provenance = Provenance(
        model="ensemble",
        command=describe_command(),
        commit=find_commit(),
        train_sha256=None if train is None else train.sha256,
        test_sha256=test_sha256,
        oof_accuracy=None if score is None else score.accuracy,
        ineligible=ineligible,
        run=" ".join(str(member.path) for member in loaded),
    )
    write_submission(path, labels, test_rows, provenance)
    return EnsembleResult([member.path for member in loaded], labels, path, score, ineligible)


def combine(members: Sequence[np.ndarray], method: str) -> np.ndarray:
    """Combine predictions of the same rows.

    Args:
        members: each either probabilities, float (n, classes), or labels, int (n,); labels for "vote" only.
        method: "mean", or "vote": each member has one vote per row. A tie goes to the tied class with the highest
            probability summed over the members that have any. A tie in that too goes to the member named first.

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


def _load_member(path: Path, train: TrainTable | None, test_sha256: str, test_rows: int) -> Member:
    if train is not None and path.is_dir():
        run = load_run_for(path, train, test_sha256, test_rows)
        reason = run.metrics["ineligible"]
        if not (reason is None or is_line(reason)):
            raise InputError("evaluation.ineligible", path=path / "metrics.json", received=repr(reason)[:40])
        return Member(path, run.test_probabilities, run.oof_probabilities, reason)
    if not os.path.lexists(path):
        raise InputError("evaluation.no_member", path=path)
    file = load_submission(path)
    check_submission(file, test_rows, test_sha256)
    if (file.labels == file.labels[0]).all():
        raise InputError("submission.one_label", path=path, received=file.labels[0])
    return Member(path, file.labels, None, file.provenance.ineligible if file.provenance else None)


def _refuse_repeats(members: Sequence[Member]) -> None:
    """Refuse members that count twice: a run or a file named twice, or a run beside its own submission."""
    seen: dict[bytes, Path] = {}
    for member in sorted(members, key=lambda member: member.oof is None):  # runs first
        if (other := seen.get(member.test.tobytes())) is not None:
            raise InputError("evaluation.repeated_member", path=member.path, other=other)
        seen[member.test.tobytes()] = member.path
        if member.oof is not None:
            seen.setdefault(member.test.argmax(axis=1).tobytes(), member.path)


def _score_out_of_fold(oofs: Sequence[np.ndarray], labels: np.ndarray, method: str) -> EnsembleScore | None:
    """Score the ensemble and its members on the rows that every run held out; None if there are none."""
    held_out = np.all([find_held_out_rows(oof) for oof in oofs], axis=0)
    if not held_out.any():
        return None
    truth, members = labels[held_out], [oof[held_out] for oof in oofs]
    right = int((combine(members, method) == truth).sum())
    return EnsembleScore(
        accuracy=right / len(truth),
        interval=compute_accuracy_interval(right, len(truth)),
        rows=len(truth),
        all_rows=len(labels),
        member_accuracies=[float((member.argmax(axis=1) == truth).mean()) for member in members],
    )
