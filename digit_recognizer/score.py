"""`python -m digit_recognizer.score FILE`: a submission against test_labels.csv, where a source had those labels."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digit_recognizer.cli import command, parse_arguments


@dataclass(frozen=True)
class ScoreArguments:
    """Score a submission on labels that came with the test images. No run ever opens them."""

    submission: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """The submission, ImageId,Label."""
    input_dir: Path = Path("input")
    """Folder that holds test_labels.csv, and the test.csv that the submission was made for."""


@command
def main(arguments: list[str]) -> None:
    """Score and print."""
    chosen = parse_arguments(ScoreArguments, "score", arguments)
    from digit_recognizer.competition.submissions import score_submission

    print(score_submission(chosen.submission, chosen.input_dir))


if __name__ == "__main__":
    sys.exit(main())
