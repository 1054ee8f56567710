r"""Seconds of a transfer of ResNet152V2: `python benchmarks/photographs.py FOLDER [CLASSES] [PICTURES]`.

Writes a generated folder of colour photographs (10 classes of 8 by default), each class a colour and a
pattern, for a run of

    python -m digit_recognizer.transfer resnet152v2 --images FOLDER --weights none --epochs 1

which prints the seconds per picture for the features and the seconds of the epoch. With random weights the accuracy
means nothing.
"""

import colorsys
import sys
from pathlib import Path

import numpy as np
from PIL import Image

SIDE_PX = 320


def main() -> None:
    folder = Path(sys.argv[1])
    classes = int(sys.argv[2]) if len(sys.argv) > 2 else 10
    pictures = int(sys.argv[3]) if len(sys.argv) > 3 else 8
    rng = np.random.default_rng(0)
    rows, columns = np.mgrid[:SIDE_PX, :SIDE_PX] / SIDE_PX
    for label in range(classes):
        (folder / f"class{label:03d}").mkdir(parents=True)
        colour = np.array(colorsys.hsv_to_rgb(label / classes, 0.7, 1.0))
        for number in range(pictures):
            phase, waves = rng.uniform(0, 2 * np.pi), 2 + label
            stripes = 0.5 + 0.5 * np.sin(2 * np.pi * waves * (rows + rng.uniform(0, 1) * columns) + phase)
            pixels = 255 * stripes[..., None] * colour + rng.normal(0, 20, (SIDE_PX, SIDE_PX, 3))
            image = Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))
            image.save(folder / f"class{label:03d}" / f"{number}.jpg", quality=90)
    print(f"{folder}: {classes} classes of {pictures}")


if __name__ == "__main__":
    main()
