"""What commands share: errors of the user in one line and exit codes; the flags and the start of a run; tables.

Exit codes: 0 done; 2 an error of the user; 130 interrupted, 143 terminated, 141 nobody reads the output any more; 1 a
defect of this package, with its traceback; also where one cost a picture, a figure or a trial and the rest is done.
"""

import contextlib
import functools
import io
import json
import logging
import os
import sys
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from digit_recognizer.arguments import Named, list_flags, parse_arguments, read_arguments
from digit_recognizer.backend import import_keras
from digit_recognizer.config import SMOKE, RunConfig, flag, read_fields
from digit_recognizer.console import (
    RUNNING_COMMAND,
    TerminatedError,
    close_bars,
    is_notebook_program,
    is_output_read,
    make_printable,
    open_closed_streams,
    print_line,
    raise_on_signals,
    silence_output,
)
from digit_recognizer.errors import LOGGER, LONGEST_REASON, InputError, require
from digit_recognizer.training.executors import ExecutorConfig, open_executor

if TYPE_CHECKING:
    import pandas as pd

    from digit_recognizer.training.run import CVResult

PACKAGE = "digit_recognizer"
DEFECT_CODE, INPUT_CODE = 1, 2
BINARIES = (".so", ".pyd", ".dylib")  # of packages; what they need of the system may be missing
BROKEN_PIPE_CODE = 141  # as a shell counts SIGPIPE
# entries of a run's config.json that are not taken over by another run
NOT_TAKEN_OVER = ("subcommand", "command", "run_dir", "submission", "in_python")
RUN_GROUPS = {  # title -> fields, in the help of cv and train
    "common": (
        "model",
        "epochs",
        "folds",
        "refit",
        "refit_epochs",
        "seed",
        "input_dir",
        "run_dir",
        "submission",
        "smoke",
        "config_file",
    ),
    "training": (),  # all others
    "data": ("preprocess", "refit_preprocess", "augmentation", "synthetic_ratio", "limit_train", "limit_test"),
    "machines": ("precision", "devices", "executor", "ray_address", "task_cpus", "task_gpus"),
    "resuming": ("resume", "allow_inexact"),
}


def command(main: Callable[[list[str]], None]) -> Callable[..., int]:
    """Turn `main(arguments)` into a command: print user errors in one line, return an exit code.

    `--debug`, anywhere among the arguments, lets every error keep its traceback.
    """
    file = Path(main.__code__.co_filename)  # `__name__` is `__main__` under `python -m`
    name = file.parent.name if file.stem == "__main__" else file.stem

    @functools.wraps(main)
    def run(arguments: Sequence[str] | None = None) -> int:
        if arguments is None:
            arguments = [] if is_notebook_program(sys.argv[0]) else sys.argv[1:]
        arguments = list(arguments)
        running = RUNNING_COMMAND.set((f"{PACKAGE}.{name}", *arguments))
        debug = "--debug" in arguments
        if debug:
            arguments.remove("--debug")
        else:
            os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes on its own start
        open_closed_streams()
        if isinstance(sys.stdout, io.TextIOWrapper):  # a path may hold what the screen cannot show
            sys.stdout.reconfigure(errors="backslashreplace")
        defects = _DefectCounter(shows=debug)
        LOGGER.addHandler(defects)
        try:
            if any("\0" in argument for argument in arguments):
                raise InputError("cli.nul_byte")
            _check_current_folder()
            with raise_on_signals(), _warnings_are_no_errors():
                main(arguments)
                sys.stdout.flush()
                if defects.left_out:
                    raise InputError("photos.left_out", received=len(defects.left_out))
        except BrokenPipeError:
            if is_output_read():  # it was another pipe, which is a defect
                raise
            close_bars()
            silence_output()
            return BROKEN_PIPE_CODE
        except (InputError, OSError, KeyboardInterrupt, ImportError, MemoryError) as error:
            if debug or _is_defect(error):
                raise
            close_bars()
            message, code = _explain(error)
            with contextlib.suppress(OSError):  # nobody reads it: the code is left
                print(make_printable(f"{name}: {message}"), file=sys.stderr)  # a path may hold any character
            return DEFECT_CODE if code == INPUT_CODE and defects.count else code
        finally:
            RUNNING_COMMAND.reset(running)
            LOGGER.removeHandler(defects)
        return DEFECT_CODE if defects.count else 0

    return run


def _check_current_folder() -> None:
    """Refuse to work in a folder that was removed: nothing is found or written there."""
    try:
        Path.cwd()
    except FileNotFoundError:
        raise InputError("cli.no_folder") from None


@contextlib.contextmanager
def _warnings_are_no_errors() -> Iterator[None]:
    """Inside, no warning is an error, though PYTHONWARNINGS or -W says so: Keras and others warn in every run."""
    if not any(option.startswith("e") for option in sys.warnoptions):
        yield
        return
    with warnings.catch_warnings():
        vars(warnings)["filters"] = [one for one in warnings.filters if one[0] != "error"]
        warnings.simplefilter("default", append=True)  # what holds without filters; it makes the others count
        yield


class _DefectCounter(logging.Handler):
    """Counts the unforeseen errors that cost one item of several; if it `shows` them, with their tracebacks.

    `left_out` are the notes on items that could not be read.
    """

    def __init__(self, *, shows: bool) -> None:
        super().__init__(logging.WARNING)
        self.shows, self.count = shows, 0
        self.left_out: set[str] = set()

    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno < logging.ERROR:
            self.left_out.add(record.getMessage())
            return
        self.count += 1
        if self.shows:
            print("\n".join(map(make_printable, self.format(record).splitlines())), file=sys.stderr)


def _is_defect(error: BaseException) -> bool:
    """Whether an error of a kind that users can mend is one of this package all the same."""
    is_ours = isinstance(error, ImportError) and not str(error.path).endswith(BINARIES)
    return is_ours or isinstance(error, io.UnsupportedOperation)


def _explain(error: BaseException) -> tuple[str, int]:
    """The line that is printed about an error or an interrupt, and the exit code."""
    if isinstance(error, KeyboardInterrupt):
        how, code = ("terminated", 143) if isinstance(error, TerminatedError) else ("interrupted", 130)
        return f"{how}; {error}" if str(error) else f"{how}.", code
    if isinstance(error, OSError):  # about a path that the user named: no permission, disk full
        reason = error.strerror or " ".join(str(error).split())[:LONGEST_REASON] or type(error).__name__
        if error.filename is None:  # some libraries raise errors that are a text alone
            error = InputError("cli.os_error_somewhere", received=reason.rstrip("."))
        else:
            error = InputError("cli.os_error", path=error.filename, received=reason)
    reason = " ".join(str(error).split())[:LONGEST_REASON]
    if isinstance(error, ImportError):  # a library of the system that OpenCV needs, say, is not installed
        error = InputError("install.broken", package=error.name, reason=reason)
    if isinstance(error, MemoryError):
        error = InputError("cli.memory", received=reason or type(error).__name__)
    return str(error), INPUT_CODE


# A run, from its flags: what `cv` and `train` share


@dataclass(frozen=True, kw_only=True)
class RunArguments(RunConfig, ExecutorConfig):
    """The flags of `cv` and `train`: those of RunConfig, those of the executor, and where a run starts from."""

    config_file: Annotated[Path | None, Named("--config")] = None
    """Settings in a TOML file, or a run's config.json; they win over the recipe, and flags over them."""
    resume: Path | None = None
    """Resume the interrupted run in this folder, with its own settings. Beside it there may be --executor,
    --ray-address, --task-cpus, --task-gpus, --allow-inexact and --submission; a run in a folder from elsewhere needs
    its --submission again."""
    allow_inexact: bool = False
    """With --resume: go on even if versions, threads or other parts of the environment have changed; the metrics list
    them."""

    def __post_init__(self) -> None:
        from digit_recognizer.models import register_model

        object.__setattr__(self, "model", register_model(self.model))  # the path of a model's file becomes absolute
        RunConfig.__post_init__(self)
        ExecutorConfig.__post_init__(self)
        if self.allow_inexact and self.resume is None:
            raise InputError("cli.only_resume", column="--allow-inexact")

    @property
    def config(self) -> RunConfig:
        """The RunConfig part."""
        return RunConfig(**{field.name: getattr(self, field.name) for field in fields(RunConfig)})


def run_training(subcommand: Literal["cv", "train"], arguments: list[str], description: str) -> "CVResult":
    """Start a run from the command line, or resume one.

    Args:
        subcommand: the command's name.
        arguments: without the program's name.
        description: what the command does, for `--help`.

    Returns:
        What the run found.

    Raises:
        InputError: for an invalid configuration or invalid data.
    """
    parsed = parse_run_config(subcommand, arguments, description)
    if subcommand == "train":
        require("matplotlib.figure", "report")  # for its learning curves: a missing package is found before training
    with open_executor(parsed) as executor:  # before Keras, whose backend sets up its threads at import
        import_keras()
        from digit_recognizer.training.cross_validation import resume, run_cross_validation

        if parsed.resume is not None:
            return resume(
                parsed.resume,
                subcommand,
                allow_inexact=parsed.allow_inexact,
                submission=parsed.submission,
                executor=executor,
            )
        return run_cross_validation(parsed.config, single_split=subcommand == "train", executor=executor)


def parse_run_config(subcommand: str, arguments: list[str], description: str) -> RunArguments:
    """A run's configuration and executor: the defaults, overridden as the docstring of `config` says.

    Args:
        subcommand: the command's name.
        arguments: without the program's name.
        description: what the command does, for `--help`.

    Raises:
        InputError: for an unknown model, flag or setting, or an invalid value, or a setting beside --resume.
    """
    from digit_recognizer.models import describe_options

    given, _ = read_arguments(RunArguments, arguments)  # first, because the defaults depend on them, --help's too
    defaults: dict[str, Any] = {}
    if "resume" not in given:
        defaults = vars(_find_defaults(given))
    else:  # the run has its own settings
        allowed = [*(field.name for field in fields(ExecutorConfig)), "allow_inexact", "submission"]
        refused = given.keys() - {*allowed, "resume"}
        if labels := [one.label for one in list_flags(RunArguments) if one.field in refused]:
            raise InputError("cli.not_with_resume", column=labels[0], flags=", ".join(map(flag, allowed)))
    options = describe_options(defaults.get("model", RunConfig.model))
    description = f"{description} The defaults below are those of the chosen --model. {options}."
    return parse_arguments(RunArguments, subcommand, arguments, defaults, description, RUN_GROUPS)


def _find_defaults(given: dict[str, Any]) -> RunArguments:
    """The values of flags that are not `given`: from the model's recipe, `SMOKE` and the file for `--config`."""
    from digit_recognizer.models import build_config, load_preset, load_smoke, register_model

    path, settings = given.get("config_file"), dict[str, Any]()
    if "model" in given:
        load_preset(register_model(given["model"]))  # here, so that the message does not blame the file below
    if path is not None:
        settings = load_settings(path)
    try:
        model = register_model(given["model"]) if "model" in given else str(settings.get("model", RunConfig.model))
        smoke = settings.pop("smoke", False)
        smoke = given.get("smoke", smoke)
        if given.get("smoke"):
            settings |= {**SMOKE, **load_smoke(model)}
        executor = {field.name: settings.pop(field.name) for field in fields(ExecutorConfig) if field.name in settings}
        try:
            config = build_config(model, smoke, **{**settings, "model": model})
        except InputError as fault:  # flags win over the file, and may mend it
            flags = {name: value for name, value in given.items() if name != "smoke" and name in vars(RunConfig())}
            try:
                config = build_config(model, smoke, **{**settings, **flags, "model": model})
            except InputError:
                raise fault from None
        return RunArguments(**vars(config), **read_fields(ExecutorConfig, executor))
    except InputError as error:
        if path is None:
            raise
        raise InputError("config.file", path=path, reason=error) from error


def load_settings(path: Path) -> dict[str, Any]:
    """Read the settings in a file for `--config`.

    Args:
        path: of a TOML file, or of a run's config.json, whose own folder and submission do not count.

    Returns:
        Field -> value as in JSON. In the file, arguments of the model may also be a table, [model_args].

    Raises:
        InputError: if the file cannot be read, or holds something else.
    """
    from digit_recognizer.io import read_json, read_toml

    if path.suffix != ".json":
        settings = read_toml(path)
    else:
        settings = read_json(path)
        if not isinstance(settings, dict):
            raise InputError("config.file_is_a_list", path=path)
        settings = {name: value for name, value in settings.items() if name not in NOT_TAKEN_OVER}
        if str(settings.get("model", "")).endswith(".py"):  # the copy in the run's folder
            settings["model"] = str(path.absolute().parent / Path(settings["model"]).name)
    if isinstance(settings.get("model_args"), dict):
        settings["model_args"] = [f"{name}={value}" for name, value in settings["model_args"].items()]
    return settings


# Tables: what commands that print one share


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
        from digit_recognizer.io import guard_table

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
