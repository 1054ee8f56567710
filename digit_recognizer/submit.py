"""`python -m digit_recognizer.submit FILE -m MESSAGE`: send a submission to Kaggle and see its score."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digit_recognizer.cli import command, parse_arguments


@dataclass(frozen=True)
class SubmitArguments:
    """Check a submission, send it to Kaggle, wait for its score and record it in submissions/ledger.csv.

    If it is interrupted or repeated, the same file is still submitted only once.
    """

    submission: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """The submission, ImageId,Label."""
    message: Annotated[str, tyro.conf.arg(aliases=["-m"])] = ""
    """Description that Kaggle shows; required unless --dry-run is given."""
    input_dir: Path = Path("input")
    """Folder of the test.csv and sample_submission.csv that the submission was made for."""
    wait: bool = True
    """Wait for the score; after --no-wait, `submissions --refresh` asks for it."""
    dry_run: bool = False
    """Check everything, ask Kaggle how many submissions are left today, and send nothing."""
    smoke: bool = False
    """Allow a smoke run's file, as a rehearsal; it costs one of the day's submissions."""


@command
def main(arguments: list[str]) -> None:
    """Submit."""
    chosen = parse_arguments(SubmitArguments, "submit", arguments)
    from digit_recognizer.competition.submit import SubmitOptions, submit

    options = SubmitOptions(input_dir=chosen.input_dir, wait=chosen.wait, dry_run=chosen.dry_run, smoke=chosen.smoke)
    submit(chosen.submission, chosen.message, options)


if __name__ == "__main__":
    sys.exit(main())
