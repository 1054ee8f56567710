"""Run folders: what a run leaves behind, and how it is read again.

runs/<time>-<model>/
    config.json               every field of the configuration, and the command
    environment.json          versions, machine, commit, precision
    folds.npy                 int16 (n,): the fold in which each row was held out
    history.csv               one line per fold and epoch
    oof_probabilities.npy     float32 (n, classes); NaN in rows that were never held out (`train`)
    test_probabilities.npy    float32 (m, classes), mean over the fold models
    metrics.json              the score, its interval, hashes of the data, seconds
    models/fold<k>.keras      the fitted nets
    log.txt                   what the screen showed
"""

import csv
import os
import platform
import shlex
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from digit_recognizer import __version__
from digit_recognizer.config import RunConfig
from digit_recognizer.errors import InputError
from digit_recognizer.files import read_json, write_atomically, write_json

RECORDED_PACKAGES = ("keras", "tensorflow", "jax", "numpy", "pandas", "scikit-learn", "albumentations")
REQUIRED_METRICS = ("oof_accuracy", "train_sha256", "test_sha256", "unfit_for_competition")


class RunFolder:
    """A run folder being written. Make one with `create`."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.history: list[dict[str, Any]] = []

    @classmethod
    def create(cls, config: RunConfig) -> "RunFolder":
        """Make the folder, before anything that takes time.

        Raises:
            InputError: if it cannot be made, or holds something already.
        """
        path = config.run_dir or _find_free_folder(Path("runs"), f"{time.strftime('%Y%m%d-%H%M%S')}-{config.model}")
        try:
            path.mkdir(parents=True, exist_ok=True)
            taken = next(path.iterdir(), None)
            if taken is None:
                (path / "config.json").touch(exist_ok=False)  # the claim: of two runs that find it empty, one gets it
        except FileExistsError:
            taken = path / "config.json"
        except OSError as error:
            raise InputError(f"--run-dir takes a folder to write in; {path}: {error.strerror}.") from error
        if taken is not None:
            raise InputError(f"--run-dir takes a new or empty folder, but {path} holds {taken.name}: name another.")
        folder = cls(path)
        write_json(path / "config.json", {"command": describe_command(), **config.to_json()})
        return folder

    def say(self, text: str) -> None:
        """Show a line, and keep it in the log."""
        try:
            print(text, flush=True)
        except BrokenPipeError:  # whoever read the screen is gone (| head); the run and its log go on
            sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it serves to the end
        with (self.path / "log.txt").open("a", encoding="utf-8") as log:
            log.write(text + "\n")

    def write_array(self, name: str, array: np.ndarray) -> None:
        """Write `<name>.npy`."""
        with write_atomically(self.path / f"{name}.npy") as temporary:
            np.save(temporary, array, allow_pickle=False)

    def write_history(self) -> None:
        """Write history.csv from the epochs told so far; a column that an epoch lacks stays empty."""
        columns = list(dict.fromkeys(key for row in self.history for key in row))
        with (
            write_atomically(self.path / "history.csv") as temporary,
            temporary.open("w", encoding="utf-8", newline="") as file,
        ):
            writer = csv.DictWriter(file, columns, lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.history)

    def write_environment(self, precision: str, backend: str, commit: str | None) -> None:
        """Write environment.json: what another machine would need to repeat the run."""
        versions: dict[str, str | None] = {}
        for name in RECORDED_PACKAGES:
            try:
                versions[name] = metadata.version(name)
            except metadata.PackageNotFoundError:
                versions[name] = None
        write_json(
            self.path / "environment.json",
            {
                "digit_recognizer": __version__,
                "commit": commit,
                "python": platform.python_version(),
                "platform": platform.platform(),
                "cores": os.cpu_count(),
                "backend": backend,
                "precision": precision,
                "packages": versions,
            },
        )


@dataclass(frozen=True)
class FinishedRun:
    """A run folder read again; arrays as in the module's docstring."""

    path: Path
    metrics: dict[str, Any]
    oof_probabilities: np.ndarray
    test_probabilities: np.ndarray


def load_run(path: Path) -> FinishedRun:
    """Read a finished run.

    Raises:
        InputError: if `path` is no run folder, or its run has not finished.
    """
    if not (path / "config.json").exists():
        raise InputError(f"{path} must be a run folder, with a config.json: name one that cv or train wrote.")
    if not (path / "metrics.json").exists():
        raise InputError(f"{path} holds a run that has not finished: it has no metrics.json. Run it anew.")
    metrics = read_json(path / "metrics.json")
    missing = [name for name in REQUIRED_METRICS if not isinstance(metrics, dict) or name not in metrics]
    if missing:
        raise InputError(f"{path / 'metrics.json'} must hold {missing[0]}, but does not: it is no run's. Run it anew.")
    oof, test = (_load_probabilities(path / f"{name}_probabilities.npy") for name in ("oof", "test"))
    return FinishedRun(path, metrics, oof, test)


def describe_command() -> str:
    """The command line that is running, as one could type it again."""
    verb = Path(sys.argv[0]).stem
    return shlex.join(["python", "-m", f"digit_recognizer.{verb}", *sys.argv[1:]])


def find_commit() -> str | None:
    """The commit that this package's code stands at, with `+` if files differ from it; None outside a checkout."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    try:
        commit = _git(here, "rev-parse", "--short=12", "HEAD")
        return commit + ("+" if _git(here, "status", "--porcelain", "--", "digit_recognizer") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()


def _load_probabilities(path: Path) -> np.ndarray:
    try:
        array: np.ndarray = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"{path} must be an array that a run wrote, but {error}: run it anew.") from error
    if array.ndim != 2 or array.dtype.kind != "f":
        raise InputError(f"{path} must hold rows of probabilities; received {array.dtype} {array.shape}. Run it anew.")
    return array


def _find_free_folder(parent: Path, name: str) -> Path:
    path, number = parent / name, 1
    while path.exists():
        number += 1
        path = parent / f"{name}-{number}"
    return path
