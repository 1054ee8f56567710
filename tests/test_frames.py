"""Tables from DataFrames and arrays: the same content and checks as from files."""

import numpy as np
import pandas as pd
import pytest
from conftest import expect_error, write_table
from scipy import sparse

from digit_recognizer.data.dataset import load_test, load_train
from digit_recognizer.data.frames import read_images, read_test_table, read_train_table

pytestmark = pytest.mark.fast

RNG = np.random.default_rng(0)
IMAGES = RNG.integers(0, 256, (12, 28, 28)).astype(np.uint8)
IMAGES[0, 0, :3] = 0, 9, 255
LABELS = np.arange(12) % 10
NAMES = [f"pixel{k}" for k in range(784)]


def make_frame(kind=np.int64, labels=True):
    frame = pd.DataFrame(IMAGES.reshape(12, 784).astype(kind), columns=NAMES)
    if labels:
        frame.insert(0, "label", LABELS)
    return frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    write_table(folder / "train.csv", IMAGES.reshape(12, 784), LABELS)
    write_table(folder / "test.csv", IMAGES.reshape(12, 784))
    return folder


def test_a_table_in_memory_has_the_content_and_the_hash_of_its_csv(folder):
    train, test = load_train(folder / "train.csv"), load_test(folder / "test.csv")
    sources = [
        pd.read_csv(folder / "train.csv"),
        train.to_frame(),
        make_frame(np.float32)[["label", *NAMES[::-1]]],  # other types, another order
        (IMAGES, LABELS),
        (IMAGES[..., None].astype(float), pd.Series(LABELS).astype(str)),
        (make_frame(object, labels=False), LABELS.reshape(-1, 1)),
        (pd.DataFrame(IMAGES.reshape(12, 784)), LABELS.tolist()),
        (sparse.csr_matrix(IMAGES.reshape(12, 784)), LABELS),  # as of load_svmlight_file
        folder / "train.csv",
        train,
    ]
    for source in sources:
        table = read_train_table(source)
        assert table.pixels.dtype == np.uint8 and np.array_equal(table.pixels, IMAGES.reshape(12, 784))
        assert table.labels.dtype == np.int64 and np.array_equal(table.labels, LABELS)
        assert table.sha256 == train.sha256
    for source in (
        pd.read_csv(folder / "test.csv"),
        IMAGES,
        sparse.csr_matrix(IMAGES.reshape(12, 784)),
        str(folder / "test.csv"),
        test,
    ):
        table = read_test_table(source)
        assert table.sha256 == test.sha256 and np.array_equal(table.images[..., 0], IMAGES)
    assert read_train_table(sources[2]).notes == ("its columns stand in another order",)


def test_pixels_counted_from_1_are_taken_with_a_note():
    table = read_test_table(make_frame(labels=False).set_axis([f"pixel{k + 1}" for k in range(784)], axis=1))
    assert np.array_equal(table.images[..., 0], IMAGES) and "pixel1 to pixel784" in table.notes[0]


@pytest.mark.parametrize(
    ("label", "rename", "note"),
    [
        ("Label", lambda k: f"pixel{k}", "its labels are named Label"),
        ("class", lambda k: f"{k // 28 + 1}x{k % 28 + 1}", "its pixels are named 1x1 to 28x28"),
        ("target", lambda k: k, "its pixels are named 0 to 783"),
    ],
)
def test_a_frame_may_have_the_names_that_a_file_may_have(label, rename, note):
    frame = make_frame().set_axis([label, *map(rename, range(784))], axis=1)
    for form in (frame, frame[[*frame.columns[1:], label]], frame.reset_index()):
        table = read_train_table(form)
        assert np.array_equal(table.images[..., 0], IMAGES) and table.labels.tolist() == LABELS.tolist()
        assert note in table.notes
    with expect_error("table.extra_column", column=label):
        read_test_table(frame)


def test_images_in_the_order_of_pytorch_are_taken():
    assert np.array_equal(read_test_table(IMAGES[:, None]).images[..., 0], IMAGES)


def set_cell(row, column, value, kind=object):
    frame = make_frame(kind)
    frame[column] = frame[column].astype(object)
    frame.loc[row, column] = value
    return frame


@pytest.mark.parametrize(
    ("code", "source", "place"),
    [
        ("table.pixel_range", set_cell(3, "pixel7", 256), {"line": 3, "column": "pixel7", "received": "256"}),
        ("table.pixel_range", set_cell(3, "pixel7", -1), {"line": 3, "column": "pixel7", "received": "-1"}),
        ("table.pixel_range", set_cell(3, "pixel7", "ink"), {"line": 3, "column": "pixel7", "received": "'ink'"}),
        ("table.pixel_range", set_cell(0, "pixel0", 1.5), {"line": 0, "column": "pixel0", "received": "1.5"}),
        ("table.empty_cell", set_cell(11, "pixel783", None), {"line": 11, "column": "pixel783"}),
        ("table.empty_cell", set_cell(2, "pixel5", pd.NA), {"line": 2, "column": "pixel5"}),
        ("table.empty_cell", (np.where(IMAGES == 9, np.nan, IMAGES), LABELS), {"line": 0, "column": "pixel1"}),
        ("table.empty_cell", set_cell(5, "label", np.nan), {"line": 5, "column": "label"}),
        ("table.label_range", set_cell(5, "label", 10), {"line": 5, "column": "label", "received": "10"}),
        ("table.label_range", (IMAGES, ["0"] * 11 + ["x"]), {"line": 11, "received": "'x'"}),
        ("table.label_range", (IMAGES, LABELS + 0.5), {"line": 0, "received": "0.5"}),
        ("table.label_count", (IMAGES, LABELS[1:]), {"received": (11,), "expected": 12}),
        ("table.label_count", (IMAGES, np.eye(12)), {"received": (12, 12)}),
        ("data.one_class", (IMAGES, [3] * 12), {"received": 3}),
        ("table.shape", (IMAGES[:, :27], LABELS), {"received": (12, 27, 28)}),
        ("table.shape", (np.zeros((2, 28, 28, 3)), [0, 1]), {"received": (2, 28, 28, 3)}),
        ("table.no_rows", (IMAGES[:0], LABELS[:0]), {"path": "train"}),
        ("table.missing_column", make_frame().drop(columns="pixel44"), {"column": "pixel44"}),
        ("table.missing_column", make_frame(labels=False), {"column": "label"}),
        ("table.extra_column", make_frame().assign(row=1), {"column": "row"}),
        ("table.train_form", IMAGES, {"received": "ndarray"}),
        ("table.train_form", None, {"received": "NoneType"}),
    ],
)
def test_a_fault_is_named_by_row_and_column(code, source, place):
    with expect_error(code, **place):
        read_train_table(source)


def test_train_and_test_are_not_swapped(folder):
    train, test = load_train(folder / "train.csv"), load_test(folder / "test.csv")
    with expect_error("table.test_form", received="a table with labels"):
        read_test_table(train)
    with expect_error("table.train_form", received="a table without labels"):
        read_train_table(test)
    with expect_error("table.extra_column", path="test", column="label"):
        read_test_table(make_frame())


def test_uint8_images_are_not_copied():
    pixels = IMAGES.reshape(12, 784)
    assert np.shares_memory(read_images(pixels), pixels)
