"""What a run or a submission says of its origin: the command and the commit."""

import shlex
import subprocess
import sys
from pathlib import Path


def describe_command() -> str:
    """The command line that is running, as one could type it again; marks that cannot be shown are escaped."""
    verb = Path(sys.argv[0]).stem
    command = shlex.join(["python", "-m", f"digit_recognizer.{verb}", *sys.argv[1:]])
    return "".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in command)


def find_commit() -> str | None:
    """The commit that this package's code stands at, with `+` if files differ from it; None outside a checkout."""
    here = Path(__file__).resolve().parents[2]
    if not (here / ".git").exists():
        return None
    try:
        commit = _git(here, "rev-parse", "--short=12", "HEAD")
        return commit + ("+" if _git(here, "status", "--porcelain", "--", "digit_recognizer") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()
