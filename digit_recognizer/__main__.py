"""The `digit-recognizer` command: `digit-recognizer COMMAND …` is `python -m digit_recognizer.COMMAND …`."""

import importlib
import sys
from types import ModuleType

from digit_recognizer import __version__
from digit_recognizer.console import make_printable, print_line
from digit_recognizer.errors import InputError, suggest

COMMANDS = {
    "download": "get the data: from Kaggle, a zip, a folder, or a bundled sample",
    "cv": "cross-validate a model and write a submission",
    "train": "train one model on a single split and draw its learning curves",
    "ensemble": "average the predictions of several runs into one submission",
    "runs": "list the runs that you have made, the best first",
    "models": "list all models, with recipe, accuracy and time",
    "compare": "test which of two runs is better",
    "score": "score a submission where the test labels are known",
    "submit": "submit a file to Kaggle and wait for its score",
    "submissions": "list what was submitted, with its scores",
    "kernel": "build, push and follow a Kaggle kernel",
    "sweep": "run a study of many configurations",
    "examine": "look into a run: its errors, and what its model has learned",
    "report": "put a run into one HTML page",
    "predict": "read digits on pictures, or in a table",
    "app": "draw digits in the browser, read pictures, look at your runs",
    "transfer": "teach a trained model new classes from a few pictures",
    "completion": "print what lets your shell complete commands and flags",
}


def import_command(name: str) -> ModuleType:
    """The module whose `main` runs a command."""
    module = importlib.import_module(f"digit_recognizer.{name}")
    if hasattr(module, "__path__"):  # models, a package
        module = importlib.import_module(f"{module.__name__}.__main__")
    return module


def main() -> int:
    """Run the command that is named first, with the arguments after it."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in COMMANDS:
        code: int = import_command(name).main(sys.argv[2:])
        return code
    if name == "--version":
        print_line(__version__)
        return 0
    if name in ("-h", "--help"):
        print_line("usage: digit-recognizer COMMAND …; COMMAND --help shows its flags.\n")
        print_line("\n".join(f"  {name:<13}{text}" for name, text in COMMANDS.items()))
        return 0
    error = InputError("cli.command_unknown", received=repr(name), hint=suggest(name, COMMANDS))
    print(make_printable(f"digit-recognizer: {error}"), file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
