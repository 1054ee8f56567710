"""`python -m digit_recognizer.cv`: cross-validate a model and write a submission."""

import sys

from digit_recognizer.cli import door, import_keras, parse_run_config


@door
def main(arguments: list[str]) -> None:
    """Cross-validate and print the table."""
    config = parse_run_config(
        "cv",
        arguments,
        "Cross-validate: fit a fresh net per fold, score every row by the net that did not see it, and write a "
        "submission from the mean of the nets. The defaults below are those of the chosen --model.",
    )
    import_keras()
    from digit_recognizer.training.cross_validation import cross_validate

    cross_validate(config)


if __name__ == "__main__":
    sys.exit(main())
