"""Cross-validation: every row judged by a net that never saw it, and a submission from the mean of the fold nets.

A run that was stopped, by whatever, goes on from its last finished epoch and ends byte for byte as if it had not been
stopped: what it needs is in its state (`digit_recognizer.training.checkpoint`), and all else follows from its configuration.
"""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from digit_recognizer.competition.submissions import (
    SMOKE_INELIGIBLE,
    SUBMISSIONS,
    SUFFIXES,
    Provenance,
    check_new_submission_path,
    name_submission,
    refuse_if_blocked,
    write_submission,
)
from digit_recognizer.config import RunConfig
from digit_recognizer.console import print_line, raise_if_interrupted
from digit_recognizer.data.dataset import Dataset, load_dataset
from digit_recognizer.data.duplicates import count_duplicates
from digit_recognizer.data.labels import DIGITS
from digit_recognizer.data.splits import assign_folds
from digit_recognizer.errors import DivergedError, InputError, LostError, WriteError, reading_its_own_files
from digit_recognizer.evaluation.metrics import (
    Confusion,
    compute_accuracy_interval,
    compute_calibration_error,
    find_most_frequent_confusion,
)
from digit_recognizer.io import check_free_disk, check_writable_folder, find_free_path, write_atomically, write_json
from digit_recognizer.models._weights import export_keras, pack_weights
from digit_recognizer.reporting.plots import plot_learning_curves, save_figure
from digit_recognizer.training.checkpoint import FitState, RunState, SaveFit, load_state, remove_state, save_state
from digit_recognizer.training.executors import Executor, LocalExecutor, do_task, map_in_order
from digit_recognizer.training.hardware import precision_policy, spread_over
from digit_recognizer.training.inputs import Inputs, check_model_flags, count_parameters, make_inputs
from digit_recognizer.training.progress import Progress, format_seconds
from digit_recognizer.training.reproducibility import (
    check_finished,
    compare_machines,
    derive_seed,
    record_differences,
    settle_environment,
)
from digit_recognizer.training.run import (
    CLASSES,
    METRICS,
    FinishedRun,
    Run,
    find_fold_weights,
    load_config,
    load_run,
    load_run_config,
)
from digit_recognizer.training.trackers import check_trackers, open_trackers
from digit_recognizer.training.trainer import EpochCurve, EpochListener, fit_fold, predict_probabilities

# What cross-validation found, as an object, as the table that ends a run, and as metrics.json.

LARGEST = {"oof_accuracy": 1.0, "calibration_error": 1.0, "elapsed_seconds": math.inf, "training_seconds": math.inf}


@dataclass(frozen=True)
class Score:
    """How good out-of-fold probabilities are.

    Attributes:
        fold_accuracies: one per fold that was held out.
        oof_accuracy: over all rows that were held out.
        oof_accuracy_interval: its 95 % interval, of Clopper and Pearson.
        calibration_error: expected calibration error.
        confusion: the pair of classes that costs most.
    """

    fold_accuracies: list[float]
    oof_accuracy: float
    oof_accuracy_interval: tuple[float, float]
    calibration_error: float
    confusion: Confusion


@dataclass(frozen=True)
class CVResult:
    """What cross-validation found and left.

    Attributes:
        score: of the out-of-fold probabilities.
        oof_probabilities: float32 (n, classes); NaN in rows that were never held out.
        test_probabilities: float32 (m, classes), mean over the fold nets.
        elapsed_seconds: wall time, data and predictions included, Keras' import not.
        training_seconds: wall time of the fits alone.
        run_dir: the run folder.
        submission: the file written; None if test rows were left out.
        ineligible: why the submission must not enter the competition; None if it may.
        single_split: whether one fold only was held out (`train`).
        untrained_accuracy: of that net on the held-out rows before its first step; None of a cross-validation.
    """

    score: Score
    oof_probabilities: np.ndarray
    test_probabilities: np.ndarray
    elapsed_seconds: float
    training_seconds: float
    run_dir: Path
    submission: Path | None
    ineligible: str | None
    single_split: bool = False
    untrained_accuracy: float | None = None


def evaluate(
    oof: np.ndarray, labels: np.ndarray, fold_of_row: np.ndarray, names: Sequence[str] = DIGITS.names
) -> Score:
    """Score out-of-fold probabilities.

    Args:
        oof: float32 (n, classes).
        labels: int (n,).
        fold_of_row: int16 (n,): the fold in which a row was held out; -1 for rows that never were, which don't count.
        names: of the classes.
    """
    judged = fold_of_row >= 0
    oof, labels, fold_of_row = oof[judged], labels[judged], fold_of_row[judged]
    predictions = oof.argmax(axis=1)
    right = predictions == labels
    return Score(
        fold_accuracies=[float(right[fold_of_row == fold].mean()) for fold in np.unique(fold_of_row)],
        oof_accuracy=float(right.mean()),
        oof_accuracy_interval=compute_accuracy_interval(int(right.sum()), len(right)),
        calibration_error=compute_calibration_error(oof, labels),
        confusion=find_most_frequent_confusion(labels, predictions, names),
    )


def format_result(result: CVResult) -> str:
    """The table that ends a run."""
    accuracy_name = "held-out accuracy" if result.single_split else "out-of-fold accuracy"
    low, high = result.score.oof_accuracy_interval
    rows = [
        *(
            (f"fold {number} accuracy", f"{accuracy:.5f}")
            for number, accuracy in enumerate(result.score.fold_accuracies, 1)
            if len(result.score.fold_accuracies) > 1
        ),
        (accuracy_name, f"{result.score.oof_accuracy:.5f}  (95 % interval {low:.5f} to {high:.5f})"),
        *([("before training", f"{before:.5f}")] if (before := result.untrained_accuracy) is not None else []),
        ("expected calibration error", f"{result.score.calibration_error:.5f}"),
        ("most frequent confusion", str(result.score.confusion)),
        ("time", f"{format_seconds(result.elapsed_seconds)}, of it fitting {format_seconds(result.training_seconds)}"),
        ("submission", str(result.submission or "none: not all test rows were predicted")),
    ]
    if result.ineligible:
        rows.append(("INELIGIBLE FOR THE COMPETITION", result.ineligible))
    return "\n" + "\n".join(f"  {name:<28}{value}" for name, value in rows)


def describe_metrics(
    config: RunConfig, dataset: Dataset, result: CVResult, precision: str, inexact: list[str]
) -> dict[str, Any]:
    """The content of metrics.json; `inexact` lists the differences under which the run was resumed."""
    return {
        "model": config.model,
        "seed": config.seed,
        "oof_accuracy": result.score.oof_accuracy,
        "oof_accuracy_interval": list(result.score.oof_accuracy_interval),
        "fold_accuracies": result.score.fold_accuracies,
        "calibration_error": result.score.calibration_error,
        "most_frequent_confusion": {
            "label": result.score.confusion.label,
            "prediction": result.score.confusion.prediction,
            "rows": result.score.confusion.rows,
        },
        "elapsed_seconds": result.elapsed_seconds,
        "training_seconds": result.training_seconds,
        "precision": precision,
        "train_sha256": dataset.train_sha256,
        "test_sha256": dataset.test_sha256,
        "shared_test_rows": dataset.shared_test_rows,
        "duplicates": vars(count_duplicates(dataset.groups)),
        "ineligible": result.ineligible,
        "submission": str(result.submission) if result.submission else None,
        "single_split": result.single_split,
        "untrained_accuracy": result.untrained_accuracy,
        "resumed_with_differences": inexact,
        **({} if dataset.label_set == DIGITS else {CLASSES: dataset.label_set.to_json()}),
    }


def read_result(run: FinishedRun) -> CVResult:
    """The result that a finished run had.

    Raises:
        InputError: if its metrics.json was not written by a run of this version.
    """
    metrics = run.metrics
    try:
        _check_numbers(metrics)
        return CVResult(
            score=Score(
                fold_accuracies=metrics["fold_accuracies"],
                oof_accuracy=metrics["oof_accuracy"],
                oof_accuracy_interval=tuple(metrics["oof_accuracy_interval"]),
                calibration_error=metrics["calibration_error"],
                confusion=Confusion(**metrics["most_frequent_confusion"], names=run.label_set.names),
            ),
            oof_probabilities=run.oof_probabilities,
            test_probabilities=run.test_probabilities,
            elapsed_seconds=metrics["elapsed_seconds"],
            training_seconds=metrics["training_seconds"],
            run_dir=run.path,
            submission=Path(metrics["submission"]) if metrics["submission"] else None,
            ineligible=metrics["ineligible"],
            single_split=metrics["single_split"],
            untrained_accuracy=metrics.get("untrained_accuracy"),  # runs of earlier versions did not measure it
        )
    except (KeyError, TypeError) as error:
        raise InputError(
            f"{run.path / METRICS} must be that of a finished run, but lacks {error}: run it anew."
        ) from error
    except ValueError as error:
        raise InputError(f"{run.path / METRICS} must be that of a finished run, but {error}: run it anew.") from error


def _check_numbers(metrics: dict[str, Any]) -> None:
    """Refuse numbers that no run has.

    Raises:
        KeyError: for one that is missing.
        ValueError: for one that is none, or out of its range.
    """
    measured = metrics.get("untrained_accuracy") is not None
    for name, most in {**LARGEST, **({"untrained_accuracy": 1.0} if measured else {})}.items():
        value = metrics[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= most:
            raise ValueError(f"{name} is {str(value)[:20]!r}")


# One fold of a run, here or on another machine: a fresh net, fitted, and judged on the rows it has not seen.

EpochWatch = Callable[[list[dict[str, Any]]], None]
"""Given the history so far after every epoch, as in history.csv; what it raises stops the run where it can go on."""


@dataclass(frozen=True)
class FoldWork:
    """What the folds of a run share.

    Attributes:
        config: of the run.
        inputs: of the run.
        labels: int64 (n,) of the training rows.
        classes: how many there are.
        fold_of_row: int16 (n,), -1 in rows that are never held out.
        with_curve: whether the held-out rows are measured before the first step and after every epoch (`train`).
        fingerprint: of the run, with its precision; nets must be fitted where it holds.
    """

    config: RunConfig
    inputs: Inputs
    labels: np.ndarray
    classes: int
    fold_of_row: np.ndarray
    with_curve: bool
    fingerprint: dict[str, Any]

    def list_folds(self) -> list[int]:
        """The folds that are held out, one after the other."""
        return [int(fold) for fold in np.unique(self.fold_of_row[self.fold_of_row >= 0])]


@dataclass
class FoldResult:
    """What a fold leaves.

    Attributes:
        held_out: float32 (rows held out, classes), the probabilities of these rows.
        test: float32 (m, classes).
        weights: the bytes of models/fold<k>.safetensors.
        keras_archive: the bytes of models/fold<k>.keras.
        seconds: of training, in this sitting.
        epochs: one entry per finished epoch of this sitting, as an `EpochListener` gets them.
        untrained_accuracy: of the net on its held-out rows before the first step; None if it was not measured.
        differences: between the machine and the fingerprint, where they can be borne.
    """

    held_out: np.ndarray
    test: np.ndarray
    weights: bytes
    keras_archive: bytes
    seconds: float
    epochs: list[dict[str, Any]] = field(default_factory=list)
    untrained_accuracy: float | None = None
    differences: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class FoldListener:
    """Who is told how a fold goes on: of its epochs, of the net before its first step, and of the fit's state."""

    on_epoch: EpochListener
    on_untrained: Callable[[float], None]
    on_state: SaveFit


def fit_and_judge(
    work: FoldWork, fold: int, resumed: FitState | None = None, listener: FoldListener | None = None
) -> FoldResult:
    """Fit a fresh net on the rows outside a fold, and predict those in it and the test rows.

    Args:
        work: what the folds share.
        fold: which.
        resumed: the state of its fit after which to go on; None to begin.
        listener: told while it goes on.
    """
    config, views = work.config, work.inputs.train
    targets = np.eye(work.classes, dtype=np.float32)[work.labels]
    held_out, rows = np.flatnonzero(work.fold_of_row == fold), np.flatnonzero(work.fold_of_row != fold)
    epochs: list[dict[str, Any]] = []
    untrained: list[float] = []

    def on_epoch(epoch: dict[str, Any]) -> None:
        epochs.append(epoch)
        if listener is not None:
            listener.on_epoch(epoch)

    def on_untrained(part: keras.Model) -> None:
        right = predict_probabilities(part, views[0][held_out]).argmax(axis=1) == work.labels[held_out]
        untrained.append(float(right.mean()))
        if listener is not None:
            listener.on_untrained(untrained[0])

    curve = EpochCurve(views[0][held_out], targets[held_out]) if work.with_curve else None
    before_first = on_untrained if work.with_curve else None
    on_state = None if listener is None else listener.on_state
    with spread_over(config.devices):
        started = time.perf_counter()
        model, part = fit_fold(
            config, work.inputs, targets, rows, fold, curve, on_epoch, resumed, on_state, before_first
        )
        seconds = time.perf_counter() - started
        result = FoldResult(
            held_out=predict_probabilities(part, views[0][held_out], config.tta),
            test=predict_probabilities(part, work.inputs.test, config.tta),
            weights=pack_weights(model),
            keras_archive=export_keras(model),
            seconds=seconds,
            epochs=epochs,
            untrained_accuracy=untrained[0] if untrained else None,
        )
    if not (np.isfinite(result.held_out).all() and np.isfinite(result.test).all()):
        name = name_fold(config, fold)
        raise DivergedError(f"{name}: the fit diverged, its probabilities are no numbers. Lower --learning-rate.")
    return result


def fit_elsewhere(work: FoldWork, task: tuple[int, FitState | None]) -> FoldResult:
    """`fit_and_judge` in another process, perhaps on another machine, if the run's fingerprint holds there.

    Raises:
        InputError: if it does not, in what cannot be borne.
    """
    differences = compare_machines(work.fingerprint, work.config)
    with precision_policy(work.fingerprint["precision"]):
        result = fit_and_judge(work, *task)
    result.differences = differences
    return result


def name_fold(config: RunConfig, fold: int) -> str:
    """What a fold is called on the screen."""
    return f"fold {fold + 1}/{config.folds}"


# The folds of a run, in their order: fitted by an executor, and kept in the run's folder by this process alone.


def fit_folds(
    work: FoldWork,
    run: Run,
    state: RunState,
    save: Callable[[FitState | None], None],
    watch: EpochWatch | None,
    executor: Executor,
    on_differences: Callable[[list[str]], None],
) -> None:
    """Fit a fresh net per fold that is not done, into `state`, and keep each net in the run's folder.

    Args:
        work: what the folds share.
        run: its folder.
        state: of the run; changed in place, fold by fold.
        save: writes the state.
        watch: watches the run; None if nobody does. Of folds fitted elsewhere it sees the epochs when the fold is done.
        executor: does the folds.
        on_differences: told if a machine is another than the fingerprint says, in what can be borne.

    Raises:
        InputError: if a fit diverges, or a machine differs in what cannot be borne.
    """
    config, held_out_folds = work.config, work.list_folds()
    epochs_per_fold = config.epochs + (config.unfreeze_epochs if config.unfreeze else 0)
    left = held_out_folds[state.folds_done :]
    begun = sum(entry["fold"] in left for entry in state.history)
    progress = Progress(run.log, epochs_per_fold * len(left) - begun)

    def listen(fold: int) -> FoldListener:
        started, before = time.perf_counter(), state.training_seconds

        def on_epoch(epoch: dict[str, Any]) -> None:
            state.history.append({"fold": fold, **epoch})
            if executor.is_local:
                progress.report_epoch(name_fold(config, fold), epoch)
            if watch is not None:
                watch(state.history)

        def on_untrained(accuracy: float) -> None:
            state.untrained_accuracy = accuracy

        def on_state(fit: FitState) -> None:
            state.training_seconds = before + time.perf_counter() - started
            save(fit)

        return FoldListener(on_epoch, on_untrained, on_state)

    def fit_here(work: FoldWork, task: tuple[int, FitState | None]) -> FoldResult:
        before = state.training_seconds
        result = fit_and_judge(work, *task, listen(task[0]))
        state.training_seconds = before
        return result

    tasks = [(fold, None if number else state.fit) for number, fold in enumerate(left)]
    results = map_in_order(executor, fit_here if executor.is_local else fit_elsewhere, tasks, work)
    for fold, result in zip(left, results, strict=True):
        if not executor.is_local:
            _replay(result, listen(fold))
            on_differences([f"fold {fold + 1}: {difference}" for difference in result.differences])
        state.training_seconds += result.seconds
        progress.skip_epochs(epochs_per_fold - sum(entry["fold"] == fold for entry in state.history))
        _keep(work, fold, result, run, state)
        save(None)
        right = result.held_out.argmax(axis=1) == work.labels[work.fold_of_row == fold]
        line = (
            f"{name_fold(config, fold)}  held-out accuracy {right.mean():.5f}  ({(~right).sum()} of {len(right)} rows "
            "wrong)"
        )
        if executor.is_local:
            run.log(line)
        else:
            progress.report_fold(line, len(result.epochs))


def _replay(result: FoldResult, listener: FoldListener) -> None:
    """Tell of a fold that was fitted elsewhere as if it had been fitted here."""
    if result.untrained_accuracy is not None:
        listener.on_untrained(result.untrained_accuracy)
    for epoch in result.epochs:
        listener.on_epoch(epoch)


def _keep(work: FoldWork, fold: int, result: FoldResult, run: Run, state: RunState) -> None:
    state.oof[work.fold_of_row == fold] = result.held_out
    state.test += result.test / len(work.list_folds())
    weights = find_fold_weights(run.path, fold)
    for path, content in ((weights.with_suffix(".keras"), result.keras_archive), (weights, result.weights)):
        with write_atomically(path) as temporary:
            temporary.write_bytes(content)
    run.write_history(state.history)
    state.folds_done += 1


# How a run ends: judged, with a submission that is written once however often it is stopped, and its metrics last.


def conclude(
    config: RunConfig,
    dataset: Dataset,
    fold_of_row: Any,
    run: Run,
    state: RunState,
    save: Callable[[FitState | None], None],
    measure_elapsed: Callable[[], float],
    environment: dict[str, Any],
    tell: Callable[[dict[str, Any]], None],
    draw: bool = True,
) -> CVResult:
    """Write all that a finished run leaves; metrics.json comes last and says that it has finished.

    Args:
        config: of the run.
        dataset: of the run.
        fold_of_row: int16 (n,), -1 in rows that were never held out.
        run: its folder.
        state: with all folds done.
        save: writes the state.
        measure_elapsed: seconds used so far, over all sittings.
        environment: the content of environment.json.
        tell: given the content of metrics.json before it is written, so that a run stopped in between tells it again.
        draw: whether `train` draws its learning curves.
    """
    run.write_array("oof_probabilities", state.oof)
    run.write_array("test_probabilities", state.test)
    score = evaluate(state.oof, dataset.labels, fold_of_row, dataset.class_names)
    ineligible = dataset.ineligible or (SMOKE_INELIGIBLE if config.smoke else None)
    submission = _hand_out(config, dataset, run, state, save, score.oof_accuracy, environment["commit"], ineligible)
    if run.subcommand == "train" and draw:
        curves = plot_learning_curves(
            state.history, f"{config.model}: learning curves, 1/{config.folds} of the rows held out"
        )
        save_figure(curves, run.path / "learning_curves.png")
    result = CVResult(
        score=score,
        oof_probabilities=state.oof,
        test_probabilities=state.test,
        elapsed_seconds=measure_elapsed(),
        training_seconds=state.training_seconds,
        run_dir=run.path,
        submission=submission,
        ineligible=ineligible,
        single_split=run.subcommand == "train",
        untrained_accuracy=state.untrained_accuracy,
    )
    run.log(format_result(result))
    fingerprint, inexact = environment["fingerprint"], environment["resumed_with_differences"]
    metrics = describe_metrics(config, dataset, result, fingerprint["precision"], inexact)
    tell(metrics)
    write_json(run.path / METRICS, metrics)
    return result


def _hand_out(
    config: RunConfig,
    dataset: Dataset,
    run: Run,
    state: RunState,
    save: Callable[[FitState | None], None],
    accuracy: float,
    commit: str | None,
    ineligible: str | None,
) -> Path | None:
    """Write the submission; its name is in the state before the file is there, so a resumed run finds its own."""
    if not dataset.whole_test:
        return None
    provenance = Provenance(
        model=config.model,
        command=run.command,
        commit=commit,
        train_sha256=dataset.train_sha256,
        test_sha256=dataset.test_sha256,
        oof_accuracy=accuracy,
        ineligible=ineligible,
        run=str(run.path),
    )
    path = Path(state.submission) if state.submission else _choose_path(config, dataset, run, accuracy)
    while True:
        if state.submission != str(path):
            state.submission = str(path)
            save(None)
        try:
            write_submission(path, state.test.argmax(axis=1), dataset.all_test_rows, provenance)
            return path
        except FileExistsError:  # it was free before training
            taken, path = path, find_free_path(path.parent, path.stem, *SUFFIXES)
            run.log(f"{taken} was written by another command meanwhile; this run's submission is {path}")


def _choose_path(config: RunConfig, dataset: Dataset, run: Run, accuracy: float) -> Path:
    if config.submission is not None:
        return config.submission
    if config.smoke:
        return run.path / "submission.csv"  # a smoke run's file has no place among those worth keeping
    name = name_submission(f"{config.model}-{accuracy:.5f}", config.input_dir, dataset.ineligible)
    return find_free_path(SUBMISSIONS, name, *SUFFIXES)


CLASS_COUNT = 10
BYTES_PER_PARAMETER = 4 * 4 * 3  # float32: weight, Adam's two moments, best weight; two generations and the next one
SPARE_BYTES = 32 << 20  # logs, history, submission, figures


def cross_validate(
    config: RunConfig,
    *,
    single_split: bool = False,
    dataset: Dataset | None = None,
    on_epoch: EpochWatch | None = None,
    executor: Executor | None = None,
) -> CVResult:
    """Run a configuration on its data set, from the CSV files to a submission.

    Args:
        config: what to do.
        single_split: hold out the first fold only (with 5 folds document 001's 80/20 split), fit one net, and
            record its learning curve on the held-out rows; nothing is steered by that curve.
        dataset: what `load_dataset` gives for this configuration, if it is at hand.
        on_epoch: watches the run, which then draws nothing.
        executor: fits the nets; None stands for this process.

    Returns:
        The result; everything else is in the run folder (see `digit_recognizer.training.run`).

    Raises:
        InputError: one line for whatever the person at the keyboard can mend; found before any training.
    """
    started = time.perf_counter()
    refuse_if_blocked()
    check_model_flags(config)
    check_trackers(config)
    if config.submission is not None:
        check_new_submission_path(config.submission, config.input_dir)
    dataset = dataset or load_dataset(config)
    if config.submission is None and dataset.whole_test and not config.smoke:
        check_writable_folder(SUBMISSIONS)
    if config.submission is not None and not dataset.whole_test:
        raise InputError(
            f"--submission needs a prediction for every test row, but --limit-test leaves {len(dataset.test_images):,} "
            f"of {dataset.all_test_rows:,}: leave one of the two out."
        )
    fold_of_row = _assign_held_out(config, dataset, single_split)
    check_free_disk(config.run_dir or Path("runs"), _estimate_bytes(config, dataset))
    with Run.create(config, "train" if single_split else "cv") as run, _told_how_to_resume(run):
        return _work(config, dataset, fold_of_row, run, started, on_epoch=on_epoch, executor=executor)


def resume(
    path: Path,
    subcommand: str,
    *,
    allow_inexact: bool = False,
    dataset: Dataset | None = None,
    on_epoch: EpochWatch | None = None,
    executor: Executor | None = None,
) -> CVResult:
    """Go on with a run that was stopped, to the very result that it would have had.

    Args:
        path: its folder. A run that has finished is shown again, and nothing is written.
        subcommand: the command that began it, "cv" or "train".
        allow_inexact: go on even where versions, threads or other circumstances have changed; metrics.json tells.
        dataset: as in `cross_validate`; a run that has finished is then compared with it, and with the code at hand.
        on_epoch: as there; a run that has finished is not watched.
        executor: as there; it may be another than the run was begun with.

    Raises:
        InputError: if another process is at work in it, or for what lies outside it: a package that is missing.
        UnusableRunError: if there is no such run, circumstances differ, or its files are damaged.
    """
    started = time.perf_counter()
    refuse_if_blocked()
    with reading_its_own_files():
        load_config(path, subcommand)
    if (path / METRICS).exists():
        with reading_its_own_files():
            result = read_result(load_run(path))
        if dataset is not None:
            check_finished(path, subcommand, dataset)
        with contextlib.suppress(OSError):  # a run that was stopped in its very last step; or is kept where none writes
            remove_state(path)
        print_line(f"{path} has finished.\n{format_result(result)}")
        return result
    with reading_its_own_files():
        load_run_config(path, subcommand)
    run, config = Run.reopen(path, subcommand)
    with run, _told_how_to_resume(run):
        check_model_flags(config)
        check_trackers(config)
        dataset = dataset or load_dataset(config)
        fold_of_row = _assign_held_out(config, dataset, subcommand == "train")
        return _work(config, dataset, fold_of_row, run, started, allow_inexact, on_epoch, executor)


def _work(
    config: RunConfig,
    dataset: Dataset,
    fold_of_row: np.ndarray,
    run: Run,
    started: float,
    allow_inexact: bool = False,
    on_epoch: EpochWatch | None = None,
    executor: Executor | None = None,
) -> CVResult:
    """From the data to the result, beginning wherever the run's state says."""
    executor = executor or LocalExecutor()
    environment = settle_environment(run, config, dataset, fold_of_row, allow_inexact, executor)
    state, complaints = load_state(run.path, environment["run"])
    for note in (*dataset.notes, *complaints):
        run.log(f"note: {note}")
    if state is None:
        targets_shape = (len(dataset.labels), CLASS_COUNT)
        state = RunState(
            run=environment["run"],
            oof=np.full(targets_shape, np.nan, np.float32),
            test=np.zeros((len(dataset.test_images), CLASS_COUNT), np.float32),
        )
    else:
        done = state.fit.epoch if state.fit else 0
        run.log(f"going on: {state.folds_done} whole folds are kept, and {done} epochs of the next")
    _introduce(config, dataset, run, environment["fingerprint"]["precision"])
    before = state.elapsed_seconds

    def measure_elapsed() -> float:
        return before + time.perf_counter() - started

    def save(fit: FitState | None) -> None:
        state.fit, state.elapsed_seconds = fit, measure_elapsed()
        save_state(run.path, state)
        raise_if_interrupted()

    def note_differences(differences: list[str]) -> None:
        for difference in differences:
            run.log(f"WARNING: not exactly as on the run's first machine: {difference}")
        record_differences(run, environment, differences)

    fingerprint = environment["fingerprint"]
    with open_trackers(config, run, environment["commit"]) as trackers:

        def watch(history: list[dict[str, Any]]) -> None:
            trackers.follow(history)
            if on_epoch is not None:
                on_epoch(history)

        trackers.follow(state.history)  # what earlier sittings did
        inputs = do_task(executor, make_inputs, (config, fingerprint["precision"]), dataset)
        work = FoldWork(
            config, inputs, dataset.labels, CLASS_COUNT, fold_of_row, run.subcommand == "train", fingerprint
        )
        with precision_policy(fingerprint["precision"]):
            fit_folds(work, run, state, save, watch, executor, note_differences)
        trackers.follow(state.history)  # and what was fitted elsewhere
        result = conclude(
            config,
            dataset,
            fold_of_row,
            run,
            state,
            save,
            measure_elapsed,
            environment,
            tell=trackers.conclude,
            draw=on_epoch is None,
        )
    remove_state(run.path)
    return result


def _assign_held_out(config: RunConfig, dataset: Dataset, single_split: bool) -> np.ndarray:
    """The fold of each row, int16; -1 where a single split never holds it out."""
    seed = derive_seed(config.seed if config.split_seed is None else config.split_seed, "folds")
    fold_of_row = assign_folds(dataset.labels, config.folds, seed, dataset.groups)
    if single_split:
        fold_of_row[fold_of_row != 0] = -1
    return fold_of_row


def _introduce(config: RunConfig, dataset: Dataset, run: Run, precision: str) -> None:
    if dataset.ineligible:
        run.log(f"WARNING: INELIGIBLE FOR THE COMPETITION: {dataset.ineligible.upper()}.")
    name = " ".join((config.model, *config.model_args))
    run.log(
        f"{name}: {len(dataset.labels):,} training rows, {len(dataset.test_images):,} test rows, "
        f"epochs: {config.epochs}, {precision} on {keras.config.backend()}; run folder {run.path}"
    )
    if config.synthetic_ratio:
        noun = dataset.label_set.noun
        run.log(
            f"each fold begins by generating {config.synthetic_ratio:g} further {noun}s per {noun} that it is fitted on"
        )
    if config.smoke:
        run.log(
            "a smoke run: it shows that everything runs, and its score means nothing"
            + (" (--weights none: a backbone of random weights)" if config.weights == "none" else "")
        )


def _estimate_bytes(config: RunConfig, dataset: Dataset) -> int:
    """Room that a run may take on its disk at most."""
    parameters = count_parameters(config.model, config.model_args)
    probabilities = 4 * CLASS_COUNT * (len(dataset.labels) + len(dataset.test_images))
    return 2 * 4 * parameters * config.folds + BYTES_PER_PARAMETER * parameters + 4 * probabilities + SPARE_BYTES


@contextlib.contextmanager
def _told_how_to_resume(run: Run) -> Iterator[None]:
    """Whoever stops a run, or meets a full disk or a lost cluster, is told how to go on."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise type(stop)(f"go on with: {run.resume_command}") from None
    except (LostError, WriteError) as error:
        raise type(error)(f"{error} Then go on with: {run.resume_command}") from error
