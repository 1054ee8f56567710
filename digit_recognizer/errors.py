"""The one kind of error that a person at the keyboard can mend."""


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
