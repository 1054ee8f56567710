"""A study: which runs to make in order to answer a question. It is a short TOML file, kept beside its results.

`studies/` holds six of them. This one is a whole study:

    title = "Dropout and batch size of the narrow network"
    hypothesis = "Less dropout and smaller batches are better."
    seeds = 3                              # every configuration is run with seeds 0, 1 and 2
    input_dir = "input"                    # the data, a folder as `download` leaves it

    [fixed]                                # fields of RunConfig; model_args.* are options of the network
    model = "narrow"
    epochs = 5

    [[grid]]                               # every combination of these; several grids are joined
    model_args.dropout = [0.3, 0.5, 0.7]
    batch_size = [40, 150]

In place of grids, ranges may be searched:

    method = "tpe"                         # or "random"
    trials = 40                            # at most so many runs (or minutes = 60, over all sessions)
    prune = "median"                       # stop a run below the median of the earlier ones, once five have ended

    [search]
    learning_rate = { low = 1e-4, high = 1e-1, log = true }
    model_args.dropout = { low = 0.0, high = 0.7 }              # 0 and 1 would draw whole numbers
    optimizer = ["adam", "adagrad"]

`Study` lists all entries. Its `reported` and `claims` are tables [[reported]] (the configuration's values, accuracy,
untrained, note) and [[claim]] (says, parameter, low, high, expects, margin, where).
"""

import functools
import itertools
import math
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from digit_recognizer.config import RunConfig
from digit_recognizer.errors import InputError
from digit_recognizer.io import read_bytes
from digit_recognizer.models import build_config, read_options

Value = bool | int | float | str
Configuration = dict[str, Value]
"""Values of what a study varies, by name: fields of RunConfig, and options of a network as `model_args.NAME`."""

Method = Literal["grid", "random", "tpe"]
Prune = Literal["none", "median"]

MODEL_ARGS = "model_args."


@dataclass(frozen=True)
class Range:
    """Numbers from which a search draws: `low` to `high`, both included, evenly in their logarithm if `log`."""

    low: float
    high: float
    log: bool = False
    whole: bool = False

    @property
    def ends(self) -> tuple[Value, Value]:
        """The lowest and the highest number that can be drawn."""
        return (int(self.low), int(self.high)) if self.whole else (float(self.low), float(self.high))


@dataclass(frozen=True)
class Reported:
    """A number that the seed report gives for a configuration.

    Attributes:
        values: it belongs to every configuration that has all of them.
        accuracy: 0 to 1, as the report has it.
        untrained: the same before training; None if the report does not say.
        note: what kind of accuracy it is.
    """

    values: Configuration
    accuracy: float
    untrained: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Claim:
    """A sentence of the seed report about one parameter, in a form that numbers can decide.

    Attributes:
        says: the sentence.
        parameter: a name that varies.
        low, high: two of its values.
        expects: the accuracy at `high`, compared with that at `low`, if the sentence is right.
        margin: of "none": the claim is supported if the whole interval is smaller than this.
        where: values of other parameters that the sentence is about; empty if it is about all.
    """

    says: str
    parameter: str
    low: Value
    high: Value
    expects: Literal["higher", "lower", "none"]
    margin: float = 0.0
    where: Configuration = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Study:
    """What a study file says.

    Attributes:
        name: of its folder, or of the file without its ending.
        title: one line.
        hypothesis, method_text, conclusion: paragraphs, separated by empty lines; may be empty.
        source: the seed report that asks the question; may be empty.
        input_dir: the data's folder.
        fixed: what every run shares.
        seeds: of each configuration. All configurations run with the first seed, then all with the second.
        method: how configurations are chosen.
        grids: of method "grid": by name the values to combine.
        ranges: of the other methods: by name a range, or the values to choose from.
        trials: at most so many runs; None for no limit.
        minutes: of running, over all sessions; no run starts after that. None for no limit.
        prune: when an unpromising run is stopped early.
        at_once: how many configurations a search suggests before it looks at their results, however many run at a
            time.
        epochs_shown: columns of the table: the accuracy after so many epochs, read from the learning curve.
        reported, claims: what the seed report says.
    """

    name: str
    title: str
    hypothesis: str = ""
    method_text: str = ""
    conclusion: str = ""
    source: str = ""
    input_dir: Path = Path("input")
    fixed: Configuration = field(default_factory=dict)
    seeds: int = 3
    method: Method = "grid"
    grids: tuple[dict[str, tuple[Value, ...]], ...] = ()
    ranges: dict[str, Range | tuple[Value, ...]] = field(default_factory=dict)
    trials: int | None = None
    minutes: float | None = None
    prune: Prune = "none"
    at_once: int = 4
    epochs_shown: tuple[int, ...] = ()
    reported: tuple[Reported, ...] = ()
    claims: tuple[Claim, ...] = ()

    @functools.cached_property
    def configurations(self) -> list[Configuration]:
        """The configurations of the grids, each once, in the order of the file; empty of a search."""
        found: dict[tuple[tuple[str, Value], ...], Configuration] = {}
        for grid in self.grids:
            for values in itertools.product(*grid.values()):
                configuration = dict(zip(grid, values, strict=True))
                found.setdefault(tuple(sorted(configuration.items())), configuration)
        return list(found.values())

    @functools.cached_property
    def parameters(self) -> tuple[str, ...]:
        """The names of what varies, in the order of the file."""
        if self.method != "grid":
            return tuple(self.ranges)
        names = dict.fromkeys(name for configuration in self.configurations for name in configuration)
        return tuple(name for name in names if len(self.list_values(name)) > 1)

    @property
    def planned(self) -> int | None:
        """Runs that the study makes, at most; None if only its minutes are limited."""
        if self.method != "grid":
            return None if self.trials is None else min(self.trials, max(1, self.trials // self.seeds) * self.seeds)
        whole = len(self.configurations) * self.seeds
        return whole if self.trials is None else min(whole, self.trials)

    def list_values(self, parameter: str) -> list[Value]:
        """The values that a parameter takes, in the order of the file; none if they are drawn from a range."""
        if self.method != "grid":
            values = self.ranges[parameter]
            return list(values) if isinstance(values, tuple) else []
        return list(dict.fromkeys(one[parameter] for one in self.configurations if parameter in one))

    def build_config(self, configuration: Configuration, seed: int) -> RunConfig:
        """The configuration of one run: `train` with the same flags does the same.

        Raises:
            InputError: for an unknown field or option, or a value that it cannot have.
        """
        changes = {"limit_test": 1, **self.fixed, **configuration}  # the test rows are for the winner of a study
        model = changes.pop("model", RunConfig.model)
        options = [f"{name.removeprefix(MODEL_ARGS)}={changes.pop(name)}" for name in list(changes) if is_option(name)]
        fields: dict[str, Any] = dict(changes)
        config = build_config(str(model), input_dir=str(self.input_dir), seed=seed, model_args=options, **fields)
        read_options(config.model, config.model_args)
        return config


def is_option(name: str) -> bool:
    """Whether a parameter is an option of the network and not a field of RunConfig."""
    return name.startswith(MODEL_ARGS)


def are_numbers(values: Sequence[Value]) -> bool:
    """Whether values have an order and distances: true and false have neither."""
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


# Reading a study file: every entry is named, typed, and tried against RunConfig before anything runs.

STUDY_FILE = "study.toml"
LIMIT_BYTES = 1 << 20
SET_BY_SWEEP = ("run_dir", "input_dir", "submission", "seed", "smoke")
VALUES = (bool, int, float, str)


def load_study(path: Path) -> Study:
    """Read a study.

    Args:
        path: a TOML file, or a folder that holds study.toml.

    Raises:
        InputError: one line that names the file and the entry that is missing, unknown or wrong.
    """
    file = path / STUDY_FILE if path.is_dir() else path
    content = read_bytes(file, LIMIT_BYTES)
    try:
        table = tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
        raise InputError("sweep.not_toml", path=file, problem=error) from error
    study = _read_study(_Table(table, file), file.absolute().parent.name if file.name == STUDY_FILE else file.stem)
    _check_parameters(study, file)
    for reported in study.reported:
        if study.method == "grid" and not any(reported in find_reported(study, one) for one in study.configurations):
            raise InputError("sweep.reported", path=file, received=reported.values)
    for claim in study.claims:
        _check_claim(study, claim, file)
    return study


@dataclass
class _Table:
    """A TOML table whose entries are taken one by one, so that what is left over is unknown."""

    left: dict[str, Any]
    path: Path
    where: str = ""

    def take(
        self,
        name: str,
        kind: type | tuple[type, ...],
        default: Any = ...,
        valid: Callable[[Any], bool] = lambda value: True,
        expected: str = "",
    ) -> Any:
        """Take an entry; one without a default must be there, be of the kind, and be valid."""
        if name not in self.left:
            if default is ...:
                raise InputError("sweep.missing_entry", path=self.path, column=f"{self.where}{name}")
            return default
        value = self.left.pop(name)
        kinds = kind if isinstance(kind, tuple) else (kind,)
        if not isinstance(value, kinds) or (isinstance(value, bool) and bool not in kinds) or not valid(value):
            self.refuse(name, value, expected or " or ".join(f"a {one.__name__}" for one in kinds))
        return value

    def take_tables(self, name: str) -> Iterator["_Table"]:
        """The tables of an array, each to be taken apart in turn."""
        for number, content in enumerate(self.take(name, list, []), 1):
            if not isinstance(content, dict):
                self.refuse(f"[[{name}]]", content, "tables")
            yield _Table(content, self.path, f"[[{name}]] number {number}: ")

    def take_values(self) -> Iterator[tuple[str, Any]]:
        """All that is left; options of the network, which TOML nests, as `model_args.NAME`."""
        for name, content in self.left.items():
            if name in SET_BY_SWEEP:
                raise InputError("sweep.set_by_sweep", path=self.path, column=f"{self.where}{name}")
            if f"{name}." == MODEL_ARGS:
                if not isinstance(content, dict):
                    self.refuse(name, content, f"options, as {MODEL_ARGS}dropout = 0.5")
                yield from ((MODEL_ARGS + inner, value) for inner, value in content.items())
            else:
                yield name, content
        self.left = {}

    def refuse(self, name: str, received: Any, expected: str) -> None:
        """Refuse the value of an entry.

        Raises:
            InputError: always.
        """
        shown = repr(received) if len(repr(received)) <= 40 else f"{repr(received)[:40]}…"
        raise InputError("sweep.entry", path=self.path, column=f"{self.where}{name}", received=shown, expected=expected)

    def close(self) -> None:
        """Refuse what is left over."""
        if self.left:
            raise InputError("sweep.unknown_entry", path=self.path, column=f"{self.where}{next(iter(self.left))}")


def _read_study(table: _Table, name: str) -> Study:
    count: dict[str, Any] = {"valid": lambda value: value >= 1, "expected": "a whole number from 1 up"}
    study = Study(
        name=name,
        title=table.take("title", str),
        hypothesis=table.take("hypothesis", str, ""),
        method_text=table.take("method_text", str, ""),
        conclusion=table.take("conclusion", str, ""),
        source=table.take("source", str, ""),
        input_dir=Path(table.take("input_dir", str, "input")),
        fixed=_read_values(_Table(table.take("fixed", dict, {}), table.path, "[fixed] ")),
        seeds=table.take("seeds", int, 3, **count),
        method=table.take("method", str, "grid", **_one_of("grid", "random", "tpe")),
        grids=tuple(
            {name: _read_choices(grid, name, content) for name, content in grid.take_values()}
            for grid in table.take_tables("grid")
        ),
        ranges=_read_ranges(_Table(table.take("search", dict, {}), table.path, "[search] ")),
        trials=table.take("trials", int, None, **count),
        minutes=table.take("minutes", (int, float), None, lambda value: 0 < value < math.inf, "a number above 0"),
        prune=table.take("prune", str, "none", **_one_of("none", "median")),
        at_once=table.take("at_once", int, 4, **count),
        epochs_shown=tuple(
            table.take(
                "epochs_shown", list, [], lambda all_: all(type(one) is int and one >= 1 for one in all_),
                "whole numbers from 1 up",
            )
        ),
        reported=tuple(_read_reported(one) for one in table.take_tables("reported")),
        claims=tuple(_read_claim(one) for one in table.take_tables("claim")),
    )  # fmt: skip
    table.close()
    return study


def _check_parameters(study: Study, file: Path) -> None:
    """Refuse a study of which no run could start.

    Raises:
        InputError: naming the entry.
    """
    if study.method == "grid":
        if study.ranges or not study.grids:
            raise InputError("sweep.grid_or_search", path=file, received=study.method, needed="[[grid]]")
        samples = study.configurations
    else:
        if study.grids or not study.ranges:
            raise InputError("sweep.grid_or_search", path=file, received=study.method, needed="[search]")
        if study.trials is None and study.minutes is None:
            raise InputError("sweep.endless", path=file)
        # the corners of each range in turn; what lies between is tried when it is run
        ends = {name: found.ends if isinstance(found, Range) else found for name, found in study.ranges.items()}
        first = {name: values[0] for name, values in ends.items()}
        samples = [{**first, name: value} for name, values in ends.items() for value in values]
    if twice := sorted({name for sample in samples for name in sample} & set(study.fixed)):
        raise InputError("sweep.fixed_and_varied", path=file, column=twice[0])
    for sample in samples:
        try:
            study.build_config(sample, 0)
        except InputError as error:
            raise InputError("sweep.configuration", path=file, problem=error) from error


def _check_claim(study: Study, claim: Claim, file: Path) -> None:
    """Refuse a claim that no comparison of the study can decide.

    Raises:
        InputError: naming the parameter.
    """
    if claim.parameter not in study.parameters:
        raise InputError("sweep.claim_parameter", path=file, column=claim.parameter)
    values = study.list_values(claim.parameter)
    for end in (claim.low, claim.high):
        if claim.low == claim.high or (values and end not in values):
            raise InputError("sweep.claim_value", path=file, column=claim.parameter, received=end)
    for name, value in claim.where.items():
        if name == claim.parameter or name not in study.parameters or value not in study.list_values(name):
            raise InputError("sweep.claim_value", path=file, column=name, received=value)


def _read_choices(table: _Table, name: str, content: Any) -> tuple[Value, ...]:
    values = content if isinstance(content, list) else [content]
    if not values or not all(isinstance(value, VALUES) for value in values) or len(set(values)) < len(values):
        table.refuse(name, content, "a value, or a list of different ones")
    return tuple(values)


def _read_ranges(table: _Table) -> dict[str, Range | tuple[Value, ...]]:
    ranges: dict[str, Range | tuple[Value, ...]] = {}
    for name, content in table.take_values():
        if not isinstance(content, dict):
            if not isinstance(content, list):
                table.refuse(name, content, "a list of values, or { low = …, high = … }")
            ranges[name] = _read_choices(table, name, content)
            continue
        inner = _Table(dict(content), table.path, f"{table.where}{name}: ")
        low, high = (inner.take(end, (int, float)) for end in ("low", "high"))
        log = inner.take("log", bool, False)
        inner.close()
        if not low < high or (log and low <= 0):
            table.refuse(name, content, f"low below high{', and above 0' if log else ''}")
        ranges[name] = Range(low, high, log, whole=isinstance(low, int) and isinstance(high, int))
    return ranges


def _read_values(table: _Table) -> Configuration:
    values: Configuration = {}
    for name, value in table.take_values():
        if not isinstance(value, VALUES):
            table.refuse(name, value, "one value")
        values[name] = value
    return values


def _read_reported(table: _Table) -> Reported:
    share: tuple[Any, ...] = (_is_share, "a number from 0 to 1")
    accuracy = table.take("accuracy", (int, float), ..., *share)
    untrained = table.take("untrained", (int, float), None, *share)
    note = table.take("note", str, "")
    return Reported(_read_values(table), accuracy, untrained, note)


def _read_claim(table: _Table) -> Claim:
    claim = Claim(
        says=table.take("says", str),
        parameter=table.take("parameter", str),
        low=table.take("low", VALUES),
        high=table.take("high", VALUES),
        expects=table.take("expects", str, **_one_of("higher", "lower", "none")),
        margin=table.take("margin", (int, float), 0.0, _is_share, "a number from 0 to 1"),
        where=_read_values(_Table(table.take("where", dict, {}), table.path, f"{table.where}where: ")),
    )
    table.close()
    return claim


def _one_of(*choices: str) -> dict[str, Any]:
    return {"valid": lambda value: value in choices, "expected": f"one of {', '.join(choices)}"}


def _is_share(value: float) -> bool:
    return 0 <= value <= 1


def find_reported(study: Study, configuration: Mapping[str, Value]) -> list[Reported]:
    """What the seed report says of a configuration."""
    values = {**study.fixed, **configuration}
    return [one for one in study.reported if one.values.items() <= values.items()]


# How a study's names and values are written, in tables, figures and messages.

DRAWN_DIGITS = 3  # of a number that a search drew: the others fill a table and say nothing


def name_parameter(name: str) -> str:
    """A parameter as a reader knows it: an option of the network without its prefix."""
    return name.removeprefix(MODEL_ARGS)


def show_value(value: Value) -> str:
    """A value as a study file has it."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def show_drawn(study: Study, name: str, value: Value) -> str:
    """A value as in a study file, but a number that was drawn from a range to a few digits."""
    if isinstance(value, float) and isinstance(study.ranges.get(name), Range):
        return f"{value:.{DRAWN_DIGITS}g}"
    return show_value(value)


def label_configuration(study: Study, configuration: Configuration) -> str:
    """What distinguishes a configuration from the others of its study: "dropout 0.3, batch_size 40"."""
    varied = [name for name in study.parameters if name in configuration]
    parts = [f"{name_parameter(name)} {show_drawn(study, name, configuration[name])}" for name in varied]
    return ", ".join(parts) or "the one configuration"
