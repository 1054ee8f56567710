"""`python -m digit_recognizer.completion SHELL`: what lets a shell complete `digit-recognizer COMMAND --flag VALUE`."""

import dataclasses
import sys
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

import tyro

from digit_recognizer.__main__ import COMMANDS, import_command
from digit_recognizer.cli import RunArguments, command, parse_arguments
from digit_recognizer.models import list_models


@dataclass(frozen=True)
class CompletionArguments:
    """Print a script that completes commands, flags, models and paths.

    For this session: eval "$(digit-recognizer completion bash)". For all: add that line to ~/.bashrc, and for zsh, with
    zsh in place of bash, to ~/.zshrc below compinit.
    """

    shell: Annotated[Literal["bash", "zsh"], tyro.conf.Positional, tyro.conf.arg(metavar="SHELL")]
    """bash or zsh."""


@command
def main(arguments: list[str]) -> None:
    """Print the script."""
    chosen = parse_arguments(CompletionArguments, "completion", arguments)
    commands = _choose_one({name: find_arguments(name) for name in COMMANDS})
    tyro.cli(commands, prog="digit-recognizer", args=["--tyro-print-completion", chosen.shell])


def find_arguments(name: str) -> Any:
    """The dataclass of a command's arguments, or a choice of several."""
    if name in ("cv", "train"):
        models: Any = Literal[tuple(list_models())]  # type: ignore[misc]  # known when it runs
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
    return Union[tuple(named)]  # noqa: UP007 - made when it runs


if __name__ == "__main__":
    sys.exit(main())
