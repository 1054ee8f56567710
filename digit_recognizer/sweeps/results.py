"""What a sweep leaves to be read: its trials as a table, its figures, and a page of what its numbers can bear."""

from collections.abc import Sequence
from pathlib import Path

from digit_recognizer.sweeps.study import Study
from digit_recognizer.sweeps.trials import TrialRecord


def check_results(folder: Path) -> None:
    """Find out, before hours of work, whether the results will have their place.

    Raises:
        InputError: if the folder cannot be written to, or holds another's page or table under the names of ours.
    """
    raise NotImplementedError


def write_results(
    study: Study,
    records: Sequence[TrialRecord],
    folder: Path,
    *,
    command: str,
    class_names: Sequence[str],
    summary: str | None,
) -> list[Path]:
    """Write results.csv, figures/*.png and page.html."""
    raise NotImplementedError
