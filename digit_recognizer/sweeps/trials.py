"""The trials of a sweep: the table of those that have ended (trials.jsonl, one line of JSON each), and which come next.

A trial is one configuration with one seed: one `train` run. The table is the sweep's memory: a trial gets its line when
it has ended, and a trial that has a line is not run again. The table is small enough to be kept for good.
"""

import dataclasses
import hashlib
import json
import math
import re
import statistics
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from digit_recognizer.config import HIGHEST_SEED, read_fields
from digit_recognizer.errors import InputError
from digit_recognizer.io import parse_json, read_bytes, write_atomically
from digit_recognizer.sweeps.study import Configuration, Range, Study, Value

if TYPE_CHECKING:
    import optuna

TRIALS, TRIALS_DIR = "trials.jsonl", "trials"  # the table, and the folder of the trials' own folders
NAME_DIGITS = 12
LIMIT_BYTES, LINE_LIMIT_BYTES = 1 << 26, 1 << 18  # a trial of 20 epochs has 1 kB

State = Literal["done", "pruned", "failed"]
Curve = tuple[float, ...]


@dataclass(frozen=True)
class Trial:
    """One run of a sweep."""

    configuration: Configuration  # values of what varies, by name
    seed: int
    # of its folder: a hash of all that the study says of it, so that a study can grow without renaming any. A search
    # that draws otherwise draws other trials, and so its ranges are in it
    name: str

    @classmethod
    def of(cls, study: Study, configuration: Configuration, seed: int) -> "Trial":
        """The trial of a configuration and a seed."""
        content = {**study.fixed, **configuration, "seed": seed, **_describe_search(study)}
        digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
        return cls(configuration, seed, digest[:NAME_DIGITS])


def _describe_search(study: Study) -> dict[str, Any]:
    """All that decides which configurations are drawn; nothing for grids. TPE draws by means over the seeds."""
    if study.method == "grid":
        return {}
    ranges = [  # a list, since they are drawn in their order
        (name, {**dataclasses.asdict(found), "whole": found.whole} if isinstance(found, Range) else found)
        for name, found in study.ranges.items()
    ]
    seeds = study.seeds if study.method == "tpe" else 1
    return {"search": {"method": study.method, "ranges": ranges, "at_once": study.at_once, "seeds": seeds}}


@dataclass(frozen=True)
class TrialRecord:
    """The result of a trial.

    Attributes:
        name: of the trial.
        configuration, seed: of the trial.
        state: "done", "pruned" (stopped early as unpromising) or "failed" (no such network, or training diverged).
        reason: why it failed; empty otherwise.
        untrained: accuracy on the held-out rows before training, 0 to 1; None if it failed before that.
        accuracy: on the held-out rows after the last epoch that was run; None if it failed.
        val_curve: accuracy on the held-out rows after each epoch.
        train_curve: accuracy on the training rows during each epoch, on augmented images and with dropout if any.
        confusion: rows of class i classified as class j, at [i][j]; empty unless done.
        training_rows: that the model was trained on; 0 if it failed.
        parameters: of the model; 0 if it failed.
        seconds: of the whole trial, over all sessions; of one that is not done, of the last.
        environment: commit, precision, processor, threads, train.csv (its SHA-256), data (the folder), classes (their
            names).
    """

    name: str
    configuration: Configuration
    seed: int
    state: State
    reason: str = ""
    untrained: float | None = None
    accuracy: float | None = None
    val_curve: Curve = ()
    train_curve: Curve = ()
    confusion: tuple[tuple[int, ...], ...] = ()
    training_rows: int = 0
    parameters: int = 0
    seconds: float = 0.0
    environment: dict[str, Any] = field(default_factory=dict)

    @property
    def held_out_rows(self) -> int:
        """Rows on which the model was evaluated; 0 unless done."""
        return sum(map(sum, self.confusion))

    def after(self, epochs: int) -> float | None:
        """Accuracy after so many epochs; None if the learning curve is shorter."""
        return self.val_curve[epochs - 1] if len(self.val_curve) >= epochs else None

    @classmethod
    def from_json(cls, line: str) -> "TrialRecord":
        """The record of a line.

        Raises:
            ValueError: if the line holds no such record.
        """
        if len(line) > LINE_LIMIT_BYTES:
            raise ValueError(f"it has more than {LINE_LIMIT_BYTES:,} characters")
        content = parse_json(line.encode())
        if not isinstance(content, dict) or len(content) != len(dataclasses.fields(cls)):
            raise ValueError("it is no record")
        values = read_fields(cls, content)
        record = cls(**{**values, "confusion": tuple(map(tuple, values["confusion"]))})
        curves = (*record.val_curve, *record.train_curve)
        classes, names = len(record.confusion), record.environment.get("classes") or []
        for name, possible in {
            "accuracy": all(0 <= share <= 1 for share in (*curves, record.untrained or 0, record.accuracy or 0)),
            "confusion": all(len(row) == classes and min(row) >= 0 for row in record.confusion),
            "name": re.fullmatch(r"[\w-]{1,64}", record.name) is not None,  # of its folder
            "seed": 0 <= record.seed <= HIGHEST_SEED,
            "seconds": 0 <= record.seconds < 1e10,
            "training_rows": 0 <= record.training_rows < 2**53,
            "parameters": 0 <= record.parameters < 2**53,
            "rows": 0 <= record.held_out_rows < 2**53,
            "classes": isinstance(names, list) and (not classes or not names or len(names) == classes),
            "val_curve": record.state != "done" or (record.accuracy is not None and len(record.val_curve) > 0),
        }.items():
            if not possible:
                raise ValueError(f"its {name} is none that a trial can have")
        return record


def load_trials(path: Path) -> list[TrialRecord]:
    """Read trials.jsonl.

    Raises:
        InputError: if a line is damaged, or a trial stands there twice.
    """
    if not path.exists():
        return []
    records: list[TrialRecord] = []
    for number, line in enumerate(read_bytes(path, LIMIT_BYTES).splitlines(), 1):
        try:
            records.append(TrialRecord.from_json(line.decode()))
        except (ValueError, OverflowError, RecursionError) as error:
            raise InputError("sweep.damaged_trial", path=path, line=number, problem=error) from error
    for name, times in Counter(record.name for record in records).items():
        if times > 1:
            raise InputError("sweep.trial_twice", path=path, received=name)
    return records


def append_trial(path: Path, record: TrialRecord) -> None:
    """Add a line to trials.jsonl. The file is replaced as a whole, so that no crash leaves half a line.

    Raises:
        WriteError: for a full disk, say; what stood there is kept.
        ValueError: if the record is none that could be read again.
    """
    line = json.dumps(dataclasses.asdict(record))
    TrialRecord.from_json(line)
    lines = read_bytes(path, LIMIT_BYTES).splitlines() if path.exists() else []
    with write_atomically(path) as temporary:
        temporary.write_bytes(b"\n".join([*lines, line.encode(), b""]))


def group_by_configuration(records: Sequence[TrialRecord]) -> list[tuple[Configuration, list[TrialRecord]]]:
    """The records of each configuration, in the order of their first occurrence; in each group by seed."""
    groups: dict[str, list[TrialRecord]] = {}
    for record in records:
        groups.setdefault(json.dumps(record.configuration, sort_keys=True), []).append(record)
    return [(group[0].configuration, sorted(group, key=lambda one: one.seed)) for group in groups.values()]


# Which trials come next: every configuration of the grids, or those that Optuna suggests from what has ended.
#
# What comes next follows from the study and the table of trials alone, so that a sweep that was stopped resumes
# exactly. Optuna (Akiba et al. 2019) is asked anew each time: its study is rebuilt from the table, and its sampler is
# seeded by the number of the group for which it suggests. A group has as many configurations as the study's `at_once`,
# however many machines there are. Its configurations know of earlier groups only, so one machine finds what a hundred
# find.

# that have ended before one is pruned for being below their median (Golovin et al. 2017, section 3.2.2)
STARTUP_TRIALS = 5
MAX_GROUPS = 10_000  # a search whose only end is time ends here all the same
MAX_IDLE_GROUPS = 20  # in a row without a new configuration: of few choices all have been tried


def find_next_trials(study: Study, records: Sequence[TrialRecord]) -> list[Trial]:
    """The trials that can start now, in order; none if all that the study asks for have ended."""
    ended = {record.name: record for record in records}
    left = math.inf if study.trials is None else study.trials
    for configurations in _iterate_groups(study, ended):
        first = [Trial.of(study, configuration, 0) for configuration in configurations]
        kept = [one.configuration for one in first if one.name not in ended or ended[one.name].state != "pruned"]
        rest = [Trial.of(study, configuration, seed) for seed in range(1, study.seeds) for configuration in kept]
        for wave in [[*first, *rest]] if study.prune == "none" else [first, rest]:
            wanted = wave[: int(min(left, len(wave)))]
            left -= len(wanted)
            if missing := [trial for trial in wanted if trial.name not in ended]:
                return missing
    return []


def list_earlier_curves(study: Study, trial: Trial, records: Sequence[TrialRecord]) -> list[Curve]:
    """The curves with which a trial is compared: of earlier groups, with the same seed, not failed."""
    ended = {record.name: record for record in records}
    curves: list[Curve] = []
    for configurations in _iterate_groups(study, ended):
        names = [Trial.of(study, configuration, trial.seed).name for configuration in configurations]
        if trial.name in names:
            return curves
        known = [ended[name] for name in names if name in ended and ended[name].state != "failed"]
        curves += [record.val_curve for record in known if record.val_curve]
    return curves


def is_unpromising(curve: Curve, earlier: Sequence[Curve]) -> bool:
    """Whether the best accuracy so far is below the median of earlier trials' at this epoch (as Optuna's MedianPruner).

    Args:
        curve: accuracy after each epoch so far, at least one.
        earlier: whole curves, or as far as they went.
    """
    reached = [other[len(curve) - 1] for other in earlier if len(other) >= len(curve)]
    return len(earlier) >= STARTUP_TRIALS and len(reached) > 0 and max(curve) < statistics.median(reached)


def _iterate_groups(study: Study, ended: Mapping[str, TrialRecord]) -> Iterator[list[Configuration]]:
    """Groups of configurations, none twice; each may be asked for once all trials of those before it have ended."""
    if study.method == "grid":
        all_of_them = study.configurations
        size = study.at_once if study.prune != "none" else max(1, len(all_of_them))
        yield from (all_of_them[start : start + size] for start in range(0, len(all_of_them), size))
        return
    known: list[Configuration] = []
    left = max(1, study.trials // study.seeds) if study.trials is not None else MAX_GROUPS * study.at_once
    idle = 0
    for number in range(MAX_GROUPS):
        suggested = _suggest(study, number, min(study.at_once, left), known, ended)
        left -= len(suggested)
        # where choices are few, they are drawn again
        new = [one for place, one in enumerate(suggested) if one not in (*known, *suggested[:place])]
        yield new
        known += new
        idle = 0 if new else idle + 1
        if left <= 0 or idle == MAX_IDLE_GROUPS:
            return


def _suggest(
    study: Study, group: int, count: int, known: Sequence[Configuration], ended: Mapping[str, TrialRecord]
) -> list[Configuration]:
    """Configurations for a group, from the mean accuracy of each earlier one."""
    import optuna

    distributions = {name: _describe_range(found) for name, found in study.ranges.items()}
    random = optuna.samplers.RandomSampler(seed=group)
    tpe = optuna.samplers.TPESampler(seed=group, constant_liar=True)
    search = create_optuna_study(tpe if study.method == "tpe" else random)
    states = optuna.trial.TrialState
    for configuration in known:
        names = [Trial.of(study, configuration, seed).name for seed in range(study.seeds)]
        records = [ended[name] for name in names if name in ended]
        accuracies = [record.accuracy for record in records if record.state == "done" and record.accuracy is not None]
        curve = next((record.val_curve for record in records if record.val_curve), ())
        search.add_trial(
            optuna.trial.create_trial(
                state=states.COMPLETE if accuracies else states.PRUNED if curve else states.FAIL,
                value=sum(accuracies) / len(accuracies) if accuracies else None,
                params=configuration,
                distributions=distributions,
                intermediate_values=dict(enumerate(curve, 1)),
            )
        )
    return [dict(search.ask(distributions).params) for _ in range(count)]


def _describe_range(found: Range | tuple[Value, ...]) -> "optuna.distributions.BaseDistribution":
    """A range, or choices, as Optuna knows them."""
    import optuna

    if isinstance(found, tuple):
        return optuna.distributions.CategoricalDistribution(found)
    if found.whole:
        return optuna.distributions.IntDistribution(int(found.low), int(found.high), log=found.log)
    return optuna.distributions.FloatDistribution(found.low, found.high, log=found.log)


def create_optuna_study(sampler: "optuna.samplers.BaseSampler | None" = None) -> "optuna.Study":
    """An Optuna study in memory; what must last is in the sweep's own table."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(direction="maximize", sampler=sampler)
