"""`python -m digit_recognizer.predict IMAGE …`: the digits on photographs, scans and drawings, or of a test.csv."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digit_recognizer.cli import command, parse_arguments


@dataclass(frozen=True)
class PredictArguments:
    """Find and classify the digits on pictures, with the packaged model or a run's; or predict a test.csv."""

    images: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE")] = ()
    """Photographs, scans or drawings (PNG, JPEG, GIF, BMP, WebP, TIFF, PPM), or folders of them."""
    run: Path | None = None
    """A run folder whose models classify; None takes the packaged model, which also knows what is no digit."""
    show: Path | None = None
    """Annotated picture to write (.png, .jpg, .webp): every glyph in a box, with its digit."""
    output: Path | None = None
    """CSV file to write: file, digit, probability, x, y, width, height, a row per glyph; of --csv: ImageId, Label."""
    csv: Path | None = None
    """A test.csv to predict with --run, into --output; the packaged model has seen test digits and is refused here."""


@command
def main(arguments: list[str]) -> None:
    """Predict and print."""
    chosen = parse_arguments(PredictArguments, "predict", arguments)
    from digit_recognizer.vision.recognition import predict

    predict(chosen.images, run=chosen.run, show=chosen.show, output=chosen.output, table=chosen.csv)


if __name__ == "__main__":
    sys.exit(main())
