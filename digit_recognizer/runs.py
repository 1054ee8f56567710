"""`python -m digit_recognizer.runs`: the runs that one has made, the best first."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from digit_recognizer.arguments import Positional
from digit_recognizer.cli import OutputArguments, command, parse_arguments, print_table
from digit_recognizer.console import format_command, format_seconds, make_printable, print_line, print_next

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, kw_only=True)
class RunsArguments(OutputArguments):
    """List the runs of a folder, the best first. Unfinished ones come with the command that resumes them."""

    folder: Annotated[Path, Positional("FOLDER")] = Path("runs")
    """Folder whose folders are runs."""


@command
def main(arguments: list[str]) -> None:
    """List the runs."""
    chosen = parse_arguments(RunsArguments, "runs", arguments)
    from digit_recognizer.evaluation.leaderboard import FINISHED, runs

    frame = runs(chosen.folder)
    if chosen.json or chosen.csv:
        print_table(frame, chosen)
        return
    if frame.empty:
        print_line(f"{chosen.folder} holds no runs yet.")
        print_next(format_command("cv", "--model", "champion"))
        return
    print_table(_shorten(frame), chosen)
    for row in frame[frame["note"].notna()].itertuples():
        state = "note" if row.state == FINISHED else row.state
        named = row.note if row.note.startswith(row.folder) else f"{row.folder}: {row.note}"
        print_line(make_printable(f"{state}: {named}"))
    resume = frame["resume"].dropna().tolist()
    for resume_command in resume[1:]:
        print_line(f"unfinished: {resume_command}")
    if resume:
        print_next(resume[0])


def _shorten(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The columns for the screen."""
    shown = frame[["name", "model", "seed", "epochs", "rows", "accuracy"]].copy()
    shown["95 % interval"] = [
        f"{low:.5f} to {high:.5f}" if low == low else ""  # NaN is not equal to itself
        for low, high in zip(frame["low"], frame["high"], strict=True)
    ]
    shown["time"] = [format_seconds(seconds) if seconds == seconds else "" for seconds in frame["seconds"]]
    shown["state"] = frame["state"]
    if frame["input_dir"].nunique() > 1:  # the best of one data set need not be the best of another
        shown["data"] = frame["input_dir"].fillna("")
    return shown


if __name__ == "__main__":
    sys.exit(main())
