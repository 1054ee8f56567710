"""The saved predictions of finished runs: checked, compared and combined. Nothing is trained; Keras is not needed."""

import contextlib
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digit_recognizer.competition.submissions import (
    Provenance,
    check_new_submission_path,
    check_submission,
    choose_submission_path,
    load_submission,
    write_submission,
)
from digit_recognizer.config import Recorded, expand_path
from digit_recognizer.console import clean_lines, show_as_text
from digit_recognizer.data.csv import CLASSES, load_labels
from digit_recognizer.data.dataset import TestTable, TrainTable, load_test, load_train
from digit_recognizer.data.frames import TableSource, read_test_table, read_train_table
from digit_recognizer.data.labels import DIGITS, LabelSet, load_label_set
from digit_recognizer.data.splits import assign_folds, find_duplicate_groups
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.calibration import apply_temperature, calibrate
from digit_recognizer.evaluation.metrics import Comparison, Score, compare_predictions, evaluate
from digit_recognizer.io import numpy_defaults, write_json, write_text
from digit_recognizer.records import CONFIG, METRICS
from digit_recognizer.training.run import (
    ENSEMBLE,
    IN_PYTHON,
    LABEL_SET,
    LOG,
    FinishedRun,
    Run,
    find_input_dir,
    load_config,
    load_run,
)
from digit_recognizer.training.transfers import is_transfer, load_transfer, load_transfer_predictions

if TYPE_CHECKING:
    import pandas as pd


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
    if run.metrics["oof_accuracy"] is None:  # an ensemble with submissions of others
        raise InputError("evaluation.not_scored", path=path)
    for name, table, probabilities in (("train", train, run.oof_probabilities), ("test", test, run.test_probabilities)):
        if table is None:
            continue
        if run.metrics[f"{name}_sha256"] != table.sha256:
            raise InputError("evaluation.other_data", path=path, received=f"{name}.csv")
        received, rows = len(probabilities), len(table.pixels)
        if received != rows:
            raise InputError("evaluation.part_of_rows", path=path, received=received, file=f"{name}.csv", rows=rows)
    if not run.held_out.any():
        raise InputError("report.nothing_held_out", path=path)
    return run


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

    _repr_pretty_ = show_as_text

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

    def to_frame(self) -> "pd.DataFrame":
        """One row with all attributes; the interval of the difference is in the columns low and high."""
        import pandas as pd

        low, high = self.interval
        values = {name: value for name, value in vars(self).items() if name not in ("interval", "run_one", "run_other")}
        runs = {"run_one": str(self.run_one), "run_other": str(self.run_other)}
        return pd.DataFrame([{**runs, **values, "low": low, "high": high, "significant": self.is_decided}])

    @property
    def conclusion(self) -> str:
        """One sentence: which run is better, and by how much."""
        if not self.is_decided:
            return "No significant difference."
        better = self.run_one if self.difference > 0 else self.run_other
        near, lead, far = sorted(100 * abs(share) for share in (self.difference, *self.interval))
        return f"{better} is better by {lead:.2f} percentage points (95 % interval {near:.2f} to {far:.2f})."


@numpy_defaults
def compare(
    one: Path | str, other: Path | str, input_dir: Path | str | None = None, *, train: TableSource | None = None
) -> RunComparison:
    """Compare two runs of the same train.csv on the rows that both held out.

    Args:
        one: a run folder, of an ensemble too.
        other: another; its folds and seeds may differ.
        input_dir: folder that holds the train.csv of both; None takes the one that `one` names.
        train: of runs that were made from a DataFrame or arrays, that table.

    Returns:
        The counts, the exact test and the interval; printed, it is the table of the command.

    Raises:
        InputError: if a run is of other data or of part of it, or the two are the same or share no row.

    Example:
        >>> found = dr.compare("runs/A", "runs/B")
        >>> print(found)
        >>> found.to_frame()["rows"].tolist()
        [60]
    """
    one, other = expand_path(one), expand_path(other)
    if is_transfer(one) or is_transfer(other):
        return _compare_transfers(one, other)
    named = input_dir is not None
    input_dir = find_input_dir(one) if input_dir is None else expand_path(input_dir)
    with _ask_for_tables(
        (one, other), "compare(one, other, train=train)", may_be_elsewhere=not named and train is None
    ):
        table = load_train(input_dir / "train.csv", cache=True) if train is None else read_train_table(train)
        oof_one, oof_other = (load_run_for(path, table).oof_probabilities for path in (one, other))
    if np.array_equal(oof_one, oof_other, equal_nan=True):
        raise InputError("evaluation.same_predictions", path=one, other=other)
    held_out = find_held_out_rows(oof_one) & find_held_out_rows(oof_other)
    if not held_out.any():
        raise InputError("evaluation.no_common_rows", path=one, other=other)
    right_one, right_other = (oof[held_out].argmax(axis=1) == table.labels[held_out] for oof in (oof_one, oof_other))
    found = compare_predictions(right_one, right_other)
    return RunComparison(**vars(found), run_one=one, run_other=other, all_rows=len(table.labels))


@contextlib.contextmanager
def _ask_for_tables(paths: Sequence[Path], call: str, *, may_be_elsewhere: bool) -> Iterator[None]:
    """Where the files of runs are missing or others, say what to pass: tables in Python, or another folder."""
    try:
        yield
    except InputError as error:
        made = next((path for path in paths if (path / CONFIG).is_file() and load_config(path).get(IN_PYTHON)), None)
        if made is None and error.code == "data.missing" and may_be_elsewhere:
            raise error.with_remedy(
                "If it is in another folder now, name that: --input-dir, or input_dir= in Python."
            ) from None
        if made is None or error.code not in ("data.missing", "evaluation.other_data"):
            raise
        raise InputError("evaluation.tables", path=made, call=call) from error


def _compare_transfers(one: Path, other: Path) -> RunComparison:
    """Compare two transfers on the pictures that both evaluated, by name and content."""
    tables = [load_transfer_predictions(load_transfer(path).path) for path in (one, other)]
    if one.resolve() == other.resolve():  # two transfers may well predict the same
        raise InputError("evaluation.same_predictions", path=one, other=other)
    both = tables[0].merge(tables[1], on=["file", "sha256", "label"])
    if both.empty:
        raise InputError("transfer.no_common_pictures", path=one, other=other)
    found = compare_predictions(*((both[f"predicted_{side}"] == both["label"]).to_numpy() for side in "xy"))
    return RunComparison(**vars(found), run_one=one, run_other=other, all_rows=max(map(len, tables)))


# Several runs or submissions combined into one submission, and into a run of its own
#
# Method: load the members, and check that all predict the same test rows and that none counts twice; combine their test
# predictions by the mean of probabilities, by a weighted mean or by vote; combine their out-of-fold predictions in the
# same way, and score that on the rows that every run held out; test it against the best member; write a run folder and
# the submission with its provenance.

METHODS = ("mean", "weighted", "vote")
WEIGHT_FOLDS = 5  # the weights of a row are chosen without its fold
MAX_WEIGHT_STEPS, WEIGHT_TOLERANCE = 1000, 1e-6


@dataclass(frozen=True, kw_only=True)
class EnsembleConfig(Recorded):
    """What an ensemble is made of, as its config.json keeps it; attributes as the arguments of `ensemble`."""

    members: tuple[Path, ...]
    method: str
    input_dir: Path
    run_dir: Path | None
    submission: Path | None
    model: str = ENSEMBLE


@dataclass(frozen=True)
class Member:
    """A run or a submission file.

    Attributes:
        path: of the run folder or the file.
        test: predictions of the test rows: probabilities, float32 (m, 10), of a run; labels, int64 (m,), of a file.
        oof: out-of-fold probabilities, float32 (n, 10), of a run; None of a file.
        ineligible: why it must not enter the competition; None if it may.
        label_set: what the classes of a run are called; None of a file.
    """

    path: Path
    test: np.ndarray
    oof: np.ndarray | None
    ineligible: str | None
    label_set: LabelSet | None


@dataclass(frozen=True)
class EnsembleScore:
    """Out-of-fold accuracies of an ensemble and its members, all on the rows that every member held out.

    Attributes:
        accuracy: the ensemble's.
        interval: its 95 % interval.
        rows: how many rows that are, of `all_rows` training rows.
        member_accuracies: in the order of the members.
        against_best: the ensemble (one) and its best member (other), row by row.
    """

    accuracy: float
    interval: tuple[float, float]
    rows: int
    all_rows: int
    member_accuracies: list[float]
    against_best: RunComparison


@dataclass(frozen=True)
class EnsembleResult:
    """What `ensemble` did; `str` gives the table for the screen. It is taken wherever a run folder is.

    Attributes:
        members: their paths.
        submission: the file written.
        score: None where not every member has out-of-fold predictions, or they share no row.
        ineligible: why the submission must not enter the competition; None if it may.
        run_dir: the run folder.
        weights: of the members in the test rows, with sum 1; None unless they were chosen.
    """

    members: list[Path]
    submission: Path
    score: EnsembleScore | None
    ineligible: str | None
    run_dir: Path
    weights: list[float] | None = None

    _repr_pretty_ = show_as_text

    def __fspath__(self) -> str:
        return str(self.run_dir)

    @property
    def better_member(self) -> Path | None:
        """The run that is better than the ensemble by itself; None if there is none, or nothing was scored."""
        if self.score is None or self.score.against_best.difference >= 0:
            return None
        return self.score.against_best.run_other

    @property
    def conclusion(self) -> str:
        """In plain words, whether the ensemble is worth more than its best member."""
        if self.score is None:
            return "Not scored: not every member has out-of-fold predictions of the same rows."
        found = self.score.against_best
        verdict = "better than" if found.difference > 0 else "worse than" if found.difference < 0 else "as good as"
        if found.difference and not found.is_decided:
            verdict = f"not significantly {verdict}"
        words = (
            f"The ensemble is {verdict} its best member, {found.run_other}: {found.only_one:,} rows are right in the "
            f"ensemble only, {found.only_other:,} in that run only (exact McNemar test p = {found.p_value:.3g})."
        )
        return words if self.better_member is None else f"{words} Use that run alone, or other members."

    def __str__(self) -> str:
        score, unknown = self.score, [None] * len(self.members)
        accuracies, weights = score.member_accuracies if score else unknown, self.weights or unknown
        rows = []
        for member, accuracy, weight in zip(self.members, accuracies, weights, strict=True):
            value = "not scored" if accuracy is None else f"{accuracy:.5f}"
            rows.append((str(member), value if weight is None else f"{value}  (weight {weight:.3f})"))
        if score is not None:
            low, high = score.interval
            rows.append(("ensemble, out-of-fold", f"{score.accuracy:.5f}  (95 % interval {low:.5f} to {high:.5f})"))
            rows.append(("scored on", f"{score.rows:,} of {score.all_rows:,} rows"))
        rows += [("run folder", str(self.run_dir)), ("submission", str(self.submission))]
        lines = [*_format_rows(rows), f"  {self.conclusion}"]
        if self.ineligible:
            lines.append(f"  INELIGIBLE FOR THE COMPETITION: {self.ineligible}")
        return "\n".join(lines)


@numpy_defaults
def ensemble(
    members: Sequence[Path | str],
    method: str = "mean",
    input_dir: Path | str | None = None,
    submission: Path | str | None = None,
    run_dir: Path | str | None = None,
    *,
    train: TableSource | None = None,
    test: TableSource | None = None,
) -> EnsembleResult:
    """Combine runs and submissions, score the combination out of fold, and write a run folder and a submission.

    Args:
        members: run folders and submission files, at least two.
        method: "mean" of probabilities (runs only), "weighted" mean (runs only; weights are chosen on out-of-fold rows,
            and each row is scored with weights that were chosen without its fold), or "vote".
        input_dir: folder of the data that the members were made for; None takes the one that the first run names.
        submission: file to write; None takes a free name under submissions/.
        run_dir: folder to make; None takes runs/<time>-ensemble.
        train: of runs that were made from a DataFrame or arrays, that table.
        test: of such runs, the test table.

    Returns:
        The score, the test against the best member, and what was written.

    Raises:
        InputError: if the members are of different data, or not of the data at hand, or two of them are the same.

    Example:
        >>> result = dr.ensemble(["runs/A", "runs/B"])
        >>> print(result)
        >>> result.score.rows
        60
    """
    started = time.perf_counter()
    named: Any = [members] if isinstance(members, (str, os.PathLike)) else members  # not the letters of a path
    paths = [expand_path(member) for member in named]
    if len(paths) < 2:
        raise InputError("evaluation.too_few_members", received=len(paths))
    if method not in METHODS:
        raise InputError("evaluation.method", received=repr(method)[:40], known=", ".join(METHODS))
    config = EnsembleConfig(
        members=tuple(paths),
        method=method,
        input_dir=find_input_dir(*paths) if input_dir is None else expand_path(input_dir),
        run_dir=None if run_dir is None else expand_path(run_dir),
        submission=None if submission is None else expand_path(submission),
    )
    data = config.input_dir
    if config.submission is not None:
        check_new_submission_path(config.submission, data)
    may_be_elsewhere = input_dir is None and train is None and test is None
    with _ask_for_tables(paths, "ensemble(members, train=train, test=test)", may_be_elsewhere=may_be_elsewhere):
        rows = None if test is not None else len(load_labels(data / "sample_submission.csv"))
        test_table = load_test(data / "test.csv", cache=True) if test is None else read_test_table(test)
        has_runs, table = any(path.is_dir() for path in paths), None
        if has_runs:
            table = load_train(data / "train.csv", cache=True) if train is None else read_train_table(train)
        loaded = [_load_member(path, table, test_table) for path in paths]
    # that of a run, since runs of DataFrames have nothing to do with the folder
    label_sets = (member.label_set for member in loaded if member.label_set is not None)
    label_set = next(label_sets, None) or load_label_set(data, test_table.sha256)
    if method != "vote":
        for member in loaded:
            if member.oof is None:
                raise InputError("evaluation.mean_of_labels", path=member.path, method=method)
    _refuse_repeats(loaded)
    ineligible = next((member.ineligible for member in loaded if member.ineligible), None)

    oof, weights = _combine_out_of_fold(loaded, table, method, label_set.near_distance)
    predicted = combine([member.test for member in loaded], method, weights)
    held_out = find_held_out_rows(oof)
    fold_of_row = np.where(held_out, 0, -1).astype(np.int16)
    temperature = None
    if table is not None and held_out.any() and method != "vote":  # shares of votes stay what they are
        oof, temperature = calibrate(oof, table.labels, held_out)
        predicted = apply_temperature(predicted, temperature)
    with Run.create(config, ENSEMBLE) as run, run.removed_on_failure():
        found = score = None
        if table is not None and held_out.any():
            found = evaluate(oof, table.labels, fold_of_row, label_set.names)
            score = _score_members(found, oof, loaded, table.labels, run.path)
        name = ENSEMBLE if score is None else f"{ENSEMBLE}-{score.accuracy:.5f}"
        path = config.submission or choose_submission_path(name, data, ineligible)
        chosen = None if weights is None else weights.tolist()
        provenance = Provenance(
            model=ENSEMBLE,
            train_sha256=None if table is None else table.sha256,
            test_sha256=test_table.sha256,
            oof_accuracy=None if score is None else score.accuracy,
            ineligible=ineligible,
            run=str(run.path),
        )
        run.write_array("folds", fold_of_row)
        if table is not None:
            run.write_array("labels", table.labels.astype(np.int8))
        run.write_array("oof_probabilities", oof)
        run.write_array("test_probabilities", predicted)
        classes = {} if label_set == DIGITS else {LABEL_SET: label_set.to_json()}
        calibration = {} if temperature is None else {"temperature": temperature}
        while True:
            result = EnsembleResult(paths, path, score, ineligible, run.path, chosen)
            write_text(run.path / LOG, clean_lines(f"{result}\n"))
            metrics = _describe_metrics(result, found, provenance, time.perf_counter() - started)
            write_json(run.path / METRICS, {**metrics, **calibration, **classes})
            try:
                write_submission(path, predicted.argmax(axis=1), rows or len(predicted), provenance)
                return result
            except FileExistsError:  # another command took the name meanwhile
                if config.submission is not None:
                    raise
                path = choose_submission_path(name, data, ineligible)


def combine(members: Sequence[np.ndarray], method: str, weights: np.ndarray | None = None) -> np.ndarray:
    """Combine predictions of the same rows.

    Args:
        members: each either probabilities, float (n, classes), or labels, int (n,); labels for "vote" only.
        method: "mean", "weighted", or "vote": each member has one vote per row. A tie goes to the tied class with the
            highest probability summed over the members that have any. A tie in that too goes to the member named first.
        weights: of a weighted mean, with sum 1.

    Returns:
        float64 (n, classes), rows sum to 1. Of a vote these are shares of the votes, where the winner has half a vote
        more, so that the most probable class is the winner of a tie too.
    """
    if method == "mean":
        return np.asarray(np.stack(members).mean(axis=0, dtype=np.float64))
    if method == "weighted":
        return np.tensordot(np.asarray(weights), np.stack(members), 1)
    ballots = [member.argmax(axis=1) if member.ndim == 2 else member for member in members]
    votes = np.sum([np.eye(CLASSES)[ballot] for ballot in ballots], axis=0)
    summed = sum((member for member in members if member.ndim == 2), np.zeros(votes.shape))
    summed[votes < votes.max(axis=1, keepdims=True)] = -1
    leading = summed == summed.max(axis=1, keepdims=True)
    rows = np.arange(len(votes))
    winners = ballots[0]
    for ballot in reversed(ballots):
        winners = np.where(leading[rows, ballot], ballot, winners)
    votes[rows, winners] += 0.5
    return votes / (len(members) + 0.5)


def choose_weights(members: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Choose the weights with which a mean of probabilities makes the labels most likely.

    The logarithm of that likelihood is concave in the weights, so expectation-maximization, as for the shares of a
    mixture, climbs to its one maximum. It needs no step size, and no weight ever becomes negative.

    Args:
        members: float (members, n, classes), probabilities.
        labels: int (n,).

    Returns:
        float64 (members,), at least 0, with sum 1.

    Example:
        >>> sure, unsure = np.array([[0.9, 0.1], [0.1, 0.9]]), np.full((2, 2), 0.5)
        >>> choose_weights(np.stack([sure, unsure]), np.array([0, 1])).round(2).tolist()
        [1.0, 0.0]
    """
    likelihoods = np.maximum(members[:, np.arange(len(labels)), labels].astype(np.float64), 1e-12)
    weights = np.full(len(members), 1 / len(members))
    for _ in range(MAX_WEIGHT_STEPS):
        shares = weights[:, None] * likelihoods
        before, weights = weights, (shares / shares.sum(axis=0)).mean(axis=1)
        if np.abs(weights - before).max() < WEIGHT_TOLERANCE:
            break
    return weights


def weigh_by_nested_folds(members: np.ndarray, labels: np.ndarray, groups: np.ndarray) -> np.ndarray:
    """Combine out-of-fold probabilities so that no row takes part in the choice of its own weights.

    Args:
        members: float (members, n, classes), probabilities.
        labels: int (n,).
        groups: int (n,), from `find_duplicate_groups`; copies of one image share a fold.

    Returns:
        float64 (n, classes).
    """
    fold_of_row = assign_folds(labels, WEIGHT_FOLDS, 0, groups)
    combined = np.empty(members.shape[1:])
    for fold in range(WEIGHT_FOLDS):
        held_out = fold_of_row == fold
        weights = choose_weights(members[:, ~held_out], labels[~held_out])
        combined[held_out] = np.tensordot(weights, members[:, held_out], 1)
    return combined


def _load_member(path: Path, train: TrainTable | None, test: TestTable) -> Member:
    if train is not None and path.is_dir():
        run = load_run_for(path, train, test)
        return Member(path, run.test_probabilities, run.oof_probabilities, run.metrics["ineligible"], run.label_set)
    if not os.path.lexists(path):
        raise InputError("evaluation.no_member", path=path)
    file = load_submission(path)
    check_submission(file, len(test.pixels), test.sha256)
    if (file.labels == file.labels[0]).all():
        raise InputError("submission.one_label", path=path, received=file.labels[0])
    return Member(path, file.labels, None, file.provenance.ineligible if file.provenance else None, label_set=None)


def _combine_out_of_fold(
    members: Sequence[Member], train: TrainTable | None, method: str, near_distance: float
) -> tuple[np.ndarray, np.ndarray | None]:
    """Combine out-of-fold predictions, float64 (n, classes), NaN in rows that not every member held out.

    Weights for the test rows, which are chosen on all these rows, come with them; None where the method has none.
    """
    oof = np.full((0 if train is None else len(train.labels), CLASSES), np.nan)
    oofs = [member.oof for member in members if member.oof is not None]
    if train is None or len(oofs) < len(members):  # a submission has no out-of-fold predictions
        return oof, None
    held_out = np.all([find_held_out_rows(one) for one in oofs], axis=0)
    shared, labels = np.stack([one[held_out] for one in oofs]), train.labels[held_out]
    if method != "weighted":
        oof[held_out] = combine(list(shared), method)
        return oof, None
    if not held_out.any():
        raise InputError("evaluation.nothing_to_weigh")
    groups = find_duplicate_groups(train.pixels[held_out], near_distance)
    try:
        oof[held_out] = weigh_by_nested_folds(shared, labels, groups)
    except InputError as error:
        if error.code != "data.folds":
            raise
        raise InputError("evaluation.nothing_to_weigh") from error
    return oof, choose_weights(shared, labels)


def _refuse_repeats(members: Sequence[Member]) -> None:
    """Refuse members that count twice: a run or a file named twice, or a run beside its own submission."""
    seen: dict[bytes, Path] = {}
    for member in sorted(members, key=lambda member: member.oof is None):  # runs first
        if (other := seen.get(member.test.tobytes())) is not None:
            raise InputError("evaluation.repeated_member", path=member.path, other=other)
        seen[member.test.tobytes()] = member.path
        if member.oof is not None:
            seen.setdefault(member.test.argmax(axis=1).tobytes(), member.path)


def _score_members(
    found: Score, oof: np.ndarray, members: Sequence[Member], labels: np.ndarray, run_dir: Path
) -> EnsembleScore:
    """Score the members on the rows that the ensemble is scored on, and compare it with the best of them."""
    held_out = find_held_out_rows(oof)
    right, *members_right = (
        one[held_out].argmax(axis=1) == labels[held_out]
        for one in (oof, *(member.oof for member in members))
        if one is not None
    )
    accuracies = [float(one.mean()) for one in members_right]
    best = int(np.argmax(accuracies))
    comparison = compare_predictions(right, members_right[best])
    return EnsembleScore(
        accuracy=found.oof_accuracy,
        interval=found.oof_accuracy_interval,
        rows=len(right),
        all_rows=len(labels),
        member_accuracies=accuracies,
        against_best=RunComparison(
            **vars(comparison), run_one=run_dir, run_other=members[best].path, all_rows=len(labels)
        ),
    )


def _describe_metrics(
    result: EnsembleResult, found: Score | None, provenance: Provenance, seconds: float
) -> dict[str, Any]:
    """The content of an ensemble's metrics.json."""
    score = result.score
    content: dict[str, Any] = {
        "model": ENSEMBLE,
        "members": [str(member) for member in result.members],
        "weights": result.weights,
        "oof_accuracy": None if found is None else found.oof_accuracy,
        "elapsed_seconds": seconds,
        "train_sha256": provenance.train_sha256,
        "test_sha256": provenance.test_sha256,
        "ineligible": result.ineligible,
        "submission": str(result.submission),
    }
    if found is not None and score is not None:
        best = score.against_best
        content |= {
            "oof_accuracy_interval": list(found.oof_accuracy_interval),
            "member_accuracies": score.member_accuracies,
            "calibration_error": found.calibration_error,
            "against_best_member": {
                "member": str(best.run_other),
                "only_ensemble": best.only_one,
                "only_member": best.only_other,
                "p_value": best.p_value,
                "difference": best.difference,
                "interval": list(best.interval),
            },
        }
    return content
