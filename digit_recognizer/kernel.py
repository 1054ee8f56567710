"""`python -m digit_recognizer.kernel ACTION`: build a kernel, push it, see how far it is, fetch its output."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digit_recognizer.cli import door, parse_arguments
from digit_recognizer.errors import InputError

USAGE = """usage: python -m digit_recognizer.kernel ACTION …, where ACTION is one of
  build MODEL        write a script that carries the package, under kernels/
  notebook [MODEL]   write a notebook that does the same and explains it
  push FOLDER        send it to Kaggle, which runs it
  status FOLDER      tell how far it is (--wait: until it has ended)
  output FOLDER      fetch what it has left
ACTION --help says more."""
Folder = Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]


@dataclass(frozen=True)
class BuildArguments:
    """Write kernels/MODEL: one script that carries the package, and kernel-metadata.json."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")]
    """What it cross-validates."""
    owner: str = "OWNER"
    """The account's name on Kaggle; `kernel push` fills in what is left open."""
    gpu: bool = False
    """Ask for an accelerator, which uses up a weekly quota."""
    resume: bool = False
    """Attach the output of its earlier version, to go on where that ran out of time."""
    weights_source: str | None = None
    """Transfer nets: the data set, as owner/name, that holds the weights; None stands for the model's own."""
    output_dir: Path | None = None
    """Folder to write; None stands for the kernel's own under kernels/."""
    overwrite: bool = False
    """Replace a kernel that was edited by hand."""


@dataclass(frozen=True)
class NotebookArguments(BuildArguments):
    """Write kernels/notebook-MODEL: the same as a notebook that one reads, and kernel-metadata.json."""

    model: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="MODEL")] = "champion"
    """What it cross-validates."""


@dataclass(frozen=True)
class PushArguments:
    """Send a kernel to Kaggle, which runs it."""

    folder: Folder
    """The kernel's folder, such as kernels/champion."""
    owner: str | None = None
    """The account's name where the kernel leaves it open; None stands for that of the login."""


@dataclass(frozen=True)
class StatusArguments(PushArguments):
    """Tell how far a kernel's newest version is."""

    wait: bool = False
    """Ask until it has ended."""


@dataclass(frozen=True)
class OutputArguments(PushArguments):
    """Fetch what a kernel's newest version has left, and its log."""

    output_dir: Path | None = None
    """New folder for it; None stands for runs/kaggle-FOLDER, or that with -2, -3 and so on."""


ARGUMENTS = {
    "build": BuildArguments,
    "notebook": NotebookArguments,
    "push": PushArguments,
    "status": StatusArguments,
    "output": OutputArguments,
}


@door
def main(arguments: list[str]) -> None:
    """Hand the arguments after the action to what does it."""
    action, *others = arguments or ["--help"]
    if action in ("-h", "--help"):
        print(USAGE)
        return
    if action not in ARGUMENTS:
        raise InputError(f"ACTION takes one of {', '.join(ARGUMENTS)}; received {action!r}. See --help.")
    chosen: BuildArguments | PushArguments = parse_arguments(ARGUMENTS[action], f"kernel {action}", others)
    if isinstance(chosen, BuildArguments):
        print(_build(chosen))
        return
    from digit_recognizer.competition.kernels import fetch_output, push, tell_status
    from digit_recognizer.io import find_free_path

    if isinstance(chosen, StatusArguments):
        print(tell_status(chosen.folder, chosen.owner, wait=chosen.wait))
    elif isinstance(chosen, OutputArguments):
        target = chosen.output_dir or find_free_path(Path("runs"), f"kaggle-{chosen.folder.resolve().name}")
        print(fetch_output(chosen.folder, target, chosen.owner))
    else:
        print(push(chosen.folder, chosen.owner))


def _build(chosen: BuildArguments) -> str:
    from digit_recognizer.competition.kernel_notebook import build_notebook
    from digit_recognizer.competition.kernels import KernelPlan, build_script

    plan = KernelPlan(
        model=chosen.model,
        owner=chosen.owner,
        gpu=chosen.gpu,
        resume=chosen.resume,
        weights_source=chosen.weights_source,
        overwrite=chosen.overwrite,
    )
    build = build_notebook if isinstance(chosen, NotebookArguments) else build_script
    folder = build(plan, chosen.output_dir)
    return f"{folder} holds a kernel of {plan.model}; send it with: python -m digit_recognizer.kernel push {folder}"


if __name__ == "__main__":
    sys.exit(main())
