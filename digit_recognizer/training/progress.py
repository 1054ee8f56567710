"""One line per epoch, or per few seconds of them, with the time left: for a screen and for a log alike."""

import time
from collections.abc import Callable
from typing import Any

import keras

SECONDS_BETWEEN_LINES = 4.0  # a model of one second an epoch would fill the log otherwise


class Progress(keras.callbacks.Callback):
    """Logs finished epochs and the estimated time left.

    Args:
        log: prints a line and keeps it.
        epochs_left: of all models that are to be trained, together.
        folds: of a cross-validation; None where `named` names the models.
    """

    def __init__(self, log: Callable[[str], None], epochs_left: int, folds: int | None = None) -> None:
        super().__init__()
        self.log, self.epochs_left, self.folds, self.name = log, epochs_left, folds, ""
        self.started = time.perf_counter()
        self.epochs = 0  # finished in this session
        self.first_epoch_seconds = 0.0
        self.last_line = -SECONDS_BETWEEN_LINES

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        """Log the epoch; the first and the last of a model always get their line."""
        assert logs is not None
        now = time.perf_counter()
        self._count(1)
        if self.epochs == 1:
            self.first_epoch_seconds = now - self.started
        number, epochs = epoch + 1, self.params["epochs"]
        name = name_fold(logs["fold"], self.folds) if self.folds else self.name
        if now - self.last_line < SECONDS_BETWEEN_LINES and number not in (1, epochs):
            return
        self.last_line = now
        evaluated = "".join(
            f"  {column} {logs[column]:.4f}" for column in ("val_accuracy", "holdout_accuracy") if column in logs
        )
        self.log(
            f"{name}  epoch {number:>3}/{epochs}  loss {logs['loss']:.4f}  "
            f"accuracy {logs['accuracy']:.4f}{evaluated}  lr {logs['lr']:.1e}  {logs['seconds']:.1f} s  {self._eta(now)}"
        )

    def named(self, name: str) -> "Progress":
        """The same progress, about the next model."""
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
        self._count(epochs_elsewhere)
        self.log(f"{line}  {self._eta(time.perf_counter())}" if epochs_elsewhere else line)

    def _count(self, epochs: int) -> None:
        self.epochs += epochs
        self.epochs_left -= epochs

    def _eta(self, now: float) -> str:
        """The time left at the pace so far; without the first epoch, which also compiles, once there is another."""
        seconds, epochs = now - self.started, max(1, self.epochs)
        if self.first_epoch_seconds and epochs > 1:
            seconds, epochs = seconds - self.first_epoch_seconds, epochs - 1
        return f"ETA {format_seconds(self.epochs_left * seconds / epochs)}"


def name_fold(fold: int, folds: int) -> str:
    """What a fold is called in the log: its number as on disk, and how many there are."""
    return f"fold {fold} [{fold + 1}/{folds}]"


def format_seconds(seconds: float) -> str:
    """A span of time as one reads it: 42 s, 3 min 20 s, 1 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
