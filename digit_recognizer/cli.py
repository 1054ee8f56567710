"""What every front door shares: flags from the configuration, one line for a mistake, exit codes.

Flags are made by tyro. Against jsonargparse it was chosen because it spells flags with dashes (`--batch-size`), takes
each flag's help from the docstring below the field, and imports in under a tenth of a second; its boxed error
messages are brought down to one line here.

Exit codes: 0 done; 2 something handed in is wrong; 130 interrupted, 143 terminated; 1 a defect of this package, with
its traceback.
"""

import contextlib
import functools
import io
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TypeVar

from digit_recognizer.config import RunConfig, flag
from digit_recognizer.console import TerminatedError, make_printable, open_closed_streams, raise_on_signals
from digit_recognizer.errors import InputError
from digit_recognizer.training.executors import Machines

Arguments = TypeVar("Arguments")
COMMANDS = (
    "download",
    "cv",
    "train",
    "ensemble",
    "submit",
    "submissions",
    "kernel",
    "score",
    "compare",
    "sweep",
    "examine",
    "predict",
    "transfer",
    "report",
)


def door(main: Callable[[list[str]], None]) -> Callable[..., int]:
    """Make a front door of a function of the argument list: errors become one line, and the exit code is returned.

    `--debug`, anywhere among the arguments, lets every error keep its traceback.
    """
    subcommand = Path(main.__code__.co_filename).stem  # the module's own name is __main__ under `python -m`

    @functools.wraps(main)
    def run(arguments: Sequence[str] | None = None) -> int:
        arguments = list(sys.argv[1:] if arguments is None else arguments)
        debug = "--debug" in arguments
        if debug:
            arguments.remove("--debug")
        else:
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes on its own start
        open_closed_streams()
        if isinstance(sys.stdout, io.TextIOWrapper):  # a path may hold what the screen cannot show
            sys.stdout.reconfigure(errors="backslashreplace")
        try:
            if any("\0" in argument for argument in arguments):
                raise InputError("no argument can hold a NUL byte: leave it out.")
            with raise_on_signals():
                main(arguments)
        except InputError as error:
            if debug:
                raise
            _tell(f"{subcommand}: {error}")
            return 2
        except OSError as error:  # the machine's word about a path that somebody named: no permission, disk full
            if debug or error.strerror is None:
                raise
            _tell(
                f"{subcommand}: {error.filename or 'input or output'}: {error.strerror}. Mend that, or name another path."
            )
            return 2
        except KeyboardInterrupt as stop:
            if debug:
                raise
            how, code = ("terminated", 143) if isinstance(stop, TerminatedError) else ("interrupted", 130)
            _tell(
                f"{subcommand}: {how}; {stop}" if str(stop) else f"{subcommand}: {how}."
            )  # no full stop on what is to be copied
            return code
        return 0

    return run


def parse_arguments(
    kind: type[Arguments],
    subcommand: str,
    arguments: list[str],
    default: Arguments | None = None,
    description: str | None = None,
) -> Arguments:
    """Turn command-line arguments into a typed configuration.

    Args:
        kind: a dataclass; its fields are the flags, the docstrings below them the help.
        subcommand: the command's name.
        arguments: without the program's name.
        default: where the values come from that no flag sets.
        description: what the command does, for `--help`; None takes the dataclass's docstring.

    Raises:
        InputError: for an unknown flag or a value of the wrong type.
        SystemExit: with code 0 after `--help`.
    """
    import tyro

    messages = io.StringIO()
    try:
        with contextlib.redirect_stderr(messages):
            parsed: Arguments = tyro.cli(
                kind,
                prog=f"python -m digit_recognizer.{subcommand}",
                args=arguments,
                default=default,
                description=description,
                config=(tyro.conf.AvoidSubcommands,),
            )  # type: ignore[assignment]  # tyro's overloads do not know that a default of None is none
            return parsed
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        raise InputError(f"{_first_sentence(messages.getvalue())} See --help.") from None


@dataclass(frozen=True, kw_only=True)
class RunArguments(RunConfig, Machines):
    """What a run does, and where."""

    @property
    def config(self) -> RunConfig:
        """What it does."""
        return RunConfig(**{field.name: getattr(self, field.name) for field in fields(RunConfig)})


def parse_run_config(subcommand: str, arguments: list[str], description: str) -> RunArguments:
    """A run's configuration and machines: defaults, then the model's preset, then the smoke run's, then the flags.

    The model and `--smoke` are read first, because `--help` shows the defaults that hold for them.

    Args:
        subcommand: the command's name.
        arguments: without the program's name.
        description: what the command does, for `--help`.

    Raises:
        InputError: for an unknown model or flag, or a value that no run can mean.
    """
    from digit_recognizer.models import build_config, describe_options

    model = RunConfig.model
    for position, argument in enumerate(arguments):
        if argument == "--model" and position + 1 < len(arguments):
            model = arguments[position + 1]
        elif argument.startswith("--model="):
            model = argument.removeprefix("--model=")
    smoke = "--smoke" in arguments
    default = RunArguments(**vars(build_config(model, smoke)))
    return parse_arguments(RunArguments, subcommand, arguments, default, f"{description} {describe_options(model)}.")


@dataclass(frozen=True)
class ResumeArguments(Machines):
    """Go on with a run that was stopped, with the configuration that it was begun with, here or elsewhere."""

    resume: Path
    """The run's folder."""
    allow_inexact: bool = False
    """Go on even if versions, threads or other circumstances have changed since; the run's metrics then say so."""


def parse_resume(subcommand: str, arguments: list[str]) -> ResumeArguments | None:
    """The arguments of `--resume RUN`, which takes few other flags; None where it is not asked for.

    Raises:
        InputError: for any other flag: the configuration is the run's own.
    """
    if not any(argument.split("=")[0] == "--resume" for argument in arguments):
        return None
    try:
        return parse_arguments(ResumeArguments, subcommand, arguments)
    except InputError as error:
        others = [flag(field.name) for field in fields(ResumeArguments) if field.name != "resume"]
        raise InputError(f"{error} --resume RUN takes no other flag but {', '.join(others)}.") from None


def _tell(line: str) -> None:
    """One line on the error screen, whatever characters a path brought into it."""
    print(make_printable(line), file=sys.stderr)


def _first_sentence(box: str) -> str:
    """The message inside tyro's box, between its title and its first rule, on one line."""
    lines: list[str] = []
    for line in box.splitlines()[1:]:
        text = line.strip("│ ")
        if set(text) <= set("─-"):  # a rule; without UTF-8 one also stands below the title
            if lines:
                break
            continue
        lines.append(text)
    sentence = re.sub(r"^Error parsing (\w+: )?", "", " ".join(lines))
    return sentence.rstrip(".") + "."
