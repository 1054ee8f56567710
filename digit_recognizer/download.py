"""`python -m digit_recognizer.download SOURCE`: bring a data set into the form of the competition's CSV files."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from digit_recognizer.arguments import Positional
from digit_recognizer.cli import command, parse_arguments
from digit_recognizer.console import format_command, print_next
from digit_recognizer.data.labels import load_label_set


@dataclass(frozen=True)
class DownloadArguments:
    """Write train.csv, test.csv and sample_submission.csv, and test_labels.csv where the source has test labels.

    Classes other than digits are named in classes.json; Fashion-MNIST and KMNIST are recognized by their images. MNIST
    holds the images of the competition's test.csv, so runs on it are marked as ineligible.
    """

    source: Annotated[str, Positional("SOURCE")]
    """kaggle (needs an account and accepted rules), sample (bundled digits, no network), mnist, fashion-mnist, kmnist
    (the published files, no account), or a path: a zip or folder of CSV, idx or npz files, packed or
    not, an mnist.npz, or a folder of pictures with train/0/…, test/0/…"""
    input_dir: Path = Path("input")
    """Folder to write to."""
    overwrite: bool = False
    """Replace other files of the same names."""


@command
def main(arguments: list[str]) -> None:
    """Download and print the summary."""
    chosen = parse_arguments(DownloadArguments, "download", arguments)
    from digit_recognizer.competition.client import download_competition
    from digit_recognizer.data.sources import download

    if chosen.source == "kaggle":
        print(download_competition(chosen.input_dir, chosen.overwrite))
    else:
        print(download(chosen.source, chosen.input_dir, chosen.overwrite))
    place = [] if chosen.input_dir == Path("input") else ["--input-dir", chosen.input_dir]
    print_next(format_command(*load_label_set(chosen.input_dir).recipe.split(), *place))


if __name__ == "__main__":
    sys.exit(main())
