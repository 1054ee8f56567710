"""One trial: a `train` run in a folder of its own, which goes on where it was stopped, and its line for the table."""

import contextlib
import shutil
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import keras
import numpy as np

from digit_recognizer.config import RunConfig
from digit_recognizer.data.csv_header import CLASSES
from digit_recognizer.errors import DivergedError, GivenUpError, InputError, UnusableRunError
from digit_recognizer.locks import LOCK
from digit_recognizer.signals import show, stop_if_asked
from digit_recognizer.sweeps.continuing import go_on, load_history, read_curve, remove_folder, silence
from digit_recognizer.sweeps.searching import Curve, is_hopeless
from digit_recognizer.sweeps.trials import State, Trial, TrialRecord
from digit_recognizer.training.cores import count_threads
from digit_recognizer.training.cross_validation import cross_validate
from digit_recognizer.training.dataset import Dataset
from digit_recognizer.training.environment import ENVIRONMENT, load_fingerprint
from digit_recognizer.training.fingerprint import name_processor
from digit_recognizer.training.inputs import count_parameters
from digit_recognizer.training.precision import choose_precision
from digit_recognizer.training.results import CVResult
from digit_recognizer.training.runs import CONFIG
from digit_recognizer.training.state import remove_state

BULKY = "models"  # of a trial nothing is kept that `train` with the same flags gives again


@dataclass(frozen=True)
class TrialTask:
    """A trial, ready to be run anywhere.

    Attributes:
        trial: which.
        config: of its run; its precision is settled, so that no two trials differ in it.
        earlier: curves that it is compared with; None if no trial is given up.
        commit: of the code, which travels to other machines without its history; None if nothing tells.
    """

    trial: Trial
    config: RunConfig
    earlier: Sequence[Curve] | None = None
    commit: str | None = None


@dataclass(frozen=True)
class Shop:
    """What the trials of a sweep share.

    Attributes:
        datasets: by their numbers of training and test rows, as the configurations have them (0: all).
        folder: where the trials' own folders are; None where there is no such folder, as on another machine.
    """

    datasets: dict[tuple[int, int], Dataset]
    folder: Path | None


@dataclass(frozen=True)
class Outcome:
    """What a trial leaves: its record and, if it was run elsewhere, the files of its folder by path."""

    record: TrialRecord
    files: dict[str, bytes]


@dataclass
class _Watch:
    """Follows a run's history, and gives it up where it is hopeless: not in its last epoch, when all is done."""

    earlier: Sequence[Curve] | None
    epochs: int
    history: list[dict[str, Any]] = field(default_factory=list)

    def __call__(self, history: list[dict[str, Any]]) -> None:
        self.history = list(history)
        stop_if_asked()
        curve = read_curve(history, "held_out_accuracy")
        if self.earlier is not None and len(curve) < self.epochs and is_hopeless(curve, self.earlier):
            raise GivenUpError


def do_trial(shop: Shop, task: TrialTask) -> Outcome:
    """Run a trial in the sweep's folder or, on another machine, in a temporary one."""
    dataset = shop.datasets[task.config.train_rows, task.config.test_rows]
    if shop.folder is not None:
        return Outcome(run_trial(dataset, task, shop.folder), {})
    with tempfile.TemporaryDirectory(prefix="digit-recognizer-") as name:
        record = run_trial(dataset, task, Path(name))
        own = Path(name) / task.trial.name
        files = [path for path in own.rglob("*") if path.is_file() and path.name != LOCK]
        return Outcome(record, {path.relative_to(own).as_posix(): path.read_bytes() for path in files})


def settle_precision(_: None, requested: str) -> str:
    """The number format in which trials are run, where they are run."""
    return choose_precision(requested)


def run_trial(dataset: Dataset, task: TrialTask, folder: Path) -> TrialRecord:
    """Run a trial to its end, from its beginning or from where it was stopped.

    Args:
        dataset: of its configuration.
        task: the trial.
        folder: where the trials' own folders are.

    Raises:
        InputError: for what is not the trial's own fault: no room on the disk, a folder in use, a tracker that does not
            answer. What the trial has done till then stays in its folder.
    """
    started = time.perf_counter()
    keras.backend.clear_session()  # hundreds of nets in one process would fill its memory
    path = folder / task.trial.name
    watch = _Watch(task.earlier, task.config.epochs + (task.config.unfreeze_epochs if task.config.unfreeze else 0))
    state: State = "done"
    reason, result = "", None
    try:
        result = _begin_or_go_on(dataset, task, path, watch)
    except GivenUpError:
        state = "pruned"
    except (DivergedError, _NoSuchNetError) as error:
        state, reason = "failed", str(error)
    if path.exists():
        with contextlib.suppress(OSError):  # a finished trial may be kept where nobody writes
            remove_state(path)
        shutil.rmtree(path / BULKY, ignore_errors=True)
    history = watch.history if result is None else load_history(path)
    curve = read_curve(history, "held_out_accuracy")
    seconds = time.perf_counter() - started
    return TrialRecord(
        name=task.trial.name,
        setting=task.trial.setting,
        seed=task.trial.seed,
        state=state,
        reason=reason,
        untrained=result.untrained_accuracy if result else None,
        accuracy=result.score.oof_accuracy if result else curve[-1] if state == "pruned" else None,
        held_out_curve=curve,
        fitted_curve=read_curve(history, "accuracy"),
        confusion=_count_confusion(result, dataset.labels) if result else (),
        fitted_rows=_count_fitted(result) if result else 0,
        parameters=0 if state == "failed" else count_parameters(task.config.model, task.config.net),
        seconds=round(max(seconds, result.elapsed_seconds) if result else seconds, 3),
        circumstances=_tell_circumstances(dataset, task, path),
    )


class _NoSuchNetError(Exception):
    """No net can be built with a setting's values."""


def _begin_or_go_on(dataset: Dataset, task: TrialTask, path: Path, watch: _Watch) -> CVResult:
    """What a run gives; one that was begun under other circumstances, or is damaged, is begun anew."""
    if (path / CONFIG).exists():
        try:
            return go_on(task.config, dataset, path, watch)
        except UnusableRunError as error:  # a trial is never half of one version and half of another
            show(f"note: {path} is begun anew: {error.reason}")
    remove_folder(path)
    try:
        count_parameters(task.config.model, task.config.net)
    except InputError as error:
        raise _NoSuchNetError(str(error)) from error
    config = task.config.replace(run_dir=path)
    if dataset.whole_test:
        config = config.replace(submission=path / "submission.csv")
    with silence():
        return cross_validate(config, single_split=True, dataset=dataset, on_epoch=watch)


def _tell_circumstances(dataset: Dataset, task: TrialTask, path: Path) -> dict[str, Any]:
    """What a trial's numbers depend on: those that its run was made under, or these here if no run was begun."""
    made_under: dict[str, Any] = {
        "precision": task.config.precision,
        "processor": name_processor(),
        "threads": count_threads(),
        "train.csv": dataset.train_sha256,
    }
    if (path / ENVIRONMENT).exists():
        recorded = load_fingerprint(path)
        made_under = {name: recorded[name] for name in made_under}
    return {
        "commit": task.commit,
        **made_under,
        "data": str(task.config.input_dir),
        "classes": list(dataset.class_names),
    }


def _count_fitted(result: CVResult) -> int:
    """Rows that were not held out, and so were fitted; early stopping's slice is among them."""
    return int(np.isnan(result.oof_probabilities[:, 0]).sum())


def _count_confusion(result: CVResult, labels: np.ndarray) -> tuple[tuple[int, ...], ...]:
    judged = ~np.isnan(result.oof_probabilities[:, 0])
    predictions = result.oof_probabilities[judged].argmax(axis=1)
    counts = np.bincount(labels[judged] * CLASSES + predictions, minlength=CLASSES**2).reshape(CLASSES, CLASSES)
    return tuple(tuple(int(rows) for rows in row) for row in counts)
