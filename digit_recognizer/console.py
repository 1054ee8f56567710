"""Signals that end a command tidily, and printing to a terminal that may be closed."""

import contextlib
import os
import shlex
import shutil
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

_pending: list[KeyboardInterrupt] = []


class TerminatedError(KeyboardInterrupt):
    """SIGTERM, as a batch queue or a container sends it: the process ends as tidily as by Ctrl-C."""


@contextlib.contextmanager
def raise_on_signals() -> Iterator[None]:
    """Inside, SIGINT raises KeyboardInterrupt and SIGTERM `TerminatedError`; the handlers of before are restored."""

    def interrupt(number: int, frame: object) -> None:
        _pending.append(TerminatedError() if number == signal.SIGTERM else KeyboardInterrupt())
        raise _pending[-1]

    if threading.current_thread() is not threading.main_thread():  # only there may they be set
        yield
        return
    _pending.clear()
    # a shell's background job ignores Ctrl-C, and must keep ignoring it
    wanted = [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) is not signal.SIG_IGN]
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
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - it serves to the end


def make_printable(text: str) -> str:
    """The same text with control characters, line breaks and the like escaped: file names may hold anything."""
    return "".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in text)


def print_line(text: str) -> None:
    """Print a line at once; if nobody reads the output any more, the work continues in silence."""
    try:
        print(text, flush=True)
    except OSError:  # BrokenPipeError after `| head`, say
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it serves to the end


def format_command(name: str, *arguments: object) -> str:
    """What to type in order to run a command of this package with some arguments.

    Example:
        >>> format_command("report", "runs/my run").partition(" -m ")[2]
        "digit_recognizer.report 'runs/my run'"
    """
    # without an activated environment, the interpreter's full path
    python = shutil.which("python")
    ours = python is not None and Path(python).absolute() == Path(sys.executable).absolute()
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
