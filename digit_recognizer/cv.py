"""`python -m digit_recognizer.cv`: cross-validate a model and write a submission."""

import sys

from digit_recognizer.backend import import_keras
from digit_recognizer.cli import door, parse_resume, parse_run_config
from digit_recognizer.training.executors import open_executor


@door
def main(arguments: list[str]) -> None:
    """Cross-validate and print the table."""
    resumed = parse_resume("cv", arguments)
    if resumed is not None:
        with open_executor(resumed.machines) as executor:
            import_keras()
            from digit_recognizer.training.cross_validation import resume

            resume(resumed.resume, "cv", allow_inexact=resumed.allow_inexact, executor=executor)
        return
    parsed = parse_run_config(
        "cv",
        arguments,
        "Cross-validate: fit a fresh net per fold, score every row by the net that did not see it, and write a "
        "submission from the mean of the nets. The defaults below are those of the chosen --model. A run that was "
        "stopped is continued by --resume RUN, with no other flag but those of machines and --allow-inexact (go on "
        "although versions, threads or other circumstances have changed, and say so in the metrics). --debug shows "
        "tracebacks.",
    )
    with open_executor(parsed.machines) as executor:
        import_keras()
        from digit_recognizer.training.cross_validation import cross_validate

        cross_validate(parsed.config, executor=executor)


if __name__ == "__main__":
    sys.exit(main())
