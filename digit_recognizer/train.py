"""`python -m digit_recognizer.train`: fit one net on 80 % of the rows and draw its learning curves on the rest."""

import sys

from digit_recognizer.backend import import_keras
from digit_recognizer.cli import door, parse_resume, parse_run_config
from digit_recognizer.training.executors import open_executor


@door
def main(arguments: list[str]) -> None:
    """Train on the single split and print the table."""
    resumed = parse_resume("train", arguments)
    if resumed is not None:
        with open_executor(resumed.machines) as executor:
            import_keras()
            from digit_recognizer.training.cross_validation import resume

            resume(resumed.resume, "train", allow_inexact=resumed.allow_inexact, executor=executor)
        return
    parsed = parse_run_config(
        "train",
        arguments,
        "Train one net on all folds but the first, draw its learning curves on that one (of 5: 20 % of the rows), and "
        "write a submission. The defaults below are those of the chosen --model. A run that was stopped is continued "
        "by --resume RUN, with no other flag but those of machines and --allow-inexact (go on although versions, "
        "threads or other circumstances have changed, and say so in the metrics). --debug shows tracebacks.",
    )
    with open_executor(parsed.machines) as executor:
        import_keras()
        from digit_recognizer.training.cross_validation import cross_validate

        cross_validate(parsed.config, single_split=True, executor=executor)


if __name__ == "__main__":
    sys.exit(main())
