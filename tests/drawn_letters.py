"""Drawn letters, a folder per class, and a run folder whose model has never seen any."""

import json
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from digit_recognizer.config import RunConfig
from digit_recognizer.models import build_model
from digit_recognizer.records import RunMetrics
from digit_recognizer.training.run import find_fold_weights

SIDE_PX = 64
QUICK = ["--copies", "8", "--epochs", "4", "--batch-size", "48", "--learning-rate", "0.03"]  # of a transfer


def draw_letter(kind: str, rng: np.random.Generator) -> Image.Image:
    image = Image.new("L", (SIDE_PX, SIDE_PX), 255)
    pen = ImageDraw.Draw(image)
    left, top = rng.integers(8, 16, 2).tolist()
    right, bottom = rng.integers(44, 56, 2).tolist()
    if kind == "ring":
        pen.ellipse((left, top, right, bottom), outline=0, width=5)
    elif kind == "cross":
        pen.line((left, top, right, bottom), fill=0, width=5)
        pen.line((left, bottom, right, top), fill=0, width=5)
    else:
        pen.line((left, top, left, bottom, right, bottom), fill=0, width=5)
    return image


def write_letters(folder: Path, count: int, seed: int, kinds=("cross", "hook", "ring")) -> Path:
    rng = np.random.default_rng(seed)
    for kind in kinds:
        (folder / kind).mkdir(parents=True)
        for number in range(count):
            draw_letter(kind, rng).save(folder / kind / f"{number}.png")
    return folder


def write_base_run(folder: Path) -> Path:
    """As much of a run folder as a transfer reads, of a narrow model that has learned nothing."""
    import keras  # not above: fast tests draw letters too

    from digit_recognizer.training.weights import pack_weights

    keras.utils.set_random_seed(0)
    model = build_model("narrow")
    (folder / "models").mkdir(parents=True)
    config = RunConfig(model="narrow", folds=11).to_json()
    (folder / "config.json").write_text(json.dumps({"subcommand": "cv", **config}))
    metrics = dict.fromkeys(RunMetrics.__required_keys__)
    (folder / "metrics.json").write_text(json.dumps({**metrics, "precision": "float32"}))
    for fold in (0, 10):
        find_fold_weights(folder, fold).write_bytes(pack_weights(model))
    return folder


def write_place(folder: Path, each: int) -> Path:
    """A base run, training letters, so many of each class, and test letters."""
    write_base_run(folder / "run")
    write_letters(folder / "train", each, seed=0)
    write_letters(folder / "test", 5, seed=1)
    return folder
