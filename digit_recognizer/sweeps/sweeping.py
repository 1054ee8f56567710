"""A sweep: a study's trials, one after the other or many at a time, each once, and then its page.

runs/sweep-<study>/
    trials.jsonl              a line per trial that has ended: the sweep's memory
    results.csv, page.html    the results
    ensembles.csv             of studies whose seeds hold out the same rows
    figures/
    trials/<name>/            the run of each: config.json, history.csv, probabilities, metrics.json, log
    .lock
"""

import contextlib
import io
import itertools
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import keras
import numpy as np

from digit_recognizer.competition.submissions import find_commit, format_command_line
from digit_recognizer.config import RunConfig, flag
from digit_recognizer.console import format_seconds, open_bar, print_line, raise_if_interrupted, show_status
from digit_recognizer.data.csv import CLASSES
from digit_recognizer.data.dataset import Dataset, check_augmentation, load_dataset
from digit_recognizer.data.splits import assign_folds
from digit_recognizer.errors import (
    DivergedError,
    InputError,
    LostError,
    PrunedError,
    UnusableRunError,
    WriteError,
    explain_defect,
    reraise_as_unusable_run,
)
from digit_recognizer.evaluation.metrics import count_confusions
from digit_recognizer.io import LOCK, check_writable_folder, claim_folder, write_atomically
from digit_recognizer.records import CONFIG
from digit_recognizer.sweeps.ensembles import update_ensembles
from digit_recognizer.sweeps.report import check_results, format_table, list_cautions, write_results
from digit_recognizer.sweeps.statistics import select_records
from digit_recognizer.sweeps.study import Study, SweepConfig, label_configuration, load_study
from digit_recognizer.sweeps.trials import (
    TRIALS,
    TRIALS_DIR,
    Curve,
    State,
    Trial,
    TrialRecord,
    append_trial,
    find_next_trials,
    is_unpromising,
    list_earlier_curves,
    load_trials,
)
from digit_recognizer.training.checkpoint import remove_checkpoint
from digit_recognizer.training.cross_validation import resume, run_cross_validation
from digit_recognizer.training.executors import Executor, count_threads, run_task
from digit_recognizer.training.hardware import POLICIES, choose_precision, name_processor
from digit_recognizer.training.inputs import check_flag_combinations, count_parameters
from digit_recognizer.training.reproducibility import ENVIRONMENT, compare_settings, load_environment
from digit_recognizer.training.run import HISTORY, CVResult, load_history, load_run_config

# TensorFlow 2.21 keeps the variables of every model that was trained for as long as its process lives, some 120 MB of
# a model of seven million parameters. No reference of ours holds them: a bare `fit` on plain arrays, its model deleted
# and the garbage collected, leaves the same. So a process that has grown by this much ends, and a new one resumes.
MAX_GROWTH_BYTES = 3 << 30
MODELS = "models"  # not kept: `train` with the same flags makes them again


# One trial, here or on another machine: a `train` run in a folder of its own, resumed where it was stopped.


@dataclass(frozen=True)
class TrialTask:
    """A trial, ready to be run anywhere."""

    trial: Trial
    config: RunConfig  # its precision is resolved, so that no two trials differ in it
    earlier: Sequence[Curve] | None = None  # curves that it is compared with; None if no trial is pruned
    commit: str | None = None  # of the code, which travels to other machines without its history


@dataclass(frozen=True)
class SharedData:
    """What the trials of a sweep share."""

    datasets: dict[tuple[int, int], Dataset]  # by numbers of training and test rows, as configurations have them
    folder: Path | None  # of the trials' own folders; None where there is no such folder, as on another machine


class PruningCallback(keras.callbacks.Callback):
    """Keeps a trial's learning curves, and stops a trial whose accuracy is below the median of earlier ones.

    Never in its last epoch, when all is done. A resumed run calls it for the epochs of earlier sessions too.
    """

    def __init__(self, earlier: Sequence[Curve] | None, epochs: int) -> None:
        super().__init__()
        self.earlier, self.epochs = earlier, epochs
        self.val_curve: list[float] = []
        self.train_curve: list[float] = []

    def add_epoch(self, logs: Mapping[str, Any]) -> None:
        """Add an epoch to the curves, with six decimals."""
        # where training needs validation rows, val_accuracy is that on these
        self.val_curve.append(round(float(logs.get("holdout_accuracy", logs.get("val_accuracy"))), 6))
        self.train_curve.append(round(float(logs["accuracy"]), 6))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Keep an epoch's accuracies.

        Raises:
            PrunedError: to stop the trial.
        """
        self.add_epoch(logs or {})
        raise_if_interrupted()
        is_last = len(self.val_curve) == self.epochs
        if self.earlier is not None and not is_last and is_unpromising(tuple(self.val_curve), self.earlier):
            raise PrunedError


def execute_trial(shared: SharedData, task: TrialTask) -> tuple[TrialRecord, dict[str, bytes]]:
    """Run a trial in the sweep's folder or, on another machine, in a temporary one, whose files are given by path."""
    dataset = shared.datasets[task.config.limit_train, task.config.limit_test]
    if shared.folder is not None:
        return run_trial(dataset, task, shared.folder), {}
    with tempfile.TemporaryDirectory(prefix="digit-recognizer-") as name:
        record = run_trial(dataset, task, Path(name))
        own = Path(name) / task.trial.name
        files = [path for path in own.rglob("*") if path.is_file() and path.name != LOCK]
        return record, {path.relative_to(own).as_posix(): path.read_bytes() for path in files}


def run_trial(dataset: Dataset, task: TrialTask, folder: Path) -> TrialRecord:
    """Run a trial to its end, from its beginning or from where it was stopped, in its own folder within `folder`.

    Raises:
        InputError: for what is not the trial's own fault: a full disk, a folder in use, a tracker that does not
            answer. What the trial has done till then stays in its folder.
    """
    started = time.perf_counter()
    keras.backend.clear_session()  # hundreds of models in one process would fill its memory
    path, config = folder / task.trial.name, task.config
    callback = PruningCallback(task.earlier, config.epochs + (config.unfreeze_epochs if config.unfreeze else 0))
    reason, result = find_model_fault(config), None
    state: State = "failed" if reason else "done"
    try:
        result = None if reason else _start_or_resume(dataset, task, path, callback)
    except PrunedError:
        state = "pruned"
    except DivergedError as error:
        state, reason = "failed", str(error)
    except (InputError, OSError):
        raise
    except Exception as error:  # no trial may cost the others
        state, reason = "failed", str(explain_defect(error, path))
    if path.exists():
        with contextlib.suppress(OSError):  # a finished trial may be kept where nobody can write
            remove_checkpoint(path)
        shutil.rmtree(path / MODELS, ignore_errors=True)
    seconds = time.perf_counter() - started
    confusion: tuple[tuple[int, ...], ...] = ()
    training_rows = 0
    if result:
        held_out = ~np.isnan(result.oof_probabilities[:, 0])
        predictions = result.oof_probabilities[held_out].argmax(axis=1)
        confusion = tuple(map(tuple, count_confusions(dataset.labels[held_out], predictions, CLASSES).tolist()))
        training_rows = int((~held_out).sum())
    return TrialRecord(
        name=task.trial.name,
        configuration=task.trial.configuration,
        seed=task.trial.seed,
        state=state,
        reason=reason,
        untrained=result.untrained_accuracy if result else None,
        accuracy=result.score.oof_accuracy if result else callback.val_curve[-1] if state == "pruned" else None,
        val_curve=tuple(callback.val_curve),
        train_curve=tuple(callback.train_curve),
        confusion=confusion,
        training_rows=training_rows,
        parameters=0 if state == "failed" else count_parameters(config.model, config.model_args),
        seconds=round(max(seconds, result.elapsed_seconds) if result else seconds, 3),
        environment=describe_environment(dataset, task, path),
    )


def find_model_fault(config: RunConfig) -> str:
    """Why no network can be built with a configuration's values; empty if one can."""
    try:
        count_parameters(config.model, config.model_args)
    except InputError as error:
        return str(error)
    return ""


def _start_or_resume(dataset: Dataset, task: TrialTask, path: Path, callback: PruningCallback) -> CVResult:
    """The result of a run. One that was started in another environment, or is damaged, is started again."""
    if (path / CONFIG).exists():
        try:
            return _resume(task.config, dataset, path, callback)
        except UnusableRunError as error:  # a trial is never half of one version and half of another
            print_line(f"note: {path} is started again: {error}")
            callback.val_curve, callback.train_curve = [], []
    if path.is_dir():
        shutil.rmtree(path)
    path.unlink(missing_ok=True)  # a file in its place
    config = task.config.replace(run_dir=path)
    if dataset.has_all_test_rows:
        config = config.replace(submission=path / "submission.csv")
    with _silence():
        return run_cross_validation(config, single_split=True, dataset=dataset, callbacks=[callback])


def _resume(config: RunConfig, dataset: Dataset, path: Path, callback: PruningCallback) -> CVResult:
    """Finish a trial's run, or read it again if it has finished."""
    with reraise_as_unusable_run():
        started_with, _ = load_run_config(path, "train")
    # an automatic precision was resolved when the run was started
    if differing := compare_settings(started_with, config, ignored=["precision"]):
        raise UnusableRunError("sweep.another_run", path=path, received=", ".join(differing))
    with _silence():
        result = resume(path, "train", dataset=dataset, callbacks=[callback])
    if callback.val_curve:
        return result
    try:  # a run that has finished is only shown again
        for epoch in load_history(path).to_dict("records"):
            callback.add_epoch(epoch)
        if not callback.val_curve or not np.isfinite([callback.val_curve, callback.train_curve]).all():
            raise ValueError("it lacks numbers")
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise UnusableRunError("sweep.history", path=path / HISTORY, problem=error) from error
    return result


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
    here = {
        "precision": task.config.precision,
        "processor": name_processor(),
        "threads": count_threads(),
        "train.csv": dataset.train_sha256,
    }
    recorded = load_environment(path)["fingerprint"] if (path / ENVIRONMENT).exists() else here
    data = {"data": str(task.config.input_dir), "classes": list(dataset.class_names)}
    return {"commit": task.commit, **{name: recorded[name] for name in here}, **data}


# The sweep.


def sweep(
    config: SweepConfig, executor: Executor | None = None, max_growth_bytes: int | None = None
) -> list[TrialRecord] | None:
    """Run what is left of a study, and write its page.

    Args:
        config: what to do.
        executor: runs the trials; None stands for this process.
        max_growth_bytes: of this process's memory, after which the sweep stops between two trials, to be called again
            in a new process; None for no limit.

    Returns:
        All trials that the sweep's table holds, also those of earlier versions of the study; None if it stopped because
        the process has grown.

    Raises:
        InputError: one line for whatever the user can correct.
    """
    study = load_study(config.study)
    named = {name: value for name in ("input_dir", "trials", "minutes") if (value := getattr(config, name)) is not None}
    for name in ("trials", "minutes"):
        if not named.get(name, 1) > 0:  # NaN too
            raise InputError("sweep.budget", column=flag(name), received=named[name])
    study = replace(study, **named)
    folder = config.run_dir or Path("runs") / f"sweep-{study.name}"
    check_writable_folder(folder)
    check_results(folder)
    lock = claim_folder(folder)
    try:
        if not config.page_only and not _Sweep(study, folder, executor or Executor()).run(max_growth_bytes):
            return None
        records = load_trials(folder / TRIALS)
        if records and not select_records(study, records):
            raise InputError("sweep.no_trials", path=folder / TRIALS, count=len(records))
        print_line(format_table(study, records))
        with show_status("drawing the page"):
            write_results(config.study, study, records, folder)
        return records
    except KeyboardInterrupt as stop:
        raise type(stop)(f"--page-only shows the results so far; resume with: {format_command_line()}") from None
    except (LostError, WriteError) as error:
        raise error.with_remedy(f"Then resume with: {format_command_line()}") from None
    finally:
        lock.release()


class _Sweep:
    """Runs a study's trials: data loaded once for all that use the same rows, and one precision for all."""

    def __init__(self, study: Study, folder: Path, executor: Executor) -> None:
        self.study, self.folder, self.executor = study, folder, executor
        self.records = load_trials(folder / TRIALS)
        self.commit = find_commit()
        self.precisions: dict[str, str] = {}
        self.datasets: dict[tuple[int, int], Dataset] = {}

    def run(self, max_growth_bytes: int | None) -> bool:
        """Run all trials that are left, each added to the table as it ends; False if memory stopped it before."""
        study, max_bytes = self.study, math.inf
        if max_growth_bytes is not None and self.executor.is_local:
            max_bytes = measure_memory() + max_growth_bytes
        if self.records:
            count = len(select_records(study, self.records))
            print_line(f"{self.folder / TRIALS} holds {count} trials that have ended; they are not run again")
        self._print_notes()
        progress = TrialProgress(study, self.records)
        with progress.bar:
            while wave := find_next_trials(study, self.records):
                shared = self._share_data(wave)
                in_time = itertools.takewhile(lambda _: not (progress.is_over() or measure_memory() > max_bytes), wave)
                tasks = (self._prepare(trial) for trial in in_time)
                for _, (record, files) in self.executor.map_as_completed(execute_trial, tasks, shared):
                    for name, content in files.items():
                        with write_atomically(self.folder / TRIALS_DIR / record.name / name) as temporary:
                            temporary.write_bytes(content)
                    append_trial(self.folder / TRIALS, record)
                    self.records.append(record)
                    progress.report(record)
                if measure_memory() > max_bytes:
                    return False
                if progress.is_over():
                    print_line(f"the study's {study.minutes:g} minutes are spent")
                    break
        if "split_seed" in study.fixed:
            ours = select_records(study, self.records)
            update_ensembles(study, ours, self.folder, lambda one: self._load(study.build_config(one, 0)).labels)
        return True

    def _print_notes(self) -> None:
        """Cautions, and configurations of which no network can be built: before hours are spent on the others."""
        for name, values, limit in list_cautions(self.study, self.study.configurations):
            print_line(f"note: {name} {values}: {limit}")
        for trial in find_next_trials(self.study, self.records):
            if trial.seed == 0 and (fault := find_model_fault(self.study.build_config(trial.configuration, 0))):
                label = label_configuration(self.study, trial.configuration)
                print_line(f"note: the trials of {label} will fail: {fault}")

    def _share_data(self, wave: list[Trial]) -> SharedData:
        """What the trials of a wave share; refuses what these data or this backend cannot do."""
        configs = [self.study.build_config(trial.configuration, trial.seed) for trial in wave]
        for config in configs:  # not a trial's own fault, which would stay in the table for good
            check_flag_combinations(config)
            check_augmentation(config, self._load(config).label_set)
        for config in {(config.folds, config.limit_train): config for config in configs}.values():
            dataset = self._load(config)
            assign_folds(dataset.labels, config.folds, 0, dataset.groups)
        datasets = {(config.limit_train, config.limit_test): self._load(config) for config in configs}
        return SharedData(datasets, self.folder / TRIALS_DIR if self.executor.shares_disk else None)

    def _load(self, config: RunConfig) -> Dataset:
        """The data of a configuration, if the table holds no trials of another train.csv."""
        rows = (config.limit_train, config.limit_test)
        if rows not in self.datasets:
            self.datasets[rows] = load_dataset(config)
        hashes = {record.environment.get("train.csv") for record in self.records}
        if hashes - {self.datasets[rows].train_sha256}:
            raise InputError("sweep.other_data", path=self.folder / TRIALS)
        return self.datasets[rows]

    def _prepare(self, trial: Trial) -> TrialTask:
        """A trial with its configuration and the curves that it is compared with."""
        config = self.study.build_config(trial.configuration, trial.seed)
        config = config.replace(precision=self._resolve_precision(config.precision))
        earlier = list_earlier_curves(self.study, trial, self.records) if self.study.prune != "none" else None
        return TrialTask(trial, config, earlier, self.commit)

    def _resolve_precision(self, requested: str) -> str:
        """That of earlier sessions, since a timing may come out differently; else the result of a timing."""
        if requested not in self.precisions:
            known = [
                record.environment["precision"]
                for record in select_records(self.study, self.records)
                if record.environment.get("precision") in POLICIES
                and self.study.build_config(record.configuration, record.seed).precision == requested
            ]
            self.precisions[requested] = known[0] if known else run_task(self.executor, resolve_precision, requested)
        return self.precisions[requested]


def resolve_precision(_: None, requested: str) -> str:
    """The number format in which trials are run, where they are run."""
    return choose_precision(requested)


class TrialProgress:
    """A line per trial, with the time left, and a bar on a terminal; `records` are of earlier sessions."""

    def __init__(self, study: Study, records: list[TrialRecord]) -> None:
        records = select_records(study, records)  # those of an earlier version have used up nothing of this one's time
        self.study, self.ended, self.in_session = study, len(records), 0
        self.spent_seconds, self.started = sum(record.seconds for record in records), time.perf_counter()
        left = None if study.planned is None else max(0, study.planned - self.ended)
        self.bar = open_bar("trials", left, "trials", delay=0)

    def report(self, record: TrialRecord) -> None:
        """Print the line of a trial that has just ended."""
        self.ended += 1
        self.in_session += 1
        self.bar.update()
        self.spent_seconds += record.seconds
        pruned = " (pruned)" if record.state == "pruned" else ""
        result = f"failed: {record.reason}" if record.accuracy is None else f"accuracy {record.accuracy:.5f}{pruned}"
        total = eta = ""
        if (planned := self.study.planned) is not None:  # many machines may run trials at once
            seconds = (time.perf_counter() - self.started) / self.in_session * (planned - self.ended)
            total, eta = f"/{planned}", f"  ETA {format_seconds(max(0, seconds))}"
        label = label_configuration(self.study, record.configuration)
        print_line(f"trial {self.ended}{total}  {label}, seed {record.seed}  {result}  {record.seconds:.1f} s{eta}")

    def is_over(self) -> bool:
        """Whether the study's minutes are spent."""
        return self.study.minutes is not None and self.spent_seconds >= 60 * self.study.minutes


def measure_memory() -> int:
    """Bytes of memory that this process holds now or, where the system does not say, the most that it has held.

    0 on Windows, which says neither to Python: no worker is replaced there.
    """
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        try:
            import resource
        except ImportError:
            return 0
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
