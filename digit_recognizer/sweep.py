"""`python -m digit_recognizer.sweep STUDY`: run a study of many runs, and write a page of their results.

The trials run in a worker process, which is replaced when it has grown: see `MAX_GROWTH_BYTES` in sweeps/sweeping.py.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from digit_recognizer.arguments import Positional
from digit_recognizer.backend import import_keras
from digit_recognizer.cli import command, parse_arguments
from digit_recognizer.console import RUNNING_COMMAND, TerminatedError
from digit_recognizer.errors import LostError, require
from digit_recognizer.sweeps.study import SweepConfig, read_study_file
from digit_recognizer.training.executors import ExecutorConfig, open_executor

WORKER = "DIGIT_RECOGNIZER_SWEEP_WORKER"  # environment variable that tells the worker from its parent
GROWN = 75  # exit code of a worker that must be replaced


@dataclass(frozen=True, kw_only=True)
class SweepArguments(ExecutorConfig, SweepConfig):
    """Run a study: every configuration of its grids, or a search, with several seeds; a new model per trial.

    The same command resumes a sweep that was stopped. No trial is lost, and none is run twice.
    """

    study: Annotated[Path, Positional("STUDY")]
    """The study's file, or its folder, as studies/002-dropout-batch-kernel."""


@command
def main(arguments: list[str]) -> None:
    """Sweep and print the table."""
    chosen = parse_arguments(SweepArguments, "sweep", arguments)
    if WORKER in os.environ:
        _run_batch(chosen)
        return  # with the exit code of any command: 1 after a trial that failed by a defect
    read_study_file(chosen.study)  # a mistyped name is found before the seconds that Keras takes to start
    code = GROWN
    while code == GROWN:
        code = _run_worker((RUNNING_COMMAND.get() or ())[1:])  # with --debug
    if code < 0:
        raise LostError("sweep.worker", received=signal.Signals(-code).name)
    sys.exit(code)


def _run_worker(arguments: Sequence[str]) -> int:
    """The exit code of a worker process, negative if a signal ended it."""
    command = [sys.executable, "-m", "digit_recognizer.sweep", *arguments]
    # a session of its own: Ctrl-C reaches this process alone, which passes it on once; Windows has none, and sends it
    # to both
    sessions = hasattr(os, "setsid")
    # a run that MLflow has begun would be taken by the first trial, and refused to the others
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_RUN_ID"} | {WORKER: "1"}
    with subprocess.Popen(command, stdin=subprocess.PIPE, env=environment, start_new_session=sessions) as worker:
        try:
            return worker.wait()
        except KeyboardInterrupt as stop:
            if sessions:
                worker.send_signal(signal.SIGTERM if isinstance(stop, TerminatedError) else signal.SIGINT)
            return worker.wait()


def _run_batch(chosen: SweepArguments) -> None:
    """Run trials in this process until all have ended, or it has grown, which its exit code says."""
    require("optuna", "sweeps")
    require("matplotlib.figure", "sweeps")
    threading.Thread(target=_exit_with_parent, daemon=True).start()
    with open_executor(chosen) as executor:
        import_keras()
        from digit_recognizer.sweeps.sweeping import MAX_GROWTH_BYTES, sweep

        records = sweep(chosen, executor, MAX_GROWTH_BYTES)
    if records is None:
        sys.exit(GROWN)


def _exit_with_parent() -> None:
    """End this process as soon as its parent is gone, which holds the other end of standard input."""
    os.read(0, 1)
    os._exit(1)


if __name__ == "__main__":
    sys.exit(main())
