"""Errors that a user can mend. Each is an object with a code and a place; the wording is in `messages.toml`."""

import contextlib
import functools
import importlib
import importlib.util
import logging
import os
import sys
import sysconfig
import tomllib
import traceback
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Self

MATPLOTLIB_BACKEND = "MPLBACKEND"
LONGEST_REASON = 200  # characters
MESSAGES = Path(__file__).with_name("messages.toml")
# where no code of the reader's is; frozen modules have no file
_LIBRARIES = (str(Path(__file__).parent), *(sysconfig.get_path(name) for name in ("stdlib", "purelib")), "<frozen")
LOGGER = logging.getLogger("digit_recognizer")  # tracebacks go there; runs keep them in log.txt, and --debug shows them
LOGGER.addHandler(logging.NullHandler())
SYNONYMS = {  # what other programs and libraries call a flag or a setting
    "lr": "learning-rate",
    "n-splits": "folds",
    "k": "folds",
    "cv": "folds",
    "random-state": "seed",
    "n-epochs": "epochs",
    "model-options": "model-args",
    "data": "input-dir",
    "data-dir": "input-dir",
    "out": "output",
    "arch": "model",
    "gpus": "devices",
}


class InputError(ValueError):
    """Something that the user passed in is wrong: a file, a flag, or a combination of both.

    Every command prints the message as one line without a traceback, and exits with code 2. Any other exception is a
    defect of this package and keeps its traceback.

    Args:
        code: `area.name`, the entry of `messages.toml` that has the wording.
        path: the file or folder at fault.
        line: in that file, from 1.
        column: name of the column, or of the field.
        received: the offending value.
        **details: what else the wording names.

    Example:
        >>> str(InputError("csv.pixel_range", path="train.csv", line=7, column="pixel3", received="256"))
        "train.csv, line 7, column pixel3: pixels are whole numbers from 0 to 255, not '256'."
    """

    def __init__(
        self,
        code: str,
        *,
        path: Path | str | None = None,
        line: int | None = None,
        column: str | None = None,
        received: Any = None,
        **details: Any,
    ) -> None:
        super().__init__(code)
        self.code, self.path, self.line, self.column, self.received = code, path, line, column, received
        self.details = details
        self.remedy = ""  # a sentence that a caller adds, such as how to resume

    def __str__(self) -> str:
        template = load_messages().get(self.code, self.code)
        place = {"path": self.path, "line": self.line, "column": self.column, "received": self.received}
        message = template.format(**place, **self.details) if template is not self.code else template
        return f"{message} {self.remedy}".rstrip()

    def __reduce__(self) -> tuple[Any, ...]:  # errors travel between processes, and take no positional details
        return _rebuild, (type(self), vars(self))

    def _render_traceback_(self) -> list[str]:
        """What Jupyter shows: the reader's own lines that led here, and the message; nothing of libraries."""
        causes = [self, self.__cause__]
        frames = [frame for error in causes if error for frame in traceback.extract_tb(error.__traceback__)]
        own = dict.fromkeys((f.name, f.lineno, f.line) for f in frames if not f.filename.startswith(_LIBRARIES))
        lines = [f"----> {number} {line}" + f"  # in {name}" * (name != "<module>") for name, number, line in own]
        return [*lines, f"{type(self).__name__}: {self}"]

    def with_remedy(self, remedy: str) -> Self:
        """The same error, whose message ends with one more sentence."""
        self.remedy = f"{self.remedy} {remedy}".lstrip()
        return self


class DivergedError(InputError):
    """Training ended in weights or predictions that are NaN or infinite."""


class LostError(InputError):
    """The machines that did the work are gone. What was finished until then is kept."""


class WriteError(InputError):
    """A file could not be written: a full disk, or a folder without permission. The old file is untouched."""


class UnusableRunError(InputError):
    """A run cannot be resumed or opened: it was started with other settings, or its files are damaged."""


class PrunedError(Exception):
    """A trial is stopped early because it is unpromising. Nobody's mistake, and never shown."""


def explain_defect(error: Exception, path: Path | str) -> InputError:
    """An unforeseen error about one item among several, as what is shown of it; its traceback goes to the log.

    Args:
        error: whatever was raised.
        path: of the picture, the figure or the run.

    Returns:
        What stands in the item's place, so that the rest is finished.
    """
    LOGGER.error("%s:", path, exc_info=error)
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:LONGEST_REASON]
    found = InputError("cli.unforeseen", path=path, received=reason)
    found.__cause__ = error
    return found


def leave_out(error: InputError) -> str:
    """What is said of a picture or folder that cannot be read, while the others are used.

    The command that reads them does its work with the others, and then ends with exit code 2.
    """
    LOGGER.warning("left out: %s", error)
    return f"left out: {error}"


def warn_caller(note: str) -> None:
    """Warn at the reader's own line, however many calls of this package and of libraries lead here from it."""
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_LIBRARIES):
        level, frame = level + 1, frame.f_back
    warnings.warn(note, stacklevel=level)


def require(package: str, extra: str) -> Any:
    """Import a package that not every installation has.

    Args:
        package: name of the module, such as "matplotlib.figure".
        extra: of this package, which installs it.

    Raises:
        InputError: if it is not installed; the message names the command that installs it. Also if it cannot start.

    Example:
        >>> require("json", "report").dumps([1])
        '[1]'
    """
    try:
        with _without_notebook_backend():
            if package.startswith("matplotlib"):
                import_matplotlib()
            return importlib.import_module(package)
    except ImportError as error:
        missing = (error.name or package).partition(".")[0]
        raise InputError("install.missing", package=missing, extra=extra) from error
    except Exception as error:  # whatever a package makes of a file or a variable that it reads when it starts
        reason = " ".join(str(error).split())[:LONGEST_REASON]
        raise InputError("install.broken", package=package, reason=f"{type(error).__name__}: {reason}") from error


def import_matplotlib() -> None:
    """Import Matplotlib, though a matplotlibrc cannot be read: then its own, with its line about that.

    Figures are drawn under its defaults whatever such a file says. Keras imports it, too.
    """
    try:
        importlib.import_module("matplotlib")
    except (UnicodeDecodeError, OSError):
        found = importlib.util.find_spec("matplotlib")
        for half in [name for name in sys.modules if name.startswith("matplotlib.")]:
            del sys.modules[half]  # of the import that failed
        if found is None or found.origin is None:
            raise
        with contextlib.chdir(Path(found.origin).with_name("mpl-data")):  # the file of the current folder comes first
            importlib.import_module("matplotlib")


@contextlib.contextmanager
def _without_notebook_backend() -> Iterator[None]:
    """Inside, Matplotlib can be imported whatever backend the environment names.

    A notebook names its own to the commands that it starts. Where that package is missing, Matplotlib's import fails.
    """
    backend, imported = os.environ.pop(MATPLOTLIB_BACKEND, None), "matplotlib" in sys.modules
    try:
        yield
    finally:
        if backend is not None:
            os.environ[MATPLOTLIB_BACKEND] = backend
            if not imported and "matplotlib" in sys.modules:  # the notebook's own figures appear as before
                with contextlib.suppress(ValueError):
                    sys.modules["matplotlib"].rcParams["backend"] = backend


def suggest(word: str, known: Iterable[str]) -> str:
    """A question that ends the message about an unknown flag, setting, model or command.

    Args:
        word: what was typed.
        known: what could have been meant.

    Returns:
        A space and the question, or nothing if no name is near.

    Example:
        >>> suggest("--lr", ["--folds", "--learning-rate"]), suggest("fly", ["cv", "train"])
        (' Did you mean --learning-rate?', '')
    """
    import difflib  # a command that is typed well does not wait for it

    names = {name.strip("-").replace("_", "-"): name for name in known}
    wanted = word.strip("-").replace("_", "-").lower()
    wanted = SYNONYMS.get(wanted, wanted)
    near = [name for name in names if wanted and name.startswith(wanted)] or difflib.get_close_matches(wanted, names)
    return f" Did you mean {names[near[0]]}?" if near else ""


@contextlib.contextmanager
def reraise_as_unusable_run() -> Iterator[None]:
    """Turn every InputError raised inside into an UnusableRunError: there a run reads its own files."""
    try:
        yield
    except InputError as error:
        raise _rebuild(UnusableRunError, vars(error)) from error


@functools.cache
def load_messages() -> dict[str, str]:
    """The wording of every error: `area.name` -> template with {fields} in the style of `str.format`."""
    areas = tomllib.loads(MESSAGES.read_text(encoding="utf-8"))
    return {f"{area}.{name}": text for area, entries in areas.items() for name, text in entries.items()}


def _rebuild(kind: type[InputError], state: dict[str, Any]) -> InputError:
    error = kind(state["code"])
    vars(error).update(state)
    return error
