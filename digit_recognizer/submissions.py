"""`python -m digit_recognizer.submissions`: what was submitted, with out-of-fold accuracy beside public score."""

import sys
from dataclasses import dataclass

from digit_recognizer.cli import OutputArguments, command, parse_arguments, print_table
from digit_recognizer.competition.submit import LEDGER, load_ledger, refresh_ledger, tabulate_ledger

SHOWN = ("time", "file", "oof_accuracy", "public_score", "difference", "status", "ref", "message", "error")


@dataclass(frozen=True, kw_only=True)
class SubmissionsArguments(OutputArguments):
    """Show submissions/ledger.csv as a table."""

    refresh: bool = False
    """Ask Kaggle first for the scores that are missing."""


@command
def main(arguments: list[str]) -> None:
    """Show the ledger."""
    chosen = parse_arguments(SubmissionsArguments, "submissions", arguments)
    pending = refresh_ledger() if chosen.refresh else 0
    frame = tabulate_ledger(load_ledger())
    if chosen.json or chosen.csv:
        print_table(frame, chosen)
        return
    if frame.empty:
        print(f"{LEDGER} has no submission yet. Make the first: python -m digit_recognizer.submit FILE -m MESSAGE")
    else:
        print_table(frame[list(SHOWN)], chosen)
    if pending:
        print(f"Kaggle has not scored {pending} of them yet. Ask again in a minute.")


if __name__ == "__main__":
    sys.exit(main())
