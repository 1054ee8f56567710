"""The one kind of error that a person at the keyboard can mend."""

import contextlib
from collections.abc import Iterator


class InputError(ValueError):
    """Something handed in is wrong: a file, a flag, a combination of both.

    The message is one line: the rule, then what was received, then the way out. Every command prints it as it is,
    without a traceback, and exits with code 2. Anything else that is raised is a defect of this package and keeps its
    traceback.
    """


class DivergedError(InputError):
    """A fit ended in what is no number: its learning rate was too high for its net."""


class LostError(InputError):
    """The machines that did the work are gone. What was finished till then is kept."""


class WriteError(InputError):
    """A file could not be written: a full disk, a folder without permission. What stood there before stays."""


class UnusableRunError(InputError):
    """A run that was begun cannot go on as it is: it was begun otherwise, or its files are damaged.

    Args:
        reason: why not.
        way_out: the rest of the line; empty where the reason has it.
    """

    def __init__(self, reason: str, way_out: str = "") -> None:
        super().__init__(reason, way_out)
        self.reason = reason

    def __str__(self) -> str:
        return "".join(self.args)


class GivenUpError(Exception):
    """A run is given up by whoever watches it. Nobody's mistake, and never shown."""


@contextlib.contextmanager
def reading_its_own_files() -> Iterator[None]:
    """Whatever is wrong with a file that is read here, it is the run's own: it cannot go on.

    Raises:
        UnusableRunError: in the place of any InputError, with its words.
    """
    try:
        yield
    except InputError as error:
        raise UnusableRunError(str(error)) from error
