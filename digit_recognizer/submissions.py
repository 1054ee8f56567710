"""`python -m digit_recognizer.submissions`: what was handed in, out-of-fold accuracy beside public score."""

import sys
from dataclasses import dataclass

from digit_recognizer.cli import door, parse_arguments


@dataclass(frozen=True)
class SubmissionsArguments:
    """Show submissions/ledger.csv as a table."""

    refresh: bool = False
    """Ask Kaggle first for scores that were not waited for."""


@door
def main(arguments: list[str]) -> None:
    """Show the ledger."""
    chosen = parse_arguments(SubmissionsArguments, "submissions", arguments)
    from digit_recognizer.competition.ledger import format_ledger, load_ledger, refresh_ledger

    awaited = refresh_ledger() if chosen.refresh else 0
    print(format_ledger(load_ledger()))
    if awaited:
        print(f"Kaggle has not scored {awaited} of them yet: ask again in a minute.")


if __name__ == "__main__":
    sys.exit(main())
