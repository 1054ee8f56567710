"""`python -m digit_recognizer.predict IMAGE …`: digits or letters on photographs and drawings, or of a test.csv."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from digit_recognizer.arguments import Named, Positional
from digit_recognizer.cli import command, parse_arguments
from digit_recognizer.training.transfers import ClassifierName


@dataclass(frozen=True)
class PredictArguments:
    """Find and classify the digits on pictures, with the packaged model or a run's; or predict a test.csv."""

    images: Annotated[tuple[Path, ...], Positional("IMAGE ...")] = ()
    """Photographs, scans or drawings (PNG, JPEG, GIF, BMP, WebP, TIFF, PPM), or folders of them."""
    run: Path | None = None
    """A run folder of cv, train or transfer, whose models classify; with a transfer's run, letters are read (default:
    the packaged model, which also knows what is no digit)."""
    classifier: ClassifierName | None = None
    """Of a transfer's run: its model, or the nearest neighbours among its training pictures (default: the
    one with the better validation)."""
    show: Path | None = None
    """Annotated picture to write (.png, .jpg, .webp): every glyph in a box, with its digit."""
    output: Path | None = None
    """CSV file to write: file, digit, probability, x, y, width, height, a row per glyph; of --csv: ImageId, Label."""
    table: Annotated[Path | None, Named("--csv")] = None
    """A test.csv to predict with --run, into --output; the packaged model has seen test digits and is refused here."""


@command
def main(arguments: list[str]) -> None:
    """Predict and print."""
    chosen = parse_arguments(PredictArguments, "predict", arguments)
    from digit_recognizer.vision.recognition import run_prediction

    run_prediction(**vars(chosen))


if __name__ == "__main__":
    sys.exit(main())
