"""`python -m digit_recognizer.train`: fit one net on 80 % of the rows and draw its learning curves on the rest."""

import sys

from digit_recognizer.backend import import_keras
from digit_recognizer.cli import door, parse_resume, parse_run_config


@door
def main(arguments: list[str]) -> None:
    """Train on the single split and print the table."""
    resumed = parse_resume("train", arguments)
    if resumed is not None:
        import_keras()
        from digit_recognizer.training.cross_validation import resume

        resume(resumed.resume, "train", allow_inexact=resumed.allow_inexact)
        return
    config = parse_run_config(
        "train",
        arguments,
        "Train one net on all folds but the first, draw its learning curves on that one (of 5: 20 % of the rows), and "
        "write a submission. The defaults below are those of the chosen --model. A run that was stopped is continued "
        "by --resume RUN, with no other flag but --allow-inexact (go on although versions, threads or other "
        "circumstances have changed, and say so in the metrics). --debug shows tracebacks.",
    )
    import_keras()
    from digit_recognizer.training.cross_validation import cross_validate

    cross_validate(config, single_split=True)


if __name__ == "__main__":
    sys.exit(main())
