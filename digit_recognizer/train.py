"""`python -m digit_recognizer.train`: train one model on 80 % of the rows and draw its learning curves on the rest."""

import sys
from pathlib import Path

from digit_recognizer.cli import command, run_training
from digit_recognizer.console import print_line, print_next
from digit_recognizer.errors import explain_defect


@command
def main(arguments: list[str]) -> None:
    """Run `train` from the command line."""
    result = run_training(
        "train",
        arguments,
        "Train one model on all folds but the first, evaluate it on that one after every epoch (of 5 folds: 20 % of "
        "the rows), draw its learning curves, and write a submission.",
    )
    try:
        draw_learning_curves(result.run_dir)
    except Exception as error:  # the run has finished, and its next step is worth more than a figure
        print_line(f"WARNING: the learning curves are not drawn. {explain_defect(error, result.run_dir)}")
    from digit_recognizer.training.run import format_next_command

    print_next(format_next_command(result.run_dir))


def draw_learning_curves(run: Path) -> None:
    """Draw learning_curves.png into a finished run's folder, unless it is there already."""
    from digit_recognizer.reporting.plots import plot_learning_curves, save_figure
    from digit_recognizer.training.run import load_history

    figure = run / "learning_curves.png"
    if not figure.exists():
        save_figure(plot_learning_curves(load_history(run), f"{run.name}: learning curves"), figure)


if __name__ == "__main__":
    sys.exit(main())
