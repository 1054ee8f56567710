"""Cross-validation: every row judged by a net that never saw it, and a submission from the mean of the fold nets.

A run that was stopped, by whatever, goes on from its last finished epoch and ends byte for byte as if it had not been
stopped: what it needs is in its state (`digit_recognizer.training.state`), and all else follows from its configuration.
"""

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import numpy as np

from digit_recognizer.competition.submissions import SUBMISSIONS, check_new_submission_path, refuse_if_barred
from digit_recognizer.config import RunConfig
from digit_recognizer.data.folds import assign_folds
from digit_recognizer.errors import InputError, LostError, WriteError, reading_its_own_files
from digit_recognizer.files import check_free_disk, check_writable_folder
from digit_recognizer.signals import show, stop_if_asked
from digit_recognizer.training.conclusion import conclude
from digit_recognizer.training.dataset import Dataset, load_dataset
from digit_recognizer.training.environment import check_finished, record_differences, settle_environment
from digit_recognizer.training.executors import Executor, LocalExecutor, do_task
from digit_recognizer.training.fitting import EpochWatch, FoldWork
from digit_recognizer.training.fold_loop import fit_folds
from digit_recognizer.training.inputs import check_model_flags, count_parameters, make_inputs
from digit_recognizer.training.precision import precision_policy
from digit_recognizer.training.results import CVResult, format_result, read_result
from digit_recognizer.training.runs import METRICS, RunFolder, load_config, load_run, load_run_config
from digit_recognizer.training.seeds import derive_seed
from digit_recognizer.training.state import FitState, RunState, load_state, remove_state, save_state
from digit_recognizer.training.trackers import check_trackers, open_trackers

CLASSES = 10
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
        The result; everything else is in the run folder (see `digit_recognizer.training.runs`).

    Raises:
        InputError: one line for whatever the person at the keyboard can mend; found before any training.
    """
    started = time.perf_counter()
    refuse_if_barred()
    check_model_flags(config)
    check_trackers(config)
    if config.submission is not None:
        check_new_submission_path(config.submission, config.input_dir)
    dataset = dataset or load_dataset(config)
    if config.submission is None and dataset.whole_test and not config.smoke:
        check_writable_folder(SUBMISSIONS)
    if config.submission is not None and not dataset.whole_test:
        raise InputError(
            f"--submission needs a prediction for every test row, but --test-rows leaves {len(dataset.test_images):,} "
            f"of {dataset.all_test_rows:,}: leave one of the two out."
        )
    fold_of_row = _assign_held_out(config, dataset, single_split)
    check_free_disk(config.run_dir or Path("runs"), _estimate_bytes(config, dataset))
    with RunFolder.create(config, "train" if single_split else "cv") as run, _told_how_to_resume(run):
        return _work(config, dataset, fold_of_row, run, started, on_epoch=on_epoch, executor=executor)


def resume(
    path: Path,
    verb: str,
    *,
    allow_inexact: bool = False,
    dataset: Dataset | None = None,
    on_epoch: EpochWatch | None = None,
    executor: Executor | None = None,
) -> CVResult:
    """Go on with a run that was stopped, to the very result that it would have had.

    Args:
        path: its folder. A run that has finished is shown again, and nothing is written.
        verb: the command that began it, "cv" or "train".
        allow_inexact: go on even where versions, threads or other circumstances have changed; metrics.json tells.
        dataset: as in `cross_validate`; a run that has finished is then compared with it, and with the code at hand.
        on_epoch: as there; a run that has finished is not watched.
        executor: as there; it may be another than the run was begun with.

    Raises:
        InputError: if another process is at work in it, or for what lies outside it: a package that is missing.
        UnusableRunError: if there is no such run, circumstances differ, or its files are damaged.
    """
    started = time.perf_counter()
    refuse_if_barred()
    with reading_its_own_files():
        load_config(path, verb)
    if (path / METRICS).exists():
        with reading_its_own_files():
            result = read_result(load_run(path))
        if dataset is not None:
            check_finished(path, verb, dataset)
        with contextlib.suppress(OSError):  # a run that was stopped in its very last step; or is kept where none writes
            remove_state(path)
        show(f"{path} has finished.\n{format_result(result)}")
        return result
    with reading_its_own_files():
        load_run_config(path, verb)
    run, config = RunFolder.reopen(path, verb)
    with run, _told_how_to_resume(run):
        check_model_flags(config)
        check_trackers(config)
        dataset = dataset or load_dataset(config)
        fold_of_row = _assign_held_out(config, dataset, verb == "train")
        return _work(config, dataset, fold_of_row, run, started, allow_inexact, on_epoch, executor)


def _work(
    config: RunConfig,
    dataset: Dataset,
    fold_of_row: np.ndarray,
    run: RunFolder,
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
        run.say(f"note: {note}")
    if state is None:
        targets_shape = (len(dataset.labels), CLASSES)
        state = RunState(
            run=environment["run"],
            oof=np.full(targets_shape, np.nan, np.float32),
            test=np.zeros((len(dataset.test_images), CLASSES), np.float32),
        )
    else:
        done = state.fit.epoch if state.fit else 0
        run.say(f"going on: {state.folds_done} whole folds are kept, and {done} epochs of the next")
    _introduce(config, dataset, run, environment["fingerprint"]["precision"])
    before = state.elapsed_seconds

    def measure_elapsed() -> float:
        return before + time.perf_counter() - started

    def save(fit: FitState | None) -> None:
        state.fit, state.elapsed_seconds = fit, measure_elapsed()
        save_state(run.path, state)
        stop_if_asked()

    def note_differences(differences: list[str]) -> None:
        for difference in differences:
            run.say(f"WARNING: not exactly as on the run's first machine: {difference}")
        record_differences(run, environment, differences)

    fingerprint = environment["fingerprint"]
    with open_trackers(config, run, environment["commit"]) as trackers:

        def watch(history: list[dict[str, Any]]) -> None:
            trackers.follow(history)
            if on_epoch is not None:
                on_epoch(history)

        trackers.follow(state.history)  # what earlier sittings did
        inputs = do_task(executor, make_inputs, (config, fingerprint["precision"]), dataset)
        work = FoldWork(config, inputs, dataset.labels, CLASSES, fold_of_row, run.verb == "train", fingerprint)
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
    seed = derive_seed(config.seed if config.fold_seed is None else config.fold_seed, "folds")
    fold_of_row = assign_folds(dataset.labels, config.folds, seed, dataset.groups)
    if single_split:
        fold_of_row[fold_of_row != 0] = -1
    return fold_of_row


def _introduce(config: RunConfig, dataset: Dataset, run: RunFolder, precision: str) -> None:
    if dataset.unfit:
        run.say(f"WARNING: UNFIT FOR THE COMPETITION: {dataset.unfit.upper()}.")
    name = " ".join((config.model, *config.net))
    run.say(
        f"{name}: {len(dataset.labels):,} training rows, {len(dataset.test_images):,} test rows, "
        f"epochs: {config.epochs}, {precision} on {keras.config.backend()}; run folder {run.path}"
    )
    if config.generated:
        noun = dataset.alphabet.noun
        run.say(f"each fold begins by generating {config.generated:g} further {noun}s per {noun} that it is fitted on")
    if config.smoke:
        run.say(
            "a smoke run: it shows that everything runs, and its score means nothing"
            + (" (--weights none: a backbone of random weights)" if config.weights == "none" else "")
        )


def _estimate_bytes(config: RunConfig, dataset: Dataset) -> int:
    """Room that a run may take on its disk at most."""
    parameters = count_parameters(config.model, config.net)
    probabilities = 4 * CLASSES * (len(dataset.labels) + len(dataset.test_images))
    return 4 * parameters * config.folds + BYTES_PER_PARAMETER * parameters + 4 * probabilities + SPARE_BYTES


@contextlib.contextmanager
def _told_how_to_resume(run: RunFolder) -> Iterator[None]:
    """Whoever stops a run, or meets a full disk or a lost cluster, is told how to go on."""
    try:
        yield
    except KeyboardInterrupt as stop:
        raise type(stop)(f"go on with: {run.resume_command}") from None
    except (LostError, WriteError) as error:
        raise type(error)(f"{error} Then go on with: {run.resume_command}") from error
