"""The nets of a finished run, opened again for reading, looking inside, or teaching something new."""

from dataclasses import dataclass
from pathlib import Path

import keras

from digit_recognizer.config import RunConfig
from digit_recognizer.errors import InputError
from digit_recognizer.files import read_json
from digit_recognizer.training.runs import CONFIG, METRICS
from digit_recognizer.training.saved_models import load_saved_model

IMAGE_SHAPE = (28, 28, 1)


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
    config = _read_config(path / CONFIG)
    files = sorted((path / "models").glob("fold*.keras"), key=lambda file: (len(file.name), file.name))[:most]
    if not files:
        raise InputError(f"{path} must hold nets in models/, but holds none: name a run of cv or train.")
    models = tuple(load_saved_model(file) for file in files)
    for file, model in zip(files, models, strict=True):
        if model.input_shape[1:] != IMAGE_SHAPE:
            raise InputError(f"{file} must take images of 28 x 28 greys, but takes {model.input_shape[1:]}.")
    return RunNets(models, config)


def _read_config(path: Path) -> RunConfig:
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a configuration, but holds a {type(content).__name__}: restore it.")
    known = RunConfig().to_json()  # a run of an older version lacks younger settings
    try:
        return RunConfig.from_json(known | {name: value for name, value in content.items() if name in known})
    except (InputError, TypeError, ValueError) as error:
        raise InputError(f"{path} must hold a configuration, but {error}: restore it.") from error
