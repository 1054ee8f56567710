"""What a run or a submission says of its origin: the command, the commit, and the note beside a submission."""

import shlex
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from digit_recognizer.errors import InputError
from digit_recognizer.files import read_json

COMMIT = "COMMIT"  # a file in the package that names its commit, where it has left its checkout: inside a kernel


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where a submission comes from.

    `unfit` says why it must not enter the competition; None if it may. `run` names the run folders that it was made
    from; None in notes that were written before it was kept.
    """

    model: str
    command: str
    commit: str | None
    train_sha256: str | None
    test_sha256: str | None
    submission_sha256: str = ""
    oof_accuracy: float | None
    unfit: str | None
    run: str | None = None


def describe_command() -> str:
    """The command line that is running, as one could type it again; marks that cannot be shown are escaped."""
    verb = Path(sys.argv[0]).stem
    command = shlex.join(["python", "-m", f"digit_recognizer.{verb}", *sys.argv[1:]])
    return "".join(mark if mark.isprintable() else repr(mark)[1:-1] for mark in command)


def find_commit() -> str | None:
    """The commit that this package's code stands at, with `+` if files differ from it; None where nothing tells."""
    package = Path(__file__).resolve().parents[1]
    here = package.parent
    if not (here / ".git").exists():
        told = package / COMMIT
        return told.read_text(encoding="utf-8").strip() or None if told.is_file() else None
    try:
        commit = _git(here, "rev-parse", "--short=12", "HEAD")
        return commit + ("+" if _git(here, "status", "--porcelain", "--", "digit_recognizer") else "")
    except (OSError, subprocess.SubprocessError):
        return None


def find_package_commit() -> str | None:
    """The commit that last changed this package's code, with `+` if files differ from it; None where nothing tells."""
    commit = find_commit()
    package = Path(__file__).resolve().parents[1]
    if commit is None or commit.endswith("+") or not (package.parent / ".git").exists():
        return commit
    return _git(package.parent, "log", "-1", "--format=%h", "--abbrev=12", "--", package.name) or commit


def _git(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["git", "-C", str(folder), *arguments], capture_output=True, text=True, check=True, timeout=10
    ).stdout.strip()


def read_provenance(note: Path) -> Provenance:
    """Read the note of a submission.

    Raises:
        InputError: if it is none.
    """
    content = read_json(note)
    if not isinstance(content, dict):
        raise InputError(f"{note} must be the note of a submission, but is a {type(content).__name__}: remove it.")
    names = [field.name for field in fields(Provenance)]
    for name in names:
        if name == "run" and name not in content:
            continue
        if name not in content:
            raise InputError(f"{note} must be the note of a submission, but lacks {name}: remove it.")
        value = content[name]
        wanted = _is_score(value) if name == "oof_accuracy" else value is None or _is_line(value)
        if not wanted:
            raise InputError(
                f"{note} must be the note of a submission, but its {name} is {repr(value)[:40]}: remove it."
            )
    if surplus := sorted(set(content) - set(names)):
        raise InputError(f"{note} must be the note of a submission, but tells of {surplus[0][:40]!r}: remove it.")
    return Provenance(**content)


def _is_score(value: Any) -> bool:
    return value is None or (type(value) in (int, float) and 0 <= value <= 1)  # not NaN either


def _is_line(value: Any) -> bool:
    """Whether it can be shown: a note from anywhere must not move the cursor or fake a second message."""
    return isinstance(value, str) and value.isprintable()
