"""Drawn signs, a folder per class, and a run folder whose net has never seen any."""

import json
from pathlib import Path

import keras
import numpy as np
from keras import layers
from PIL import Image, ImageDraw

SIDE_PX = 64


def draw_sign(kind: str, rng: np.random.Generator) -> Image.Image:
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


def write_signs(folder: Path, count: int, seed: int, kinds=("cross", "hook", "ring")) -> Path:
    rng = np.random.default_rng(seed)
    for kind in kinds:
        (folder / kind).mkdir(parents=True)
        for number in range(count):
            draw_sign(kind, rng).save(folder / kind / f"{number}.png")
    return folder


def build_document_002() -> keras.Model:
    """Document 002's net, by its table: 260, 5,020, 16,050 and 510 parameters."""
    keras.utils.set_random_seed(0)
    inputs = outputs = keras.Input((28, 28, 1), name="images")
    for filters in (10, 20):
        outputs = layers.Conv2D(filters, 5, activation="relu", name=f"convolution_{filters}")(outputs)
        outputs = layers.MaxPooling2D(name=f"pool_{filters}")(outputs)
    outputs = layers.Dropout(0.5, name="dropout")(layers.Flatten(name="flatten")(outputs))
    outputs = layers.Dense(50, activation="relu", name="embedding")(outputs)
    outputs = layers.Dense(10, activation="softmax", name="probabilities")(outputs)
    return keras.Model(inputs, outputs, name="document_002")


def write_net(folder: Path, model: keras.Model) -> Path:
    """As much of a run folder as a transfer reads."""
    (folder / "models").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"subcommand": "cv", "folds": 11}))
    (folder / "metrics.json").write_text("{}")
    for fold in (0, 10):
        model.save(folder / "models" / f"fold{fold}.keras")
    return folder
