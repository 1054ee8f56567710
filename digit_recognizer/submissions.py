"""`python -m digit_recognizer.submissions`: what was submitted, with out-of-fold accuracy beside public score."""

import sys
from dataclasses import dataclass

from digit_recognizer.cli import command, parse_arguments


@dataclass(frozen=True)
class SubmissionsArguments:
    """Show submissions/ledger.csv as a table."""

    refresh: bool = False
    """Ask Kaggle first for the scores that are missing."""


@command
def main(arguments: list[str]) -> None:
    """Show the ledger."""
    chosen = parse_arguments(SubmissionsArguments, "submissions", arguments)
    from digit_recognizer.competition.ledger import format_ledger, load_ledger

    pending = 0
    if chosen.refresh:
        from digit_recognizer.competition.submit import refresh_ledger

        pending = refresh_ledger()
    print(format_ledger(load_ledger()))
    if pending:
        print(f"Kaggle has not scored {pending} of them yet. Ask again in a minute.")


if __name__ == "__main__":
    sys.exit(main())
