"""What every test shares: quiet libraries and small data sets in the competition's form."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

from pathlib import Path

import numpy as np
import pytest

from digit_recognizer.files import hash_file
from digit_recognizer.training.runs import RunFolder


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    """Relative paths (runs/, submissions/) must land nowhere in the project."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="session")
def sample_dir(tmp_path_factory) -> Path:
    """The embedded sample as the three CSV files and test_labels.csv. Read it; never write to it."""
    from digit_recognizer.data.sources import download

    folder = tmp_path_factory.mktemp("sample")
    download("sample", folder)
    return folder


def write_table(path: Path, pixels: np.ndarray, labels: np.ndarray | None = None) -> Path:
    """Write a Kaggle-shaped table, slowly and plainly."""
    names = [f"pixel{n}" for n in range(pixels.shape[1])]
    rows = pixels if labels is None else np.column_stack([labels, pixels])
    header = ",".join(names if labels is None else ["label", *names])
    np.savetxt(path, rows, fmt="%d", delimiter=",", header=header, comments="")
    return path


@pytest.fixture
def tiny_dir(tmp_path) -> Path:
    """60 training and 20 test rows of stripes that a net can tell apart, as the three CSV files."""
    return write_tiny_data(tmp_path / "tiny")


def write_tiny_data(folder: Path) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(1)
    labels = np.arange(80) % 10
    images = rng.integers(0, 60, (80, 28, 28))  # so far apart that no two are near-duplicates
    for image, label in zip(images, labels, strict=True):
        image[2 * label + 2 : 2 * label + 6] += 190
    pixels = images.reshape(80, 784)
    write_table(folder / "train.csv", pixels[:60], labels[:60])
    write_table(folder / "test.csv", pixels[60:])
    write_labels(folder / "sample_submission.csv", np.zeros(20, int))
    write_labels(folder / "test_labels.csv", labels[60:])
    return folder


def write_labels(path: Path, labels: np.ndarray) -> Path:
    path.write_text("ImageId,Label\n" + "".join(f"{n},{label}\n" for n, label in enumerate(labels, 1)))
    return path


def write_run(folder: Path, data_dir: Path, oof: np.ndarray, test: np.ndarray, **metrics: object) -> Path:
    """A finished run folder with given probabilities, without a net."""
    run = RunFolder(folder)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    run.write_array("folds", np.zeros(len(oof), np.int8))
    run.write_array("oof_probabilities", oof.astype(np.float32))
    run.write_array("test_probabilities", test.astype(np.float32))
    from digit_recognizer.files import write_json

    write_json(
        folder / "metrics.json",
        {
            "oof_accuracy": 0.5,
            "train_sha256": hash_file(data_dir / "train.csv"),
            "test_sha256": hash_file(data_dir / "test.csv"),
            "unfit_for_competition": None,
            "submission": "somewhere.csv",
            **metrics,
        },
    )
    return folder


@pytest.fixture
def stopped(tiny_dir, monkeypatch):
    """A run stopped after its second epoch of two, in the first fold."""
    from resuming import RECIPES, StopAfterSaving, configure

    from digit_recognizer.training.cross_validation import cross_validate

    config = configure(tiny_dir, "run", RECIPES["dropout, augmentation, one cycle"])
    with monkeypatch.context() as patch:
        StopAfterSaving(patch, saves=2)
        with pytest.raises(KeyboardInterrupt):
            cross_validate(config)
    return config


@pytest.fixture
def whole(tiny_dir):
    """The same run, never stopped."""
    from resuming import RECIPES, configure

    from digit_recognizer.training.cross_validation import cross_validate

    config = configure(tiny_dir, "whole", RECIPES["dropout, augmentation, one cycle"])
    cross_validate(config)
    return config
