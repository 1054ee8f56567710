"""`python -m digit_recognizer.transfer RUN --images FOLDER`: teach a trained model new classes from a few pictures."""

import sys

from digit_recognizer.backend import import_keras
from digit_recognizer.cli import command, parse_arguments
from digit_recognizer.errors import require
from digit_recognizer.transfer_learning.config import TransferConfig, check_base_model, choose_defaults
from digit_recognizer.vision.class_folders import find_classes


@command
def main(arguments: list[str]) -> None:
    """Transfer and print the table."""
    config = parse_arguments(
        TransferConfig,
        "transfer",
        arguments,
        choose_defaults(arguments),
        "Teach a trained model new classes from a folder of pictures per class: its output layer is replaced, and all "
        "else stays frozen. Letters may be photographs, scans or drawings with one glyph in each. The model "
        "resnet152v2, trained on ImageNet, takes colour photographs. The nearest class mean and the nearest neighbours "
        "of the same embedding, which train nothing, are evaluated too. Then predict --run reads pictures.",
    )
    require("PIL.Image", "vision")
    require("matplotlib.figure", "vision")
    check_base_model(config.run)  # a mistyped name is found before the seconds that Keras takes to start
    find_classes(config.images, "--images")
    import_keras()
    from digit_recognizer.transfer_learning.training import run_transfer

    run_transfer(config)


if __name__ == "__main__":
    sys.exit(main())
