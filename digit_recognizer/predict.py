"""`python -m digit_recognizer.predict IMAGE …`: the digits on photographs, scans and drawings, or of a test.csv."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from digit_recognizer.cli import command, parse_arguments


@dataclass(frozen=True)
class PredictArguments:
    """Find and read the digits on pictures, with the packaged net or with a run's; or predict a test.csv with a run."""

    images: Annotated[tuple[Path, ...], tyro.conf.Positional, tyro.conf.arg(metavar="IMAGE")] = ()
    """Photographs, scans or drawings (PNG, JPEG, GIF, BMP, WebP, TIFF, PPM), or folders of them."""
    run: Path | None = None
    """A run folder whose nets read; None takes the net that travels with the package, which also knows letters."""
    show: Path | None = None
    """Picture to write (.png, .jpg, .webp): every sign in a box, with what was read."""
    output: Path | None = None
    """CSV file to write: file, digit, probability, x, y, width, height, a row per sign; of --csv: ImageId, Label."""
    csv: Path | None = None
    """A test.csv to predict with --run, into --output; the packaged net has seen test digits and is refused here."""


@command
def main(arguments: list[str]) -> None:
    """Predict and print."""
    chosen = parse_arguments(PredictArguments, "predict", arguments)
    from digit_recognizer.vision.recognition import predict

    predict(chosen.images, run=chosen.run, show=chosen.show, output=chosen.output, table=chosen.csv)


if __name__ == "__main__":
    sys.exit(main())
