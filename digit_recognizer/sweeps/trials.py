"""The trials of a sweep: what each is, and the table of those that have ended, one line of JSON each.

A trial is one setting with one seed: one `train` run. The table, trials.jsonl, is the sweep's memory: a line is added
when a trial has ended, and a trial whose line is there is not run again. It is small enough to be kept for good.
"""

import dataclasses
import hashlib
import json
import math
import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Any, Literal

from digit_recognizer.data.csv_header import open_regular_file
from digit_recognizer.errors import InputError, WriteError
from digit_recognizer.sweeps.study import Setting, Study

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
