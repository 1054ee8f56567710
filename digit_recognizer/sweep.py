"""`python -m digit_recognizer.sweep STUDY`: run a study of many runs, and tell what its numbers can bear."""

import os
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated

import tyro

from digit_recognizer.backend import import_keras
from digit_recognizer.cli import command, parse_arguments
from digit_recognizer.training.executors import Machines, open_executor


@dataclass(frozen=True, kw_only=True)
class SweepArguments(Machines):
    """Run a study: every setting of its grids, or a search, with several seeds; a fresh net per trial.

    Stopped by whatever, it goes on by the same command: no trial is lost, and none is run twice.
    """

    study: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="STUDY")]
    """The study's file, or its folder, as studies/002-dropout-batch-kernel."""
    run_dir: Path | None = None
    """The sweep's folder, continued if there are trials in it; None stands for runs/sweep-STUDY."""
    input_dir: Path | None = None
    """Folder of the data; None takes the study's."""
    trials: int | None = None
    """End after so many trials, those of earlier sittings included; None takes the study's number."""
    minutes: float | None = None
    """Begin no trial after so many minutes of them, earlier sittings included; None takes the study's number."""
    page_only: bool = False
    """Run nothing; write what the trials at hand say."""


@command
def main(arguments: list[str]) -> None:
    """Sweep and print the table."""
    chosen = parse_arguments(SweepArguments, "sweep", arguments)
    with open_executor(chosen.machines) as executor:
        import_keras()
        from digit_recognizer.sweeps.sweeping import SweepConfig, sweep

        said = {field.name: getattr(chosen, field.name) for field in fields(SweepConfig)}
        again = [sys.executable, "-m", "digit_recognizer.sweep", *arguments]
        sweep(SweepConfig(**said), executor, restart=lambda: os.execv(sys.executable, again))


if __name__ == "__main__":
    sys.exit(main())
