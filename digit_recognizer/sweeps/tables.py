"""A sweep's settings as rows: for the terminal, the page and results.csv."""

from collections.abc import Sequence

from digit_recognizer.sweeps.study import Study
from digit_recognizer.sweeps.trials import TrialRecord


def format_table(study: Study, records: Sequence[TrialRecord]) -> str:
    """The settings with mean, spread, untrained accuracy and seeds, for the terminal."""
    raise NotImplementedError
