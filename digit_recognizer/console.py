"""Ctrl-C and its kin, noticed even where Python loses them, and output that nobody reads any more."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

_asked: list[KeyboardInterrupt] = []


class TerminatedError(KeyboardInterrupt):
    """The system asks this process to end, as a batch queue or a container does; it ends as tidily as by Ctrl-C."""


@contextlib.contextmanager
def raise_on_signals() -> Iterator[None]:
    """Within, SIGINT raises KeyboardInterrupt and SIGTERM `TerminatedError`; afterwards all is as it was before."""

    def interrupt(number: int, frame: object) -> None:
        _asked.append(TerminatedError() if number == signal.SIGTERM else KeyboardInterrupt())
        raise _asked[-1]

    if threading.current_thread() is not threading.main_thread():  # only there may they be set
        yield
        return
    _asked.clear()
    # a shell's background job ignores Ctrl-C, and goes on ignoring it
    wanted = [s for s in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(s) is not signal.SIG_IGN]
    before = {number: signal.signal(number, interrupt) for number in wanted}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        _asked.clear()


def raise_if_interrupted() -> None:
    """Raise what a signal asked for if it was lost on its way: Python drops what is raised in a destructor.

    Raises:
        KeyboardInterrupt: if a signal has come.
    """
    if _asked:
        raise type(_asked[-1])


def open_closed_streams() -> None:
    """Put the null device in place of standard streams that are closed, lest a data file take their numbers."""
    while (number := os.open(os.devnull, os.O_RDWR)) <= 2:
        pass
    os.close(number)
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - it serves to the end


def make_printable(text: str) -> str:
    """The same text with what moves a cursor, breaks a line or has no glyph as its escape: file names hold anything."""
    return "".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in text)


def print_line(text: str) -> None:
    """Print a line; a screen that is gone or full must not end what is under way."""
    try:
        print(text, flush=True)
    except OSError:  # BrokenPipeError after `| head`, say
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - it serves to the end


def format_seconds(seconds: float) -> str:
    """A span of time as one reads it: 42 s, 3 min 20 s, 1 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"
