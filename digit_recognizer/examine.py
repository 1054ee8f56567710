"""`python -m digit_recognizer.examine RUN`: what a run shows of its data and errors, and what its model has learned."""

import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from digit_recognizer.cli import command, parse_arguments
from digit_recognizer.reporting.model_report import ModelRequest

if TYPE_CHECKING:
    from digit_recognizer.reporting.examination import Examination


@dataclass(frozen=True)
class ExamineArguments:
    """Draw and list what a run shows: its score, training, confusions, hardest images, wrong labels, and one model.

    Only rows that the models were not trained on count. `report RUN` does the same and makes one HTML page of it.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder, of all training rows."""
    input_dir: Path | None = None
    """Folder with the train.csv that the run was made from; None: the run's own."""
    output: Path | None = None
    """Folder for figures and label_errors.csv, which are replaced; None: RUN/examination."""
    others: Annotated[tuple[Path, ...], tyro.conf.arg(name="with", metavar="RUN [RUN ...]")] = ()
    """Further runs of the same rows, such as other seeds: confusions that repeat in them are no accident."""
    model: Annotated[ModelRequest, tyro.conf.arg(name="")] = field(default_factory=ModelRequest)


@command
def main(arguments: list[str]) -> None:
    """Examine and print the table."""
    chosen = parse_arguments(ExamineArguments, "examine", arguments)
    print(run_examination(chosen, chosen.output))


def run_examination(chosen: ExamineArguments, folder: Path | None) -> "Examination":
    """Examine as the command line asks, with files in `folder`; None for RUN/examination."""
    from digit_recognizer.reporting.examination import examine_run

    return examine_run(chosen.run, chosen.input_dir, folder, chosen.others, chosen.model)


if __name__ == "__main__":
    sys.exit(main())
