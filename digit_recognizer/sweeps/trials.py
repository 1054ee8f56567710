"""The trials of a sweep, and the table of those that have ended: trials.jsonl, one line of JSON each.

A trial is one configuration with one seed: one `train` run. The table is the sweep's memory: a trial gets its line when
it has ended, and a trial that has a line is not run again. The table is small enough to be kept for good.
"""

import dataclasses
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import NoneType
from typing import Any, Literal

from digit_recognizer.errors import InputError, WriteError
from digit_recognizer.io import read_bytes
from digit_recognizer.sweeps.study import Configuration, Study

TRIALS = "trials.jsonl"
NAME_DIGITS = 12
LIMIT_BYTES = 1 << 30

State = Literal["done", "pruned", "failed"]
Curve = tuple[float, ...]


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes:
        configuration: values of what varies, by name.
        seed: of the run.
        name: of its folder: a hash of all that the study says of it, so that a study can grow without renaming any. A
            search that draws otherwise draws other trials, and so its ranges are in it.
    """

    configuration: Configuration
    seed: int
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
        (name, found if isinstance(found, tuple) else dataclasses.asdict(found)) for name, found in study.ranges.items()
    ]
    seeds = study.seeds if study.method == "tpe" else 1
    return {"search": {"method": study.method, "ranges": ranges, "at_once": study.at_once, "seeds": seeds}}


KINDS: dict[str, type | tuple[type, ...]] = {
    "name": str, "configuration": dict, "seed": int, "state": str, "reason": str, "training_rows": int,
    "parameters": int, "seconds": (int, float), "untrained": (int, float, NoneType),
    "accuracy": (int, float, NoneType), "environment": dict,
}  # fmt: skip


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
            raise ValueError("it is no record")
        if unknown := sorted(set(content) ^ {one.name for one in dataclasses.fields(cls)}):
            raise ValueError(f"{unknown[0]!r} is missing or unknown")
        for name, kind in KINDS.items():
            if not isinstance(content[name], kind) or isinstance(content[name], bool):
                raise ValueError(f"{name!r} is of another type")
        for name in ("val_curve", "train_curve"):
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
    shares = [*record.val_curve, *record.train_curve, record.untrained or 0.0, record.accuracy or 0.0]
    counts = [rows for row in record.confusion for rows in row]
    classes = len(record.confusion)
    names = record.environment.get("classes") or []
    for name, possible in {
        "state": record.state in ("done", "pruned", "failed"),
        "accuracy": all(0 <= share <= 1 for share in shares),
        "confusion": all(len(row) == classes for row in record.confusion) and min(counts, default=0) >= 0,
        "seconds": 0 <= record.seconds < math.inf,
        "configuration": all(isinstance(value, (bool, int, float, str)) for value in record.configuration.values()),
        "classes": isinstance(names, list) and (not counts or not names or len(names) == classes),
        "val_curve": record.state != "done" or (record.accuracy is not None and len(record.val_curve) > 0),
    }.items():
        if not possible:
            raise ValueError(f"its {name} is none that a trial can have")


def load_trials(path: Path) -> list[TrialRecord]:
    """Read trials.jsonl. A last line that was cut off, by a crash while it was written, does not count.

    Raises:
        InputError: if another line is damaged, or a trial stands there twice.
    """
    if not path.exists():
        return []
    lines = read_bytes(path, LIMIT_BYTES).decode(errors="replace").split("\n")
    if not _is_whole(lines[-1]):  # after the last line's end there is nothing, or what was cut off
        lines.pop()
    records: list[TrialRecord] = []
    for number, line in enumerate(lines, 1):
        try:
            records.append(TrialRecord.from_json(line))
        except (ValueError, TypeError, OverflowError, RecursionError) as error:
            raise InputError("sweep.damaged_trial", path=path, line=number, problem=error) from error
    name, times = Counter(record.name for record in records).most_common(1)[0] if records else ("", 1)
    if times > 1:
        raise InputError("sweep.trial_twice", path=path, received=name)
    return records


def append_trial(path: Path, record: TrialRecord) -> None:
    """Add a line to trials.jsonl, on the disk when this returns; what a crash left of an earlier one is cut away.

    Raises:
        WriteError: for a full disk, say; what stood there is kept.
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
        raise WriteError("sweep.append", path=path, problem=error.strerror or type(error).__name__) from error


def _is_whole(line: str) -> bool:
    """Whether a line that has no end, by a crash or by an editor, holds all of a record."""
    try:
        TrialRecord.from_json(line)
    except (ValueError, TypeError, OverflowError, RecursionError):
        return False
    return True


def group_by_configuration(records: Sequence[TrialRecord]) -> list[tuple[Configuration, list[TrialRecord]]]:
    """The records of each configuration, in the order of their first occurrence; in each group by seed."""
    groups: dict[str, list[TrialRecord]] = {}
    for record in records:
        groups.setdefault(json.dumps(record.configuration, sort_keys=True), []).append(record)
    return [(group[0].configuration, sorted(group, key=lambda one: one.seed)) for group in groups.values()]
