"""`python -m digit_recognizer.cv`: cross-validate a model and write a submission."""

import sys

from digit_recognizer.cli import command, run_training
from digit_recognizer.console import print_next


@command
def main(arguments: list[str]) -> None:
    """Run `cv` from the command line."""
    result = run_training(
        "cv",
        arguments,
        "Cross-validate: train a fresh model per fold, score every row with the model that was not trained on it, and "
        "write a submission from the average of the fold models, or of those of --refit.",
    )
    from digit_recognizer.training.run import format_next_command

    print_next(format_next_command(result.run_dir))


if __name__ == "__main__":
    sys.exit(main())
