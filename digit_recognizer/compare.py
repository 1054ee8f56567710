"""`python -m digit_recognizer.compare RUN RUN`: which of two runs is better, and whether that is significant."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from digit_recognizer.arguments import Positional
from digit_recognizer.cli import OutputArguments, command, parse_arguments, print_table
from digit_recognizer.console import clean_lines


@dataclass(frozen=True, kw_only=True)
class CompareArguments(OutputArguments):
    """Compare two runs of the same train.csv, row by row, on the rows that both held out."""

    runs: Annotated[tuple[Path, Path], Positional("RUN RUN")]
    """Two run folders, of ensembles too; their folds and seeds may differ."""
    input_dir: Path | None = None
    """Folder that holds the train.csv which both were made from (default: the first one's own)."""


@command
def main(arguments: list[str]) -> None:
    """Compare and print the table."""
    chosen = parse_arguments(CompareArguments, "compare", arguments)
    from digit_recognizer.evaluation.predictions import compare

    found = compare(*chosen.runs, chosen.input_dir)
    if chosen.json or chosen.csv:
        print_table(found.to_frame(), chosen)
    else:
        print(clean_lines(str(found)))


if __name__ == "__main__":
    sys.exit(main())
