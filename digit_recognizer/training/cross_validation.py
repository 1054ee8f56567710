"""Cross-validation: every row is predicted by a model that never saw it, and the submission averages the fold models.

The file reads from top to bottom. `cross_validate` is the call from Python: it makes a configuration and a data set of
settings and tables. `run_cross_validation`, which the commands call too, loads and splits the data and makes the run
folder. `_train_and_score` trains the folds that are not finished: `train_fold` trains a model without one fold and
predicts that fold, here, in another process or on another machine. With `refit`, more models are then fitted on all
rows, as if they were folds that hold nothing out; they may continue the folds' models. `_finalize` scores, writes the
submission and, last of all, metrics.json. `resume` brings an interrupted run onto the same path.

An interrupted run is resumed from its last finished epoch and ends byte for byte as if it had not been interrupted:
what it needs is in its checkpoint (`digit_recognizer.training.checkpoint`), and everything else follows from its
configuration.
"""

import contextlib
import functools
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from digit_recognizer.competition.submissions import (
    PRETRAINED_INELIGIBLE,
    RUNS,
    SMOKE_INELIGIBLE,
    SUBMISSIONS,
    SUFFIXES,
    Provenance,
    check_new_submission_path,
    choose_submission_path,
    write_submission,
)
from digit_recognizer.config import Preprocess, RunConfig, is_user_model
from digit_recognizer.console import make_printable, print_line
from digit_recognizer.data.csv import CLASSES
from digit_recognizer.data.dataset import (
    Dataset,
    TestTable,
    TrainTable,
    check_augmentation,
    load_dataset,
    make_dataset,
)
from digit_recognizer.data.frames import TableSource, read_test_table, read_train_table
from digit_recognizer.data.labels import DIGITS, load_label_set
from digit_recognizer.data.splits import assign_folds, count_duplicates
from digit_recognizer.errors import (
    DivergedError,
    InputError,
    LostError,
    UnusableRunError,
    WriteError,
    reraise_as_unusable_run,
)
from digit_recognizer.evaluation.calibration import apply_temperature, calibrate
from digit_recognizer.evaluation.metrics import Score, evaluate
from digit_recognizer.io import (
    check_free_disk,
    check_writable_folder,
    find_free_path,
    numpy_defaults,
    write_atomically,
    write_json,
)
from digit_recognizer.models import Builder, build_config, load_model_module, register_model
from digit_recognizer.records import CONFIG, METRICS
from digit_recognizer.training.callbacks import (
    Progress,
    Trackers,
    check_trackers,
    format_fold,
    list_callbacks,
    open_trackers,
)
from digit_recognizer.training.checkpoint import RunState, TrainingState, load_checkpoint, remove_checkpoint
from digit_recognizer.training.executors import DefaultExecutor, Executor, map_in_order, run_task, send_report
from digit_recognizer.training.hardware import check_devices, data_parallel, precision_policy
from digit_recognizer.training.inputs import (
    Inputs,
    build_fresh_model,
    check_model_flags,
    count_parameters,
    has_seen_test_rows,
    make_inputs,
)
from digit_recognizer.training.reproducibility import (
    check_finished,
    compare_machines,
    compare_settings,
    derive_seed,
    record_differences,
    record_environment,
)
from digit_recognizer.training.run import (
    IN_PYTHON,
    LABEL_SET,
    CVResult,
    FinishedRun,
    Run,
    find_labels,
    find_weights,
    format_result,
    load_config,
    load_run,
    load_run_config,
    locate_model,
    make_provenance,
    read_result,
)
from digit_recognizer.training.trainer import TrainingSession, train_model
from digit_recognizer.training.weights import export_keras, load_weights, pack_weights

# 4 bytes; weight, Adam's two moments, best weight; two checkpoints that are kept, and the one being written
BYTES_PER_PARAMETER = 4 * 4 * 3
SPARE_BYTES = 32 << 20  # logs, history, submission, figures


@numpy_defaults
def cross_validate(
    model: str | Path | Builder,
    train: TableSource,
    test: TableSource | None = None,
    *,
    single_split: bool = False,
    callbacks: keras.callbacks.Callback | Sequence[keras.callbacks.Callback] = (),
    run_dir: Path | str | None = None,
    executor: Executor | None = None,
    **settings: Any,
) -> CVResult:
    """Score every training row with a model that never saw it, and predict the test rows by the mean of the models.

    The settings are those of the model's recipe (`PRESET` in its file), but for those that are passed here.

    Args:
        model: one of `list_models()`; the path of a model's file, which ends in .py; or a function
            (input_shape, classes) that builds a Keras model from float32 images (n, 28, 28, 1) in [0, 1] to
            probabilities (n, 10). Its layers must be new in each call.
        train: labelled images: what `load_train` gives, the path of a train.csv, a DataFrame with its columns, or a
            pair (images, labels). Images are whole numbers from 0 = paper to 255 = ink, in an array of shape (n, 784),
            (n, 28, 28) or (n, 28, 28, 1); labels are whole numbers from 0 to 9.
        test: images to predict, in the same forms, without labels; None predicts nothing and leaves no submission.
        single_split: hold out the first fold only (of 5 folds: an 80/20 split), and train one model.
        callbacks: a Keras callback or several, called in every fold; their logs also hold fold, lr and seconds. For
            epochs trained earlier or by another process, only `on_epoch_end` is called, without a model, and not of
            Keras' own callbacks, but for `LambdaCallback`.
        run_dir: the run's folder; None: runs/<time>-<model>. If it holds an interrupted run of the same call, that run
            is resumed; one that has finished is read again.
        executor: trains the folds; None does as the command `cv`: long work goes to processes side by side. But with
            callbacks None stands for this process, where they have `model`.
        **settings: fields of `RunConfig`, such as folds, epochs, seed, augmentation or tta; `model_args` may be a dict.

    Returns:
        The result: `oof`, `history` and `submission()` are DataFrames. The submission is in the run's folder, unless
        `submission` names another file; `write_submission` writes it elsewhere.

    Raises:
        InputError: for an unknown setting, or data or a model that cannot be used, before any training.
        DivergedError: if training ends in weights or predictions that are NaN.

    Example:
        >>> train, test = dr.load_train("input/train.csv"), dr.load_test("input/test.csv")
        >>> result = dr.cross_validate("dense", train, test, folds=2, epochs=1, seed=0)
        >>> result.oof.columns[:3].tolist(), len(result.submission()) == len(test.images)
        (['label', 'prediction', 'p0'], True)
    """
    if "input_dir" in settings:
        raise InputError("config.field_unknown", column="input_dir", hint=" Pass the tables as train and test.")
    if test is None and settings.get("submission") is not None:
        raise InputError("run.submission_without_test", received=settings["submission"])
    callbacks = list_callbacks(callbacks)
    executor = executor or (Executor() if callbacks else DefaultExecutor())
    call = _format_call(model, settings, single_split)
    name, smoke = register_model(model), settings.pop("smoke", False)
    folder = None if run_dir is None else Path(run_dir).expanduser()
    train_table = read_train_table(train)
    test_table = None if test is None else read_test_table(test)
    input_dir = _find_common_folder(train_table, test_table)
    label_set = load_label_set(input_dir, test_table.sha256) if input_dir and test_table else DIGITS
    config = build_config(name, smoke, run_dir=folder, input_dir=input_dir or Path("input"), **settings)
    check_augmentation(config, label_set)
    dataset = make_dataset(config, train_table, test_table, label_set)
    if folder is not None and (folder / CONFIG).exists():
        subcommand = "train" if single_split else "cv"
        started_with, _ = load_run_config(folder, subcommand)
        if differing := compare_settings(started_with, config):
            raise InputError("run.other_settings", path=folder, received=", ".join(differing))
        place = config.submission
        return resume(folder, subcommand, submission=place, dataset=dataset, callbacks=callbacks, executor=executor)
    return run_cross_validation(
        config,
        single_split=single_split,
        dataset=dataset,
        callbacks=callbacks,
        executor=executor,
        call=call,
        needs_call=input_dir is None or not (input_dir / "sample_submission.csv").is_file() or callable(model),
    )


def _find_common_folder(train: TrainTable, test: TestTable | None) -> Path | None:
    """The folder of both files, if a command with --input-dir would load these very tables; else None."""
    if test is None or (train.path.name, test.path.name) != ("train.csv", "test.csv"):
        return None
    return train.path.parent if train.path.absolute().parent == test.path.absolute().parent else None


def _format_call(model: str | Path | Builder, settings: dict[str, Any], single_split: bool) -> str:
    """The call of `cross_validate` as one types it, on one line."""
    name = getattr(model, "__name__", type(model).__name__) if callable(model) else repr(str(model))
    shown = [f"{key}={str(value) if isinstance(value, Path) else value!r}" for key, value in settings.items()]
    call = f"cross_validate({', '.join([name, 'train', 'test', *['single_split=True'] * single_split, *shown])})"
    return make_printable(call)


@numpy_defaults
def run_cross_validation(
    config: RunConfig,
    *,
    single_split: bool = False,
    dataset: Dataset | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    executor: Executor | None = None,
    call: str | None = None,
    needs_call: bool = False,
) -> CVResult:
    """Run a configuration on its data set, from the CSV files to a submission.

    Args:
        config: what to do.
        single_split: hold out the first fold only (of 5 folds: an 80/20 split), train one model, and record its
            learning curve on the holdout; that curve does not affect training.
        dataset: what `load_dataset` gives for this configuration, if it is loaded already.
        callbacks: as in `cross_validate`.
        executor: trains the folds; None stands for this process.
        call: the call from Python that starts the run, as one types it; its submission stays in the run folder. None
            for a command, whose submission goes to submissions/.
        needs_call: whether only the same call can resume the run, because its tables or its model are in no file.

    Returns:
        The result; everything else is in the run folder (see `digit_recognizer.training.run`).

    Raises:
        InputError: for an invalid configuration or invalid data, before any training.
        DivergedError: if training ends in weights or predictions that are NaN.

    Example:
        >>> result = run_cross_validation(dr.build_config("narrow", epochs=1, folds=2))
        >>> 0 <= result.score.oof_accuracy <= 1
        True
    """
    started = time.perf_counter()
    executor = executor or Executor()
    check_trainable(config, executor, callbacks)
    if config.submission is not None:
        check_new_submission_path(config.submission, config.input_dir)
    dataset = dataset or load_dataset(config)
    fold_of_row = assign_held_out_folds(config, dataset, single_split)
    subcommand = "train" if single_split else "cv"
    with contextlib.ExitStack() as stack:
        executor = stack.enter_context(choose_executor(executor, config, dataset, subcommand))
        check_outputs(config, dataset, executor, is_call=call is not None)
        run = stack.enter_context(Run.create(config, subcommand, call, needs_call=needs_call))
        stack.enter_context(add_resume_hint(run))
        run.started = started
        # a model's file may be edited while the run trains: what counts is the copy in the run's folder
        config = config.replace(model=locate_model(run.path, config.model))
        return _train_and_score(run, config, dataset, fold_of_row, executor, callbacks)


def choose_executor(
    executor: Executor, config: RunConfig, dataset: Dataset, subcommand: str
) -> contextlib.AbstractContextManager[Executor]:
    """The executor that suits a run: where none was named, long work of several models goes to processes."""
    # a user's model is known in this process alone, and a backbone's features take all cores at once
    if is_user_model(config.model) or hasattr(load_model_module(config.model), "split_backbone"):
        return contextlib.nullcontext(executor)
    if subcommand == "train":  # what follows its one model would wait for it
        return contextlib.nullcontext(executor)
    models = [*range(config.folds), *config.refits]
    return executor.choose(images=sum(map(config.count_epochs, models)) * len(dataset.labels))


def check_trainable(config: RunConfig, executor: Executor, callbacks: Sequence[keras.callbacks.Callback] = ()) -> None:
    """Refuse what cannot be trained, before anything is loaded or written."""
    if not executor.is_local and (names := [type(one).__name__ for one in callbacks if needs_model(one)]):
        raise InputError("machines.keras_callback", received=names[0])
    if is_user_model(config.model) and not executor.is_local:
        raise InputError("machines.own_model", received=config.model_name)
    check_model_flags(config)
    if executor.is_local:
        check_devices(config)
    check_trackers(config)


def assign_held_out_folds(config: RunConfig, dataset: Dataset, single_split: bool) -> np.ndarray:
    """The fold of each row, int16; -1 where a single split never holds it out."""
    seed = derive_seed(config.seed if config.split_seed is None else config.split_seed, "folds")
    fold_of_row = assign_folds(dataset.labels, config.folds, seed, dataset.groups)
    if single_split:
        fold_of_row[fold_of_row != 0] = -1
    return fold_of_row


def check_outputs(config: RunConfig, dataset: Dataset, executor: Executor, *, is_call: bool) -> None:
    """Refuse, before any training, a submission that cannot be written, or a disk that is too full for the run."""
    check_test_rows(config, dataset)
    if config.submission is None and dataset.has_all_test_rows and not keeps_submission(config, is_call=is_call):
        check_writable_folder(SUBMISSIONS)
    at_once = min(executor.count_slots(), config.folds + config.refit)
    check_free_disk(config.run_dir or RUNS, estimate_bytes(config, dataset, at_once))


def check_test_rows(config: RunConfig, dataset: Dataset) -> None:
    """Refuse to name a submission that would lack test rows."""
    if config.submission is not None and not dataset.has_all_test_rows:
        raise InputError("run.submission_of_part", received=len(dataset.test_images), rows=dataset.test_row_count)


def keeps_submission(config: RunConfig, *, is_call: bool) -> bool:
    """Whether a submission without a path stays in the run folder: of part of the rows, or of a call from Python."""
    return config.smoke or config.limit_train > 0 or is_call


def estimate_bytes(config: RunConfig, dataset: Dataset, at_once: int) -> int:
    """Disk space that a run may take at most while it trains so many models at once."""
    parameters = count_parameters(config.model, config.model_args)
    probabilities = 4 * CLASSES * (len(dataset.labels) + len(dataset.test_images))
    models = 2 * 4 * parameters * (config.folds + config.refit)  # as safetensors and as .keras
    return models + at_once * BYTES_PER_PARAMETER * parameters + 4 * probabilities + SPARE_BYTES


# One run: the folds that are not finished are trained, one after the other or side by side


def _train_and_score(
    run: Run,
    config: RunConfig,
    dataset: Dataset,
    fold_of_row: np.ndarray,
    executor: Executor,
    callbacks: Sequence[keras.callbacks.Callback],
    allow_inexact: bool = False,
) -> CVResult:
    """Train the folds that are not finished, and finalize the run."""
    run.executor_flags = executor.flags
    environment = record_environment(run, config, dataset, fold_of_row, allow_inexact, executor)
    precision = environment["fingerprint"]["precision"]
    restore_checkpoint(run, config, dataset, environment["run"])
    log_run_start(run, config, dataset, precision)
    with open_trackers(config, run, environment["commit"]) as trackers, precision_policy(precision):
        trackers.log_epochs(run.state.all_history)
        replay(run.state.all_history, callbacks)
        images = (dataset.images, dataset.test_images)
        inputs = {  # make_inputs(images, config), where the executor trains
            preprocess: run_task(
                executor, make_inputs, config.replace(precision=precision, preprocess=preprocess), shared=images
            )
            for preprocess in config.all_preprocessing
        }
        setup = CVSetup(config, inputs, dataset.labels, fold_of_row, run.subcommand == "train", environment)
        train_folds(run, setup, executor, callbacks, trackers)
        result = _finalize(run, setup, dataset, trackers)
    remove_checkpoint(run.path)
    return result


def restore_checkpoint(run: Run, config: RunConfig, dataset: Dataset, run_id: str) -> None:
    """Set `run.state` to what an interrupted session has saved; to an empty one if there is no checkpoint."""
    rows = len(dataset.labels), len(dataset.test_images)
    max_bytes = estimate_bytes(config, dataset, config.folds + config.refit)
    state, warnings = load_checkpoint(run.path, run_id, max_bytes, rows)
    for note in (*dataset.notes, *warnings):
        run.log(f"note: {note}")
    if state is None:
        run.state = RunState(
            run=run_id,
            oof=np.full((len(dataset.labels), CLASSES), np.nan, np.float32),
            test=np.zeros((len(dataset.test_images), CLASSES), np.float32),
        )
        return
    run.state, run.earlier_seconds = state, state.elapsed_seconds
    under_way = "".join(
        f"; {format_fold(fold, config.folds)} after epoch {training.epoch}"
        for fold, training in state.trainings.items()
    )
    run.log(f"resuming: models finished: {state.finished_folds}{under_way}")


def log_run_start(run: Run, config: RunConfig, dataset: Dataset, precision: str) -> None:
    """Log what is about to be trained."""
    if dataset.ineligible:
        run.log(f"WARNING: INELIGIBLE FOR THE COMPETITION: {dataset.ineligible.upper()}.")
    name = " ".join((config.model_name, *config.model_args))
    run.log(
        f"{name}: {len(dataset.labels):,} training rows, {len(dataset.test_images):,} test rows, "
        f"epochs: {config.epochs}, {precision} on {keras.config.backend()}; run folder {run.path}"
    )
    if config.synthetic_ratio:
        noun = dataset.label_set.noun
        run.log(
            f"each fold starts by making {config.synthetic_ratio:g} synthetic {noun}s per {noun} of its training set"
        )
    if config.smoke:
        backbone = " (--weights none: a backbone of random weights)" if config.weights == "none" else ""
        run.log(f"a smoke run: it shows that everything runs, and its score means nothing{backbone}")


@dataclass(frozen=True)
class CVSetup:
    """What all folds of a run share; it is sent once to every machine that trains folds.

    Attributes:
        config: of the run.
        inputs: by preprocessing, the training and test images, or features of them.
        labels: int64 (n,).
        fold_of_row: int16 (n,); -1 in rows that are never held out.
        single_split: whether this is `train`: held-out rows are evaluated after every epoch.
        environment: of the run; models must be trained where its fingerprint holds.
    """

    config: RunConfig
    inputs: dict[Preprocess, Inputs]
    labels: np.ndarray
    fold_of_row: np.ndarray
    single_split: bool
    environment: dict[str, Any]

    @property
    def held_out_folds(self) -> list[int]:
        """The folds that are held out, in ascending order; `train` has one."""
        return [int(fold) for fold in np.unique(self.fold_of_row[self.fold_of_row >= 0])]

    @property
    def training_order(self) -> list[int]:
        """The fold numbers of all models in the order of their training.

        Refits that continue the folds' models come after them. Otherwise both take turns, so that two models side by
        side end together: a refit sees all rows, a fold four of five, and there are usually five folds and four refits.
        """
        if self.config.continues_folds:
            return [*self.held_out_folds, *self.config.refits]
        turns = itertools.zip_longest(self.held_out_folds, self.config.refits)
        return [fold for turn in turns for fold in turn if fold is not None]

    def find_continued(self, fold: int) -> int | None:
        """The fold whose model this one continues: refits take the folds in turn; None begins from scratch."""
        if fold not in self.config.refits or not self.config.continues_folds:
            return None
        return self.held_out_folds[(fold - self.config.folds) % len(self.held_out_folds)]

    @property
    def submitted_models(self) -> Sequence[int]:
        """The fold numbers of the models whose average is submitted: of the refits, if there are any."""
        return self.config.refits or self.held_out_folds


@dataclass(frozen=True)
class FoldResult:
    """What a fold leaves.

    Attributes:
        oof: float32 (held-out rows, classes), their probabilities.
        test: float32 (m, classes); (0, classes) of a model that is not submitted.
        files: the model as it goes into models/: suffix -> bytes, of .safetensors and of .keras, a copy for people who
            want plain Keras.
        history: as `Trainer.history`.
        seconds: of training, over all sessions.
        untrained_accuracy: on the held-out rows before the first step; None if it was not measured.
        differences: between the machine and the run's fingerprint, where they are tolerated.
    """

    oof: np.ndarray
    test: np.ndarray
    files: dict[str, bytes]
    history: list[dict[str, Any]]
    seconds: float
    untrained_accuracy: float | None
    differences: list[str] = field(default_factory=list)


def train_folds(
    run: Run,
    setup: CVSetup,
    executor: Executor,
    callbacks: Sequence[keras.callbacks.Callback],
    trackers: Trackers,
) -> None:
    """Train the folds that are not finished, each from where an interrupted session left it, and keep their results.

    Raises:
        InputError: if training diverges, a machine differs in a field that must match, or the model that a refit
            continues is missing or damaged.
    """
    config, state = setup.config, run.state
    unfinished = setup.training_order[state.finished_folds :]
    resumed_epochs = sum(map(state.count_finished_epochs, state.trainings))
    epochs_left = sum(map(config.count_epochs, unfinished)) - resumed_epochs

    def save_training(fold: int, training: TrainingState) -> None:
        state.trainings[fold] = training
        run.save_checkpoint()

    with Progress(run.log, epochs_left, config.folds) as progress:
        all_callbacks = [progress, trackers, *callbacks]

        def on_report(number: int, training: TrainingState) -> None:  # of an epoch in another process
            fold = unfinished[number]
            known = state.count_finished_epochs(fold)
            save_training(fold, training)
            progress.set_params({"epochs": config.count_epochs(fold)})
            replay(training.history[known:], all_callbacks)

        def make_sessions() -> Iterator[TrainingSession | None]:
            for fold in unfinished:
                session = TrainingSession(fold=fold, resume_from=state.trainings.get(fold))
                if session.resume_from is None and (continued := setup.find_continued(fold)) is not None:
                    # a fold counts as finished below, before its executor asks for the next session
                    while continued in setup.training_order[state.finished_folds :]:
                        yield None
                    session = replace(session, initial_weights=read_weights(run, setup, continued))
                if executor.is_local:
                    save = functools.partial(save_training, fold)
                    session = replace(session, callbacks=all_callbacks, save=save)
                yield session

        train = train_fold if executor.is_local else train_fold_remotely
        sessions = make_sessions()  # a generator, and so are the results: a fold is trained when it is asked for
        results = map_in_order(executor, train, sessions, setup, on_report)
        for fold, result in zip(unfinished, results, strict=True):
            unlogged = []
            if not executor.is_local:  # what was not reported: a cluster says nothing before a fold is finished
                unlogged = result.history[state.count_finished_epochs(fold) :]
                trackers.log_epochs(unlogged)
                replay(unlogged, callbacks)
            record_differences(run, setup.environment, fold, result.differences)
            save_fold(run, setup, fold, result)
            skipped = config.count_epochs(fold) - len(result.history)
            progress.end_fold(describe_fold(setup, fold, result), skipped, len(unlogged))


def describe_fold(setup: CVSetup, fold: int, result: FoldResult) -> str:
    """The log's line on a model that has been trained: its accuracy, if rows were held out."""
    line = f"fitted on all {len(setup.labels):,} rows"
    if fold in setup.held_out_folds:
        correct = result.oof.argmax(axis=1) == setup.labels[setup.fold_of_row == fold]
        line = f"held-out accuracy {correct.mean():.5f}  ({(~correct).sum():,} of {len(correct):,} rows wrong)"
    return f"{format_fold(fold, setup.config.folds)}  {line}"


# One fold, here or on another machine


def train_fold(setup: CVSetup, session: TrainingSession) -> FoldResult:
    """Train a model on the rows outside a fold; predict the held-out rows and the test rows.

    Args:
        setup: what the folds share.
        session: the fold, its callbacks, the weights to begin with, and the state from which it is resumed. Refits are
            numbered after the folds: no row is in such a fold, so that all rows are training rows and none is held out.

    Raises:
        DivergedError: if weights or predictions are not finite.
    """
    fold, config = session.fold, setup.config.configure_fold(session.fold)
    inputs = setup.inputs[config.choose_preprocessing(fold)]
    images = inputs.train[0]  # the first version is unaugmented
    targets = np.eye(CLASSES, dtype=np.float32)[setup.labels]
    training_rows, held_out = np.flatnonzero(setup.fold_of_row != fold), np.flatnonzero(setup.fold_of_row == fold)
    holdout = (images[held_out], targets[held_out]) if setup.single_split and len(held_out) else None
    with data_parallel(config.devices):
        trainer, model = train_model(config, inputs, targets, training_rows, holdout, session)
        seconds = trainer.seconds  # of training alone, so it is read before the predictions
        result = FoldResult(
            oof=trainer.predict(images[held_out], config.tta),
            test=trainer.predict(inputs.test if fold in setup.submitted_models else inputs.test[:0], config.tta),
            files={".keras": export_keras(model), ".safetensors": pack_weights(model)},
            history=trainer.history,
            seconds=seconds,
            untrained_accuracy=trainer.untrained_accuracy,
        )
    # the weights too: ReLU and pooling turn NaN into 0, so that a model of NaN may predict numbers
    if not all(np.isfinite(part).all() for part in (result.oof, result.test, *model.get_weights())):
        raise DivergedError("training.diverged", fold=format_fold(fold, config.folds))
    return result


def train_fold_remotely(setup: CVSetup, session: TrainingSession) -> FoldResult:
    """`train_fold` in another process, perhaps on another machine, if the run's fingerprint holds there.

    After each epoch it reports its state.

    Raises:
        InputError: if it differs in a field that must match.
    """
    fingerprint = setup.environment["fingerprint"]
    differences = compare_machines(fingerprint, setup.config)
    with precision_policy(fingerprint["precision"]):
        result = train_fold(setup, replace(session, save=send_report))
    result.differences.extend(differences)
    return result


def save_fold(run: Run, setup: CVSetup, fold: int, result: FoldResult) -> None:
    """Add a fold's predictions to the run's, write its model and the history, and count it as finished."""
    state = run.state
    if fold in setup.held_out_folds:
        state.oof[setup.fold_of_row == fold] = result.oof
        state.untrained_accuracy = result.untrained_accuracy
    if fold in setup.submitted_models:
        state.test += result.test / len(setup.submitted_models)
    state.history += result.history
    state.training_seconds += result.seconds
    state.trainings.pop(fold, None)
    weights = find_weights(run.path, fold, setup.config)
    for suffix, content in result.files.items():
        with write_atomically(weights.with_suffix(suffix)) as temporary:
            temporary.write_bytes(content)
    run.write_history(sorted(state.history, key=lambda row: int(row["fold"])))
    state.finished_folds += 1
    run.save_checkpoint()


def read_weights(run: Run, setup: CVSetup, fold: int) -> list[np.ndarray]:
    """The weights of a fold that is finished, in the order of `model.weights`.

    Raises:
        InputError: if the file is missing, damaged or of another model.
    """
    path = find_weights(run.path, fold, setup.config)
    if not path.is_file():
        raise InputError("run.fold_model_missing", path=path)
    model = build_fresh_model(setup.config, CLASSES)
    load_weights(model, path)
    weights: list[np.ndarray] = model.get_weights()
    return weights


def replay(history: Sequence[dict[str, Any]], callbacks: Sequence[keras.callbacks.Callback]) -> None:
    """Call callbacks for epochs that an earlier session or another process trained."""
    called = [callback for callback in callbacks if not needs_model(callback)]
    for row in history:
        for callback in called:
            callback.on_epoch_end(row["epoch"] - 1, {name: value for name, value in row.items() if name != "epoch"})


def needs_model(callback: keras.callbacks.Callback) -> bool:
    """Whether this is one of Keras' own callbacks; all but one of them fail without a model."""
    is_lambda = isinstance(callback, keras.callbacks.LambdaCallback)
    return type(callback).__module__.startswith("keras.") and not is_lambda


# The end of a run


def _finalize(run: Run, setup: CVSetup, dataset: Dataset, trackers: Trackers) -> CVResult:
    """Score the out-of-fold predictions and write everything; metrics.json comes last and marks the run as finished."""
    state = run.state
    if not np.isfinite(state.oof[setup.fold_of_row >= 0]).all():  # it counts a fold as finished that is not
        raise UnusableRunError("run.state_of_another_model")
    oof, temperature = calibrate(state.oof, dataset.labels, setup.fold_of_row >= 0)
    test = apply_temperature(state.test, temperature)
    run.write_array("oof_probabilities", oof)
    run.write_array("test_probabilities", test)
    score = evaluate(oof, dataset.labels, setup.fold_of_row, dataset.class_names)
    metrics = {**collect_metrics(run, setup, dataset, score), "temperature": temperature}
    if dataset.has_all_test_rows:
        provenance = make_provenance(run.path, run.command, setup.environment["commit"], metrics)
        metrics["submission"] = str(write_run_submission(run, setup.config, dataset, provenance, test))
    metrics["elapsed_seconds"] = run.elapsed_seconds
    result = read_result(FinishedRun(run.path, metrics, oof, test, setup.fold_of_row, dataset.labels))
    run.log(format_result(result))
    trackers.log_result(metrics)  # before metrics.json, so that a run killed in between logs it again
    write_json(run.path / METRICS, metrics)
    return result


def collect_metrics(run: Run, setup: CVSetup, dataset: Dataset, score: Score) -> dict[str, Any]:
    """The content of metrics.json, but for the submission and the time that the whole run took."""
    state, config, environment = run.state, setup.config, setup.environment
    return {
        "model": config.model_name,
        "seed": config.seed,
        **score.to_json(),
        "training_seconds": state.training_seconds,
        "precision": environment["fingerprint"]["precision"],
        "train_sha256": dataset.train_sha256,
        "test_sha256": dataset.test_sha256,
        "shared_test_rows": dataset.shared_test_rows,
        "duplicates": vars(count_duplicates(dataset.groups)),
        "ineligible": explain_ineligible(config, dataset),
        "submission": None,
        "single_split": run.subcommand == "train",
        "untrained_accuracy": state.untrained_accuracy,
        **({"refit": config.refit} if config.refit else {}),
        "resumed_with_differences": environment["resumed_with_differences"],
        **({} if dataset.label_set == DIGITS else {LABEL_SET: dataset.label_set.to_json()}),
        **({"mended": list(dataset.mended)} if dataset.mended else {}),
    }


def explain_ineligible(config: RunConfig, dataset: Dataset) -> str | None:
    """Why the run's submission must not enter the competition; None if it may."""
    if is_user_model(config.model) and has_seen_test_rows(build_fresh_model(config)):
        return PRETRAINED_INELIGIBLE
    return dataset.ineligible or (SMOKE_INELIGIBLE if config.smoke else None)


def write_run_submission(
    run: Run, config: RunConfig, dataset: Dataset, provenance: Provenance, probabilities: np.ndarray
) -> Path:
    """Write the submission of test probabilities.

    The checkpoint names its path first, so that a resumed run recognizes its own file.
    """
    state = run.state
    if state.submission and may_write_submission(run.path, Path(state.submission), config.submission):
        path = Path(state.submission)
    elif config.submission is not None:
        path = config.submission
    elif keeps_submission(config, is_call=run.is_call):
        path = run.path / "submission.csv"
    else:
        name = f"{name_run(config)}-{provenance.oof_accuracy:.5f}"
        path = choose_submission_path(name, config.input_dir, provenance.ineligible)
    while True:
        if state.submission != str(path):
            state.submission = str(path)
            run.save_checkpoint()
        try:
            write_submission(path, probabilities.argmax(axis=1), dataset.test_row_count, provenance)
            return path
        except FileExistsError:  # it was free before training
            taken, path = path, find_free_path(path.parent, path.stem, *SUFFIXES)
            run.log(f"another command has written {taken} meanwhile, so this run's submission is {path}")


def may_write_submission(run_dir: Path, place: Path | None, named: Path | None = None) -> bool:
    """Whether a run may write there: in its own folder, in submissions/, or beside the file `named` by --submission."""
    folders = [run_dir, SUBMISSIONS, *([named.parent] if named else [])]
    return place is None or os.path.realpath(place.parent) in map(os.path.realpath, folders)


def name_run(config: RunConfig) -> str:
    """The name of a run in its submission's file name: the model; seed and epochs if they differ from its recipe.

    Example:
        >>> name_run(RunConfig(model="narrow", seed=3, epochs=15))
        'narrow-seed3'
    """
    recipe = build_config(config.model)
    seed = f"-seed{config.seed}" if config.seed != recipe.seed else ""
    epochs = f"-epochs{config.epochs}" if config.epochs != recipe.epochs else ""
    return f"{config.model_name}{seed}{epochs}"


# An interrupted run


def resume(
    path: Path,
    subcommand: str,
    *,
    allow_inexact: bool = False,
    submission: Path | None = None,
    dataset: Dataset | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    executor: Executor | None = None,
) -> CVResult:
    """Resume an interrupted run, to the result of an uninterrupted one.

    Args:
        path: its folder. A run that has finished is only shown again, and nothing is written.
        subcommand: the command that started it, "cv" or "train".
        allow_inexact: resume even where versions, threads or other parts of the environment have changed; metrics.json
            lists the differences.
        submission: the file to write. None takes the one that the run's config.json names, if that is in the run
            folder or in submissions/; a folder from elsewhere says nothing about other places of this machine.
        dataset: as in `run_cross_validation`; a finished run is checked against it and against the installed code.
        callbacks: as there.
        executor: as there; it may be another than the run was started with.

    Raises:
        InputError: if another process holds the lock, a package is missing, or a finished run has another submission.
        UnusableRunError: if there is no such run, the environment differs, or its files are damaged.
    """
    started = time.perf_counter()
    executor = executor or Executor()
    with reraise_as_unusable_run():
        content = load_config(path, subcommand)
        needs_call = content.get(IN_PYTHON)
    if (path / METRICS).exists():
        result = show_finished(path, subcommand, dataset)
        places = [Path(place).absolute() for place in (result.submission_path, content.get("submission")) if place]
        if submission is not None and submission.absolute() not in places:
            raise InputError("run.submission_of_finished", path=path, received=submission)
        return result
    if needs_call and dataset is None:
        raise InputError("run.started_in_python", path=path)
    run, config = Run.reopen(path, subcommand)
    with run, add_resume_hint(run), contextlib.ExitStack() as stack:
        run.started, run.executor_flags = started, executor.flags
        if submission is not None:
            try:
                check_new_submission_path(submission, config.input_dir)
            except InputError as error:
                if error.code != "submission.exists":  # it may be this run's own; then it is equal
                    raise
            config, run.submission = config.replace(submission=submission), submission
        elif not may_write_submission(path, config.submission):
            run.log(f"note: {config.submission} is not written: it is outside the run. Name it anew by --submission.")
            config, run.submission = config.replace(submission=path / "submission.csv"), None
        check_trainable(config, executor, callbacks)
        dataset = dataset or load_dataset(config)
        check_test_rows(config, dataset)
        fold_of_row = assign_held_out_folds(config, dataset, subcommand == "train")
        executor = stack.enter_context(choose_executor(executor, config, dataset, subcommand))
        return _train_and_score(run, config, dataset, fold_of_row, executor, callbacks, allow_inexact)


def show_finished(path: Path, subcommand: str, dataset: Dataset | None) -> CVResult:
    """Print the result of a finished run; a data set that is passed must be the one that it was made with."""
    with reraise_as_unusable_run():
        run = load_run(path)
        result = read_result(run, find_labels(run) if dataset is None else dataset.labels)
    if dataset is not None:
        check_finished(path, subcommand, dataset)
    with contextlib.suppress(OSError):  # a run killed in its very last step; or it lies where nobody may write
        remove_checkpoint(path)
    print_line(f"{path} has finished.\n{format_result(result)}")
    return result


@contextlib.contextmanager
def add_resume_hint(run: Run) -> Iterator[None]:
    """Append the resume command to interrupts, WriteError and LostError."""
    try:
        yield
    except KeyboardInterrupt as stop:
        hint = type(stop)(f"resume with: {run.resume_command}")
        vars(hint)["_render_traceback_"] = lambda: [f"KeyboardInterrupt: {hint}"]  # all that Jupyter shows
        raise hint from None
    except (LostError, WriteError) as error:
        error.with_remedy(f"Then resume with: {run.resume_command}")
        raise
