"""Tables that mean something else: what the package does with each, and what that is worth in accuracy.

    python benchmarks/meanings.py --input-dir input        # the table of docs/data.md; 10 minutes on 2 cores

Some rows of train.csv are training rows and others, with their labels, test rows. Both are written in other forms, read
back, and a `narrow` model is trained on what was read: once as the values are, once as the package mends them.
"""

import argparse
import re
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from digit_recognizer.backend import import_keras
from digit_recognizer.config import RunConfig
from digit_recognizer.data.dataset import load_test, load_train, make_dataset
from digit_recognizer.data.labels import load_label_set
from digit_recognizer.data.pixels import PIXELS
from digit_recognizer.data.sources import download
from digit_recognizer.errors import InputError

TRAIN_ROWS, TEST_ROWS, EPOCHS, BATCH, LEARNING_RATE = 4000, 4000, 4, 64, 2e-3
SHARED = r"[0-9]+ rows (lie|are|of)|.*share a fold"  # notes that the plain table has as well
NAMES = [f"pixel{k}" for k in range(PIXELS)]
Values = np.ndarray


@dataclass
class Tables:
    """Both tables, as somebody has them.

    Attributes:
        train, test: numbers of any kind, (n, 784).
        labels: of the training rows.
        truth: of the test rows; never read by the package.
    """

    train: Values
    labels: np.ndarray
    test: Values
    truth: np.ndarray


def write_frames(folder: Path, tables: Tables, **options: Any) -> None:
    train = pd.DataFrame(tables.train, columns=NAMES)
    train.insert(0, "label", tables.labels)
    train.to_csv(folder / "train.csv", index=False, **options)
    pd.DataFrame(tables.test, columns=NAMES).to_csv(folder / "test.csv", index=False, **options)


def change(both: Callable[[Values], Values] | None = None, *, train: Any = None, test: Any = None) -> Any:
    """A form that changes pixels: of both tables, or of one."""

    def write(folder: Path, tables: Tables) -> None:
        of_train, of_test = both or train or np.asarray, both or test or np.asarray
        write_frames(folder, replace(tables, train=of_train(tables.train), test=of_test(tables.test)))

    return write


def change_frame(edit: Callable[[pd.DataFrame, str], pd.DataFrame], **options: Any) -> Any:
    """A form that changes the tables' columns or text."""

    def write(folder: Path, tables: Tables) -> None:
        write_frames(folder, tables)
        for name, given in (("train", tables.labels), ("test", tables.truth)):
            frame = pd.read_csv(folder / f"{name}.csv")
            edit(frame.assign(truth=given), name).to_csv(folder / f"{name}.csv", **{"index": False, **options})

    return write


def change_labels(edit: Callable[[np.ndarray], np.ndarray]) -> Any:
    return lambda folder, tables: write_frames(folder, replace(tables, labels=edit(tables.labels)))


def turn(edit: Callable[[np.ndarray], np.ndarray]) -> Callable[[Values], Values]:
    return lambda pixels: np.ascontiguousarray(edit(pixels.reshape(-1, 28, 28))).reshape(-1, PIXELS)


def standardize(pixels: Values) -> Values:
    return (pixels / 255 - 0.1307) / 0.3081


def invert_some(pixels: Values) -> Values:
    return np.where(np.arange(len(pixels))[:, None] % 3 == 0, 255 - pixels, pixels)


def standardize_each(pixels: Values) -> Values:
    return (pixels - pixels.mean(axis=0)) / np.maximum(pixels.std(axis=0), 1)


def drop_truth(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.drop(columns="truth")


def write_pictures(folder: Path, tables: Tables) -> None:
    for part, pixels, labels in (("train", tables.train, tables.labels), ("test", tables.test, None)):
        for row, one in enumerate(pixels):
            place = folder / part / ("" if labels is None else str(labels[row]))
            place.mkdir(parents=True, exist_ok=True)
            Image.fromarray(one.reshape(28, 28)).save(place / f"img_{row}.png")
    download(str(folder), folder)


def label_last(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    return drop_truth(frame)[[*NAMES, "label"]] if name == "train" else drop_truth(frame)


def name_from_one(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    places = {old: f"{k // 28 + 1}x{k % 28 + 1}" for k, old in enumerate(NAMES)}
    return drop_truth(frame).rename(columns=places)


def number_pixels(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    return drop_truth(frame).rename(columns={"label": "Label"} | {old: f"pixel{k + 1}" for k, old in enumerate(NAMES)})


def with_labels(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    return drop_truth(frame if name == "train" else frame.assign(label=frame["truth"]))


def write_whole_decimals(folder: Path, tables: Tables) -> None:
    write_frames(folder, replace(tables, train=tables.train.astype(float), test=tables.test.astype(float)))


def as_halves(pixels: Values) -> Values:
    """Halved and enlarged again: every grey level has fractions."""
    halves = pixels.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4))
    return halves.repeat(2, axis=1).repeat(2, axis=2).reshape(-1, PIXELS)


FORMS: dict[str, Callable[[Path, Tables], None]] = {
    "plain": change(),
    "0 and 1": change(lambda pixels: (pixels > 127).astype(int)),
    "0 to 16": change(lambda pixels: np.rint(pixels / 255 * 16).astype(int)),
    "0 to 100": change(lambda pixels: np.rint(pixels / 2.55).astype(int)),
    "0 to 16, test only": change(test=lambda pixels: np.rint(pixels / 255 * 16).astype(int)),
    "fractions from 0 to 1": change(lambda pixels: pixels / 255),
    "fractions, test only": change(test=lambda pixels: pixels / 255),
    "-1 to 1": change(lambda pixels: pixels / 127.5 - 1),
    "standardized": change(standardize),
    "standardized, test only": change(test=standardize),
    "less the mean": change(lambda pixels: pixels - 33.318),
    "each pixel standardized": change(standardize_each),
    "0 to 255 with fractions": change(as_halves),
    "dark on light": change(lambda pixels: 255 - pixels),
    "dark on light, train only": change(train=lambda pixels: 255 - pixels),
    "dark on light, test only": change(test=lambda pixels: 255 - pixels),
    "dark on light, a third of the rows": change(invert_some),
    "transposed": change(turn(lambda images: images.transpose(0, 2, 1))),
    "transposed, test only": change(test=turn(lambda images: images.transpose(0, 2, 1))),
    "turned by 90 degrees, test only": change(test=turn(lambda images: np.rot90(images, 1, (1, 2)))),
    "upside down, test only": change(test=turn(lambda images: images[:, ::-1, ::-1])),
    "mirrored, test only": change(test=turn(lambda images: images[:, :, ::-1])),
    "fainter (60 %), test only": change(test=lambda pixels: (pixels * 0.6).astype(int)),
    "black and white of 0 and 255, test only": change(test=lambda pixels: np.where(pixels > 127, 255, 0)),
    "moved by 4 pixels, test only": change(test=turn(lambda images: np.roll(images, 4, axis=2))),
    "labels from 1 to 10": change_labels(lambda labels: labels + 1),
    "labels 1 to 9 and 10 for 0": change_labels(lambda labels: np.where(labels == 0, 10, labels)),
    "labels counted on by one": change_labels(lambda labels: (labels + 1) % 10),
    "labels a row further down": change_labels(lambda labels: np.roll(labels, 1)),
    "labels written as 3.0": change_labels(lambda labels: labels.astype(float)),
    "label column last": change_frame(label_last),
    "no header": change_frame(lambda frame, name: drop_truth(frame), header=False),
    "no header, label last": change_frame(label_last, header=False),
    "an index column": change_frame(lambda frame, name: drop_truth(frame), index=True),
    "pixels named 1x1 to 28x28": change_frame(name_from_one),
    "`Label`, pixel1 to pixel784": change_frame(number_pixels),
    "columns in another order": change_frame(lambda frame, name: drop_truth(frame)[sorted(drop_truth(frame).columns)]),
    "labels in test.csv": change_frame(with_labels),
    "numbers written as 254.0": write_whole_decimals,
    "numbers in quotes": change_frame(lambda frame, name: drop_truth(frame), quoting=1),
    "semicolons": change_frame(lambda frame, name: drop_truth(frame), sep=";"),
    "pictures in folders": write_pictures,
}


class Learner:
    """A `narrow` model that begins anew for each table, and is compiled once."""

    def __init__(self) -> None:
        import keras

        from digit_recognizer.models import build_model

        keras.utils.set_random_seed(0)
        self.model = build_model("narrow")
        self.model.compile(keras.optimizers.Adam(LEARNING_RATE), "sparse_categorical_crossentropy")
        self.variables = [np.array(one) for one in self.model.variables]  # those of dropout's seed too

    def score(self, train: np.ndarray, labels: np.ndarray, test: np.ndarray, truth: np.ndarray) -> float:
        """Accuracy on the test rows, 0 to 1; pixels are numbers of any range."""
        for variable, value in zip(self.model.variables, self.variables, strict=True):
            variable.assign(value)
        for variable in self.model.optimizer.variables:
            variable.assign(LEARNING_RATE if variable.name == "learning_rate" else np.zeros(variable.shape))
        order = np.random.default_rng(0)
        images = train.reshape(-1, 28, 28, 1).astype(np.float32) / 255
        for _ in range(EPOCHS):
            rows = order.permutation(len(images))
            for start in range(0, len(rows) - BATCH + 1, BATCH):
                some = rows[start : start + BATCH]
                self.model.train_on_batch(images[some], labels[some])
        found = self.model.predict(test.reshape(-1, 28, 28, 1).astype(np.float32) / 255, 500, verbose=0)
        return float((found.argmax(axis=1) == truth).mean())


def read_raw(folder: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """Both tables as numbers, as a script with pandas reads them; None where it could not."""
    try:
        train, test = (pd.read_csv(folder / f"{name}.csv") for name in ("train", "test"))
        label = train.columns[0] if "label" not in train.columns else "label"
        labels = train.pop(label).to_numpy().astype(int)
        if train.shape[1] != PIXELS or test.shape[1] != PIXELS or not 0 <= labels.min() <= labels.max() <= 9:
            return None
        return train.to_numpy(np.float32), labels, test.to_numpy(np.float32)
    except (ValueError, KeyError, OSError):
        return None


def try_form(name: str, tables: Tables, learner: Learner) -> list[str]:
    """A row of the table."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        FORMS[name](folder, tables)
        raw = read_raw(folder)
        lost_a_row = raw is not None and len(raw[2]) != len(tables.truth)  # a row of numbers was taken for names
        before = "–" if raw is None or lost_a_row else f"{learner.score(*raw, tables.truth):.3f}"
        try:
            train, test = load_train(folder / "train.csv"), load_test(folder / "test.csv")
        except InputError as error:
            text = str(error).replace(str(folder) + "/", "")
            return [name, "refuses", before, "–", text]
        made = make_dataset(RunConfig(), train, test, load_label_set(folder))
        after = learner.score(train.pixels, train.labels, test.pixels, tables.truth)
        notes = [note for note in made.notes if not re.match(SHARED, note)]
        doubts = [note for note in notes if note.endswith("?")]
        word = " and ".join(["mends"] * bool(made.mended) + ["asks"] * bool(doubts)) or "reads"
        return [name, word, before, f"{after:.3f}", "; ".join(notes)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--input-dir", type=Path, default=Path("input"))
    parser.add_argument("--only", nargs="*", default=list(FORMS))
    chosen = parser.parse_args()
    import_keras()
    table = load_train(chosen.input_dir / "train.csv")
    rows = np.random.default_rng(0).permutation(len(table.pixels))[: TRAIN_ROWS + TEST_ROWS]
    train, test = rows[:TRAIN_ROWS], rows[TRAIN_ROWS:]
    tables = Tables(table.pixels[train], table.labels[train], table.pixels[test], table.labels[test])
    learner = Learner()
    print("| the data | the package | as they are | as read | what it says |\n|---|---|---|---|---|")
    for name in chosen.only:
        print("| " + " | ".join(try_form(name, tables, learner)) + " |", flush=True)


if __name__ == "__main__":
    main()
