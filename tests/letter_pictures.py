"""Pictures of signs that are no digits, drawn with a broad pen on white paper, a folder per class."""

import numpy as np
from PIL import Image, ImageDraw

STROKES = {
    "cross": [[(20, 20), (80, 80)], [(80, 20), (20, 80)]],
    "corner": [[(25, 15), (25, 80), (80, 80)]],
}
EACH = 3


def draw_letters(folder):
    """Three pictures of each class, as PNG, and a file beside the folders that belongs to none."""
    for name, strokes in STROKES.items():
        (folder / name).mkdir(parents=True)
        for number in range(EACH):
            draw_sign(folder / name / f"{name}{number}.png", strokes, number)
    (folder / "sources.csv").write_text("file,maker\n")
    return folder


def draw_sign(path, strokes, seed=0):
    picture = Image.new("L", (100, 100), 255)
    shift = np.random.default_rng(seed).integers(-8, 9, 2)
    for stroke in strokes:
        ImageDraw.Draw(picture).line([tuple(np.add(point, shift)) for point in stroke], fill=20, width=9)
    picture.save(path)
    return path
