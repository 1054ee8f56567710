"""A study's file, read with suspicion: every entry is named, typed, and tried against the configuration."""

import math
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from digit_recognizer.data.csv_header import open_regular_file
from digit_recognizer.errors import InputError
from digit_recognizer.sweeps.comparisons import list_values
from digit_recognizer.sweeps.study import NET, Claim, Range, Reported, Setting, Study, Value

STUDY_FILE = "study.toml"
LIMIT_BYTES = 1 << 20
MOST_SEEDS, MOST_SETTINGS, MOST_AT_ONCE, MOST_EPOCHS = 1000, 100_000, 1000, 1_000_000
# where a run puts its files, which rows it sees and what it is seeded by are the sweep's affairs
OURS = ("run_dir", "input_dir", "submission", "seed", "smoke")
VALUES = (bool, int, float, str)
EXPECTATIONS = ("higher", "lower", "none")


def load_study(path: Path) -> Study:
    """Read a study.

    Args:
        path: a TOML file, or a folder that holds study.toml.

    Raises:
        InputError: one line that names the file and the entry that is missing, unknown or of another kind.
    """
    file = path / STUDY_FILE if path.is_dir() else path
    with open_regular_file(file) as opened:
        content = opened.read(LIMIT_BYTES + 1)
    try:
        if len(content) > LIMIT_BYTES:
            raise ValueError(f"it has more than {LIMIT_BYTES} bytes")
        table = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are such
        raise InputError(f"{file} must be a study in TOML, but {error}.") from error
    name = file.absolute().parent.name if file.name == STUDY_FILE else file.stem
    try:
        study = _read_study(_Table(table), name)
        _check_study(study)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error
    return study


class _Table:
    """A TOML table whose entries are taken one by one, so that what is left over can be named."""

    def __init__(self, content: Mapping[str, Any], where: str = "") -> None:
        self.left, self.where = dict(content), where

    def take(self, name: str, kind: type | tuple[type, ...], default: Any = ...) -> Any:
        if name not in self.left:
            if default is ...:
                raise InputError(f"{self.where}{name} is missing.")
            return default
        value = self.left.pop(name)
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds):
            names = " or ".join(one.__name__ for one in kinds)
            raise InputError(f"{self.where}{name} must be of type {names}; received {str(value)[:40]!r}.")
        return value

    def take_tables(self, name: str) -> Iterator["_Table"]:
        for number, content in enumerate(self.take(name, list, []), 1):
            if not isinstance(content, dict):
                raise InputError(f"[[{name}]] must be tables; received {str(content)[:40]!r}.")
            yield _Table(content, f"[[{name}]] number {number}: ")

    def close(self) -> None:
        if self.left:
            raise InputError(f"{self.where}{next(iter(self.left))} is no entry of a study.")


def _read_study(table: _Table, name: str) -> Study:
    method = _choose(table, "method", ("grid", "random", "tpe"), "grid")
    study = Study(
        name=name,
        title=table.take("title", str),
        hypothesis=table.take("hypothesis", str, ""),
        method_text=table.take("method_text", str, ""),
        conclusion=table.take("conclusion", str, ""),
        document=table.take("document", str, ""),
        input_dir=Path(table.take("input_dir", str, "input")),
        fixed=_read_values(_Table(table.take("fixed", dict, {}), "[fixed] ")),
        seeds=_count(table, "seeds", 3, MOST_SEEDS),
        method=method,
        grids=tuple(_read_grid(grid) for grid in table.take_tables("grid")),
        ranges=_read_ranges(_Table(table.take("search", dict, {}), "[search] ")),
        trials=_count(table, "trials", None, MOST_SETTINGS * MOST_SEEDS),
        minutes=table.take("minutes", (int, float), None),
        prune=_choose(table, "prune", ("none", "median"), "none"),
        at_once=_count(table, "at_once", 4, MOST_AT_ONCE),
        epochs_shown=tuple(_read_epochs(table)),
        reported=tuple(_read_reported(one) for one in table.take_tables("reported")),
        claims=tuple(_read_claim(one) for one in table.take_tables("claim")),
    )
    table.close()
    return study


def _check_study(study: Study) -> None:
    """Refuse what cannot be run, before anything is.

    Raises:
        InputError: naming the entry.
    """
    if study.minutes is not None and not 0 < study.minutes < float("inf"):
        raise InputError(f"minutes must be above 0; received {study.minutes}.")
    if study.method == "grid":
        if study.ranges or not study.grids:
            raise InputError('a study of method "grid" needs one [[grid]] at least, and no [search].')
        sizes = [math.prod(len(values) for values in grid.values()) for grid in study.grids]
        if sum(sizes) > MOST_SETTINGS:
            raise InputError(f"its grids have {sum(sizes):,} settings; at most {MOST_SETTINGS:,} can be run.")
        samples = study.list_settings()
    else:
        if study.grids or not study.ranges:
            raise InputError(f'a study of method "{study.method}" needs a [search], and no [[grid]].')
        if study.trials is None and study.minutes is None:
            raise InputError("a search has no end of its own: say trials or minutes.")
        # the corners of each range in turn; what lies between is tried when it is run
        first = {name: _ends(found)[0] for name, found in study.ranges.items()}
        samples = [{**first, name: value} for name, found in study.ranges.items() for value in _ends(found)]
    for name in {name for setting in samples for name in setting} & set(study.fixed):
        raise InputError(f"{name} stands in [fixed] and varies: name it once.")
    for setting in samples:
        study.build_config(setting, 0)
    for claim in study.claims:
        if claim.parameter not in study.parameters:
            raise InputError(f"a [[claim]] is about {claim.parameter}, which does not vary.")
        values = list_values(study, claim.parameter)
        if claim.low == claim.high or any(values and end not in values for end in (claim.low, claim.high)):
            raise InputError(
                f"a [[claim]] compares two values of {claim.parameter}, of {str(values)[1:41]}; received "
                f"{str(claim.low)[:20]!r} and {str(claim.high)[:20]!r}."
            )
        for name, value in claim.where.items():
            known = list_values(study, name) if name in study.parameters else []
            if name == claim.parameter or value not in known:
                raise InputError(f"a [[claim]] holds where {name} is {str(value)[:20]!r}, but no setting has that.")


def _read_grid(table: _Table) -> dict[str, tuple[Value, ...]]:
    grid: dict[str, tuple[Value, ...]] = {}
    for name, content in _flatten(table):
        values = content if isinstance(content, list) else [content]
        if not values or not all(isinstance(value, VALUES) for value in values):
            raise InputError(f"{table.where}{name} must be a value or a list of some; received {str(content)[:40]!r}.")
        if len(set(values)) < len(values):
            raise InputError(f"{table.where}{name} names a value twice.")
        grid[name] = tuple(values)
    return grid


def _read_ranges(table: _Table) -> dict[str, Range | tuple[Value, ...]]:
    ranges: dict[str, Range | tuple[Value, ...]] = {}
    for name, content in _flatten(table):
        if isinstance(content, list):
            ranges[name] = _read_grid(_Table({name: content}, table.where))[name]
            continue
        if not isinstance(content, dict):
            raise InputError(f"{table.where}{name} must be a list of values, or {{ low = …, high = … }}.")
        inner = _Table(content, f"{table.where}{name}: ")
        low, high = (inner.take(end, (int, float)) for end in ("low", "high"))
        log = inner.take("log", bool, False)
        inner.close()
        if not low < high or (log and low <= 0):
            raise InputError(
                f"{inner.where}low must be below high{' and above 0' if log else ''}; received {low}, {high}."
            )
        ranges[name] = Range(low, high, log, whole=isinstance(low, int) and isinstance(high, int))
    return ranges


def _read_values(table: _Table) -> Setting:
    values: Setting = {}
    for name, value in _flatten(table):
        if not isinstance(value, VALUES):
            raise InputError(f"{table.where}{name} must be one value; received {str(value)[:40]!r}.")
        values[name] = value
    return values


def _flatten(table: _Table) -> Iterator[tuple[str, Any]]:
    """The entries of a table, `net.NAME` for those of its part `net`."""
    for name, content in table.left.items():
        if name in OURS or (name == "net" and not isinstance(content, dict)):
            raise InputError(f"{table.where}{name} is settled by the sweep, not here.")
        if name == "net":
            yield from ((NET + inner, value) for inner, value in content.items())
        else:
            yield name, content


def _read_reported(table: _Table) -> Reported:
    accuracy = table.take("accuracy", (int, float))
    untrained = table.take("untrained", (int, float), None)
    for value in (accuracy, untrained):
        if value is not None and not 0 <= value <= 1:
            raise InputError(f"{table.where}accuracies are from 0 to 1; received {value}.")
    note = table.take("note", str, "")
    return Reported(_read_values(table), accuracy, untrained, note)


def _read_claim(table: _Table) -> Claim:
    claim = Claim(
        says=table.take("says", str),
        parameter=table.take("parameter", str),
        low=table.take("low", VALUES),
        high=table.take("high", VALUES),
        expects=_choose(table, "expects", EXPECTATIONS, ...),
        margin=table.take("margin", (int, float), 0.0),
        where=_read_values(_Table(table.take("where", dict, {}), f"{table.where}where: ")),
    )
    if not 0 <= claim.margin <= 1:
        raise InputError(f"{table.where}margin must be from 0 to 1; received {claim.margin}.")
    table.close()
    return claim


def _read_epochs(table: _Table) -> list[int]:
    epochs = table.take("epochs_shown", list, [])
    if not all(type(epoch) is int and 1 <= epoch <= MOST_EPOCHS for epoch in epochs):
        raise InputError(f"{table.where}epochs_shown must be whole numbers from 1 up; received {str(epochs)[:40]}.")
    return epochs


def _choose(table: _Table, name: str, choices: tuple[str, ...], default: Any) -> Any:
    value = table.take(name, str, default)
    if value not in choices:
        raise InputError(f"{table.where}{name} must be one of {', '.join(choices)}; received {value[:40]!r}.")
    return value


def _count(table: _Table, name: str, default: int | None, highest: int) -> Any:
    value = table.take(name, int, default)
    if value is not None and not 1 <= value <= highest:
        raise InputError(f"{table.where}{name} must be from 1 to {highest:,}; received {value}.")
    return value


def _ends(found: Range | tuple[Value, ...]) -> tuple[Value, ...]:
    if isinstance(found, tuple):
        return found
    return (int(found.low), int(found.high)) if found.whole else (float(found.low), float(found.high))
