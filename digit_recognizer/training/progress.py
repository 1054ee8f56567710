"""One line per epoch, or per few seconds of them, with the time left: for a screen and for a log alike."""

import time
from collections.abc import Callable
from typing import Any

SECONDS_BETWEEN_LINES = 4.0  # a net of one second an epoch would fill the log otherwise


class Progress:
    """Turns finished epochs into lines.

    Args:
        say: shows a line.
        total_epochs: of all folds together.
    """

    def __init__(self, say: Callable[[str], None], total_epochs: int) -> None:
        self.say, self.total_epochs = say, total_epochs
        self.finished_epochs = 0
        self.started = time.perf_counter()
        self.first_epoch_seconds = 0.0
        self.last_line = -SECONDS_BETWEEN_LINES

    def report_epoch(self, name: str, epoch: dict[str, Any]) -> None:
        """Tell of an epoch of the fit called `name`; the first and the last of a fit always get their line."""
        self.finished_epochs += 1
        now = time.perf_counter()
        if self.finished_epochs == 1:
            self.first_epoch_seconds = now - self.started
        if now - self.last_line < SECONDS_BETWEEN_LINES and epoch["epoch"] not in (1, epoch["epochs"]):
            return
        self.last_line = now
        left = (self.total_epochs - self.finished_epochs) * self._seconds_per_epoch(now)
        watched = "".join(
            f"  {label} {epoch[key]:.4f}"
            for label, key in (("watched", "watched_accuracy"), ("held-out", "held_out_accuracy"))
            if key in epoch
        )
        self.say(
            f"{name}  epoch {epoch['epoch']:>3}/{epoch['epochs']}  loss {epoch['loss']:.4f}  "
            f"accuracy {epoch['accuracy']:.4f}{watched}  rate {epoch['learning_rate']:.1e}  "
            f"{epoch['seconds']:.1f} s  left about {format_seconds(left)}"
        )

    def report_fold(self, line: str, epochs: int) -> None:
        """Tell of a fit that was done elsewhere: a line about it, and the time left at the pace of all so far.

        Args:
            line: about it.
            epochs: of it.
        """
        self.finished_epochs += epochs
        seconds_per_epoch = (time.perf_counter() - self.started) / max(1, self.finished_epochs)
        left = (self.total_epochs - self.finished_epochs) * seconds_per_epoch
        self.say(f"{line}  left about {format_seconds(left)}")

    def _seconds_per_epoch(self, now: float) -> float:
        """Wall time per epoch; without the first one, which also compiles, as soon as there is another."""
        if self.finished_epochs == 1:
            return self.first_epoch_seconds
        return (now - self.started - self.first_epoch_seconds) / (self.finished_epochs - 1)

    def skip_epochs(self, count: int) -> None:
        """Take epochs that early stopping spared out of the time left."""
        self.total_epochs -= count


def format_seconds(seconds: float) -> str:
    """A span of time as one reads it: 42 s, 3 min 20 s, 1 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
