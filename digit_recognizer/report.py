"""`python -m digit_recognizer.report RUN`: one HTML page of a run's examination."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digit_recognizer.cli import command, parse_arguments


@dataclass(frozen=True)
class ReportArguments:
    """Write one HTML file with all that `examine` finds in a run; examine it first if that was not done yet.

    The page holds its pictures, needs no network and no script, and suits phone and desk, light and dark.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder, of all training rows."""
    output: Path | None = None
    """The file to write, in place of an older report; None: RUN/report.html."""
    examination: Path | None = None
    """The folder that `examine --output` wrote; None: RUN/examination."""
    input_dir: Path | None = None
    """Folder with the train.csv that the run was made from, read if the run is examined first; None: the run's own."""


@command
def main(arguments: list[str]) -> None:
    """Write the page and print where it is."""
    chosen = parse_arguments(ReportArguments, "report", arguments)
    from digit_recognizer.reporting.examination import write_report

    print(write_report(chosen.run, chosen.input_dir, chosen.output, chosen.examination))


if __name__ == "__main__":
    sys.exit(main())
