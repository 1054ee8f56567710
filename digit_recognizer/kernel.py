"""`python -m digit_recognizer.kernel ACTION`: build a kernel, push it, ask for its status, download its output."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from digit_recognizer.arguments import Positional, read_docstring
from digit_recognizer.cli import command, parse_arguments
from digit_recognizer.competition.kernels import (
    BuildArguments,
    NotebookArguments,
    build_notebook,
    build_script,
    download_output,
    push,
    report_status,
)
from digit_recognizer.console import format_command, print_line, print_next
from digit_recognizer.errors import InputError, suggest
from digit_recognizer.io import find_free_path


@dataclass(frozen=True)
class PushArguments:
    """Send a kernel to Kaggle, which runs it."""

    folder: Annotated[Path, Positional("FOLDER")]
    """The kernel's folder, such as kernels/champion."""


@dataclass(frozen=True)
class StatusArguments(PushArguments):
    """Show the status of a kernel's newest version."""

    wait: bool = False
    """Ask until it has ended."""


@dataclass(frozen=True)
class OutputArguments(PushArguments):
    """Download the output of a kernel's newest version, and its log."""

    output_dir: Path | None = None
    """New folder for it (default: runs/kaggle-FOLDER, or that with -2, -3 and so on)."""


ARGUMENTS = {
    "build": BuildArguments,
    "notebook": NotebookArguments,
    "push": PushArguments,
    "status": StatusArguments,
    "output": OutputArguments,
}
USAGE = "usage: python -m digit_recognizer.kernel ACTION …; ACTION --help shows its flags.\n\n" + "\n".join(
    f"  {name:<10}{read_docstring(kind).splitlines()[0]}" for name, kind in ARGUMENTS.items()
)


@command
def main(arguments: list[str]) -> None:
    """Do what the first argument names."""
    action, *others = arguments or ["--help"]
    if action in ("-h", "--help"):
        print(USAGE)
        return
    if action not in ARGUMENTS:
        hint = suggest(action, ARGUMENTS)
        raise InputError("kernel.action", received=repr(action), actions=", ".join(ARGUMENTS), hint=hint)
    chosen: NotebookArguments | PushArguments = parse_arguments(ARGUMENTS[action], f"kernel {action}", others)
    if isinstance(chosen, NotebookArguments):
        folder = build_script(chosen) if isinstance(chosen, BuildArguments) else build_notebook(chosen)
        print_line(f"{folder} holds a kernel of {chosen.model}.")
        print_next(format_command("kernel", "push", folder))
    elif isinstance(chosen, StatusArguments):
        print(report_status(chosen.folder, chosen.wait))
    elif isinstance(chosen, OutputArguments):
        target = chosen.output_dir or find_free_path(Path("runs"), f"kaggle-{chosen.folder.resolve().name}")
        print(download_output(chosen.folder, target))
    else:
        print(push(chosen.folder))


if __name__ == "__main__":
    sys.exit(main())
