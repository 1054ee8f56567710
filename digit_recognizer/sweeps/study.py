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
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from digit_recognizer.config import RunConfig, describe_type, expand_path, matches_type
from digit_recognizer.errors import InputError, suggest
from digit_recognizer.io import read_toml
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

    @property
    def whole(self) -> bool:
        """Whether whole numbers are drawn: both ends are written without a point."""
        return isinstance(self.low, int) and isinstance(self.high, int)


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
        every = (
            dict(zip(grid, values, strict=True)) for grid in self.grids for values in itertools.product(*grid.values())
        )
        return list({frozenset(one.items()): one for one in every}.values())

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
        model = str(changes.pop("model", RunConfig.model))
        options = [f"{name_parameter(name)}={changes.pop(name)}" for name in list(changes) if is_option(name)]
        fields: dict[str, Any] = {**changes, "input_dir": str(self.input_dir), "seed": seed, "model_args": options}
        config = build_config(model, **fields)
        read_options(config.model, config.model_args)
        return config


@dataclass(frozen=True)
class SweepConfig:
    """What `sweep` is asked to do with a study."""

    study: Path
    """The study's file, or its folder, as studies/002-dropout-batch-kernel."""
    run_dir: Path | None = None
    """The sweep's folder, resumed if there are trials in it (default: runs/sweep-STUDY)."""
    input_dir: Path | None = None
    """Folder of the data (default: the study's)."""
    trials: int | None = None
    """End after so many trials, with those of earlier sessions (default: the study's number)."""
    minutes: float | None = None
    """Start no trial after so many minutes of them, with those of earlier sessions (default: the study's number)."""
    page_only: bool = False
    """Run nothing; write the page of the trials at hand."""


def is_option(name: str) -> bool:
    """Whether a parameter is an option of the network and not a field of RunConfig."""
    return name.startswith(MODEL_ARGS)


def are_numbers(values: Sequence[Value]) -> bool:
    """Whether values have an order and distances: true and false have neither."""
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


# Reading a study file: the types and ranges of its entries stand in tables, and the values of its runs are tried
# against RunConfig.

STUDY_FILE = "study.toml"
MAX_CONFIGURATIONS = 100_000
SET_BY_SWEEP = ("run_dir", "input_dir", "submission", "seed", "smoke")
OF_CV = ("refit", "refit_epochs", "refit_preprocess")  # a trial is one model on one split, as by `train`

Table = dict[str, Any]
TYPES: Table = {
    "title": str, "hypothesis": str, "method_text": str, "conclusion": str, "source": str, "input_dir": str,
    "seeds": int, "method": Method, "trials": int, "minutes": float, "prune": Prune, "at_once": int,
    "epochs_shown": list[int], "fixed": Table, "search": Table, "grid": list[Table], "reported": list[Table],
    "claim": list[Table],
}  # fmt: skip
REPORTED_TYPES: Table = {"accuracy": float, "untrained": float, "note": str}
REQUIRED = {"title", "low", "high", "accuracy", "says", "parameter", "expects"}
RANGES = {
    "seeds": (1, 1000), "trials": (1, 10**8), "minutes": (0.001, 10**6), "at_once": (1, 1000),
    "epochs_shown": (1, 10**6), "accuracy": (0, 1), "untrained": (0, 1), "margin": (0, 1),
}  # fmt: skip


def read_study_file(path: Path) -> tuple[Path, Table]:
    """The file of a study and its content, not yet checked.

    Args:
        path: as of `load_study`.

    Raises:
        InputError: if there is no such file, or it is not TOML.
    """
    file = path / STUDY_FILE if path.is_dir() else path
    return file, read_toml(file)


def load_study(path: Path) -> Study:
    """Read a study.

    Args:
        path: a TOML file, or a folder that holds study.toml.

    Raises:
        InputError: one line that names the file and the entry that is missing, unknown or wrong.
    """
    file, table = read_study_file(path)
    try:
        study = _read_study(table, file.absolute().parent.name if file.name == STUDY_FILE else file.stem)
        _check_parameters(study)
        for claim in study.claims:
            _check_claim(study, claim)
    except InputError as error:
        error.path = file
        raise
    return study


def _read_study(content: Table, name: str) -> Study:
    found = _read_entries(content, TYPES)
    grids, reported, claims = (
        [(f"[[{kind}]] number {number}: ", table) for number, table in enumerate(found.pop(kind, []), 1)]
        for kind in ("grid", "reported", "claim")
    )
    ranges = _flatten(found.pop("search", {}), "[search] ")
    return Study(
        name=name,
        input_dir=expand_path(found.pop("input_dir", Study.input_dir)),
        epochs_shown=tuple(found.pop("epochs_shown", ())),
        fixed=_read_values(found.pop("fixed", {}), "[fixed] "),
        grids=tuple(
            {name: _read_choices(one, where + name) for name, one in _flatten(table, where).items()}
            for where, table in grids
        ),
        ranges={name: _read_range(one, f"[search] {name}") for name, one in ranges.items()},
        reported=tuple(_read_reported(table, where) for where, table in reported),
        claims=tuple(_read_claim(table, where) for where, table in claims),
        **found,
    )


def _read_entries(content: Table, types: Mapping[str, Any], where: str = "") -> Table:
    """The entries of a table.

    Raises:
        InputError: naming one that is missing, unknown, or of another type or range.
    """
    for name in {**dict.fromkeys(name for name in types if name in REQUIRED), **content}:
        if name not in content:
            raise InputError("sweep.missing_entry", column=f"{where}{name}")
        if name not in types:
            raise InputError("sweep.unknown_entry", column=f"{where}{name}", hint=suggest(name, types))
        value, kind = content[name], describe_type(types[name])
        if not matches_type(value, types[name]):
            raise _refuse(f"{where}{name}", value, kind)
        low, high = RANGES.get(name, (-math.inf, math.inf))
        numbers = value if isinstance(value, list) else [value]
        if name in RANGES and not all(low <= number <= high for number in numbers):
            raise _refuse(f"{where}{name}", value, f"{kind} from {low:,} to {high:,}")
    return dict(content)


def _refuse(column: str, value: Any, expected: str) -> InputError:
    return InputError("sweep.entry", column=column, received=f"{value!r:.40}", expected=expected)


def _flatten(content: Table, where: str) -> Table:
    """What a table says of parameters; TOML nests the options of the network, which are named `model_args.NAME`."""
    flat: Table = {}
    for name, value in content.items():
        if name in OF_CV:
            raise InputError("sweep.of_cv", column=f"{where}{name}")
        if name in SET_BY_SWEEP:
            raise InputError("sweep.set_by_sweep", column=f"{where}{name}")
        if f"{name}." != MODEL_ARGS:
            flat[name] = value
        elif isinstance(value, dict):
            flat |= {MODEL_ARGS + option: one for option, one in value.items()}
        else:
            raise _refuse(f"{where}{name}", value, f"options, as {MODEL_ARGS}dropout = 0.5")
    return flat


def _read_values(content: Table, where: str) -> Configuration:
    """One value for each parameter."""
    values = _flatten(content, where)
    for name, value in values.items():
        if not matches_type(value, Value):
            raise _refuse(f"{where}{name}", value, "one value")
    return values


def _read_choices(content: Any, where: str) -> tuple[Value, ...]:
    values = content if isinstance(content, list) else [content]
    if not values or not matches_type(values, list[Value]) or len(set(values)) < len(values):
        raise _refuse(where, content, "a value, or a list of different ones")
    return tuple(values)


def _read_range(content: Any, where: str) -> Range | tuple[Value, ...]:
    if isinstance(content, list):
        return _read_choices(content, where)
    if not isinstance(content, dict):
        raise _refuse(where, content, "a list of values, or { low = …, high = … }")
    found = Range(**_read_entries(content, typing.get_type_hints(Range), f"{where}: "))
    if not found.low < found.high or (found.log and found.low <= 0):
        raise _refuse(where, content, "low below high, and above 0 if log = true")
    return found


def _read_reported(content: Table, where: str) -> Reported:
    numbers = {name: content.pop(name) for name in REPORTED_TYPES if name in content}
    return Reported(_read_values(content, where), **_read_entries(numbers, REPORTED_TYPES, where))


def _read_claim(content: Table, where: str) -> Claim:
    found = _read_entries(content, {**typing.get_type_hints(Claim), "where": Table}, where)
    return Claim(**{**found, "where": _read_values(found.get("where", {}), f"{where}where: ")})


def _check_parameters(study: Study) -> None:
    """Refuse a study of which no run could start, and numbers of the seed report that belong to no run.

    Raises:
        InputError: naming the entry.
    """
    is_grid = study.method == "grid"
    if bool(study.grids) != is_grid or bool(study.ranges) == is_grid:
        raise InputError("sweep.grid_or_search", received=study.method, needed="[[grid]]" if is_grid else "[search]")
    if (count := sum(math.prod(map(len, grid.values())) for grid in study.grids)) > MAX_CONFIGURATIONS:
        raise InputError("sweep.too_many", received=count, most=MAX_CONFIGURATIONS)
    if not is_grid and study.trials is None and study.minutes is None:
        raise InputError("sweep.endless")
    samples = study.configurations
    if not is_grid:  # the corners of each range in turn; what lies between is tried when it is run
        ends = {name: (one.low, one.high) if isinstance(one, Range) else one for name, one in study.ranges.items()}
        first = {name: values[0] for name, values in ends.items()}
        samples = [{**first, name: value} for name, values in ends.items() for value in values]
    if twice := sorted({name for sample in samples for name in sample} & set(study.fixed)):
        raise InputError("sweep.fixed_and_varied", column=twice[0])
    for sample in samples:
        try:
            study.build_config(sample, 0)
        except InputError as error:
            raise InputError("sweep.configuration", problem=error) from error
    for reported in study.reported if study.method == "grid" else ():
        if not any(reported in find_reported(study, one) for one in samples):
            raise InputError("sweep.reported", received=reported.values)


def _check_claim(study: Study, claim: Claim) -> None:
    """Refuse a claim that no comparison of the study can decide.

    Raises:
        InputError: naming the parameter.
    """
    if claim.parameter not in study.parameters:
        raise InputError("sweep.claim_parameter", column=claim.parameter)
    values = study.list_values(claim.parameter)
    wrong = [(claim.parameter, end) for end in (claim.low, claim.high) if values and end not in values]
    wrong += [(claim.parameter, claim.low)] if claim.low == claim.high else []
    others = {name: study.list_values(name) for name in study.parameters if name != claim.parameter}
    wrong += [(name, value) for name, value in claim.where.items() if value not in others.get(name, ())]
    for name, value in wrong:
        raise InputError("sweep.claim_value", column=name, received=value)


def find_reported(study: Study, configuration: Mapping[str, Value]) -> list[Reported]:
    """What the seed report says of a configuration."""
    values = {**study.fixed, **configuration}
    return [one for one in study.reported if one.values.items() <= values.items()]


# How a study's names and values are written, in tables, figures and messages.


def name_parameter(name: str) -> str:
    """A parameter as a reader knows it: an option of the network without its prefix."""
    return name.removeprefix(MODEL_ARGS)


def show_value(value: Value) -> str:
    """A value as a study file has it; more digits of a number that a search drew would say nothing."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def label_configuration(study: Study, configuration: Configuration) -> str:
    """What distinguishes a configuration from the others of its study: "dropout 0.3, batch_size 40"."""
    varied = [name for name in study.parameters if name in configuration]
    parts = [f"{name_parameter(name)} {show_value(configuration[name])}" for name in varied]
    return ", ".join(parts) or "the one configuration"
