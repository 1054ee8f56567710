"""Signals that end a command tidily, lines and progress bars on a terminal that may be closed."""

import contextlib
import os
import select
import shlex
import shutil
import signal
import sys
import threading
import warnings
import weakref
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeVar

from digit_recognizer.errors import LOGGER

if TYPE_CHECKING:
    from tqdm import tqdm

Item = TypeVar("Item")
BAR_DELAY_SECONDS = 1.0  # what is done before needs no bar

_pending: list[KeyboardInterrupt] = []
_bars: "weakref.WeakSet[tqdm[Any]]" = weakref.WeakSet()


class TerminatedError(KeyboardInterrupt):
    """SIGTERM, as a batch queue sends it, or SIGHUP, as a closed terminal does: it ends as tidily as by Ctrl-C."""


@contextlib.contextmanager
def raise_on_signals() -> Iterator[None]:
    """Inside, SIGINT raises KeyboardInterrupt, SIGTERM and SIGHUP `TerminatedError`; then the old handlers are back."""

    def interrupt(number: int, frame: object) -> None:
        _pending.append(KeyboardInterrupt() if number == signal.SIGINT else TerminatedError())
        raise _pending[-1]

    if threading.current_thread() is not threading.main_thread():  # only there may they be set
        yield
        return
    _pending.clear()
    signals = [signal.SIGINT, signal.SIGTERM] + ([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])  # not on Windows
    # a shell's background job ignores Ctrl-C, and one of nohup SIGHUP; they must keep ignoring it
    wanted = [number for number in signals if signal.getsignal(number) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _pending.clear()


def raise_if_interrupted() -> None:
    """Raise again what a signal raised, if it was lost: Python drops what is raised in a destructor.

    Raises:
        KeyboardInterrupt: if a signal has come.
    """
    if _pending:
        raise type(_pending[-1])


def open_closed_streams() -> None:
    """Open the null device for standard streams that are closed, so that no data file gets their numbers."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, _open_null_device())


def make_printable(text: str) -> str:
    """The same text with control characters, line breaks and the like escaped: file names may hold anything."""
    return "".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in text)


def clean_lines(text: str) -> str:
    """The same lines with control characters in them escaped: names of files and classes are others' texts."""
    return "\n".join(map(make_printable, text.split("\n")))


def print_line(text: str) -> None:
    """Print a line at once; if nobody reads the output any more, the work continues in silence."""
    try:
        with _hide_bars():
            print(clean_lines(text), flush=True)
    except BrokenPipeError:  # after `| head`, say
        silence_output()
    except OSError as error:  # the disk is full, say: the work is finished, and the exit code counts this
        silence_output()
        LOGGER.error("standard output cannot be written: %s", error.strerror)
        with contextlib.suppress(OSError):
            print(f"standard output cannot be written: {error.strerror}", file=sys.stderr)


def is_output_read() -> bool:
    """Whether what was printed arrives; not after `| head`."""
    try:
        watch = select.poll()
        watch.register(sys.stdout.fileno(), select.POLLOUT)
    except (OSError, ValueError, AttributeError):  # in a notebook or a test, it has no number; Windows has no poll
        return True
    return not any(event & select.POLLERR for _, event in watch.poll(0))


def silence_output() -> None:
    """Let everything that is printed from now on go nowhere, and what a buffer still holds too."""
    with contextlib.suppress(OSError, ValueError):  # in a notebook or a test, it has no number
        number, null = sys.stdout.fileno(), os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        os.close(null)
    sys.stdout = _open_null_device()


def _open_null_device() -> TextIO:
    """A stream that is written to nowhere, open until the process ends."""
    return Path(os.devnull).open("w", encoding="utf-8")


NOTEBOOKS = ("ipykernel_launcher.py", "colab_kernel_launcher.py")  # what is running where a notebook is
# module and arguments of the command that is running; None where Python calls this package
RUNNING_COMMAND: ContextVar[tuple[str, ...] | None] = ContextVar("RUNNING_COMMAND", default=None)


def is_notebook_program(program: str) -> bool:
    """Whether a program, as sys.argv names it, is a notebook's kernel, whose arguments are none of ours."""
    return Path(program).name in NOTEBOOKS


def format_command(name: str, *arguments: object) -> str:
    """What to type in order to run a command of this package with some arguments.

    Example:
        >>> format_command("report", "runs/my run").partition(" -m ")[2]
        "digit_recognizer.report 'runs/my run'"
    """
    # without an activated environment, the interpreter's full path
    python = shutil.which("python")
    own = Path(sys.executable)  # python3 where a script of the environment started it
    ours = python is not None and Path(python).parent == own.parent and own.exists() and own.samefile(python)
    program = "python" if ours else sys.executable
    return make_printable(shlex.join([program, "-m", f"digit_recognizer.{name}", *map(str, arguments)]))


def print_next(command: str) -> None:
    """Print what to type next, as a command's last line."""
    print_line(f"next: {command}")


def format_seconds(seconds: float) -> str:
    """A span of time as one reads it: 42 s, 3 min 20 s, 1 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def show_as_text(result: object, printer: Any, _: bool) -> None:
    """As the `_repr_pretty_` of a class: a notebook shows its objects as `print` does."""
    printer.text(str(result))


# Progress of whatever takes longer than a second: bars on a terminal and in notebooks, nothing in logs and pipes.


def open_bar(
    description: str, total: float | None, unit: str | None = None, delay: float = BAR_DELAY_SECONDS
) -> "tqdm[Any]":
    """A bar of tqdm that fills up while work is done, and vanishes at the end. Use as a context manager.

    It is shown on a terminal and in Jupyter, and disabled elsewhere; lines that `print_line` prints stand above it.

    Args:
        description: of the work.
        total: how much there is to do; None where nobody knows, then the time that has passed is shown.
        unit: of the total; None shows the share that is done, and no counts.
        delay: seconds that are over before it appears.

    Example:
        >>> with open_bar("loading", 3, "pictures") as bar:
        ...     for _ in range(3):
        ...         bar.update()
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # in a notebook without ipywidgets it draws the bar as text, and says so
        from tqdm.auto import tqdm

    shown = is_interactive()
    if not shown:
        tqdm.monitor_interval = 0  # no thread for what nobody sees
    form = None
    if total is None:
        form = "{desc}: {elapsed}"
    elif unit is None:
        form = "{desc}: {percentage:3.0f}%|{bar}| {elapsed}<{remaining}"
    bar = tqdm(
        total=total,
        desc=description,
        unit="" if unit is None else unit if unit == "B" else f" {unit}",
        unit_scale=unit == "B",
        bar_format=form,
        delay=delay,
        leave=False,
        dynamic_ncols=True,
        disable=not shown,
    )
    _bars.add(bar)
    return bar


def _list_bars() -> "list[tqdm[Any]]":
    return [bar for bar in _bars if not bar.disable]  # which a closed one is, too


def track(items: Sequence[Item], description: str, unit: str | None = None) -> Iterator[Item]:
    """The items, with a bar that counts them as they are worked on.

    Example:
        >>> [2 * number for number in track([1, 2], "doubling")]
        [2, 4]
    """
    with open_bar(description, len(items), unit) as bar:
        for item in items:
            yield item
            bar.update()


@contextlib.contextmanager
def show_status(text: str) -> Iterator[None]:
    """Inside, a line on the terminal says what is waited for, unless a bar is there; then it vanishes."""
    if _list_bars() or not _is_terminal():
        yield
        return
    with contextlib.suppress(OSError):
        print(f"{text} …", end="\r", file=sys.stderr, flush=True)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            print(" " * (len(text) + 2), end="\r", file=sys.stderr, flush=True)


def is_interactive() -> bool:
    """Whether somebody sees what happens, on a terminal or in Jupyter; no log, no pipe, no program that runs cells."""
    return _is_notebook() or _is_terminal()


def close_bars() -> None:
    """Remove the bars that an error has left on the terminal."""
    for bar in _list_bars():
        bar.close()


@contextlib.contextmanager
def _hide_bars() -> Iterator[None]:
    """Clear what bars have drawn, and draw them again at the end."""
    if not _list_bars():
        yield
        return
    from tqdm import tqdm

    with tqdm.external_write_mode(file=sys.stdout):
        yield
    for bar in _list_bars():  # drawn again, and so for the first time before its delay is over: `close` must clear it
        bar.delay = 0


def _is_terminal() -> bool:
    try:
        return sys.stderr is not None and sys.stderr.isatty()
    except ValueError:  # it is closed
        return False


def _is_notebook() -> bool:
    """Whether this runs in Jupyter, which has a bar of its own, and somebody sits before it.

    A cell that a person runs may ask for input. nbclient, nbconvert and papermill forbid that, and so does Kaggle when
    it saves a version; there a bar's text would stay in the outputs.
    """
    find_shell = getattr(sys.modules.get("IPython"), "get_ipython", None)
    shell = find_shell() if find_shell is not None else None
    if shell is None or "IPKernelApp" not in getattr(shell, "config", ()):
        return False
    return bool(getattr(getattr(shell, "kernel", None), "_allow_stdin", True))
