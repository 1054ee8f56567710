"""The JSON files of a run folder from anybody: one way to read them, with a schema of each.

A schema is a `TypedDict`, whose types `config.matches_type` checks, as it does for flags and study files. pydantic was
weighed: it would replace none of that, takes 90 ms to import, and no installation needs it so far.
"""

import re
import reprlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, Required, TypedDict, get_type_hints

from digit_recognizer.config import Preprocess, matches_type
from digit_recognizer.errors import InputError
from digit_recognizer.io import read_json, refuse_links

CONFIG, METRICS = "config.json", "metrics.json"


def between(low: float, high: float) -> Callable[[Any], bool]:
    """The condition that a number lies between two, both included; NaN does not."""
    return lambda value: low <= value <= high


def at_most(count: int) -> Callable[[Any], bool]:
    """The condition that a list has at most so many entries, or a text so many characters."""
    return lambda values: len(values) <= count


def name_an_executor(flags: Sequence[str]) -> bool:
    """The condition that flags say where tasks run: no other flag of a file, nor an address, gets into a command."""
    pattern = r"(--executor (local|processes|ray))?( ?--task-cpus [0-9]{1,6})?( ?--task-gpus [0-9.e-]{1,24})?"
    return re.fullmatch(pattern, " ".join(flags)) is not None


def all_differ(values: Sequence[str]) -> bool:
    """The condition that no text is in a list twice."""
    return len(values) == len(set(values))


def can_be_shown(names: Sequence[str]) -> bool:
    """Whether these are names of classes as `find_classes` takes them, all different."""
    fit = all(0 < len(name) <= 255 and name.isprintable() for name in names)
    return fit and 1 < len(names) == len(set(names)) <= 1000


Share = Annotated[float, between(0, 1)]
Seconds = Annotated[float, between(0, 1e10)]
Count = Annotated[int, between(0, 2**53)]  # up to here floats hold every whole number
Text = Annotated[str, at_most(4096)]  # no path of a system is longer
Line = Annotated[str, at_most(4096), str.isprintable]  # a file from anywhere must not move the cursor or fake a message
NumberFormat = Literal["float32", "bfloat16", "float16"]


class Config(TypedDict, total=False):
    """config.json, as far as it is used without being a whole `RunConfig`."""

    subcommand: Text
    command: Text
    in_python: bool
    model: Text
    input_dir: Text
    seed: Count
    epochs: Count
    preprocess: Preprocess
    patience: Count
    schedule: Text
    label_smoothing: Share
    smoke: bool
    limit_train: Count
    refit: Count
    images: Text
    test: Text | None
    weights: Text


class SubmissionEntry(TypedDict, total=False):
    """What a metrics.json of any version says of its submission."""

    submission: Text | None


class RunMetrics(SubmissionEntry, total=False):
    """metrics.json of cv, train and ensemble. No accuracy is taken from it: whether there is one, no more."""

    model: Line
    oof_accuracy: Required[Share | None]
    train_sha256: Required[str | None]
    test_sha256: Required[str | None]
    ineligible: Required[Line | None]
    elapsed_seconds: Seconds
    training_seconds: Seconds
    single_split: bool
    refit: Annotated[int, between(0, 1000)]
    temperature: Annotated[float, between(0.05, 20)]
    untrained_accuracy: Share | None
    precision: NumberFormat
    classes: dict[str, Any]
    members: Annotated[list[Text], at_most(100), all_differ]
    weights: Annotated[list[Share], at_most(100)] | None


class BaseModelEntry(TypedDict):
    """The base model of a transfer."""

    model: Line
    model_args: Annotated[list[Line], at_most(100)]
    precision: NumberFormat


class Summary(TypedDict):
    """Accuracies over seeds."""

    mean: Share
    per_seed: Annotated[list[Share], at_most(1000)]


class Validation(TypedDict):
    """What chose the model that a transfer keeps."""

    what: Line
    pictures: Count
    accuracy: Summary
    nearest_neighbours: Summary


class TransferSummary(TypedDict, total=False):
    """What a list of runs shows of a transfer, of any version."""

    elapsed_seconds: Seconds
    warning: Line | None


class TransferMetrics(TransferSummary, total=False):
    """metrics.json of transfer. The accuracy of what was kept is taken from predictions.csv."""

    classes: Required[Annotated[list[str], can_be_shown]]
    base: Required[BaseModelEntry]
    preprocess: Required[Preprocess]
    neighbours: Required[Annotated[int, between(1, 2**31)]]
    recommended: Required[Literal["model", "neighbours"]]
    seeds: Annotated[list[Count], at_most(1000)]
    kept_seed: Count
    validation: Validation | None
    training_pictures: dict[str, Count]
    evaluated: Line
    accuracy: Summary
    nearest_class_mean: Summary
    nearest_neighbours: Summary


class Fingerprint(TypedDict):
    """The part of a fingerprint that is used by itself."""

    precision: NumberFormat


class Environment(TypedDict, total=False):
    """environment.json."""

    run: Required[Line]
    commit: Required[Line | None]
    platform: str
    fingerprint: Required[Fingerprint]
    executor: Annotated[list[Line], name_an_executor]
    resumed_with_differences: Required[list[str]]


def read_record(path: Path, schema: type) -> dict[str, Any]:
    """Read a JSON file of a run folder.

    Args:
        path: of the file.
        schema: a TypedDict. Other entries are there to be shown as text, no more.

    Raises:
        InputError: if the file cannot be read, an entry is missing, or one is of another type or out of its range; if
            the run folder has a link in it.
    """
    refuse_links(path.parent)
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError("run.entry", path=path, column="the whole file", received=reprlib.repr(content))
    hints = get_type_hints(schema, include_extras=True)
    for name in sorted(schema.__required_keys__):  # type: ignore[attr-defined]  # every TypedDict has it, but `type` does not say so
        if name not in content:
            raise InputError("run.metric_missing", path=path, column=name)
    for name, value in content.items():
        if name in hints and not matches_type(value, hints[name]):
            raise InputError("run.entry", path=path, column=name, received=reprlib.repr(value))
    return content
