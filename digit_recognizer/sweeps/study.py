"""A study: which runs to make in order to know what, read from a short file that can be kept beside its results.

The file is TOML. `studies/` holds some; this one is a whole study:

    title = "Dropout and batch size of the narrow net"
    hypothesis = "Less dropout and smaller batches are better."
    seeds = 3                              # every setting is run with seeds 0, 1 and 2
    input_dir = "input"                    # the data, a folder as `download` leaves it

    [fixed]                                # fields of the configuration; net.* are options of the net
    model = "narrow"
    epochs = 5

    [[grid]]                               # every combination of these; several grids are joined
    net.dropout = [0.3, 0.5, 0.7]
    batch_size = [40, 150]

In place of grids, ranges may be searched:

    method = "tpe"                         # or "random"
    trials = 40                            # at most so many runs (or minutes = 60, counted over all sittings)
    prune = "median"                       # stop a run below the median of the earlier ones, once five settings ended

    [search]
    learning_rate = { low = 1e-4, high = 1e-1, log = true }
    net.dropout = { low = 0.0, high = 0.7 }                     # 0 and 1 would draw whole numbers
    optimizer = ["adam", "adagrad"]

What else a file may say is listed by `Study`, under the same names; its `reported` and `claims` are written as tables
[[reported]] (the setting's values, accuracy, untrained, note) and [[claim]] (says, parameter, low, high, expects,
margin, where).
"""

import itertools
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from digit_recognizer.config import RunConfig
from digit_recognizer.models import build_config, read_options

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
        changes = {"test_rows": 1, **self.fixed, **setting}  # test rows are for the net that a study chooses
        model = changes.pop("model", RunConfig.model)
        net = [f"{name.removeprefix(NET)}={value}" for name, value in changes.items() if name.startswith(NET)]
        flags: dict[str, Any] = {name: value for name, value in changes.items() if not name.startswith(NET)}
        config = build_config(str(model), input_dir=str(self.input_dir), seed=seed, net=net, **flags)
        read_options(config.model, config.net)
        return config
