"""`python -m digit_recognizer.cv`: cross-validate a model and write a submission."""

import sys

from digit_recognizer.cli import command, run_training


@command
def main(arguments: list[str]) -> None:
    """Cross-validate and print the table."""
    run_training(
        "cv",
        arguments,
        "Cross-validate: train a fresh model per fold, score every row with the model that did not see it, and write a "
        "submission from the average of the models.",
    )


if __name__ == "__main__":
    sys.exit(main())
