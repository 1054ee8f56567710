"""`python -m digit_recognizer.cv`: cross-validate a model and write a submission."""

import sys

from digit_recognizer.cli import command, run_training


@command
def main(arguments: list[str]) -> None:
    """Run `cv` from the command line."""
    run_training(
        "cv",
        arguments,
        "Cross-validate: train a fresh model per fold, score every row with the model that was not trained on it, and "
        "write a submission from the average of the models.",
    )


if __name__ == "__main__":
    sys.exit(main())
