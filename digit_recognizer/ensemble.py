"""`python -m digit_recognizer.ensemble RUN RUN …`: combine saved predictions into one submission."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from digit_recognizer.arguments import Positional
from digit_recognizer.cli import command, parse_arguments
from digit_recognizer.console import print_line, print_next


@dataclass(frozen=True)
class EnsembleArguments:
    """Combine runs, and submissions of others, without training anything.

    The ensemble is a run of its own, which compare, report and submit take. It is tested against its best member.
    """

    members: Annotated[list[Path], Positional("RUN RUN ...")]
    """Run folders and submission files, two or more."""
    method: Literal["mean", "weighted", "vote"] = "mean"
    """mean of probabilities (runs only); weighted mean (runs only; weights are chosen on out-of-fold rows, and each row
    is scored with weights chosen without its fold); or the majority's vote (ties go to the higher summed probability,
    then to the member named first)."""
    input_dir: Path | None = None
    """Folder that holds the data set which the members were made for (default: the first run's own)."""
    submission: Path | None = None
    """Submission file to write (default: one under submissions/)."""
    run_dir: Path | None = None
    """The run folder of the ensemble (default: runs/<time>-ensemble)."""


@command
def main(arguments: list[str]) -> None:
    """Combine and print the table."""
    chosen = parse_arguments(EnsembleArguments, "ensemble", arguments)
    from digit_recognizer.evaluation.predictions import ensemble
    from digit_recognizer.training.run import format_next_command

    result = ensemble(chosen.members, chosen.method, chosen.input_dir, chosen.submission, chosen.run_dir)
    print_line(str(result))
    print_next(format_next_command(result.better_member or result.run_dir))


if __name__ == "__main__":
    sys.exit(main())
