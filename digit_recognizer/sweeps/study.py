"""The whole recipe of a study's runs: what its file says, and what it leaves to the model and to the defaults."""

import itertools
import math
import statistics
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from digit_recognizer.config import RunConfig
from digit_recognizer.errors import InputError
from digit_recognizer.io import open_regular_file
from digit_recognizer.models import build_config, load_preset, read_options
from digit_recognizer.reporting.html import Section
from digit_recognizer.training.inputs import count_parameters

# A study: which runs to make in order to know what, read from a short file that can be kept beside its results.
#
# The file is TOML. `studies/` holds some; this one is a whole study:
#
#     title = "Dropout and batch size of the narrow net"
#     hypothesis = "Less dropout and smaller batches are better."
#     seeds = 3                              # every setting is run with seeds 0, 1 and 2
#     input_dir = "input"                    # the data, a folder as `download` leaves it
#
#     [fixed]                                # fields of the configuration; net.* are options of the net
#     model = "narrow"
#     epochs = 5
#
#     [[grid]]                               # every combination of these; several grids are joined
#     net.dropout = [0.3, 0.5, 0.7]
#     batch_size = [40, 150]
#
# In place of grids, ranges may be searched:
#
#     method = "tpe"                         # or "random"
#     trials = 40                            # at most so many runs (or minutes = 60, counted over all sittings)
#     prune = "median"                       # stop a run below the median of the earlier ones, once five settings ended
#
#     [search]
#     learning_rate = { low = 1e-4, high = 1e-1, log = true }
#     net.dropout = { low = 0.0, high = 0.7 }                     # 0 and 1 would draw whole numbers
#     optimizer = ["adam", "adagrad"]
#
# What else a file may say is listed by `Study`, under the same names; its `reported` and `claims` are written as tables
# [[reported]] (the setting's values, accuracy, untrained, note) and [[claim]] (says, parameter, low, high, expects,
# margin, where).

Value = bool | int | float | str
Setting = dict[str, Value]
"""Values of what a study varies, by name: fields of RunConfig, and a net's options as `net.NAME`."""

Method = Literal["grid", "random", "tpe"]
Prune = Literal["none", "median"]

NET = "net."


@dataclass(frozen=True)
class Range:
    """Numbers from which a search draws: `low` to `high`, both included, evenly in their logarithm if `log`."""

    low: float
    high: float
    log: bool = False
    whole: bool = False


@dataclass(frozen=True)
class Reported:
    """A number that a document gives for a setting.

    Attributes:
        setting: the values named; a setting of the study that has them all is the one meant.
        accuracy: 0 to 1, as the document has it.
        untrained: the same before training; None if it does not say.
        note: what kind of accuracy it is, say.
    """

    setting: Setting
    accuracy: float
    untrained: float | None = None
    note: str = ""


@dataclass(frozen=True)
class Claim:
    """A sentence of a document about one parameter, in a form that numbers can decide.

    Attributes:
        says: the sentence.
        parameter: a name that varies.
        low, high: two of its values.
        expects: what the accuracy at `high` is, compared with that at `low`, if the sentence is right.
        margin: of "none": a difference that is smaller, the whole interval of it, is no difference worth the name.
        where: values of other parameters that the sentence is about; empty if it is about all.
    """

    says: str
    parameter: str
    low: Value
    high: Value
    expects: Literal["higher", "lower", "none"]
    margin: float = 0.0
    where: Setting = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Study:
    """What a study file says.

    Attributes:
        name: of its folder, or of the file without its ending.
        title: one line.
        hypothesis, method_text, conclusion: paragraphs, parted by empty lines; may be empty.
        document: where the question comes from; may be empty.
        input_dir: the data's folder.
        fixed: what every run shares.
        seeds: of each setting, in the order of running: all settings with the first, then all with the second.
        method: how settings are chosen.
        grids: of method "grid": by name the values to combine.
        ranges: of the other methods: by name a range, or the values to choose from.
        trials: at most so many runs; None for no limit.
        minutes: of runs, over all sittings; none begins after that. None for no limit.
        prune: when a run is given up.
        at_once: how many settings a search suggests before it looks at their results, however many run at a time.
        epochs_shown: columns of the table: the accuracy after so many epochs, read from the learning curve.
        reported, claims: what the document says.
    """

    name: str
    title: str
    hypothesis: str = ""
    method_text: str = ""
    conclusion: str = ""
    document: str = ""
    input_dir: Path = Path("input")
    fixed: Setting = field(default_factory=dict)
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

    @property
    def parameters(self) -> tuple[str, ...]:
        """The names of what varies, in the order of the file."""
        if self.method != "grid":
            return tuple(self.ranges)
        values: dict[str, set[Value]] = {}
        for setting in self.list_settings():
            for name, value in setting.items():
                values.setdefault(name, set()).add(value)
        return tuple(name for name, found in values.items() if len(found) > 1)

    def list_settings(self) -> list[Setting]:
        """The settings of the grids, each once, in the order of the file; empty of a search."""
        listed: dict[tuple[tuple[str, Value], ...], Setting] = {}
        for grid in self.grids:
            for values in itertools.product(*grid.values()):
                setting = dict(zip(grid, values, strict=True))
                listed.setdefault(tuple(sorted(setting.items())), setting)
        return list(listed.values())

    def build_config(self, setting: Setting, seed: int) -> RunConfig:
        """The configuration of one run: `train` with the same flags does the same.

        Raises:
            InputError: for a field or option that there is not, or a value that it cannot have.
        """
        changes = {"limit_test": 1, **self.fixed, **setting}  # test rows are for the net that a study chooses
        model = changes.pop("model", RunConfig.model)
        net = [f"{name.removeprefix(NET)}={value}" for name, value in changes.items() if name.startswith(NET)]
        flags: dict[str, Any] = {name: value for name, value in changes.items() if not name.startswith(NET)}
        config = build_config(str(model), input_dir=str(self.input_dir), seed=seed, model_args=net, **flags)
        read_options(config.model, config.model_args)
        return config


# Which values of a parameter a study compares with which.

MOST_PAIRED = 4  # values of a parameter: of more, all pairs would leave each too little of the 5 %


def list_values(study: Study, parameter: str) -> list[Value]:
    """The values that a parameter is given, in the order of the file; none if they are drawn from a range."""
    if study.method != "grid":
        values = study.ranges[parameter]
        return list(values) if isinstance(values, tuple) else []
    return list(dict.fromkeys(setting[parameter] for setting in study.list_settings() if parameter in setting))


def find_reference(study: Study, parameter: str) -> Value | None:
    """The value with which others are compared: that of more than half of the settings, else the one listed first."""
    values = [setting[parameter] for setting in study.list_settings() if parameter in setting]
    values = values or list_values(study, parameter)
    if not values:
        return None
    usual = statistics.mode(values)
    return usual if values.count(usual) > len(values) / 2 else values[0]


def list_comparisons(study: Study, parameter: str) -> list[tuple[Value, Value]]:
    """The comparisons of a parameter, each a value and what it is compared with.

    Each value with the reference, of numbers the highest with the lowest too, and what the document makes a claim of;
    of a few values all pairs.
    """
    values, reference = list_values(study, parameter), find_reference(study, parameter)
    wanted = [(value, reference) for value in values if value != reference and reference is not None]
    if len(values) > 1 and are_numbers(values):
        wanted.append((max(values), min(values)))
    wanted += [(claim.high, claim.low) for claim in study.claims if claim.parameter == parameter]
    if len(values) <= MOST_PAIRED:
        ordered = sorted(values) if are_numbers(values) else values
        wanted += [(later, earlier) for earlier, later in itertools.combinations(ordered, 2)]
    listed: list[tuple[Value, Value]] = []
    for value, other in wanted:
        if (value, other) not in listed and (other, value) not in listed:
            listed.append((value, other))
    return listed


def are_numbers(values: Sequence[Value]) -> bool:
    """Whether values have an order and distances: true and false have neither."""
    return all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values)


# A study's file, read with suspicion: every entry is named, typed, and tried against the configuration.

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


SET_BY_SWEEP = ("input_dir", "run_dir", "submission", "seed", "smoke", "tensorboard", "model_args", "limit_test")


def describe_recipe(study: Study, settings: Sequence[Setting]) -> list[Section]:
    """A section with every field of the runs' configurations, its values, and who chose them; empty of no settings."""
    if not settings:
        return []
    configs = [study.build_config(setting, 0).to_json() for setting in settings]
    rows = [("setting", "value", "chosen by")]
    for name in configs[0]:
        if name in SET_BY_SWEEP:
            continue
        values = list(dict.fromkeys(str(config[name]) for config in configs))
        rows.append((name, ", ".join(values), _tell_source(study, settings, configs, name)))
    words = (
        "What the study's file does not name is the model's own recipe, or the default of every run; the same flags "
        "given to train make the same run."
    )
    return [Section("Every setting of the runs", (words, *list_cautions(study, settings)), table=tuple(rows))]


def list_cautions(study: Study, settings: Sequence[Setting]) -> list[str]:
    """What varies without what it must be tuned with; where a run's accuracy is not its curve's. A sentence each."""
    said = {*study.fixed, *(name for setting in settings for name in setting)}
    configs = [study.build_config(setting, 0) for setting in settings]
    cautions = []
    optimizers = {config.optimizer for config in configs}
    if len(optimizers) > 1 and "learning_rate" not in said:
        rates = sorted({config.learning_rate for config in configs})
        cautions.append(
            f"The optimizers {', '.join(sorted(optimizers))} were compared at a learning rate that the file does not "
            f"name ({', '.join(f'{rate:g}' for rate in rates)}), which suits at most one of them: name one for each."
        )
    if any(config.patience for config in configs):
        cautions.append(
            "Runs stop early, with the weights of the epoch that was best on rows set aside: their accuracy is that "
            "epoch's, and their learning curve goes on beyond it."
        )
    if any(config.tta > 1 for config in configs):
        cautions.append(
            "At its end a net judges several shifted copies of each image (tta), on its learning curve the "
            "image alone: the curve's last point is another accuracy than the run's."
        )
    return cautions


def list_impossible(study: Study, settings: Sequence[Setting]) -> list[str]:
    """Settings of which no net can be built, told before hours are spent on the others: a sentence each."""
    sentences = []
    for setting in settings:
        config = study.build_config(setting, 0)
        try:
            count_parameters(config.model, config.model_args)
        except InputError as error:
            values = " ".join(f"{name}={setting[name]}" for name in study.parameters if name in setting)
            sentences.append(f"no net can be built with {values}, so its trials will fail: {error}")
    return sentences


def _tell_source(study: Study, settings: Sequence[Setting], configs: Sequence[dict[str, object]], name: str) -> str:
    if name in study.fixed:
        return "the study"
    if any(name in setting for setting in settings):
        return "the study: it varies"
    models = {str(config["model"]) for config in configs}
    if any(name in load_preset(model) for model in models):
        return f"the recipe of {', '.join(sorted(models))}"
    return "default" if all(config[name] == RunConfig().to_json()[name] for config in configs) else "the sweep"
