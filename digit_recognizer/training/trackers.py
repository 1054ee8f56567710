"""Trackers: what a run tells, epoch by epoch, to programs that draw the curves of many runs.

TensorBoard's event files are written where `--tensorboard` asks for them, and an MLflow server or database is told
where its standard variable MLFLOW_TRACKING_URI names one. Neither changes a number of the run, and neither package is
imported otherwise. A tracker is fed with rows of the history, so that it is all one where they were fitted.

A tracker that fails before the first epoch stops the command, since its address is probably wrong; one that fails later
costs a warning, and is then left alone.
"""

import contextlib
import os
import time
from collections.abc import Callable
from typing import Any, Protocol

from digit_recognizer.config import RunConfig
from digit_recognizer.errors import GivenUpError, LostError, WriteError
from digit_recognizer.training.mlflow_tracking import ADDRESS, RUN_ID, MLflowTracker, check_mlflow
from digit_recognizer.training.runs import RunFolder
from digit_recognizer.training.tensorboard_events import TensorBoardTracker, check_tensorboard

TENSORBOARD = "tensorboard"  # in the run folder
COUNTERS = ("fold", "epoch", "epochs")  # columns of the history that say which epoch a row is of


class Tracker(Protocol):
    """What is told of one run. Numbers of a fold are called `fold<k>/<name>`, with k as in history.csv."""

    name: str

    def tell_numbers(self, numbers: dict[str, float], step: int, at_seconds: float) -> None:
        """Tell numbers of an epoch, counted from 1, or of the whole run (0); `at_seconds` is since 1970."""

    def tell_words(self, words: dict[str, str]) -> None:
        """Tell what is no number."""

    def close(self, status: str) -> None:
        """End the telling; the status is FINISHED, KILLED (stopped, or given up) or FAILED."""


class Trackers:
    """The trackers of one run, as a context that tells them how it ended.

    Args:
        say: shows a line.
        trackers: those asked for.
    """

    def __init__(self, say: Callable[[str], None], trackers: list[Tracker]) -> None:
        self.say, self.trackers, self.told_rows = say, trackers, 0

    def __enter__(self) -> "Trackers":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        stopped = kind is not None and issubclass(kind, (KeyboardInterrupt, GivenUpError, LostError, WriteError))
        self._close("KILLED" if stopped else "FAILED")

    def follow(self, history: list[dict[str, Any]]) -> None:
        """Tell those rows of the history that have not been told; it only ever grows.

        Several at once, as when a run goes on, are dated by the seconds that each took, as if there had been no pause.
        """
        rows, at_seconds = history[self.told_rows :], time.time()
        at_seconds -= sum(row["seconds"] for row in rows)
        self.told_rows = len(history)
        for row in rows:
            at_seconds += row["seconds"]
            numbers = {f"fold{row['fold']}/{name}": row[name] for name in row if name not in COUNTERS}
            self._tell(lambda tracker, *told: tracker.tell_numbers(*told), numbers, row["epoch"], at_seconds)

    def conclude(self, metrics: dict[str, Any]) -> None:
        """Tell the result of a run that is about to have finished.

        Args:
            metrics: the content of metrics.json.
        """
        numbers, words = describe_result(metrics)
        self._tell(lambda tracker: tracker.tell_numbers(numbers, 0, time.time()))
        self._tell(lambda tracker: tracker.tell_words(words))
        self._close("FINISHED")

    def _close(self, status: str) -> None:
        self._tell(lambda tracker: tracker.close(status))
        self.trackers = []

    def _tell(self, tell: Callable[..., None], *told: Any) -> None:
        """Tell each tracker in turn; one that fails is told no more."""
        for tracker in list(self.trackers):
            try:
                tell(tracker, *told)
            except Exception as error:  # whatever a server, a disk or a foreign package raises: training matters more
                self.trackers.remove(tracker)
                with contextlib.suppress(Exception):  # it has failed already; what it holds open in here is let go
                    tracker.close("KILLED")
                self.say(
                    f"WARNING: {tracker.name} failed ({type(error).__name__}) and is told no more of this run, which "
                    "goes on; history.csv and metrics.json will have it all"
                )


def check_trackers(config: RunConfig) -> None:
    """Find out, before anything is loaded or written, whether the trackers asked for are there.

    Raises:
        InputError: if a package is not installed, or an address does not answer.
    """
    if config.tensorboard:
        check_tensorboard()
    if os.environ.get(ADDRESS):
        check_mlflow()


def open_trackers(config: RunConfig, run: RunFolder, commit: str | None) -> Trackers:
    """Begin to tell of a run, or go on with what was told of it in an earlier sitting.

    Args:
        config: of the run.
        run: its folder.
        commit: that the run was begun at; None if nothing tells.

    Raises:
        InputError: if a tracker cannot be told.
    """
    settings = flatten_settings(config)
    words = {"verb": run.verb, "model": config.model, "commit": commit or "unknown", "run_folder": str(run.path)}
    trackers: list[Tracker] = []
    if config.tensorboard:
        trackers.append(TensorBoardTracker(run.path / TENSORBOARD, settings, words))
        run.say(f"for the curves: tensorboard --logdir {run.path.parent}")
    if os.environ.get(ADDRESS):
        tracker = MLflowTracker(run.path, settings, words)
        trackers.append(tracker)
        run.say(f"MLflow run {tracker.run_id} at {tracker.address}")
    elif (run.path / RUN_ID).exists():
        run.say(f"note: MLflow is told no more of this run, as {ADDRESS} is no longer set")
    return Trackers(run.say, trackers)


def flatten_settings(config: RunConfig) -> dict[str, str | bool | int | float]:
    """The configuration as names and plain values, without what is not set."""
    settings = {name: " ".join(value) if isinstance(value, list) else value for name, value in config.to_json().items()}
    return {name: value for name, value in settings.items() if value is not None}


def describe_result(metrics: dict[str, Any]) -> tuple[dict[str, float], dict[str, str]]:
    """The content of metrics.json as numbers and words for a tracker; what a run has not measured is left out."""
    low, high = metrics["oof_accuracy_interval"]
    numbers = {
        **{f"fold{fold}/oof_accuracy": accuracy for fold, accuracy in enumerate(metrics["fold_accuracies"])},
        "oof_accuracy_low": low,
        "oof_accuracy_high": high,
    }
    whole_run = ("oof_accuracy", "calibration_error", "untrained_accuracy", "elapsed_seconds", "training_seconds")
    numbers |= {name: metrics[name] for name in whole_run if metrics[name] is not None}
    words = {"unfit_for_competition": metrics["unfit_for_competition"] or "no"}
    return numbers, words | {name: metrics[name] for name in ("submission", "precision") if metrics[name]}
