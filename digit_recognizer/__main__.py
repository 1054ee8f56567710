"""The `digit-recognizer` command: `digit-recognizer VERB …` is `python -m digit_recognizer.VERB …`."""

import importlib
import sys

from digit_recognizer import __version__
from digit_recognizer.cli import VERBS


def main() -> int:
    """Hand the arguments after the verb to its door."""
    verb = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if verb in VERBS:
        sys.argv = [verb, *sys.argv[2:]]
        code: int = importlib.import_module(f"digit_recognizer.{verb}").main()
        return code
    if verb == "--version":
        print(__version__)
        return 0
    usage = f"usage: digit-recognizer VERB …, where VERB is one of {', '.join(VERBS)}; VERB --help says more."
    if verb in ("-h", "--help"):
        print(usage)
        return 0
    print(f"digit-recognizer: no verb {verb!r}. {usage}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
