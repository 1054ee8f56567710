"""The nets of a finished run, opened again for reading, looking inside, or teaching something new."""

from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from digit_recognizer.config import RunConfig
from digit_recognizer.errors import InputError
from digit_recognizer.files import read_json
from digit_recognizer.training.runs import CONFIG, METRICS
from digit_recognizer.training.saved_models import load_saved_model

IMAGE_SHAPE, CLASSES = (28, 28, 1), 10


@dataclass(frozen=True)
class RunNets:
    """Nets of a run.

    Attributes:
        models: uncompiled, from float32 (n, 28, 28, 1) in [0, 1] to probabilities; one per fold, by ascending fold.
        config: what they were fitted by; its `preparation` must be done to every image first.
    """

    models: tuple[keras.Model, ...]
    config: RunConfig


def load_run_nets(path: Path, most: int | None = None) -> RunNets:
    """Open the nets of a finished run of cv or train.

    Args:
        path: the run folder.
        most: so many nets at most, those of the first folds; None opens all.

    Raises:
        InputError: if it is no run folder, the run has not finished, or a net is missing, damaged, or of other images.
    """
    if not (path / CONFIG).is_file():
        raise InputError(f"{path} must be a run folder, with a {CONFIG}: name one that cv or train wrote.")
    if not (path / METRICS).is_file():
        raise InputError(f"{path} holds a run that has not finished: it has no {METRICS}. Finish it by --resume.")
    if (path / "models" / "transferred.keras").exists():
        raise InputError(
            f"{path} is of transfer, whose net tells other classes than digits: name a run of cv or train."
        )
    config = _read_config(path / CONFIG)
    count = config.folds if _read_verb(path / CONFIG) == "cv" else 1
    files = [path / "models" / f"fold{fold}.keras" for fold in range(count)][:most]
    missing = next((file for file in files if not file.is_file()), None)
    if missing is not None:
        raise InputError(f"{missing} is missing, and the run was judged by all of its nets: restore it.")
    models = tuple(load_saved_model(file) for file in files)
    for file, model in zip(files, models, strict=True):
        shapes = (tuple(model.input_shape[1:]), tuple(model.output_shape[1:]))
        if shapes != (IMAGE_SHAPE, (CLASSES,)):
            raise InputError(
                f"{file} must be a net from images of 28 x 28 greys to ten probabilities, but goes from {shapes[0]} to "
                f"{shapes[1]}: it is not this run's."
            )
        if not all(np.isfinite(weights).all() for weights in model.get_weights()):
            raise InputError(f"{file} must hold numbers, but holds NaN or infinities: its training went astray.")
    return RunNets(models, config)


def _read_verb(path: Path) -> str:
    """The command that began the run; its config is read already."""
    verb = read_json(path).get("verb")
    if verb not in ("cv", "train"):
        raise InputError(f"{path.parent} must be a run of cv or train, but was begun by {verb!r}: name another.")
    return str(verb)


def _read_config(path: Path) -> RunConfig:
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a configuration, but holds a {type(content).__name__}: restore it.")
    known = RunConfig().to_json()  # a run of an older version lacks younger settings
    try:
        return RunConfig.from_json(known | {name: value for name, value in content.items() if name in known})
    except (InputError, TypeError, ValueError) as error:
        raise InputError(f"{path} must hold a configuration, but {error}: restore it.") from error
