"""The nets of a finished run, opened again for reading, looking inside, or teaching something new."""

import csv
import shlex
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from filelock import FileLock

from digit_recognizer.competition.submissions import describe_command
from digit_recognizer.config import RunConfig, Settings
from digit_recognizer.console import print_line
from digit_recognizer.data.labels import DIGITS, LabelSet, parse_label_set
from digit_recognizer.errors import InputError
from digit_recognizer.io import (
    LOCK,
    TEMPORARY,
    claim_folder,
    load_npy,
    make_free_folder,
    read_json,
    sweep_temporaries,
    write_atomically,
    write_json,
    write_npy,
    write_text,
)
from digit_recognizer.models import build_model, read_options
from digit_recognizer.models._weights import load_weights
from digit_recognizer.training.hardware import POLICIES, precision_policy

# Run folders: what a run leaves behind, and how it is read again.
#
# runs/<time>-<model>/
#     config.json               every field of the configuration, and the command
#     environment.json          versions, machine, commit, precision: the fingerprint that resuming compares
#     folds.npy                 int16 (n,): the fold in which each row was held out
#     history.csv               one line per fold and epoch
#     oof_probabilities.npy     float32 (n, classes); NaN in rows that were never held out (`train`)
#     test_probabilities.npy    float32 (m, classes), mean over the fold models
#     metrics.json              the score, its interval, hashes of the data, seconds, names of other classes than digits
#     models/fold<k>.safetensors  the weights of the fold models
#     models/fold<k>.keras      copies for plain Keras; this package never opens them
#     log.txt                   what the screen showed
#     .lock                     empty; held by the process at work, it keeps a second one out
#
# `train` adds learning_curves.png, `--tensorboard` a folder tensorboard/ of event files, and MLflow, where one is told of
# the run, mlflow.json with the id that it has there.
#
# While the run is under way there are also state.safetensors and the generation before it (see
# `digit_recognizer.training.checkpoint`).

CONFIG, METRICS, LOG = "config.json", "metrics.json", "log.txt"
CLASSES = "classes"  # in metrics.json: what they are called; digits have no such entry

REQUIRED_METRICS = ("oof_accuracy", "train_sha256", "test_sha256", "ineligible")


class Run:
    """A run folder being written, by this process alone. Make one with `create` or `reopen`; close it at the end.

    Attributes:
        path: the folder.
        subcommand: the command that fills it: cv, train or transfer.
        command: the command line that began it.
    """

    def __init__(self, path: Path, subcommand: str = "cv", command: str = "", lock: FileLock | None = None) -> None:
        self.path, self.subcommand, self.command, self.lock = path, subcommand, command, lock
        log = path / LOG
        self._log_text = log.read_text(encoding="utf-8", errors="replace") if log.is_file() else ""

    @classmethod
    def create(cls, config: Settings, subcommand: str) -> "Run":
        """Make the folder, before anything that takes time.

        Raises:
            InputError: if it cannot be made, or holds something already.
        """
        try:
            path = config.run_dir or make_free_folder(Path("runs"), f"{time.strftime('%Y%m%d-%H%M%S')}-{config.model}")
            path.mkdir(parents=True, exist_ok=True)
        except FileExistsError:
            raise InputError(f"--run-dir takes a folder, but {path} is a file: name another.") from None
        except OSError as error:
            raise InputError(f"--run-dir takes a folder to write in; {path}: {error.strerror}.") from error
        taken = next((file for file in path.iterdir() if not _is_ours(file)), None)
        lock = None if taken else claim_folder(path)
        # looked for again under the lock: of two runs that find the folder empty, one gets it
        taken = taken or next((file for file in path.iterdir() if not _is_ours(file)), None)
        if taken is not None:
            advice = f"name another, or continue it by --resume {path}" if taken.name == CONFIG else "name another"
            raise InputError(f"--run-dir takes a new or empty folder, but {path} holds {taken.name}: {advice}.")
        folder = cls(path, subcommand, describe_command(), lock)
        write_json(path / CONFIG, {"subcommand": subcommand, "command": folder.command, **config.to_json()})
        return folder

    @classmethod
    def reopen(cls, path: Path, subcommand: str) -> tuple["Run", RunConfig]:
        """Open the folder of a run that was stopped, or has finished.

        Args:
            path: the folder.
            subcommand: the command that wants to go on with it, cv or train.

        Raises:
            InputError: if there is no run in it, another command began it, its configuration cannot be read, or another
                process is at work in it.
        """
        config, command = load_run_config(path, subcommand)
        lock = claim_folder(path)
        sweep_temporaries(path, all_of_them=True)
        sweep_temporaries(path / "models", all_of_them=True)
        return cls(path, subcommand, command, lock), config

    def __enter__(self) -> "Run":
        return self

    def __exit__(self, *_: object) -> None:
        if self.lock is not None:
            self.lock.release()

    @property
    def resume_command(self) -> str:
        """What to type in order to go on."""
        # whoever has not activated the environment types its interpreter
        python = shutil.which("python")
        ours = python is not None and Path(python).absolute() == Path(sys.executable).absolute()
        return shlex.join(
            [
                "python" if ours else sys.executable,
                "-m",
                f"digit_recognizer.{self.subcommand}",
                "--resume",
                str(self.path),
            ]
        )

    def log(self, text: str) -> None:
        """Print a line, and keep it in log.txt."""
        print_line(text)
        self._log_text += text + "\n"
        write_text(self.path / LOG, self._log_text)

    def write_array(self, name: str, array: np.ndarray) -> None:
        """Write `<name>.npy`."""
        write_npy(self.path / f"{name}.npy", array)

    def write_history(self, history: list[dict[str, Any]]) -> None:
        """Write history.csv; a column that an epoch lacks stays empty."""
        columns = list(dict.fromkeys(key for row in history for key in row))
        with (
            write_atomically(self.path / "history.csv") as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(history)


@dataclass(frozen=True)
class FinishedRun:
    """A run folder read again; arrays as in the module's docstring."""

    path: Path
    metrics: dict[str, Any]
    oof_probabilities: np.ndarray
    test_probabilities: np.ndarray

    @property
    def label_set(self) -> LabelSet:
        """What the run's classes are called; an InputError if metrics.json says it in no way that can be read."""
        content = self.metrics.get(CLASSES)
        return DIGITS if content is None else parse_label_set(content, self.path / METRICS)


def load_run(path: Path) -> FinishedRun:
    """Read a finished run.

    Raises:
        InputError: if `path` is no run folder, or its run has not finished.
    """
    if not (path / CONFIG).exists():
        raise InputError(f"{path} must be a run folder, with a {CONFIG}: name one that cv or train wrote.")
    if not (path / METRICS).exists():
        raise InputError(f"{path} holds a run that has not finished: it has no {METRICS}. Finish it by --resume.")
    metrics = read_json(path / METRICS)
    missing = [name for name in REQUIRED_METRICS if not isinstance(metrics, dict) or name not in metrics]
    if missing:
        raise InputError(f"{path / 'metrics.json'} must hold {missing[0]}, but does not: it is no run's. Run it anew.")
    oof, test = (_load_probabilities(path / f"{name}_probabilities.npy") for name in ("oof", "test"))
    return FinishedRun(path, metrics, oof, test)


def load_config(path: Path, subcommand: str) -> dict[str, Any]:
    """Read the config.json of a run folder.

    Raises:
        InputError: if `path` is no run folder, or another command than `subcommand` began it.
    """
    if not (path / CONFIG).exists():
        raise InputError(f"{path} must be a run folder, with a {CONFIG}, but nothing was begun there: name another.")
    content = read_json(path / CONFIG)
    if not isinstance(content, dict):
        raise InputError(
            f"{path / CONFIG} must hold a configuration, but holds a {type(content).__name__}: restore it."
        )
    if content.get("subcommand") != subcommand:
        raise InputError(
            f"{path} was begun by {content.get('subcommand')}, not by {subcommand}: continue it with that command."
        )
    return content


def load_run_config(path: Path, subcommand: str) -> tuple[RunConfig, str]:
    """The configuration of a run of `cv` or `train`, and the command line that began it.

    Raises:
        InputError: as `load_config`, or if it is no configuration of this version.
    """
    content = load_config(path, subcommand)
    content.pop("subcommand")
    command = str(content.pop("command", ""))
    try:
        return RunConfig.from_json(content), command
    except (TypeError, ValueError) as error:
        raise InputError(f"{path / CONFIG} must hold a configuration, but {error}: restore it.") from error


def find_input_dir(*paths: Path) -> Path:
    """The folder that the first run among `paths` was made from, as its config.json says; input/ where none says it."""
    for path in paths:
        content = read_json(path / CONFIG) if (path / CONFIG).is_file() else None
        if isinstance(content, dict) and isinstance(content.get("input_dir"), str):
            return Path(content["input_dir"])
    return Path("input")


def _load_probabilities(path: Path) -> np.ndarray:
    array = load_npy(path)
    if array.ndim != 2 or array.dtype.kind != "f":
        raise InputError(f"{path} must hold rows of probabilities; received {array.dtype} {array.shape}. Run it anew.")
    return array


def _is_ours(file: Path) -> bool:
    """Whether a file says nothing about a folder's use: the lock, and what a killed writer left."""
    return file.name == LOCK or file.name.startswith(TEMPORARY)


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


def load_fold_models(path: Path, most: int | None = None) -> FoldModels:
    """Rebuild the models of a finished run of cv or train, and load their weights.

    Args:
        path: the run folder.
        most: at most so many models, those of the first folds; None loads all.

    Raises:
        InputError: if it is not a run folder, the run has not finished, or weights are missing, damaged, or of another
            model.
    """
    config, precision = _read_recipe(path)
    count = config.folds if _read_verb(path / CONFIG) == "cv" else 1
    files = [find_fold_weights(path, fold) for fold in range(count)][:most]
    missing = next((file for file in files if not file.is_file()), None)
    if missing is not None:
        raise InputError("run.fold_model_missing", path=missing)
    return FoldModels(tuple(_rebuild(config, precision, file) for file in files), config, precision)


def load_fold_model(path: Path, fold: int) -> keras.Model:
    """Rebuild the model of one fold, counted from 0; otherwise as `load_fold_models`."""
    return _rebuild(*_read_recipe(path), find_fold_weights(path, fold))


def find_fold_weights(path: Path, fold: int) -> Path:
    """Where the weights of a fold's model are, or would be; folds count from 0."""
    return path / "models" / f"fold{fold}.safetensors"


def _read_recipe(path: Path) -> tuple[RunConfig, str]:
    """The configuration and the precision of a finished run of cv or train."""
    if not (path / CONFIG).is_file():
        raise InputError("run.not_a_run", path=path)
    if not (path / METRICS).is_file():
        raise InputError("run.unfinished", path=path)
    config = _read_config(path / CONFIG)
    _read_verb(path / CONFIG)
    metrics = read_json(path / METRICS)
    precision = metrics.get("precision") if isinstance(metrics, dict) else None
    if precision not in list(POLICIES):
        raise InputError("run.no_precision", path=path / METRICS)
    return config, precision


def _rebuild(config: RunConfig, precision: str, weights: Path) -> keras.Model:
    """A model of the run with the weights of a file, in the precision in which the run made its predictions."""
    options: dict[str, Any] = read_options(config.model, config.model_args)
    with precision_policy(precision):
        model = build_model(config.model, weights=None, **options)
    load_weights(model, weights)
    return model


def _read_verb(path: Path) -> str:
    """The command that began the run; its config is read already."""
    subcommand = read_json(path).get("subcommand")
    if subcommand not in ("cv", "train"):
        raise InputError("run.not_a_cv_run", path=path.parent, received=subcommand)
    return str(subcommand)


def _read_config(path: Path) -> RunConfig:
    content = read_json(path)
    if not isinstance(content, dict):
        raise InputError(f"{path} must hold a configuration, but holds a {type(content).__name__}: restore it.")
    known = RunConfig().to_json()  # a run of an older version lacks younger settings
    try:
        return RunConfig.from_json(known | {name: value for name, value in content.items() if name in known})
    except (InputError, TypeError, ValueError) as error:
        raise InputError(f"{path} must hold a configuration, but {error}: restore it.") from error
