"""One trial: a `train` run in a folder of its own, which goes on where it was stopped, and its line for the table."""

import contextlib
import csv
import dataclasses
import hashlib
import io
import json
import math
import os
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import TYPE_CHECKING, Any, Literal

import keras
import numpy as np

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
from digit_recognizer.io import LOCK, open_regular_file
from digit_recognizer.sweeps.study import Range, Setting, Study
from digit_recognizer.training.checkpoint import remove_state
from digit_recognizer.training.cross_validation import cross_validate, resume
from digit_recognizer.training.executors import count_threads
from digit_recognizer.training.hardware import choose_precision
from digit_recognizer.training.inputs import count_parameters
from digit_recognizer.training.reproducibility import ENVIRONMENT, PATH_FIELDS, load_fingerprint, name_processor
from digit_recognizer.training.results import CVResult
from digit_recognizer.training.run import CONFIG, METRICS, load_run_config

if TYPE_CHECKING:
    import optuna


# The trials of a sweep: what each is, and the table of those that have ended, one line of JSON each.
#
# A trial is one setting with one seed: one `train` run. The table, trials.jsonl, is the sweep's memory: a line is added
# when a trial has ended, and a trial whose line is there is not run again. It is small enough to be kept for good.

TRIALS = "trials.jsonl"
NAME_DIGITS = 12
LIMIT_BYTES = 1 << 30

State = Literal["done", "pruned", "failed"]

KINDS: dict[str, type | tuple[type, ...]] = {
    "name": str, "setting": dict, "seed": int, "state": str, "reason": str, "fitted_rows": int, "parameters": int,
    "seconds": (int, float), "untrained": (int, float, NoneType), "accuracy": (int, float, NoneType),
    "circumstances": dict,
}  # fmt: skip


@dataclass(frozen=True)
class Trial:
    """One run that a sweep means to make.

    Attributes:
        setting: values of what varies, by name.
        seed: of the run.
        name: of its folder: a hash of all that the study says of it, so that a study can grow without renaming any. A
            search that draws otherwise draws other trials, and so its ranges are in it.
    """

    setting: Setting
    seed: int
    name: str

    @classmethod
    def of(cls, study: Study, setting: Setting, seed: int) -> "Trial":
        """The trial of a setting and a seed."""
        said = json.dumps({**study.fixed, **setting, "seed": seed, **_describe_search(study)}, sort_keys=True)
        return cls(setting, seed, hashlib.sha256(said.encode()).hexdigest()[:NAME_DIGITS])


def _describe_search(study: Study) -> dict[str, Any]:
    """All that settles which settings are drawn; nothing for grids. TPE draws by means over the seeds."""
    if study.method == "grid":
        return {}
    ranges = [  # a list, since they are drawn in their order
        (name, found if isinstance(found, tuple) else dataclasses.asdict(found)) for name, found in study.ranges.items()
    ]
    seeds = study.seeds if study.method == "tpe" else 1
    return {"search": {"method": study.method, "ranges": ranges, "at_once": study.at_once, "seeds": seeds}}


@dataclass(frozen=True)
class TrialRecord:
    """What became of a trial.

    Attributes:
        name: of the trial.
        setting, seed: of the trial.
        state: "done", "pruned" (given up as hopeless) or "failed" (no such net, or its fit diverged).
        reason: why it failed; empty otherwise.
        untrained: accuracy on the held-out rows before training, 0 to 1; None if it failed before that.
        accuracy: on the held-out rows after the last epoch that was run; None if it failed.
        held_out_curve: accuracy on the held-out rows after each epoch.
        fitted_curve: accuracy on the fitted rows during each epoch, on augmented images and with dropout if any.
        confusion: rows of class i read as class j, at [i][j]; empty unless done.
        fitted_rows: of the training rows, those that the net was fitted on; 0 if it failed.
        parameters: of the net; 0 if it failed.
        seconds: of the whole trial, over all its sittings; of one that is not done, of the last.
        circumstances: commit, precision, processor, threads, train.csv (its SHA-256), data (the
            folder), classes (their names).
    """

    name: str
    setting: Setting
    seed: int
    state: State
    reason: str = ""
    untrained: float | None = None
    accuracy: float | None = None
    held_out_curve: tuple[float, ...] = ()
    fitted_curve: tuple[float, ...] = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    fitted_rows: int = 0
    parameters: int = 0
    seconds: float = 0.0
    circumstances: dict[str, Any] = dataclasses.field(default_factory=dict)

    def to_json(self) -> str:
        """One line."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def from_json(cls, line: str) -> "TrialRecord":
        """The record of a line.

        Raises:
            ValueError: if the line holds no such record.
        """
        content = json.loads(line)
        if not isinstance(content, dict):
            raise ValueError("a line is no record")
        fields = {field.name for field in dataclasses.fields(cls)}
        if unknown := sorted(set(content) ^ fields):
            raise ValueError(f"{unknown[0]!r} is missing or unknown")
        for name, kind in KINDS.items():
            if not isinstance(content[name], kind) or isinstance(content[name], bool):
                raise ValueError(f"{name!r} is of another type")
        for name in ("held_out_curve", "fitted_curve"):
            content[name] = tuple(float(value) for value in content[name])
        content["confusion"] = tuple(tuple(int(rows) for rows in row) for row in content["confusion"])
        record = cls(**content)
        _check(record)
        return record


def _check(record: TrialRecord) -> None:
    """Refuse values that no trial has.

    Raises:
        ValueError: saying which.
    """
    shares = [*record.held_out_curve, *record.fitted_curve, record.untrained or 0.0, record.accuracy or 0.0]
    counts = [rows for row in record.confusion for rows in row]
    square = len(counts) == len(record.confusion) ** 2 and all(len(row) ** 2 == len(counts) for row in record.confusion)
    plain = all(isinstance(value, (bool, int, float, str)) for value in record.setting.values())
    possible = (
        all(0 <= share <= 1 for share in shares) and min(counts, default=0) >= 0 and 0 <= record.seconds < math.inf
    )
    if record.state not in ("done", "pruned", "failed") or not (square and plain and possible):
        raise ValueError("a value is none that a trial can have")
    if record.state == "done" and not (record.accuracy is not None and record.held_out_curve):
        raise ValueError("a trial that is done has an accuracy")
    names = record.circumstances.get("classes") or []
    if not isinstance(names, list) or (counts and names and len(names) != len(record.confusion)):
        raise ValueError("it has another number of classes than of names for them")


def load_trials(path: Path) -> list[TrialRecord]:
    """Read trials.jsonl; a last line that was cut off, by a crash while it was written, does not count.

    Raises:
        InputError: if another line is damaged, or a trial stands there twice.
    """
    if not path.exists():
        return []
    with open_regular_file(path) as file:
        content = file.read(LIMIT_BYTES)
    lines = content.decode(errors="replace").split("\n")
    records: list[TrialRecord] = []
    if not _is_whole(lines[-1]):  # after the last line's end there is nothing, or what was cut off
        lines.pop()
    for number, line in enumerate(lines, 1):
        try:
            records.append(TrialRecord.from_json(line))
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise InputError(
                f"{path}, line {number}: must be a trial, but {error}: restore it, or remove it."
            ) from error
    names = [record.name for record in records]
    if twice := next((name for name, times in Counter(names).items() if times > 1), None):
        raise InputError(f"{path} must hold each trial once, but {twice} stands there twice: remove one of the lines.")
    return records


def append_trial(path: Path, record: TrialRecord) -> None:
    """Add a line to trials.jsonl, on the disk when this returns; what a crash left of an earlier one is cut away.

    Raises:
        WriteError: if there is no room, say; what stood there is kept.
        ValueError: if the record is none that could be read again.
    """
    line = record.to_json()
    TrialRecord.from_json(line)
    try:
        content = path.read_bytes() if path.exists() else b""
        before, end, last = content.rpartition(b"\n")
        if _is_whole(last.decode(errors="replace")):
            before, end = content, b"\n"
        kept = before + end
        with path.open("ab") as file:
            file.truncate(min(len(kept), len(content)))
            file.write(kept[len(content) :] + line.encode() + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise WriteError(f"{path} must be writable, but {reason}: make room there.") from error


def _is_whole(line: str) -> bool:
    """Whether a line that has no end, by a crash or by an editor, holds all of a record."""
    try:
        TrialRecord.from_json(line)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return False
    return True


def group_by_setting(records: Sequence[TrialRecord]) -> list[tuple[Setting, list[TrialRecord]]]:
    """The records of each setting, in the order in which settings first occur, each group in the order of its seeds."""
    groups: dict[str, list[TrialRecord]] = {}
    for record in records:
        groups.setdefault(json.dumps(record.setting, sort_keys=True), []).append(record)
    return [(group[0].setting, sorted(group, key=lambda one: one.seed)) for group in groups.values()]


# Which trials come next: every setting of the grids, or those that Optuna suggests from what has ended.
#
# What comes next follows from the study and the table of trials alone, so that a sweep that was stopped goes on as it
# would have. Optuna (Akiba et al. 2019) is asked anew each time: its study is rebuilt from the table, and its sampler is
# seeded by the number of the group for which it suggests. A group has as many settings as the study's `at_once`, however
# many machines there are; its settings know of earlier groups only, so one machine finds what a hundred find.

# that have ended before one is given up for being below their median (Golovin et al. 2017, section 3.2.2)
STARTUP_SETTINGS = 5
MOST_GROUPS = 10_000  # a search whose only end is time ends here all the same
MOST_IDLE_GROUPS = 20  # in a row without a new setting: of few choices all have been tried
Curve = tuple[float, ...]


def find_next_trials(study: Study, records: Sequence[TrialRecord]) -> list[Trial]:
    """The trials that can begin now, in order; none if all that the study asks for have ended.

    Args:
        study: what is wanted.
        records: trials that have ended, in any order; those of other studies do not count.
    """
    ended = {record.name: record for record in records}
    left = math.inf if study.trials is None else study.trials
    for settings in _iterate_groups(study, ended):
        first, rest = _list_trials(study, settings, ended)
        for wave in [[*first, *rest]] if study.prune == "none" else [first, rest]:
            wanted = wave[: int(min(left, len(wave)))]
            left -= len(wanted)
            if missing := [trial for trial in wanted if trial.name not in ended]:
                return missing
    return []


def list_earlier_curves(study: Study, trial: Trial, records: Sequence[TrialRecord]) -> list[Curve]:
    """The held-out curves with which a trial is compared: of earlier groups, with the same seed, not failed."""
    ended = {record.name: record for record in records}
    curves: list[Curve] = []
    for settings in _iterate_groups(study, ended):
        names = [Trial.of(study, setting, trial.seed).name for setting in settings]
        if trial.name in names:
            return curves
        known = [ended[name] for name in names if name in ended and ended[name].state != "failed"]
        curves += [record.held_out_curve for record in known if record.held_out_curve]
    return curves


def is_hopeless(curve: Curve, earlier: Sequence[Curve]) -> bool:
    """Whether the best accuracy so far is below the median of earlier trials' at this epoch (Optuna's MedianPruner).

    Args:
        curve: accuracy after each epoch so far, at least one.
        earlier: whole curves, or as far as they went.
    """
    import optuna

    judge = _open_study(optuna.samplers.RandomSampler(), optuna.pruners.MedianPruner(STARTUP_SETTINGS))
    for other in earlier:
        judge.add_trial(optuna.trial.create_trial(value=other[-1], intermediate_values=dict(enumerate(other, 1))))
    trial = judge.ask()
    for epoch, accuracy in enumerate(curve, 1):
        trial.report(accuracy, epoch)
    return bool(trial.should_prune())


def _iterate_groups(study: Study, ended: Mapping[str, TrialRecord]) -> Any:
    """Groups of settings, no setting twice; each may be looked at once all trials of those before it have ended."""
    if study.method == "grid":
        settings = study.list_settings()
        size = study.at_once if study.prune != "none" else max(1, len(settings))
        yield from (settings[start : start + size] for start in range(0, len(settings), size))
        return
    known: list[tuple[Setting, list[TrialRecord]]] = []
    left = max(1, study.trials // study.seeds) if study.trials is not None else MOST_GROUPS * study.at_once
    idle = 0
    for number in range(MOST_GROUPS):
        suggested = _suggest(study, number, min(study.at_once, left), known)
        left -= len(suggested)
        new: list[Setting] = []
        for setting in suggested:  # where choices are few, they are drawn again
            if setting not in new and all(setting != other for other, _ in known):
                new.append(setting)
        yield new
        idle = 0 if new else idle + 1
        for setting in new:
            found = [Trial.of(study, setting, seed).name for seed in range(study.seeds)]
            known.append((setting, [ended[name] for name in found if name in ended]))
        if left <= 0 or idle == MOST_IDLE_GROUPS:
            return


def _list_trials(
    study: Study, settings: Sequence[Setting], ended: Mapping[str, TrialRecord]
) -> tuple[list[Trial], list[Trial]]:
    """The first seed's trials of a group, and those of the other seeds of settings that were not given up."""
    first = [Trial.of(study, setting, 0) for setting in settings]
    kept = [trial.setting for trial in first if trial.name not in ended or ended[trial.name].state != "pruned"]
    return first, [Trial.of(study, setting, seed) for seed in range(1, study.seeds) for setting in kept]


def _suggest(
    study: Study, group: int, count: int, known: Sequence[tuple[Setting, Sequence[TrialRecord]]]
) -> list[Setting]:
    """Settings for a group, from the mean accuracy of each earlier one."""
    import optuna

    distributions = {name: _describe_range(found) for name, found in study.ranges.items()}
    sampler: optuna.samplers.BaseSampler = (
        optuna.samplers.TPESampler(seed=group, constant_liar=True)
        if study.method == "tpe"
        else optuna.samplers.RandomSampler(seed=group)
    )
    search = _open_study(sampler, optuna.pruners.NopPruner())
    states = optuna.trial.TrialState
    for setting, records in known:
        accuracies = [record.accuracy for record in records if record.state == "done" and record.accuracy is not None]
        curve = next((record.held_out_curve for record in records if record.held_out_curve), ())
        search.add_trial(
            optuna.trial.create_trial(
                state=states.COMPLETE if accuracies else states.PRUNED if curve else states.FAIL,
                value=sum(accuracies) / len(accuracies) if accuracies else None,
                params=setting,
                distributions=distributions,
                intermediate_values=dict(enumerate(curve, 1)),
            )
        )
    return [dict(search.ask(distributions).params) for _ in range(count)]


def _describe_range(found: Range | tuple[Any, ...]) -> "optuna.distributions.BaseDistribution":
    import optuna

    if isinstance(found, tuple):
        return optuna.distributions.CategoricalDistribution(found)
    if found.whole:
        return optuna.distributions.IntDistribution(int(found.low), int(found.high), log=found.log)
    return optuna.distributions.FloatDistribution(found.low, found.high, log=found.log)


def _open_study(sampler: "optuna.samplers.BaseSampler", pruner: "optuna.pruners.BasePruner") -> "optuna.Study":
    """An Optuna study in memory; what must last is in the sweep's own table."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(sampler=sampler, pruner=pruner, direction="maximize")


# A trial that an earlier sitting began: whether its folder is this trial's, and what it holds is whole.

SETTLED_THEN = (*PATH_FIELDS, "precision")  # an automatic precision was settled when the run was begun


def go_on(config: RunConfig, dataset: Dataset, path: Path, watch: keras.callbacks.Callback) -> CVResult:
    """Finish a trial's run, or read it again where it has finished.

    Args:
        config: that the trial has.
        dataset: that it sees.
        path: the run's folder.
        watch: of its epochs.

    Raises:
        UnusableRunError: if the folder is of another run, was begun otherwise or is damaged.
        InputError: for what lies outside it.
    """
    with reading_its_own_files():
        begun, _ = load_run_config(path, "train")
    was, is_now = begun.to_json(), config.to_json()
    if differing := [flag(name) for name in was if name not in SETTLED_THEN and was[name] != is_now[name]]:
        raise UnusableRunError(f"it holds a run with another {', '.join(differing)}")
    finished = (path / METRICS).exists()
    with silence():
        result = resume(path, "train", dataset=dataset, callbacks=[watch], figures=False)
    if finished:
        _check_result(result, dataset, path)
    return result


def load_history(path: Path) -> list[dict[str, str]]:
    """The rows of history.csv in a run's folder."""
    with (path / "history.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def find_holdout_column(history: Sequence[Mapping[str, Any]]) -> str:
    """The column with the accuracy on the held-out fold: there is also a validation set where training needs one."""
    return "holdout_accuracy" if history and "holdout_accuracy" in history[0] else "val_accuracy"


def read_curve(history: Sequence[Mapping[str, Any]], column: str) -> Curve:
    """A column of the history, to six decimals."""
    return tuple(round(float(row[column]), 6) for row in history)


def remove_folder(path: Path) -> None:
    """Remove a trial's folder, if there is one; of a link to one, the link alone."""
    if path.is_symlink():
        path.unlink()
    elif path.exists():
        shutil.rmtree(path)


@contextlib.contextmanager
def silence() -> Iterator[None]:
    """Keep a run's own lines, which are in its log, from the screen, and its advice from the message of a full disk.

    How to go on is the sweep's to say: `train --resume` would finish one trial, and no table would have it.
    """
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    except WriteError as error:
        error.remedy = ""
        raise


def _check_result(result: CVResult, dataset: Dataset, path: Path) -> None:
    """Refuse what a finished run left if its files do not agree with each other.

    Raises:
        UnusableRunError: saying which.
    """
    oof = result.oof_probabilities
    if oof.shape != (len(dataset.labels), CLASSES):
        raise UnusableRunError(f"its out-of-fold probabilities have the shape {oof.shape}")
    judged = ~np.isnan(oof[:, 0])
    right = oof[judged].argmax(axis=1) == dataset.labels[judged]
    if not judged.any() or abs(right.mean() - result.score.oof_accuracy) > 1e-6:
        raise UnusableRunError("its out-of-fold probabilities are not those that its accuracy is of")
    try:
        history = load_history(path)
        curves = [read_curve(history, name) for name in (find_holdout_column(history), "accuracy")]
    except (OSError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise UnusableRunError(f"its history.csv cannot be read ({error})") from error
    if not curves[0]:
        raise UnusableRunError("its history.csv is empty")


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


class _Watch(keras.callbacks.Callback):
    """Keeps a trial's history, and prunes it where it is unpromising: not in its last epoch, when all is done."""

    def __init__(self, earlier: Sequence[Curve] | None, epochs: int) -> None:
        super().__init__()
        self.earlier, self.epochs = earlier, epochs
        self.history: list[dict[str, Any]] = []

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self.history.append(dict(logs or {}))
        raise_if_interrupted()
        curve = read_curve(self.history, find_holdout_column(self.history))
        if self.earlier is not None and len(curve) < self.epochs and is_hopeless(curve, self.earlier):
            raise PrunedError


def do_trial(shop: Shop, task: TrialTask) -> Outcome:
    """Run a trial in the sweep's folder or, on another machine, in a temporary one."""
    dataset = shop.datasets[task.config.limit_train, task.config.limit_test]
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
    except PrunedError:
        state = "pruned"
    except (DivergedError, _NoSuchNetError) as error:
        state, reason = "failed", str(error)
    if path.exists():
        with contextlib.suppress(OSError):  # a finished trial may be kept where nobody writes
            remove_state(path)
        shutil.rmtree(path / BULKY, ignore_errors=True)
    history = watch.history if result is None else load_history(path)
    curve = read_curve(history, find_holdout_column(history))
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
        parameters=0 if state == "failed" else count_parameters(task.config.model, task.config.model_args),
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
            print_line(f"note: {path} is begun anew: {error}")
    remove_folder(path)
    try:
        count_parameters(task.config.model, task.config.model_args)
    except InputError as error:
        raise _NoSuchNetError(str(error)) from error
    config = task.config.replace(run_dir=path)
    if dataset.whole_test:
        config = config.replace(submission=path / "submission.csv")
    with silence():
        return cross_validate(config, single_split=True, dataset=dataset, callbacks=[watch], figures=False)


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
