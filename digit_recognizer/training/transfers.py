"""A finished transfer, read again: what it evaluated, what it predicts, and of what its model is made.

Nothing that its files say becomes code, a path to import or a layer: the model's architecture is one of `list_models`,
its weights are safetensors, and everything else is checked text and numbers. Keras is not needed here.
"""

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from digit_recognizer.config import Precision, Preprocess
from digit_recognizer.errors import InputError
from digit_recognizer.io import read_bytes
from digit_recognizer.records import CONFIG, METRICS, TransferMetrics, read_record
from digit_recognizer.training.run import load_config

if TYPE_CHECKING:
    import pandas as pd

SUBCOMMAND = "transfer"
WEIGHTS, NEIGHBOURS = "transferred.safetensors", "neighbours.safetensors"  # in models/
PREDICTIONS = "predictions.csv"
PREDICTION_COLUMNS = ["file", "label", "predicted", "probability", "sha256"]
MAX_TABLE_BYTES = 1 << 26  # 100,000 pictures with long names have 20 MB
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
    return (path / CONFIG).is_file() and load_config(path).get("subcommand") == SUBCOMMAND


def load_transfer(path: Path) -> FinishedTransfer:
    """Read the run folder of a finished transfer.

    Raises:
        InputError: if it is none, has not finished, was written by an older version, or is damaged.
    """
    config = load_config(path, SUBCOMMAND)
    file = path / METRICS
    if not file.exists():
        raise InputError("transfer.unfinished", path=path)
    try:
        metrics = read_record(file, TransferMetrics)
    except InputError as error:
        if error.code == "run.metric_missing" and error.column == "base":
            raise InputError("transfer.older_version", path=path) from error
        raise
    base, classes = metrics["base"], tuple(metrics["classes"])
    names = ("preprocess", "neighbours", "recommended")
    return FinishedTransfer(
        path, config, metrics, classes, base["model"], tuple(base["model_args"]), base["precision"],
        **{name: metrics[name] for name in names},
    )  # fmt: skip


def load_transfer_predictions(folder: Path) -> "pd.DataFrame":
    """Read predictions.csv: what the kept classifier predicts for the pictures that it was evaluated on.

    Returns:
        Columns file, label and predicted (names of classes), probability (float64) and sha256 (of the file).

    Raises:
        InputError: if the transfer evaluated no picture, or the file is damaged.
    """
    import pandas as pd

    path = folder / PREDICTIONS
    if not path.exists():
        raise InputError("transfer.not_evaluated", path=folder)
    content = read_bytes(path, MAX_TABLE_BYTES)
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
