"""A finished transfer, read again: what it evaluated, what it predicts, and of what its model is made.

Nothing that its files say becomes code, a path to import or a layer: the model's architecture is one of `list_models`,
its weights are safetensors, and everything else is checked text and numbers. Keras is not needed here.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from digit_recognizer.config import Precision, Preprocess, read_fields
from digit_recognizer.errors import InputError
from digit_recognizer.io import read_bytes, read_json
from digit_recognizer.training.run import CONFIG, METRICS, load_config

if TYPE_CHECKING:
    import pandas as pd

SUBCOMMAND = "transfer"
WEIGHTS, NEIGHBOURS = "transferred.safetensors", "neighbours.safetensors"  # in models/
PREDICTIONS = "predictions.csv"
PREDICTION_COLUMNS = ["file", "label", "predicted", "probability", "sha256"]
MOST_TABLE_BYTES = 1 << 26  # 100,000 pictures with long names have 20 MB
MOST_CLASSES, LONGEST_CLASS = 1000, 255
PHOTOGRAPHS = "resnet152v2"

ClassifierName = Literal["model", "neighbours"]
"""A transfer's classifiers: its model with the new output layer, or the nearest neighbours in the embedding."""


@dataclass(frozen=True)
class FinishedTransfer:
    """A transfer's run folder, read again.

    Attributes:
        path: the folder.
        config: the content of config.json.
        metrics: the content of metrics.json.
        classes: names, in the order of the model's outputs.
        base: name of the base model's architecture, or resnet152v2.
        model_args: its options, as `--model-args` takes them.
        precision: in which the model was trained and predicts.
        preprocess: what is done to every image first.
        neighbours: how many nearest neighbours vote.
        recommended: the classifier that was better on the validation pictures.
    """

    path: Path
    config: dict[str, Any]
    metrics: dict[str, Any]
    classes: tuple[str, ...]
    base: str
    model_args: tuple[str, ...]
    precision: Precision
    preprocess: Preprocess
    neighbours: int
    recommended: ClassifierName

    @property
    def of_photographs(self) -> bool:
        """Whether it classifies whole colour photographs, not letters."""
        return self.base == PHOTOGRAPHS


def is_transfer(path: Path) -> bool:
    """Whether a folder is the run folder of `transfer`, finished or not."""
    content = read_json(path / CONFIG) if (path / CONFIG).is_file() else None
    return isinstance(content, dict) and content.get("subcommand") == SUBCOMMAND


def load_transfer(path: Path) -> FinishedTransfer:
    """Read the run folder of a finished transfer.

    Raises:
        InputError: if it is none, has not finished, was written by an older version, or is damaged.
    """
    config = load_config(path, SUBCOMMAND)
    file = path / METRICS
    if not file.exists():
        raise InputError("transfer.unfinished", path=path)
    metrics = read_json(file)
    base = metrics.get("base") if isinstance(metrics, dict) else None
    if not isinstance(base, dict):
        raise InputError("transfer.older_version", path=path)
    values = {name: metrics.get(name) for name in ("classes", "preprocess", "neighbours", "recommended")}
    values |= {"base": base.get("model"), "model_args": base.get("model_args"), "precision": base.get("precision")}
    try:
        transfer = FinishedTransfer(path, config, metrics, **read_fields(FinishedTransfer, values))
    except InputError as error:
        raise InputError("transfer.damaged", path=file, column=error.column) from error
    if not _can_be_shown(transfer.classes):
        raise InputError("transfer.damaged", path=file, column="classes")
    if transfer.neighbours < 1 or transfer.precision == "auto":
        raise InputError("transfer.damaged", path=file, column="neighbours or precision")
    return transfer


def load_transfer_predictions(transfer: FinishedTransfer) -> "pd.DataFrame":
    """Read predictions.csv: what the kept classifier predicts for the pictures that it was evaluated on.

    Returns:
        Columns file, label and predicted (names of classes), probability (float64) and sha256 (of the file).

    Raises:
        InputError: if the transfer evaluated no picture, or the file is damaged.
    """
    import pandas as pd

    path = transfer.path / PREDICTIONS
    if not path.exists():
        raise InputError("transfer.not_evaluated", path=transfer.path)
    content = read_bytes(path, MOST_TABLE_BYTES)
    texts = [name for name in PREDICTION_COLUMNS if name != "probability"]
    try:
        table = pd.read_csv(io.BytesIO(content), dtype=dict.fromkeys(texts, str), keep_default_na=False)
        if list(table) != PREDICTION_COLUMNS or not len(table) or table["probability"].dtype.kind != "f":
            raise ValueError("its columns")
        if not table["file"].is_unique or not table["probability"].between(0, 1).all():
            raise ValueError("a file or a probability")
    except ValueError as error:  # pandas' own errors too
        raise InputError("transfer.damaged", path=path, column=" ".join(str(error).split())[:80]) from error
    return table


def _can_be_shown(names: tuple[str, ...]) -> bool:
    """Whether these are names of classes as `find_classes` takes them, all different."""
    fit = all(0 < len(name) <= LONGEST_CLASS and name.isprintable() for name in names)
    return fit and 1 < len(names) == len(set(names)) <= MOST_CLASSES
