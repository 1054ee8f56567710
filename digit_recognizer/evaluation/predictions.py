"""The saved predictions of finished runs: checked, compared and combined. Nothing is trained; Keras is not needed."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digit_recognizer.competition.submissions import (
    Provenance,
    check_new_submission_path,
    check_submission,
    check_submissions_allowed,
    choose_submission_path,
    is_line,
    load_submission,
    write_submission,
)
from digit_recognizer.data.csv import CLASSES, load_labels
from digit_recognizer.data.dataset import TestTable, TrainTable, load_test, load_train
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.metrics import Comparison, compare_predictions, compute_accuracy_interval
from digit_recognizer.training.run import FinishedRun, find_input_dir, load_run

SUM_TOLERANCE = 0.01  # float16 rounds each of ten probabilities by up to 5e-4


def load_run_for(path: Path, train: TrainTable, test: TestTable | None = None) -> FinishedRun:
    """Load a finished run whose out-of-fold rows are the rows of `train`.

    Args:
        path: the run folder.
        train: the train.csv at hand.
        test: the test.csv at hand; None if the test predictions are not used.

    Raises:
        InputError: if the run was made from other files or from part of these, or its probabilities are damaged.
    """
    run = load_run(path)
    used = [("train", train, "oof", run.oof_probabilities), ("test", test, "test", run.test_probabilities)]
    for name, table, kind, probabilities in used:
        if table is None:
            continue
        if run.metrics[f"{name}_sha256"] != table.sha256:
            raise InputError("evaluation.other_data", path=path, received=f"{name}.csv")
        received, rows = len(probabilities), len(table.pixels)
        if received != rows:
            raise InputError("evaluation.part_of_rows", path=path, received=received, file=f"{name}.csv", rows=rows)
        check_probabilities(path / f"{kind}_probabilities.npy", probabilities, may_lack_rows=kind == "oof")
    return run


def check_probabilities(path: Path, probabilities: np.ndarray, may_lack_rows: bool = False) -> None:
    """Refuse probabilities that are not float (n, 10) with rows that sum to 1.

    Args:
        path: where they were saved; named in the error.
        probabilities: as read.
        may_lack_rows: whether a row may be all NaN, as an out-of-fold row is that was never held out.

    Raises:
        InputError: naming the first row at fault.
    """
    if probabilities.shape[1] != CLASSES:
        raise InputError("evaluation.class_count", path=path, received=probabilities.shape[1], classes=CLASSES)
    missing = np.isnan(probabilities).all(axis=1)
    if not np.isfinite(probabilities[~missing]).all() or (missing.any() and not may_lack_rows):
        raise InputError("evaluation.nan", path=path)
    sums = np.where(missing, 1, probabilities.sum(axis=1, dtype=np.float64))
    wrong = np.flatnonzero((probabilities < 0).any(axis=1) | (np.abs(sums - 1) > SUM_TOLERANCE))
    if len(wrong):
        received = f"{sums[wrong[0]]:.3g}"
        raise InputError("evaluation.probability_sum", path=path, line=int(wrong[0]) + 1, received=received)


def find_held_out_rows(oof: np.ndarray) -> np.ndarray:
    """Which rows of out-of-fold probabilities (n, classes) were held out: bool (n,); the others are NaN."""
    held_out: np.ndarray = np.isfinite(oof).all(axis=1)
    return held_out


def _format_rows(rows: Sequence[tuple[str, str]]) -> list[str]:
    width = max(28, *(len(name) + 2 for name, _ in rows))
    return [f"  {name:<{width}}{value}" for name, value in rows]


# Which of two runs is better, and whether their rows show it
#
# Method: take the rows that both runs held out; count the rows that only one of them predicted correctly; test these
# counts with McNemar's exact test, and give the difference of the accuracies an interval.


@dataclass(frozen=True)
class RunComparison(Comparison):
    """Two runs, compared on the rows that both held out; `str` gives the table for the screen.

    Attributes:
        run_one, run_other: the run folders.
        all_rows: rows of train.csv.
    """

    run_one: Path
    run_other: Path
    all_rows: int

    def __str__(self) -> str:
        low, high = self.interval
        rows = [
            (str(self.run_one), f"{self.accuracy_one:.5f}"),
            (str(self.run_other), f"{self.accuracy_other:.5f}"),
            ("correct in the first only", f"{self.only_one:,} rows"),
            ("correct in the second only", f"{self.only_other:,} rows"),
            ("exact McNemar test", f"p = {self.p_value:.3g}"),
            ("first minus second", f"{self.difference:+.5f}  (95 % interval {low:+.5f} to {high:+.5f})"),
            ("compared on", f"{self.rows:,} of {self.all_rows:,} rows"),
        ]
        last = "One run each: repeat both with other seeds to be sure."
        return "\n".join([*_format_rows(rows), f"  {self.conclusion}", f"  {last}"])

    @property
    def conclusion(self) -> str:
        """One sentence: which run is better, and by how much."""
        if not self.is_decided:
            return "No significant difference."
        better = self.run_one if self.difference > 0 else self.run_other
        near, lead, far = sorted(100 * abs(share) for share in (self.difference, *self.interval))
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
        >>> comparison = compare_runs(Path("runs/A"), Path("runs/B"))
    """
    input_dir = input_dir or find_input_dir(one)
    train = load_train(input_dir / "train.csv", cache=True)
    oof_one, oof_other = (load_run_for(path, train).oof_probabilities for path in (one, other))
    if np.array_equal(oof_one, oof_other, equal_nan=True):
        raise InputError("evaluation.same_predictions", path=one, other=other)
    held_out = find_held_out_rows(oof_one) & find_held_out_rows(oof_other)
    if not held_out.any():
        raise InputError("evaluation.no_common_rows", path=one, other=other)
    right_one, right_other = (oof[held_out].argmax(axis=1) == train.labels[held_out] for oof in (oof_one, oof_other))
    found = compare_predictions(right_one, right_other)
    return RunComparison(**vars(found), run_one=one, run_other=other, all_rows=len(train.labels))


# Several runs or submissions combined into one submission
#
# Method: load the members, and check that all predict the same test rows and that none counts twice; combine their test
# predictions by the mean of probabilities or by vote; score the same combination of the out-of-fold predictions on the
# rows that every run held out; write the submission with its provenance.


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
        submission: the file written.
        score: None where not every member has out-of-fold predictions, or they share no row.
        ineligible: why the submission must not enter the competition; None if it may.
    """

    members: list[Path]
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
        lines = _format_rows(rows)
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
    check_submissions_allowed()
    if len(members) < 2:
        raise InputError("evaluation.too_few_members", received=len(members))
    input_dir = input_dir or find_input_dir(*members)
    if submission is not None:
        check_new_submission_path(submission, input_dir)
    rows = len(load_labels(input_dir / "sample_submission.csv"))
    test = load_test(input_dir / "test.csv", cache=True)
    has_runs = any(path.is_dir() for path in members)
    train = load_train(input_dir / "train.csv", cache=True) if has_runs else None

    loaded = [_load_member(path, train, test) for path in members]
    if method == "mean":
        for member in loaded:
            if member.oof is None:
                raise InputError("evaluation.mean_of_labels", path=member.path)
    _refuse_repeats(loaded)

    labels = combine([member.test for member in loaded], method)
    oofs = [member.oof for member in loaded if member.oof is not None]
    score = _score_out_of_fold(oofs, train.labels, method) if train is not None and len(oofs) == len(loaded) else None
    ineligible = next((member.ineligible for member in loaded if member.ineligible), None)

    name = "ensemble" if score is None else f"ensemble-{score.accuracy:.5f}"
    path = submission or choose_submission_path(name, input_dir, ineligible)
    provenance = Provenance(
        model="ensemble",
        train_sha256=None if train is None else train.sha256,
        test_sha256=test.sha256,
        oof_accuracy=None if score is None else score.accuracy,
        ineligible=ineligible,
        run=" ".join(str(member.path) for member in loaded),
    )
    write_submission(path, labels, rows, provenance)
    return EnsembleResult([member.path for member in loaded], path, score, ineligible)


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


def _load_member(path: Path, train: TrainTable | None, test: TestTable) -> Member:
    if train is not None and path.is_dir():
        run = load_run_for(path, train, test)
        reason = run.metrics["ineligible"]
        if not (reason is None or is_line(reason)):
            raise InputError("evaluation.ineligible", path=path / "metrics.json", received=repr(reason)[:40])
        return Member(path, run.test_probabilities, run.oof_probabilities, reason)
    if not os.path.lexists(path):
        raise InputError("evaluation.no_member", path=path)
    file = load_submission(path)
    check_submission(file, len(test.pixels), test.sha256)
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
