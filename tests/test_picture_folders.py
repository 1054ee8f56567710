"""A data set of picture files, a folder per class: read in its usual forms, and refused in one line in others."""

import json
import shutil
import zipfile

import numpy as np
import pytest
from conftest import expect_error
from image_sets import draw_image_set
from PIL import Image

from digit_recognizer.data.csv import load_labels
from digit_recognizer.data.dataset import load_test, load_train
from digit_recognizer.data.sources import download

pytestmark = pytest.mark.fast

TRAIN, TRAIN_LABELS, TEST, TEST_LABELS = draw_image_set()
NAMES = "abcdefghij"


def write_pictures(folder, pixels, labels=None, *, name=str, ending="png"):
    """Pictures as `<class>/<row>.png`; without labels as `img_<row>.png`."""
    for row, one in enumerate(pixels):
        path = folder / (f"img_{row + 1}.{ending}" if labels is None else f"{name(labels[row])}/{row}.{ending}")
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(one.reshape(28, 28)).save(path)
    return folder


@pytest.fixture
def folder(tmp_path):
    """As mnist_png: training/0/…, testing/0/…"""
    write_pictures(tmp_path / "set" / "training", TRAIN, TRAIN_LABELS)
    write_pictures(tmp_path / "set" / "testing", TEST, TEST_LABELS)
    return tmp_path / "set"


def sort_rows(pixels, labels):
    rows = zip(labels, pixels.reshape(-1, 784).tolist(), strict=True)
    return np.array(sorted((int(label), *row) for label, row in rows))


def test_a_folder_per_class_becomes_tables(folder, tmp_path):
    (folder / "training" / "3" / "Thumbs.db").write_text("")
    summary = download(str(folder), tmp_path / "input")
    train, test = load_train(tmp_path / "input" / "train.csv"), load_test(tmp_path / "input" / "test.csv")
    assert np.array_equal(sort_rows(train.pixels, train.labels), sort_rows(TRAIN, TRAIN_LABELS))
    labels = load_labels(tmp_path / "input" / "test_labels.csv")
    assert np.array_equal(sort_rows(test.pixels, labels), sort_rows(TEST, TEST_LABELS))
    assert "order of the files' names" in summary and not (tmp_path / "input" / "classes.json").exists()


def test_test_pictures_without_labels_are_in_the_order_of_their_numbers(folder, tmp_path):
    shutil.rmtree(folder / "testing")
    write_pictures(folder / "testSet" / "testSet", TEST)
    download(str(folder), tmp_path / "input")
    assert np.array_equal(load_test(tmp_path / "input" / "test.csv").pixels, TEST.reshape(-1, 784))
    assert not (tmp_path / "input" / "test_labels.csv").exists()


def test_ten_classes_of_other_names_are_named(folder, tmp_path):
    for part in ("training", "testing"):
        for label, name in enumerate(NAMES):
            if (folder / part / str(label)).exists():
                (folder / part / str(label)).rename(folder / part / name)
    download(str(folder), tmp_path / "input")
    assert json.loads((tmp_path / "input" / "classes.json").read_text())["names"] == list(NAMES)


def test_a_training_picture_that_cannot_be_read_is_left_out(folder, tmp_path):
    (folder / "training" / "3" / "x.png").write_text("no picture")
    assert "left out" in download(str(folder), tmp_path / "input")
    assert len(load_train(tmp_path / "input" / "train.csv").pixels) == len(TRAIN)
    (folder / "testing" / "3" / "x.png").write_text("no picture")
    with expect_error("data.test_picture", path=folder):
        download(str(folder), tmp_path / "other")


def remove_test(folder):
    shutil.rmtree(folder / "testing")


def double(folder):
    shutil.copytree(folder / "training", folder / "trainingSample")


def enlarge(folder):
    for path in (folder / "training").rglob("*.png"):
        Image.new("L", (64, 64)).save(path)


def rename_class(folder):
    for part in ("training", "testing"):
        for path in (folder / part).iterdir():
            path.rename(path.with_name("x" + path.name))
        shutil.copytree(folder / part / "x3", folder / part / "y")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (remove_test, "data.pictures"),
        (double, "data.pictures"),
        (enlarge, "data.picture_size"),
        (rename_class, "data.picture_classes"),
    ],
)
def test_other_folders_are_refused(folder, tmp_path, change, code):
    change(folder)
    with expect_error(code):
        download(str(folder), tmp_path / "input")
    assert not (tmp_path / "input").exists()


def test_a_run_on_pictures_says_how_to_make_tables(folder):
    with expect_error("data.pictures_only", path=folder):
        load_train(folder / "train.csv")


def test_a_zip_of_pictures_is_to_be_unpacked(folder, tmp_path):
    with zipfile.ZipFile(tmp_path / "set.zip", "w") as archive:
        archive.write(folder / "training" / "3" / next((folder / "training" / "3").iterdir()).name, "training/3/1.png")
    with expect_error("data.zip_of_pictures", path=tmp_path / "set.zip"):
        download(str(tmp_path / "set.zip"), tmp_path / "input")
