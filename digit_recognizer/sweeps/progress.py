"""A line per trial of a sweep, with the time left."""

import time

from digit_recognizer.signals import show
from digit_recognizer.sweeps.method import count_planned
from digit_recognizer.sweeps.spread import select_records
from digit_recognizer.sweeps.study import Study
from digit_recognizer.sweeps.trials import TrialRecord
from digit_recognizer.training.progress import format_seconds


class TrialProgress:
    """A line per trial, with the time left.

    Args:
        study: of which trials are run.
        records: trials that have ended in earlier sittings.
        here: whether they are run by this process, one after the other; if not, many machines may run them at once.
    """

    def __init__(self, study: Study, records: list[TrialRecord], here: bool = True) -> None:
        records = select_records(study, records)  # those of an earlier wording have used up nothing of this one's
        self.study, self.ended = study, len(records)
        self.spent_seconds = sum(record.seconds for record in records)
        self.here, self.sitting_seconds, self.begun = here, 0.0, time.perf_counter()
        self.planned = count_planned(study)
        self.names = study.parameters

    def tell(self, record: TrialRecord) -> None:
        """Tell of a trial that has just ended."""
        self.ended += 1
        self.spent_seconds += record.seconds
        self.sitting_seconds += record.seconds
        values = " ".join(
            f"{name}={_show_value(record.setting[name])}" for name in self.names if name in record.setting
        )
        what = (
            f"failed: {record.reason}"
            if record.accuracy is None
            else f"accuracy {record.accuracy:.5f}{' (given up)' if record.state == 'pruned' else ''}"
        )
        left = ""
        if self.planned is not None:
            at_once = 1.0 if self.here else max(1.0, self.sitting_seconds / (time.perf_counter() - self.begun))
            seconds = (self.planned - self.ended) * self.spent_seconds / self.ended / at_once
            left = f"  left about {format_seconds(max(0, seconds))}"
        total = "" if self.planned is None else f"/{self.planned}"
        show(f"trial {self.ended}{total}  {values} seed={record.seed}  {what}  {record.seconds:.1f} s{left}")

    def is_over(self) -> bool:
        """Whether the study's minutes are spent."""
        return self.study.minutes is not None and self.spent_seconds >= 60 * self.study.minutes


def _show_value(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
