"""The callbacks that watch a run: progress in the log, and trackers that draw the curves of many runs.

TensorBoard's event files are written where `--tensorboard` asks for them; an MLflow server or database is used where
its standard variable MLFLOW_TRACKING_URI names one. Neither changes a number of the run, and neither package is
imported otherwise. A tracker is fed with rows of the history, so that it does not matter where they were trained.

A tracker that fails before the first epoch stops the command, since its address is probably wrong; one that fails later
costs a warning, and is then left alone.
"""

import contextlib
import importlib
import os
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import keras

from digit_recognizer.config import RunConfig
from digit_recognizer.console import format_seconds, open_bar
from digit_recognizer.errors import InputError, LostError, PrunedError, WriteError
from digit_recognizer.training.run import HISTORY_COLUMNS, Run

ADDRESS, RUN_ID = "MLFLOW_TRACKING_URI", "mlflow.json"  # the variable; the file in the run folder
SECONDS_BETWEEN_LINES = 4.0  # a model of one second an epoch would fill the log otherwise


class Progress(keras.callbacks.Callback):
    """Logs finished epochs and the estimated time left; a bar on a terminal fills up with every batch.

    Use as a context manager, or close it, so that the bar vanishes.

    Args:
        log: prints a line and keeps it.
        epochs_left: of all models that are to be trained, together.
        folds: of a cross-validation; None where `with_name` names the models.
    """

    def __init__(self, log: Callable[[str], None], epochs_left: int, folds: int | None = None) -> None:
        super().__init__()
        self.log, self.epochs_left, self.folds, self.name = log, epochs_left, folds, ""
        self.started = time.perf_counter()
        self.epochs = 0  # finished in this session
        self.first_epoch_seconds = 0.0
        self.last_line = -SECONDS_BETWEEN_LINES
        self.bar = open_bar("training", epochs_left, delay=0)
        if not self.bar.disable:  # elsewhere no hook: with one, Keras fetches its metrics after every batch
            self.on_train_batch_end = self._show_batch

    def __enter__(self) -> "Progress":
        return self

    def __exit__(self, *_: object) -> None:
        self.bar.close()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Log the epoch; the first and the last of a model always get their line."""
        assert logs is not None
        now = time.perf_counter()
        self._count(1)
        if self.epochs == 1:
            self.first_epoch_seconds = now - self.started
        number, epochs = epoch + 1, self.params["epochs"]
        name = format_fold(logs["fold"], self.folds) if self.folds else self.name
        self.bar.set_description_str(f"{name}  epoch {number}/{epochs}", refresh=False)
        if now - self.last_line < SECONDS_BETWEEN_LINES and number not in (1, epochs):
            return
        self.last_line = now
        evaluated = "".join(
            f"  {column} {logs[column]:.4f}" for column in ("val_accuracy", "holdout_accuracy") if column in logs
        )
        self.log(
            f"{name}  epoch {number:>3}/{epochs}  loss {logs['loss']:.4f}  "
            f"accuracy {logs['accuracy']:.4f}{evaluated}  lr {logs['lr']:.1e}  {logs['seconds']:.1f} s"
            f"{self._eta(now)}"
        )

    def with_name(self, name: str) -> "Progress":
        """Itself, with the name that the lines of the next model begin with."""
        self.name = name
        return self

    def end_fold(self, line: str, epochs_skipped: int, epochs_elsewhere: int = 0) -> None:
        """Log a finished fold.

        Args:
            line: about it.
            epochs_skipped: that early stopping has saved.
            epochs_elsewhere: of a fold that another process trained; its line says how much time is left.
        """
        self.epochs_left -= epochs_skipped
        self.bar.total -= epochs_skipped
        self._count(epochs_elsewhere)
        self.log(f"{line}{self._eta(time.perf_counter())}" if epochs_elsewhere else line)

    def _count(self, epochs: int) -> None:
        self.epochs += epochs
        self.epochs_left -= epochs
        self.bar.update(self.epochs - self.bar.n)

    def _show_batch(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        """Fill the bar up to a batch, counted from 0, of the epoch under way."""
        if steps := self.params.get("steps"):
            self.bar.update(self.epochs + min((batch + 1) / steps, 1.0) - self.bar.n)

    def _eta(self, now: float) -> str:
        """The time left at the pace so far; none after the first epoch, which compiles too: it is no measure."""
        seconds, epochs = now - self.started, max(1, self.epochs)
        if self.first_epoch_seconds:
            seconds, epochs = seconds - self.first_epoch_seconds, epochs - 1
        return f"  ETA {format_seconds(self.epochs_left * seconds / epochs)}" if epochs else ""


def format_fold(fold: int, folds: int) -> str:
    """What a model is called in the log: its fold's number as on disk, and how many there are; or `refit <number>`."""
    return f"refit {fold - folds}" if fold >= folds else f"fold {fold} [{fold + 1}/{folds}]"


class Trackers(keras.callbacks.Callback):
    """The trackers of one run, as a Keras callback and as a context that reports how the run ended.

    Args:
        log: prints a line.
        trackers: those asked for; see `digit_recognizer.training.tracking`.
    """

    def __init__(self, log: Callable[[str], None], trackers: list[Any]) -> None:
        super().__init__()
        self.log, self.trackers = log, trackers

    def __enter__(self) -> "Trackers":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        interrupted = kind is not None and issubclass(kind, (KeyboardInterrupt, PrunedError, LostError, WriteError))
        self._close("KILLED" if interrupted else "FAILED")

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        assert logs is not None
        self.log_epochs([{**logs, "epoch": epoch + 1}])

    def log_epochs(self, rows: Sequence[dict[str, Any]]) -> None:
        """Log epochs of the history, several at once if an earlier session or another process trained them.

        They are dated by the seconds that each took, as if there had been no pause.
        """
        at_seconds = time.time() - sum(row["seconds"] for row in rows)
        for row in rows:
            at_seconds += row["seconds"]
            metrics = {f"fold{row['fold']}/{name}": float(row[name]) for name in HISTORY_COLUMNS if name in row}
            self._call("log_metrics", metrics, row["epoch"], at_seconds)

    def log_result(self, metrics: dict[str, Any]) -> None:
        """Log the content of metrics.json, just before the run has finished."""
        low, high = metrics["oof_accuracy_interval"]
        numbers = {
            **{f"fold{fold}/oof_accuracy": accuracy for fold, accuracy in enumerate(metrics["fold_accuracies"])},
            "oof_accuracy_low": low,
            "oof_accuracy_high": high,
        }
        whole_run = ("oof_accuracy", "calibration_error", "untrained_accuracy", "elapsed_seconds", "training_seconds")
        numbers |= {name: metrics[name] for name in whole_run if metrics[name] is not None}
        tags = {"ineligible": metrics["ineligible"] or "no"}
        tags |= {name: metrics[name] for name in ("submission", "precision") if metrics[name]}
        self._call("log_metrics", numbers, 0, time.time())
        self._call("log_text", tags)
        self._close("FINISHED")

    def _close(self, status: str) -> None:
        self._call("close", status)
        self.trackers = []

    def _call(self, method: str, *arguments: Any) -> None:
        """Call each tracker in turn; one that fails is dropped."""
        for tracker in list(self.trackers):
            try:
                getattr(tracker, method)(*arguments)
            except Exception as error:  # whatever a server, a disk or a foreign package raises: training matters more
                self.trackers.remove(tracker)
                with contextlib.suppress(Exception):  # it has failed already; this only releases what it holds
                    tracker.close("KILLED")
                self.log(
                    f"WARNING: {tracker.name} failed ({type(error).__name__}). Training continues without it; "
                    "history.csv and metrics.json will have everything"
                )


def check_trackers(config: RunConfig) -> None:
    """Find out, before anything is loaded or written, whether the trackers asked for are there.

    Raises:
        InputError: if a package is not installed, or an address does not answer.
    """
    if (tracking := _load_tracking(config)) is not None:
        tracking.check_packages(config)


def open_trackers(config: RunConfig, run: Run, commit: str | None) -> Trackers:
    """Start to log a run, or continue what an earlier session has logged.

    Args:
        config: of the run.
        run: its folder.
        commit: that the run was started at; None if that is not known.

    Raises:
        InputError: if a tracker does not accept the run.
    """
    if (run.path / RUN_ID).exists() and not os.environ.get(ADDRESS):
        run.log(f"note: this run is no longer logged to MLflow, because {ADDRESS} is not set")
    tracking = _load_tracking(config)
    return Trackers(run.log, [] if tracking is None else tracking.start_trackers(config, run, commit))


def _load_tracking(config: RunConfig) -> Any:
    """The module of the trackers if one is asked for; imported by name, since Kaggle kernels do not carry it."""
    asked = config.tensorboard or os.environ.get(ADDRESS)
    return importlib.import_module("digit_recognizer.training.tracking") if asked else None


def list_callbacks(
    callbacks: keras.callbacks.Callback | Sequence[keras.callbacks.Callback],
) -> list[keras.callbacks.Callback]:
    """The callbacks that a user has passed, checked; one alone counts too."""
    given = list(callbacks) if isinstance(callbacks, Iterable) else [callbacks]
    for callback in given:
        if not isinstance(callback, keras.callbacks.Callback):
            raise InputError("run.callback", received=getattr(callback, "__name__", type(callback).__name__))
    return given
