"""`python -m digit_recognizer.completion SHELL`: what lets a shell complete `digit-recognizer COMMAND --flag VALUE`."""

import contextlib
import dataclasses
import functools
import io
import operator
import sys
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import tyro

from digit_recognizer.__main__ import COMMANDS, import_command
from digit_recognizer.cli import RunArguments, command, parse_arguments
from digit_recognizer.console import print_line
from digit_recognizer.models import list_models

BASH_FILES = """
# where tyro knows nothing, as of a run's folder or a picture, complete files
_digit_recognizer() {
  _tyro_digit_recognizer
  [[ -n "${COMPREPLY[*]}" ]] || COMPREPLY=()
}
complete -o bashdefault -o default -F _digit_recognizer digit-recognizer"""


@dataclass(frozen=True)
class CompletionArguments:
    """Print a script that completes commands, flags, models and paths.

    bash: add eval "$(digit-recognizer completion bash)" to ~/.bashrc. zsh: write the script to a file _digit-recognizer
    in a folder of $fpath, and start a new shell.
    """

    shell: Annotated[Literal["bash", "zsh"], tyro.conf.Positional, tyro.conf.arg(metavar="SHELL")]
    """bash or zsh."""


@command
def main(arguments: list[str]) -> None:
    """Print the script."""
    chosen = parse_arguments(CompletionArguments, "completion", arguments)
    commands = _choose_one({name: find_arguments(name) for name in COMMANDS})
    script = io.StringIO()
    with contextlib.suppress(SystemExit), contextlib.redirect_stdout(script):
        tyro.cli(
            commands,
            prog="digit-recognizer",
            args=["--tyro-print-completion", chosen.shell],
            config=(tyro.conf.OmitArgPrefixes,),
        )
    print_line(script.getvalue() + (BASH_FILES if chosen.shell == "bash" else ""))


def find_arguments(name: str) -> Any:
    """The dataclass of a command's arguments, or a choice of several."""
    if name in ("cv", "train"):
        models: Any = Literal[tuple(list_models())]  # known when it runs
        return dataclasses.make_dataclass(
            "RunArguments", [("model", models, "baseline")], bases=(RunArguments,), frozen=True, kw_only=True
        )
    module = import_command(name)
    if name == "kernel":
        return dataclasses.make_dataclass("KernelArguments", [("action", _choose_one(module.ARGUMENTS))])
    kinds = (getattr(module, f"{name.title()}{ending}", None) for ending in ("Arguments", "Config"))
    return next(kind for kind in kinds if kind is not None)


def _choose_one(kinds: dict[str, Any]) -> Any:
    """A type from which tyro makes subcommands."""
    named = [Annotated[kind, tyro.conf.subcommand(name, prefix_name=False)] for name, kind in kinds.items()]
    return functools.reduce(operator.or_, named)


if __name__ == "__main__":
    sys.exit(main())
