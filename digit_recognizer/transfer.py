"""`python -m digit_recognizer.transfer RUN --images FOLDER`: teach a fitted net new classes from a few pictures."""

import sys

from digit_recognizer.backend import import_keras
from digit_recognizer.cli import command, parse_arguments
from digit_recognizer.transfer_learning.config import TransferConfig, choose_defaults


@command
def main(arguments: list[str]) -> None:
    """Transfer and print the table."""
    config = parse_arguments(
        TransferConfig,
        "transfer",
        arguments,
        choose_defaults(arguments),
        "Teach a fitted net new classes from a folder of pictures per class: its output layer is replaced, all else "
        "stays frozen. Beside it the nearest class mean and the nearest neighbours in the same embedding are told, "
        "which train nothing. Letters may be photographs, scans or drawings, one sign in each. The net resnet152v2, "
        "trained on ImageNet, takes colour photographs instead. --debug shows tracebacks.",
    )
    import_keras()
    from digit_recognizer.transfer_learning.letters import transfer

    transfer(config)


if __name__ == "__main__":
    sys.exit(main())
