"""`python -m digit_recognizer.submissions`: what was submitted, with out-of-fold accuracy beside public score."""

import sys
from dataclasses import dataclass

from digit_recognizer.cli import command, parse_arguments
from digit_recognizer.competition.submit import format_ledger, load_ledger, refresh_ledger


@dataclass(frozen=True)
class SubmissionsArguments:
    """Show submissions/ledger.csv as a table."""

    refresh: bool = False
    """Ask Kaggle first for the scores that are missing."""


@command
def main(arguments: list[str]) -> None:
    """Show the ledger."""
    chosen = parse_arguments(SubmissionsArguments, "submissions", arguments)
    pending = refresh_ledger() if chosen.refresh else 0
    print(format_ledger(load_ledger()))
    if pending:
        print(f"Kaggle has not scored {pending} of them yet. Ask again in a minute.")


if __name__ == "__main__":
    sys.exit(main())
