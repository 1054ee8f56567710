"""A sweep: a study's trials, one after the other or many at a time, each once, and then its page.

runs/sweep-<study>/
    trials.jsonl              a line per trial that has ended: the sweep's memory
    results.csv, page.html    the results
    ensembles.csv             of studies whose seeds hold out the same rows
    figures/
    trials/<name>/            the run of each: config.json, history.csv, probabilities, metrics.json, log
    .lock
"""

import itertools
import os
import resource
import sys
import time
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd

from digit_recognizer.competition.submissions import describe_command, find_commit
from digit_recognizer.config import RunConfig, flag
from digit_recognizer.console import format_seconds, print_line
from digit_recognizer.data.dataset import Dataset, check_augmentation, load_dataset
from digit_recognizer.data.splits import assign_folds
from digit_recognizer.errors import InputError, LostError, WriteError
from digit_recognizer.io import check_writable_folder, claim_folder, write_atomically
from digit_recognizer.sweeps.ensembles import (
    ENSEMBLES,
    evaluate_ensembles,
    load_ensembles,
    merge_ensembles,
    write_ensembles,
)
from digit_recognizer.sweeps.report import check_results, format_table, list_cautions, write_results
from digit_recognizer.sweeps.running import SharedData, TrialTask, execute_trial
from digit_recognizer.sweeps.search import find_next_trials, list_earlier_curves
from digit_recognizer.sweeps.statistics import select_records
from digit_recognizer.sweeps.study import Configuration, Study, label_configuration, load_study
from digit_recognizer.sweeps.trials import TRIALS, Trial, TrialRecord, append_trial, load_trials
from digit_recognizer.training.executors import Executor, LocalExecutor, do_task
from digit_recognizer.training.hardware import POLICIES, choose_precision
from digit_recognizer.training.inputs import check_flag_combinations, count_parameters

# TensorFlow 2.21 keeps the variables of every model that was trained for as long as its process lives, some 120 MB of
# a model of seven million parameters. No reference of ours holds them: a bare `fit` on plain arrays, its model deleted
# and the garbage collected, leaves the same. So a process that has grown by this much ends, and a new one resumes.
MOST_GROWTH_BYTES = 3 << 30


@dataclass(frozen=True)
class SweepConfig:
    """What `sweep` is asked to do.

    Attributes:
        study: a study's file, or its folder.
        run_dir: the sweep's folder; None stands for runs/sweep-<study>.
        input_dir: the data's folder; None takes the study's.
        trials, minutes: None takes the study's.
        page_only: run nothing, write the page of the trials at hand.
    """

    study: Path
    run_dir: Path | None = None
    input_dir: Path | None = None
    trials: int | None = None
    minutes: float | None = None
    page_only: bool = False

    def __post_init__(self) -> None:
        """Refuse budgets of nothing.

        Raises:
            InputError: naming the flag.
        """
        for name in ("trials", "minutes"):
            value = getattr(self, name)
            if value is not None and not value > 0:  # NaN too
                raise InputError("sweep.budget", column=flag(name), received=value)


def sweep(
    config: SweepConfig, executor: Executor | None = None, most_growth_bytes: int | None = None
) -> list[TrialRecord] | None:
    """Run what is left of a study, and write its page.

    Args:
        config: what to do.
        executor: runs the trials; None stands for this process.
        most_growth_bytes: of this process's memory, after which the sweep stops between two trials, to be called again
            in a new process; None for no limit.

    Returns:
        All trials that the sweep's table holds, also those of earlier versions of the study; None if it stopped because
        the process has grown.

    Raises:
        InputError: one line for whatever the user can correct.
    """
    study = load_study(config.study)
    named = {name: getattr(config, name) for name in ("input_dir", "trials", "minutes")}
    study = replace(study, **{name: value for name, value in named.items() if value is not None})
    folder = config.run_dir or Path("runs") / f"sweep-{study.name}"
    check_writable_folder(folder)
    check_results(folder)
    lock = claim_folder(folder)
    try:
        if not config.page_only and not _Sweep(study, folder, executor or LocalExecutor()).run(most_growth_bytes):
            return None
        records = load_trials(folder / TRIALS)
        if records and not select_records(study, records):
            raise InputError("sweep.no_trials", path=folder / TRIALS, count=len(records))
        print_line(format_table(study, records))
        write_results(config.study, study, records, folder)
        return records
    except KeyboardInterrupt as stop:
        raise type(stop)(f"--page-only shows the results so far; resume with: {describe_command()}") from None
    except (LostError, WriteError) as error:
        raise error.with_remedy(f"Then resume with: {describe_command()}") from None
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

    def run(self, most_growth_bytes: int | None) -> bool:
        """Run all trials that are left, each added to the table as it ends; False if memory stopped it before."""
        before_bytes, study = measure_memory(), self.study
        if self.records:
            ours = len(select_records(study, self.records))
            others = f"; {len(self.records) - ours} are of other studies" if len(self.records) > ours else ""
            print_line(f"{self.folder / TRIALS} holds {ours} trials that have ended; they are not run again{others}")
        self._print_notes()
        progress = TrialProgress(study, self.records, is_local=self.executor.is_local)

        def has_grown() -> bool:
            limited = most_growth_bytes is not None and self.executor.is_local
            return limited and measure_memory() - before_bytes > (most_growth_bytes or 0)

        while wave := find_next_trials(study, self.records):
            shared = self._share_data(wave)
            in_time = itertools.takewhile(lambda _: not (progress.is_over() or has_grown()), wave)
            tasks = (self._prepare(trial) for trial in in_time)
            for _, outcome in self.executor.map_as_finished(execute_trial, tasks, shared):
                for name, content in outcome.files.items():
                    with write_atomically(self.folder / "trials" / outcome.record.name / name) as temporary:
                        temporary.write_bytes(content)
                append_trial(self.folder / TRIALS, outcome.record)
                self.records.append(outcome.record)
                progress.report(outcome.record)
            if has_grown():
                return False
            if progress.is_over():
                print_line(f"the study's {study.minutes:g} minutes are spent")
                break
        if "split_seed" in study.fixed:
            self._write_ensembles()
        return True

    def _print_notes(self) -> None:
        """Cautions, and configurations of which no network can be built: before hours are spent on the others."""
        for caution in list_cautions(self.study, self.study.configurations):
            print_line(f"note: {caution}")
        for trial in find_next_trials(self.study, self.records):
            config = self.study.build_config(trial.configuration, 0)
            try:
                if trial.seed == 0:
                    count_parameters(config.model, config.model_args)
            except InputError as error:
                label = label_configuration(self.study, trial.configuration)
                print_line(f"note: the trials of {label} will fail: {error}")

    def _share_data(self, wave: list[Trial]) -> SharedData:
        """What the trials of a wave share.

        Raises:
            InputError: if the table holds trials of other data, or one cannot be run with these data or this backend.
        """
        configs = [self.study.build_config(trial.configuration, trial.seed) for trial in wave]
        checked: set[tuple[int, int]] = set()
        for config in configs:  # not a trial's own fault, which would stay in the table for good
            dataset = self._load(config)
            check_flag_combinations(config)
            check_augmentation(config.augmentation, dataset.label_set, config.input_dir)
            if (config.folds, config.limit_train) not in checked:
                assign_folds(dataset.labels, config.folds, 0, dataset.groups)
                checked.add((config.folds, config.limit_train))
        datasets = {(config.limit_train, config.limit_test): self._load(config) for config in configs}
        return SharedData(datasets, self.folder / "trials" if self.executor.is_local else None)

    def _load(self, config: RunConfig) -> Dataset:
        """The data of a configuration.

        Raises:
            InputError: if the table holds trials of another train.csv.
        """
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
        if config.precision not in self.precisions:
            self.precisions[config.precision] = self._resolve_precision(config.precision)
        config = config.replace(precision=self.precisions[config.precision])
        earlier = list_earlier_curves(self.study, trial, self.records) if self.study.prune != "none" else None
        return TrialTask(trial, config, earlier, self.commit)

    def _resolve_precision(self, requested: str) -> str:
        """That of earlier sessions, since a timing may come out differently; else the result of a timing."""
        for record in select_records(self.study, self.records):
            resolved = record.environment.get("precision")
            if (
                self.study.build_config(record.configuration, record.seed).precision == requested
                and resolved in POLICIES
            ):
                return str(resolved)
        return do_task(self.executor, resolve_precision, requested)

    def _write_ensembles(self) -> None:
        def load_labels(configuration: Configuration) -> np.ndarray:
            return self._load(self.study.build_config(configuration, 0)).labels

        path, ours = self.folder / ENSEMBLES, select_records(self.study, self.records)
        kept = load_ensembles(path)
        new = evaluate_ensembles(self.study, ours, self.folder / "trials", load_labels)
        if not new.empty:
            scores = merge_ensembles(self.study, kept, new, ours)
            write_ensembles(path, pd.concat([scores, kept[~kept.trials.isin(scores.trials)]]))


def resolve_precision(_: None, requested: str) -> str:
    """The number format in which trials are run, where they are run."""
    return choose_precision(requested)


class TrialProgress:
    """A line per trial, with the time left.

    Args:
        study: of which trials are run.
        records: trials that have ended in earlier sessions.
        is_local: whether they are run by this process, one after the other; if not, many machines may run at once.
    """

    def __init__(self, study: Study, records: list[TrialRecord], is_local: bool = True) -> None:
        records = select_records(study, records)  # those of an earlier version have used up nothing of this one's time
        self.study, self.ended = study, len(records)
        self.spent_seconds = sum(record.seconds for record in records)
        self.is_local, self.session_seconds, self.started = is_local, 0.0, time.perf_counter()

    def report(self, record: TrialRecord) -> None:
        """Print the line of a trial that has just ended."""
        self.ended += 1
        self.spent_seconds += record.seconds
        self.session_seconds += record.seconds
        pruned = " (pruned)" if record.state == "pruned" else ""
        result = f"failed: {record.reason}" if record.accuracy is None else f"accuracy {record.accuracy:.5f}{pruned}"
        total = eta = ""
        if (planned := self.study.planned) is not None:
            at_once = 1.0
            if not self.is_local:
                at_once = max(1.0, self.session_seconds / (time.perf_counter() - self.started))
            seconds = (planned - self.ended) * self.spent_seconds / self.ended / at_once
            total, eta = f"/{planned}", f"  ETA {format_seconds(max(0, seconds))}"
        label = label_configuration(self.study, record.configuration)
        print_line(f"trial {self.ended}{total}  {label}, seed {record.seed}  {result}  {record.seconds:.1f} s{eta}")

    def is_over(self) -> bool:
        """Whether the study's minutes are spent."""
        return self.study.minutes is not None and self.spent_seconds >= 60 * self.study.minutes


def measure_memory() -> int:
    """Bytes of memory that this process holds now or, where the system does not say, the most that it has held."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024
