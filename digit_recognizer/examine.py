"""`python -m digit_recognizer.examine RUN`: what a run says about its training rows, first of all wrong labels."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digit_recognizer.cli import door, parse_arguments


@dataclass(frozen=True)
class ExamineArguments:
    """List the training rows whose label is probably wrong, and draw the most suspicious."""

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder, of all training rows."""
    input_dir: Path = Path("input")
    """Folder that holds the train.csv which the run was made from."""
    output: Path | None = None
    """Folder for label_errors.csv and label_errors.png, written anew each time; None stands for RUN/examination."""


@door
def main(arguments: list[str]) -> None:
    """Examine and print the table."""
    chosen = parse_arguments(ExamineArguments, "examine", arguments)
    from digit_recognizer.inspection.label_errors import examine_run

    print(examine_run(chosen.run, chosen.input_dir, chosen.output))


if __name__ == "__main__":
    sys.exit(main())
