"""What all commands share: flags made from a dataclass, errors of the user in one line, exit codes.

Flags are made by tyro. It was chosen over jsonargparse because it spells flags with dashes (`--batch-size`), takes each
flag's help from the docstring below the field, and is imported in under a tenth of a second.

Exit codes: 0 done; 2 an error of the user; 130 interrupted, 143 terminated; 1 a defect of this package, with its
traceback.
"""

import contextlib
import functools
import io
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from digit_recognizer.backend import import_keras
from digit_recognizer.config import RunConfig, flag
from digit_recognizer.console import (
    TerminatedError,
    close_bars,
    make_printable,
    open_closed_streams,
    print_line,
    raise_on_signals,
)
from digit_recognizer.errors import InputError, require
from digit_recognizer.io import guard_table
from digit_recognizer.training.executors import ExecutorConfig, open_executor

if TYPE_CHECKING:
    import pandas as pd

    from digit_recognizer.training.run import CVResult

Arguments = TypeVar("Arguments")
RESUME_HELP = (
    "The defaults below are those of the chosen --model. To resume an interrupted run, use --resume RUN, which takes "
    "only the flags of the executor and --allow-inexact. --debug shows tracebacks."
)


def command(main: Callable[[list[str]], None]) -> Callable[..., int]:
    """Turn `main(arguments)` into a command: print user errors in one line, return an exit code.

    `--debug`, anywhere among the arguments, lets every error keep its traceback.
    """
    file = Path(main.__code__.co_filename)  # `__name__` is `__main__` under `python -m`
    name = file.parent.name if file.stem == "__main__" else file.stem

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
                raise InputError("cli.nul_byte")
            with raise_on_signals():
                main(arguments)
        except (InputError, OSError, KeyboardInterrupt) as error:
            if debug or (isinstance(error, OSError) and error.strerror is None):
                raise
            close_bars()
            message, code = _explain(error)
            print(make_printable(f"{name}: {message}"), file=sys.stderr)  # a path may hold any character
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
        default: has the values of flags that are not given.
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
            )  # type: ignore[assignment]  # tyro's type stubs reject default=None
            return parsed
    except SystemExit as stop:
        if stop.code in (0, None):
            raise
        if isinstance(stop.__context__, InputError):  # raised by the dataclass itself
            raise stop.__context__ from None
        raise InputError("cli.arguments", received=_first_sentence(messages.getvalue())) from None


@dataclass(frozen=True, kw_only=True)
class OutputArguments:
    """The flags of commands that print a table."""

    json: bool = False
    """Print JSON: a list with an object per row."""
    csv: bool = False
    """Print CSV with all columns."""

    def __post_init__(self) -> None:
        if self.json and self.csv:
            raise InputError("cli.two_formats")


def print_table(frame: "pd.DataFrame", arguments: OutputArguments) -> None:
    """Print a table as JSON, as CSV, or for the screen.

    Args:
        frame: what is missing becomes null in JSON, and an empty cell elsewhere.
        arguments: say which.
    """
    if arguments.json:
        rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
        print_line(json.dumps(rows, indent=2, ensure_ascii=False, default=str))
    elif arguments.csv:
        print_line(guard_table(frame).to_csv(index=False, lineterminator="\n").rstrip("\n"))
    else:
        columns = [_format_column(str(name), frame[name]) for name in frame]
        print_line("\n".join("  ".join(cells).rstrip() for cells in zip(*columns, strict=True)))


def _format_column(name: str, cells: "pd.Series[Any]") -> list[str]:
    """The cells of a column below its name, in equal widths: numbers to the right, text to the left."""
    form = {"f": "{:.5f}", "i": "{:,}", "u": "{:,}"}.get(cells.dtype.kind)
    texts = ["" if missing else (form or "{}").format(cell) for cell, missing in zip(cells, cells.isna(), strict=True)]
    texts = [make_printable(text) for text in (name, *texts)]
    width = max(map(len, texts))
    return [text.rjust(width) if form else text.ljust(width) for text in texts]


@dataclass(frozen=True, kw_only=True)
class RunArguments(RunConfig, ExecutorConfig):
    """The flags of RunConfig and those of the executor."""

    def __post_init__(self) -> None:
        RunConfig.__post_init__(self)
        ExecutorConfig.__post_init__(self)

    @property
    def config(self) -> RunConfig:
        """The RunConfig part."""
        return RunConfig(**{field.name: getattr(self, field.name) for field in fields(RunConfig)})


def parse_run_config(subcommand: str, arguments: list[str], description: str) -> RunArguments:
    """A run's configuration and executor: the defaults, overridden by the model's recipe, `SMOKE` and the flags.

    The model and `--smoke` are read first, because `--help` shows their defaults.

    Args:
        subcommand: the command's name.
        arguments: without the program's name.
        description: what the command does, for `--help`.

    Raises:
        InputError: for an unknown model or flag, or an invalid value.
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
class ResumeArguments(ExecutorConfig):
    """Resume an interrupted run with the configuration that it was started with, here or on another machine."""

    resume: Path
    """The run's folder."""
    allow_inexact: bool = False
    """Resume even if versions, threads or other parts of the environment have changed; the metrics list them."""


def parse_resume(subcommand: str, arguments: list[str]) -> ResumeArguments | None:
    """The arguments of `--resume RUN`, which takes few other flags; None without --resume.

    Raises:
        InputError: for any other flag, because the configuration is the run's own.
    """
    if not any(argument.split("=")[0] == "--resume" for argument in arguments):
        return None
    try:
        return parse_arguments(ResumeArguments, subcommand, arguments)
    except InputError as error:
        others = ", ".join(flag(field.name) for field in fields(ResumeArguments) if field.name != "resume")
        raise error.with_remedy(f"With --resume RUN only these flags are taken: {others}.") from None


def run_training(subcommand: Literal["cv", "train"], arguments: list[str], description: str) -> "CVResult":
    """What `cv` and `train` do: start a run, or resume one.

    Args:
        subcommand: the command's name.
        arguments: without the program's name.
        description: what the command does, for `--help`.

    Returns:
        What the run found.

    Raises:
        InputError: for an invalid configuration or invalid data.
    """
    parsed = parse_resume(subcommand, arguments) or parse_run_config(
        subcommand, arguments, f"{description} {RESUME_HELP}"
    )
    if subcommand == "train":
        require("matplotlib.figure", "report")  # for its learning curves; asked for before an hour of training
    with open_executor(parsed) as executor:
        import_keras()
        from digit_recognizer.training.cross_validation import resume, run_cross_validation

        if isinstance(parsed, ResumeArguments):
            return resume(parsed.resume, subcommand, allow_inexact=parsed.allow_inexact, executor=executor)
        return run_cross_validation(parsed.config, single_split=subcommand == "train", executor=executor)


def _explain(error: BaseException) -> tuple[str, int]:
    """What ended a command, in a sentence, and the exit code."""
    if isinstance(error, KeyboardInterrupt):
        how, code = ("terminated", 143) if isinstance(error, TerminatedError) else ("interrupted", 130)
        return f"{how}; {error}" if str(error) else f"{how}.", code
    if isinstance(error, OSError):  # about a path that the user named: no permission, disk full
        error = InputError("cli.os_error", path=error.filename or "input or output", received=error.strerror)
    return str(error), 2


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
