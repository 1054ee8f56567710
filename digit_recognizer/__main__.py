"""The `digit-recognizer` command: `digit-recognizer COMMAND …` is `python -m digit_recognizer.COMMAND …`."""

import importlib
import sys

from digit_recognizer import __version__
from digit_recognizer.cli import COMMANDS


def main() -> int:
    """Hand the arguments after the subcommand to its door."""
    subcommand = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if subcommand in COMMANDS:
        sys.argv = [subcommand, *sys.argv[2:]]
        code: int = importlib.import_module(f"digit_recognizer.{subcommand}").main()
        return code
    if subcommand == "--version":
        print(__version__)
        return 0
    usage = (
        f"usage: digit-recognizer COMMAND …, where COMMAND is one of {', '.join(COMMANDS)}; COMMAND --help says more."
    )
    if subcommand in ("-h", "--help"):
        print(usage)
        return 0
    print(f"digit-recognizer: no subcommand {subcommand!r}. {usage}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
