"""`python -m digit_recognizer.examine RUN`: what a run shows of its data and errors, and what its model has learned."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from digit_recognizer.arguments import Named, Positional
from digit_recognizer.cli import command, parse_arguments
from digit_recognizer.console import clean_lines
from digit_recognizer.errors import InputError
from digit_recognizer.reporting.model_report import ModelRequest

if TYPE_CHECKING:
    from digit_recognizer.reporting.examination import Examination


@dataclass(frozen=True, kw_only=True)
class ExamineArguments(ModelRequest):
    """Draw and list what a run shows: its score, training, confusions, hardest images, wrong labels, and one model.

    Only rows that the models were not trained on count. `report RUN` does the same and makes one HTML page of it.
    """

    run: Annotated[Path, Positional("RUN")]
    """A run folder of cv or train, of all training rows; or of transfer, which takes --output, --layer and --images."""
    input_dir: Path | None = None
    """Folder with the train.csv that the run was made from (default: the run's own)."""
    output: Path | None = None
    """Folder for figures and label_errors.csv, which are replaced (default: RUN/examination)."""
    others: Annotated[tuple[Path, ...], Named("--with")] = ()
    """Further runs of the same rows, such as other seeds: confusions that repeat in them are no accident."""

    @property
    def request(self) -> ModelRequest:
        """What to show of the model."""
        return ModelRequest(self.fold, self.layer, self.row, self.images)


@command
def main(arguments: list[str]) -> None:
    """Examine and print the table."""
    chosen = parse_arguments(ExamineArguments, "examine", arguments)
    print(clean_lines(str(run_examination(chosen, chosen.output))))


def run_examination(chosen: ExamineArguments, folder: Path | None) -> "Examination":
    """Examine as the command line asks, with files in `folder`; None for RUN/examination."""
    from digit_recognizer.training.transfers import is_transfer

    if is_transfer(chosen.run):
        not_taken: dict[str, object] = {"--input-dir": chosen.input_dir, "--with": chosen.others or None}
        not_taken |= {"--fold": chosen.fold, "--row": chosen.row or None}
        for name, value in not_taken.items():
            if value is not None:
                raise InputError("transfer.not_of_transfers", path=chosen.run, column=name)
        from digit_recognizer.transfer_learning.report import examine_transfer

        return examine_transfer(chosen.run, folder, chosen.request)
    from digit_recognizer.reporting.examination import examine_run

    return examine_run(chosen.run, chosen.input_dir, folder, chosen.others, chosen.request)


if __name__ == "__main__":
    sys.exit(main())
