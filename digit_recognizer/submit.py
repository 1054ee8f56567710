"""`python -m digit_recognizer.submit FILE -m MESSAGE`: hand a submission in and see its score."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digit_recognizer.cli import door, parse_arguments


@dataclass(frozen=True)
class SubmitArguments:
    """Check a submission, hand it in to Kaggle, wait for its score and record it in submissions/ledger.csv.

    Interrupted or repeated, it hands the same file in once.
    """

    submission: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """The submission, ImageId,Label."""
    message: Annotated[str, tyro.conf.arg(aliases=["-m"])] = ""
    """What Kaggle shows beside it; needed unless nothing is sent."""
    input_dir: Path = Path("input")
    """Folder that holds the test.csv and sample_submission.csv that it was made for."""
    wait: bool = True
    """Wait for the score; --no-wait leaves that to `submissions --refresh`."""
    dry_run: bool = False
    """Check all, ask Kaggle how many submissions are left today, and send nothing."""
    smoke: bool = False
    """Allow a smoke run's file, to try the way; it costs one of the day's submissions."""


@door
def main(arguments: list[str]) -> None:
    """Hand in."""
    chosen = parse_arguments(SubmitArguments, "submit", arguments)
    from digit_recognizer.competition.submit import submit

    submit(
        chosen.submission,
        chosen.message,
        chosen.input_dir,
        wait=chosen.wait,
        dry_run=chosen.dry_run,
        smoke=chosen.smoke,
    )


if __name__ == "__main__":
    sys.exit(main())
