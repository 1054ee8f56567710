"""`python -m digit_recognizer.train`: train one model on 80 % of the rows and draw its learning curves on the rest."""

import sys

from digit_recognizer.cli import command, run_training


@command
def main(arguments: list[str]) -> None:
    """Train on a single split and print the table."""
    run_training(
        "train",
        arguments,
        "Train one model on all folds but the first, evaluate it on that one after every epoch (of 5 folds: 20 % of the "
        "rows), draw its learning curves, and write a submission.",
    )


if __name__ == "__main__":
    sys.exit(main())
