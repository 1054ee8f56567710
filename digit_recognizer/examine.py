"""`python -m digit_recognizer.examine RUN`: what a run says about its rows and errors, and what its net has learned."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digit_recognizer.cli import command, parse_arguments


@dataclass(frozen=True)
class ExamineArguments:
    """Draw and list what a run shows: its data, its course, its errors, and the inside of one of its nets.

    Errors are told from rows that the nets were not fitted on: the confusion matrix, pairs of classes that are misread
    again and again, the hardest rows, and labels that are probably wrong. `report RUN` makes one page of it all.
    """

    run: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """A run folder, of all training rows."""
    input_dir: Path | None = None
    """Folder that holds the train.csv which the run was made from; None stands for the run's own."""
    output: Path | None = None
    """Folder for figures, label_errors.csv and examination.json, written anew; None stands for RUN/examination."""
    others: Annotated[tuple[Path, ...], tyro.conf.arg(name="with", metavar="RUN [RUN ...]")] = ()
    """Further runs of the same rows, say of other seeds: what is misread in all of them is no accident."""
    fold: int | None = None
    """Whose net is looked into, counted from 1; None stands for the first."""
    layer: str | None = None
    """Whose feature maps are drawn, by its name; None stands for the first and the last convolution."""
    row: Annotated[tuple[int, ...], tyro.conf.arg(metavar="N [N ...]")] = ()
    """Data rows of train.csv, counted from 1, of which the saliency is drawn; none stands for some that tell much."""
    images: Path | None = None
    """Folder of pictures of signs that the net never saw, a folder per class or pictures alone: how it sorts them."""


@command
def main(arguments: list[str]) -> None:
    """Examine and print the table."""
    chosen = parse_arguments(ExamineArguments, "examine", arguments)
    from digit_recognizer.reporting.examination import examine_run

    print(
        examine_run(
            chosen.run,
            chosen.input_dir,
            chosen.output,
            others=chosen.others,
            fold=chosen.fold,
            layer=chosen.layer,
            rows=chosen.row,
            images=chosen.images,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
