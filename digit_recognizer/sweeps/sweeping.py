"""A sweep: a study's trials, one after the other or many at a time, each once, and then what they say.

runs/sweep-<study>/
    trials.jsonl              a line per trial that has ended: the sweep's memory
    results.csv, page.html    what they say
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
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from digit_recognizer.competition.submissions import describe_command, find_commit
from digit_recognizer.config import RunConfig
from digit_recognizer.console import print_line
from digit_recognizer.data.augmentation import check_augmentation
from digit_recognizer.data.dataset import Dataset, load_dataset
from digit_recognizer.data.splits import assign_folds
from digit_recognizer.errors import InputError, LostError, WriteError
from digit_recognizer.io import check_writable_folder, claim_folder, write_atomically
from digit_recognizer.sweeps.ensembles import (
    ENSEMBLES,
    judge_ensembles,
    load_ensembles,
    merge_ensembles,
    write_ensembles,
)
from digit_recognizer.sweeps.report import check_results, count_planned, tell_results
from digit_recognizer.sweeps.statistics import format_table, select_records
from digit_recognizer.sweeps.study import Setting, Study, list_cautions, list_impossible, load_study
from digit_recognizer.sweeps.trials import (
    TRIALS,
    Shop,
    Trial,
    TrialRecord,
    TrialTask,
    append_trial,
    do_trial,
    find_next_trials,
    list_earlier_curves,
    load_trials,
    settle_precision,
)
from digit_recognizer.training.executors import Executor, LocalExecutor, do_task
from digit_recognizer.training.hardware import POLICIES
from digit_recognizer.training.inputs import check_flag_combinations
from digit_recognizer.training.progress import format_seconds

# How large this process has grown: a long sweep needs a new one now and then.
#
# TensorFlow 2.21 keeps the variables of every net that was fitted for as long as its process lives, some 120 MB of a net
# of seven million parameters. No reference of ours holds them: a bare `fit` on plain arrays, its model deleted and the
# garbage collected, leaves the same.

MOST_GROWTH_BYTES = 3 << 30


def measure_memory() -> int:
    """Bytes of memory that this process holds now or, where the system does not tell, the most that it has held."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return most if sys.platform == "darwin" else most * 1024


# A line per trial of a sweep, with the time left.


class TrialProgress:
    """A line per trial, with the time left.

    Args:
        study: of which trials are run.
        records: trials that have ended in earlier sittings.
        here: whether they are run by this process, one after the other; if not, many machines may run them at once.
    """

    def __init__(self, study: Study, records: list[TrialRecord], here: bool = True) -> None:
        records = select_records(study, records)  # those of an earlier wording have used up nothing of this one's
        self.study, self.ended = study, len(records)
        self.spent_seconds = sum(record.seconds for record in records)
        self.here, self.sitting_seconds, self.begun = here, 0.0, time.perf_counter()
        self.planned = count_planned(study)
        self.names = study.parameters

    def tell(self, record: TrialRecord) -> None:
        """Tell of a trial that has just ended."""
        self.ended += 1
        self.spent_seconds += record.seconds
        self.sitting_seconds += record.seconds
        values = " ".join(
            f"{name}={_show_value(record.setting[name])}" for name in self.names if name in record.setting
        )
        what = (
            f"failed: {record.reason}"
            if record.accuracy is None
            else f"accuracy {record.accuracy:.5f}{' (given up)' if record.state == 'pruned' else ''}"
        )
        left = ""
        if self.planned is not None:
            at_once = 1.0 if self.here else max(1.0, self.sitting_seconds / (time.perf_counter() - self.begun))
            seconds = (self.planned - self.ended) * self.spent_seconds / self.ended / at_once
            left = f"  left about {format_seconds(max(0, seconds))}"
        total = "" if self.planned is None else f"/{self.planned}"
        print_line(f"trial {self.ended}{total}  {values} seed={record.seed}  {what}  {record.seconds:.1f} s{left}")

    def is_over(self) -> bool:
        """Whether the study's minutes are spent."""
        return self.study.minutes is not None and self.spent_seconds >= 60 * self.study.minutes


def _show_value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


@dataclass(frozen=True)
class SweepConfig:
    """What `sweep` is asked to do.

    Attributes:
        study: a study's file, or its folder.
        run_dir: the sweep's folder; None stands for runs/sweep-<study>.
        input_dir: the data's folder; None takes the study's.
        trials, minutes: None takes the study's.
        page_only: run nothing, write what the trials at hand say.
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
                raise InputError(f"--{name} takes a number above 0; received {value}.")


def sweep(
    config: SweepConfig, executor: Executor | None = None, restart: Callable[[], None] | None = None
) -> list[TrialRecord]:
    """Run what is left of a study, and write what its trials say.

    Args:
        config: what to do.
        executor: runs the trials; None stands for this process.
        restart: called between two trials where this process has grown large; it begins the same command in a new one,
            and does not come back.

    Returns:
        All trials that the sweep's table holds; `select_records` tells the study's from those of earlier wordings.

    Raises:
        InputError: one line for whatever the person at the keyboard can mend.
    """
    study = load_study(config.study)
    said = {name: getattr(config, name) for name in ("input_dir", "trials", "minutes")}
    study = replace(study, **{name: value for name, value in said.items() if value is not None})
    folder = config.run_dir or Path("runs") / f"sweep-{study.name}"
    check_writable_folder(folder)
    check_results(folder)
    lock = claim_folder(folder)
    try:
        if not config.page_only:
            whole = _run_trials(study, folder, executor or LocalExecutor(), stop_grown=restart is not None)
            if restart is not None and not whole:
                lock.release()
                restart()
        records = load_trials(folder / TRIALS)
        if records and not select_records(study, records):
            raise InputError(
                f"{folder / TRIALS} holds {len(records):,} trials, but none that {config.study} asks for as it now "
                "reads: name another --run-dir, or run some."
            )
        print_line(format_table(study, records))
        tell_results(config.study, study, records, folder)
        return records
    except KeyboardInterrupt as stop:
        raise type(stop)(
            f"--page-only tells what has ended so far; go on with the same command: {describe_command()}"
        ) from None
    except (LostError, WriteError) as error:
        raise type(error)(f"{error} Then go on with the same command: {describe_command()}") from error
    finally:
        lock.release()


def _run_trials(study: Study, folder: Path, executor: Executor, stop_grown: bool) -> bool:
    """Run all trials that are left, each added to the table as it ends; False if memory ended it before them."""
    begun_bytes = measure_memory()
    records, kept = load_trials(folder / TRIALS), load_ensembles(folder / ENSEMBLES)
    ours = select_records(study, records)
    if records:
        others = f"; {len(records) - len(ours)} are of other studies" if len(records) > len(ours) else ""
        print_line(f"{folder / TRIALS} holds {len(ours)} trials that have ended; they are not run again{others}")
    left = [trial.setting for trial in find_next_trials(study, records) if trial.seed == 0]
    for caution in (*list_cautions(study, study.list_settings()), *list_impossible(study, left)):
        print_line(f"note: {caution}")
    workshop = _Workshop(study, executor, folder / "trials")
    progress = TrialProgress(study, records, here=executor.is_local)

    def has_grown() -> bool:
        return stop_grown and executor.is_local and measure_memory() - begun_bytes > MOST_GROWTH_BYTES

    while wave := find_next_trials(study, records):
        shop = workshop.open(wave, records)
        in_time = itertools.takewhile(lambda _: not (progress.is_over() or has_grown()), wave)
        tasks = (workshop.prepare(trial, records) for trial in in_time)
        for _, outcome in executor.map_as_finished(do_trial, tasks, shop):
            for name, content in outcome.files.items():
                with write_atomically(folder / "trials" / outcome.record.name / name) as temporary:
                    temporary.write_bytes(content)
            append_trial(folder / TRIALS, outcome.record)
            records.append(outcome.record)
            progress.tell(outcome.record)
        if has_grown():
            return False
        if progress.is_over():
            print_line(f"the study's {study.minutes:g} minutes are spent")
            break
    if "split_seed" in study.fixed:

        def load_labels(setting: Setting) -> np.ndarray:
            config = study.build_config(setting, 0)
            workshop.check_data(config, records)
            return workshop.load(config).labels

        ours = select_records(study, records)
        if judged := judge_ensembles(study, ours, folder / "trials", load_labels):
            scores = merge_ensembles(study, kept, judged, ours)
            earlier = [score for score in kept if score.trials not in {one.trials for one in scores}]
            write_ensembles(folder / ENSEMBLES, [*scores, *earlier])
    return True


class _Workshop:
    """Makes trials ready: data loaded once for all that see the same rows, and one precision."""

    def __init__(self, study: Study, executor: Executor, folder: Path) -> None:
        self.study, self.executor, self.folder = study, executor, folder
        self.commit = find_commit()
        self.precisions: dict[str, str] = {}
        self.datasets: dict[tuple[int, int], Dataset] = {}
        self.folds: set[tuple[int, int]] = set()  # with how many rows, found to be possible

    def open(self, wave: list[Trial], records: list[TrialRecord]) -> Shop:
        """What the trials of a wave share.

        Raises:
            InputError: if the table holds trials of other data, or one cannot be run with these data or this backend.
        """
        configs = [self.study.build_config(trial.setting, trial.seed) for trial in wave]
        shared = {(config.limit_train, config.limit_test): self.load(config) for config in configs}
        for config in configs:  # no fault of a setting, that would be noted of its trials for good
            dataset = self.load(config)
            check_flag_combinations(config)
            check_augmentation(config.augmentation, dataset.label_set, config.input_dir)
            if (config.folds, config.limit_train) not in self.folds:
                assign_folds(dataset.labels, config.folds, 0, dataset.groups)
                self.folds.add((config.folds, config.limit_train))
        self.check_data(configs[0], records)
        return Shop(shared, self.folder if self.executor.is_local else None)

    def check_data(self, config: RunConfig, records: list[TrialRecord]) -> None:
        """Refuse to mix trials of different rows.

        Raises:
            InputError: if the table holds trials of another train.csv than the configuration's.
        """
        here = self.load(config).train_sha256
        if any(record.circumstances.get("train.csv") != here for record in records):
            raise InputError(
                f"{self.folder.parent / TRIALS} holds trials of another train.csv: restore that, or name another "
                "--run-dir."
            )

    def prepare(self, trial: Trial, records: list[TrialRecord]) -> TrialTask:
        """A trial with its configuration and the curves that it is compared with."""
        config = self.study.build_config(trial.setting, trial.seed)
        if config.precision not in self.precisions:
            self.precisions[config.precision] = self._settle_precision(config.precision, records)
        config = config.replace(precision=self.precisions[config.precision])
        pruned = self.study.prune != "none"
        earlier = list_earlier_curves(self.study, trial, records) if pruned else None
        return TrialTask(trial, config, earlier, self.commit)

    def _settle_precision(self, requested: str, records: list[TrialRecord]) -> str:
        """The one that earlier sittings settled on, since a timing may come out otherwise; else what a timing says."""
        for record in select_records(self.study, records):
            settled = record.circumstances.get("precision")
            if self.study.build_config(record.setting, record.seed).precision == requested and settled in POLICIES:
                return str(settled)
        return do_task(self.executor, settle_precision, requested)

    def load(self, config: RunConfig) -> Dataset:
        """The data of a configuration."""
        rows = (config.limit_train, config.limit_test)
        if rows not in self.datasets:
            self.datasets[rows] = load_dataset(config)
        return self.datasets[rows]
