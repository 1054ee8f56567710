"""`python -m digit_recognizer.cv`: cross-validate a model and write a submission."""

import sys

from digit_recognizer.cli import door, import_keras, parse_run_config


@door
def main(arguments: list[str]) -> None:
    """Cross-validate and print the table."""
    config = parse_run_config("cv", arguments)
    import_keras()
    from digit_recognizer.training.cross_validation import cross_validate

    cross_validate(config)


if __name__ == "__main__":
    sys.exit(main())
