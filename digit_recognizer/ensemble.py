"""`python -m digit_recognizer.ensemble RUN RUN …`: combine saved predictions into one submission."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from digit_recognizer.cli import command, parse_arguments


@dataclass(frozen=True)
class EnsembleArguments:
    """Combine runs, and submissions of others, without training anything."""

    members: Annotated[list[Path], tyro.conf.Positional]
    """Run folders and submission files, two or more."""
    method: Literal["mean", "vote"] = "mean"
    """mean of probabilities (runs only), or the majority's vote (ties go to the higher summed probability, then to the
    member named first)."""
    input_dir: Path | None = None
    """Folder that holds the data set which the members were made for; None stands for the first run's own."""
    submission: Path | None = None
    """Submission file to write; None stands for one under submissions/."""


@command
def main(arguments: list[str]) -> None:
    """Combine and print the table."""
    chosen = parse_arguments(EnsembleArguments, "ensemble", arguments)
    from digit_recognizer.evaluation.predictions import ensemble

    print(ensemble(chosen.members, chosen.method, chosen.input_dir, chosen.submission))


if __name__ == "__main__":
    sys.exit(main())
