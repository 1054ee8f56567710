"""Running a trial, here or on another machine: a `train` run in a folder of its own, resumed where it was stopped."""

import contextlib
import io
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pandas as pd

from digit_recognizer.config import RunConfig, flag
from digit_recognizer.console import print_line, raise_if_interrupted
from digit_recognizer.data.csv import CLASSES
from digit_recognizer.data.dataset import Dataset
from digit_recognizer.errors import (
    DivergedError,
    InputError,
    PrunedError,
    UnusableRunError,
    WriteError,
    reading_its_own_files,
)
from digit_recognizer.io import LOCK
from digit_recognizer.sweeps.search import is_unpromising
from digit_recognizer.sweeps.trials import Curve, State, Trial, TrialRecord
from digit_recognizer.training.checkpoint import remove_state
from digit_recognizer.training.cross_validation import cross_validate, resume
from digit_recognizer.training.executors import count_threads
from digit_recognizer.training.inputs import count_parameters
from digit_recognizer.training.reproducibility import ENVIRONMENT, PATH_FIELDS, load_fingerprint, name_processor
from digit_recognizer.training.results import CVResult
from digit_recognizer.training.run import CONFIG, load_run_config

MODELS = "models"  # not kept: `train` with the same flags makes them again


@dataclass(frozen=True)
class TrialTask:
    """A trial, ready to be run anywhere.

    Attributes:
        trial: which.
        config: of its run; its precision is resolved, so that no two trials differ in it.
        earlier: curves that it is compared with; None if no trial is pruned.
        commit: of the code, which travels to other machines without its history; None if it is unknown.
    """

    trial: Trial
    config: RunConfig
    earlier: Sequence[Curve] | None = None
    commit: str | None = None


@dataclass(frozen=True)
class SharedData:
    """What the trials of a sweep share.

    Attributes:
        datasets: by their numbers of training and test rows, as the configurations have them (0: all).
        folder: of the trials' own folders; None where there is no such folder, as on another machine.
    """

    datasets: dict[tuple[int, int], Dataset]
    folder: Path | None


@dataclass(frozen=True)
class Outcome:
    """What a trial leaves: its record and, if it was run elsewhere, the files of its folder by path."""

    record: TrialRecord
    files: dict[str, bytes]


class PruningCallback(keras.callbacks.Callback):
    """Keeps a trial's history, and stops a trial whose accuracy is below the median of earlier ones.

    Never in its last epoch, when all is done. A resumed run calls it for the epochs of earlier sessions too.

    Args:
        earlier: curves of earlier trials; None if no trial is pruned.
        epochs: of the trial.
    """

    def __init__(self, earlier: Sequence[Curve] | None, epochs: int) -> None:
        super().__init__()
        self.earlier, self.epochs = earlier, epochs
        self.history: list[dict[str, Any]] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep an epoch's logs.

        Raises:
            PrunedError: to stop the trial.
        """
        self.history.append(dict(logs or {}))
        raise_if_interrupted()
        curve = read_curve(self.history, find_val_column(self.history))
        if self.earlier is not None and len(curve) < self.epochs and is_unpromising(curve, self.earlier):
            raise PrunedError


def find_val_column(history: Sequence[Mapping[str, Any]]) -> str:
    """The column with the accuracy on the held-out rows: val_accuracy is of others where training needs them."""
    return "holdout_accuracy" if history and "holdout_accuracy" in history[0] else "val_accuracy"


def execute_trial(shared: SharedData, task: TrialTask) -> Outcome:
    """Run a trial in the sweep's folder or, on another machine, in a temporary one."""
    dataset = shared.datasets[task.config.limit_train, task.config.limit_test]
    if shared.folder is not None:
        return Outcome(run_trial(dataset, task, shared.folder), {})
    with tempfile.TemporaryDirectory(prefix="digit-recognizer-") as name:
        record = run_trial(dataset, task, Path(name))
        own = Path(name) / task.trial.name
        files = [path for path in own.rglob("*") if path.is_file() and path.name != LOCK]
        return Outcome(record, {path.relative_to(own).as_posix(): path.read_bytes() for path in files})


def run_trial(dataset: Dataset, task: TrialTask, folder: Path) -> TrialRecord:
    """Run a trial to its end, from its beginning or from where it was stopped.

    Args:
        dataset: of its configuration.
        task: the trial.
        folder: of the trials' own folders.

    Raises:
        InputError: for what is not the trial's own fault: a full disk, a folder in use, a tracker that does not
            answer. What the trial has done till then stays in its folder.
    """
    started = time.perf_counter()
    keras.backend.clear_session()  # hundreds of models in one process would fill its memory
    path, config = folder / task.trial.name, task.config
    callback = PruningCallback(task.earlier, config.epochs + (config.unfreeze_epochs if config.unfreeze else 0))
    state: State = "done"
    reason, result = "", None
    try:
        result = _start_or_resume(dataset, task, path, callback)
    except PrunedError:
        state = "pruned"
    except (DivergedError, _NoSuchModelError) as error:
        state, reason = "failed", str(error)
    if path.exists():
        with contextlib.suppress(OSError):  # a finished trial may be kept where nobody can write
            remove_state(path)
        shutil.rmtree(path / MODELS, ignore_errors=True)
    history: Sequence[Mapping[str, Any]] = callback.history if result is None else load_history(path)
    curve = read_curve(history, find_val_column(history))
    seconds = time.perf_counter() - started
    return TrialRecord(
        name=task.trial.name,
        configuration=task.trial.configuration,
        seed=task.trial.seed,
        state=state,
        reason=reason,
        untrained=result.untrained_accuracy if result else None,
        accuracy=result.score.oof_accuracy if result else curve[-1] if state == "pruned" else None,
        val_curve=curve,
        train_curve=read_curve(history, "accuracy"),
        confusion=_count_confusion(result, dataset.labels) if result else (),
        training_rows=int(np.isnan(result.oof_probabilities[:, 0]).sum()) if result else 0,
        parameters=0 if state == "failed" else count_parameters(config.model, config.model_args),
        seconds=round(max(seconds, result.elapsed_seconds) if result else seconds, 3),
        environment=describe_environment(dataset, task, path),
    )


class _NoSuchModelError(Exception):
    """No network can be built with a configuration's values."""


def _start_or_resume(dataset: Dataset, task: TrialTask, path: Path, callback: PruningCallback) -> CVResult:
    """The result of a run. One that was started in another environment, or is damaged, is started again."""
    if (path / CONFIG).exists():
        try:
            return _resume(task.config, dataset, path, callback)
        except UnusableRunError as error:  # a trial is never half of one version and half of another
            print_line(f"note: {path} is started again: {error}")
    if path.is_symlink():
        path.unlink()  # of a link, the link alone
    elif path.exists():
        shutil.rmtree(path)
    try:
        count_parameters(task.config.model, task.config.model_args)
    except InputError as error:
        raise _NoSuchModelError(str(error)) from error
    config = task.config.replace(run_dir=path)
    if dataset.whole_test:
        config = config.replace(submission=path / "submission.csv")
    with _silence():
        return cross_validate(config, single_split=True, dataset=dataset, callbacks=[callback])


def _resume(config: RunConfig, dataset: Dataset, path: Path, callback: PruningCallback) -> CVResult:
    """Finish a trial's run, or read it again if it has finished.

    Raises:
        UnusableRunError: if the folder is of another run, was started in another environment, or is damaged.
        InputError: for what lies outside it.
    """
    with reading_its_own_files():
        started_with, _ = load_run_config(path, "train")
    old, new = started_with.to_json(), config.to_json()
    # an automatic precision was resolved when the run was started
    if differing := [flag(name) for name in old if name not in (*PATH_FIELDS, "precision") and old[name] != new[name]]:
        raise UnusableRunError("sweep.another_run", path=path, received=", ".join(differing))
    with _silence():
        result = resume(path, "train", dataset=dataset, callbacks=[callback])
    load_history(path)
    return result


def load_history(path: Path) -> list[dict[str, Any]]:
    """The epochs of a run.

    Raises:
        UnusableRunError: if history.csv cannot be read.
    """
    try:
        history = pd.read_csv(path / "history.csv").to_dict("records")
        if (
            not all(np.isfinite([row[find_val_column(history)], row["accuracy"]]).all() for row in history)
            or not history
        ):
            raise ValueError("it lacks numbers")
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UnusableRunError("sweep.history", path=path / "history.csv", problem=error) from error
    return history


def read_curve(history: Sequence[Mapping[str, Any]], column: str) -> Curve:
    """A column of the history, to six decimals."""
    return tuple(round(float(row[column]), 6) for row in history)


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep a run's own lines, which are in its log, off the screen, and its advice out of the message of a full disk.

    How to resume is the sweep's to say: `train --resume` would finish one trial, and no table would have it.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except WriteError as error:
        error.remedy = ""
        raise


def describe_environment(dataset: Dataset, task: TrialTask, path: Path) -> dict[str, Any]:
    """What a trial's numbers depend on: as its run recorded it, or as it is here if no run was started."""
    environment: dict[str, Any] = {
        "precision": task.config.precision,
        "processor": name_processor(),
        "threads": count_threads(),
        "train.csv": dataset.train_sha256,
    }
    if (path / ENVIRONMENT).exists():
        recorded = load_fingerprint(path)
        environment = {name: recorded[name] for name in environment}
    data = {"data": str(task.config.input_dir), "classes": list(dataset.class_names)}
    return {"commit": task.commit, **environment, **data}


def _count_confusion(result: CVResult, labels: np.ndarray) -> tuple[tuple[int, ...], ...]:
    held_out = ~np.isnan(result.oof_probabilities[:, 0])
    predictions = result.oof_probabilities[held_out].argmax(axis=1)
    counts = np.bincount(labels[held_out] * CLASSES + predictions, minlength=CLASSES**2).reshape(CLASSES, CLASSES)
    return tuple(tuple(int(rows) for rows in row) for row in counts)
