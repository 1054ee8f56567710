"""`python -m digit_recognizer.submissions`: what was submitted, with out-of-fold accuracy beside public score."""

import sys
from dataclasses import dataclass

from digit_recognizer.cli import OutputArguments, command, parse_arguments, print_table
from digit_recognizer.competition.submit import format_ledger, load_ledger, refresh_ledger, tabulate_ledger


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
    if chosen.json or chosen.csv:
        print_table(tabulate_ledger(load_ledger()), chosen)
        return
    print(format_ledger(load_ledger()))
    if pending:
        print(f"Kaggle has not scored {pending} of them yet. Ask again in a minute.")


if __name__ == "__main__":
    sys.exit(main())
