"""The trained models of a finished run: built again from its configuration, with their weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras

from digit_recognizer.config import FUNCTION, RunConfig
from digit_recognizer.errors import InputError
from digit_recognizer.models import construct_model, read_options
from digit_recognizer.models._weights import load_weights
from digit_recognizer.training.hardware import POLICIES, precision_policy
from digit_recognizer.training.run import METRICS, find_fold_weights, load_metrics, load_run_config


@dataclass(frozen=True)
class FoldModels:
    """Trained models of a run.

    Attributes:
        models: uncompiled, from float32 (n, 28, 28, 1) in [0, 1] to probabilities (n, 10); one per fold, in order.
        config: of the run. Its `preprocess` must be applied to every image first.
        precision: in which they were trained and predict: float32, bfloat16 or float16.
    """

    models: tuple[keras.Model, ...]
    config: RunConfig
    precision: str


def load_fold_models(path: Path | str, most: int | None = None) -> FoldModels:
    """Build the models of a finished run of cv or train, and load their weights.

    Args:
        path: the run folder.
        most: at most so many models, those of the first folds; None loads all.

    Raises:
        InputError: if it is not a run folder, the run has not finished, or weights are missing, damaged, or of another
            model.

    Example:
        >>> trained = load_fold_models(Path("runs/A"))
        >>> len(trained.models) == trained.config.folds
        True
    """
    path = Path(path).expanduser()
    config, precision, single_split = _read_run(path)
    files = [find_fold_weights(path, fold) for fold in range(1 if single_split else config.folds)][:most]
    missing = next((file for file in files if not file.is_file()), None)
    if missing is not None:
        raise InputError("run.fold_model_missing", path=missing)
    return FoldModels(tuple(_build(config, precision, file) for file in files), config, precision)


def load_fold_model(path: Path, fold: int) -> keras.Model:
    """Build the model of one fold, counted from 0; otherwise as `load_fold_models`."""
    config, precision, _ = _read_run(path)
    return _build(config, precision, find_fold_weights(path, fold))


def _read_run(path: Path) -> tuple[RunConfig, str, bool]:
    """The configuration and the precision of a finished run of cv or train, and whether it held out one fold only."""
    config, _ = load_run_config(path, "cv", "train")
    metrics = load_metrics(path)
    if metrics.get("precision") not in list(POLICIES):
        raise InputError("run.metric_missing", path=path / METRICS, column="precision")
    return config, str(metrics["precision"]), bool(metrics.get("single_split"))


def _build(config: RunConfig, precision: str, weights: Path) -> keras.Model:
    """A model of the run with the weights of a file, in the precision in which the run made its predictions."""
    options: dict[str, Any] = read_options(config.model, config.model_args)
    with precision_policy(precision):
        model = construct_model(config.model, weights=None, **options)
    try:
        load_weights(model, weights)
    except InputError as error:
        unlike = ("models.weights_of_another_model", "io.too_long")
        if error.code in unlike and config.model.startswith(FUNCTION):
            name = config.model.removeprefix(FUNCTION)
            raise InputError("models.function_changed", path=weights.parent.parent, received=name) from error
        raise
    return model
