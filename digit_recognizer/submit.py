"""`python -m digit_recognizer.submit FILE -m MESSAGE`: send a submission to Kaggle and see its score."""

import sys

from digit_recognizer.cli import command, parse_arguments
from digit_recognizer.competition.submit import SubmitArguments, submit


@command
def main(arguments: list[str]) -> None:
    """Submit."""
    submit(parse_arguments(SubmitArguments, "submit", arguments))


if __name__ == "__main__":
    sys.exit(main())
