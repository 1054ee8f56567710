"""Tables whose pixels mean something else: what is noticed, what is mended, and that plain tables stay as they are."""

import numpy as np
import pandas as pd
import pytest
from conftest import expect_error, write_labels, write_table

from digit_recognizer.config import RunConfig
from digit_recognizer.data.dataset import load_dataset, load_test, load_train, make_dataset
from digit_recognizer.data.frames import read_images, read_test_table, read_train_table
from digit_recognizer.data.pixels import PIXELS, SAMPLED_ROWS, check_labels, compare_means, correct_pixels
from digit_recognizer.data.sources import build_sample
from digit_recognizer.io import find_cache_dir

pytestmark = pytest.mark.fast


@pytest.fixture(scope="module")
def sample():
    return build_sample()


def turn(change):
    """A change of images (n, 28, 28) as one of pixels (n, 784)."""
    return lambda pixels: np.ascontiguousarray(change(pixels.reshape(-1, 28, 28))).reshape(-1, PIXELS)


# what was done to plain pixels -> what it is called, and by how much the mended ones may differ
CHANGES = {
    "0 to 16": (lambda pixels: np.rint(pixels / 255 * 16).astype(np.uint8), "255/16", 8),
    "0 to 100": (lambda pixels: np.rint(pixels / 2.55).astype(np.uint8), "255/100", 1),
    "dark on light": (lambda pixels: 255 - pixels, "inverted", 0),
    "transposed": (turn(lambda images: images.transpose(0, 2, 1)), "transposed", 0),
    "to the right": (turn(lambda images: np.rot90(images, -1, (1, 2))), "to the right", 0),
    "to the left": (turn(lambda images: np.rot90(images, 1, (1, 2))), "to the left", 0),
    "upside down": (turn(lambda images: images[:, ::-1, ::-1]), "upside down", 0),
    "mirrored": (turn(lambda images: images[:, :, ::-1]), "left to right", 0),
}


@pytest.mark.parametrize("name", CHANGES)
@pytest.mark.parametrize("rows", [60, 1300])
def test_pixels_of_another_meaning_are_mended(sample, name, rows):
    change, word, tolerance = CHANGES[name]
    plain = sample.train_pixels[:rows]
    found = correct_pixels(change(plain))
    assert len(found.mended) == 1 and word in found.mended[0] and not found.doubts
    assert np.abs(found.pixels.astype(int) - plain).max() <= tolerance
    assert found.pixels.flags.c_contiguous and found.pixels.dtype == np.uint8


def test_several_departures_at_once_are_mended(sample):
    black = (sample.train_pixels > 127).astype(np.uint8)
    images = 1 - black.reshape(-1, 28, 28).transpose(0, 2, 1)
    found = correct_pixels(np.ascontiguousarray(images).reshape(-1, PIXELS))
    assert np.array_equal(found.pixels, black * 255) and len(found.mended) == 3


def test_plain_tables_are_not_touched_however_few_their_rows(sample):
    pixels = sample.train_pixels
    for rows in (pixels, sample.test_pixels, *np.split(pixels, 26), *(pixels[n : n + 1] for n in range(100))):
        found = correct_pixels(rows)
        assert found.pixels is rows and found.mended == found.doubts == ()


def test_a_table_of_one_class_is_not_turned(sample):
    for label in range(10):
        assert correct_pixels(sample.train_pixels[sample.train_labels == label]).mended == ()


def test_rows_of_one_value_say_nothing():
    for value in (0, 1, 255):
        assert correct_pixels(np.full((3, PIXELS), value, np.uint8)).mended == ()


def test_random_pixels_are_left_alone():
    pixels = np.random.default_rng(0).integers(0, 256, (SAMPLED_ROWS + 1, PIXELS), dtype=np.uint8)
    assert correct_pixels(pixels).pixels is pixels


def test_rows_that_are_exchanged_among_others_are_inverted_alone(sample):
    pixels = sample.test_pixels.copy()
    pixels[[3, 40]] = 255 - pixels[[3, 40]]
    found = correct_pixels(pixels)
    assert np.array_equal(found.pixels, sample.test_pixels) and "2 of 497" in found.mended[0]


def test_rows_of_another_scale_among_others_are_a_doubt(sample):
    pixels = sample.test_pixels.copy()
    pixels[:5] //= 255
    found = correct_pixels(pixels)
    assert found.pixels is pixels and "5 of 497" in found.doubts[0]


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (lambda pixels: pixels, False),
        (lambda pixels: (pixels * 0.6).astype(np.uint8), True),
        (turn(lambda images: np.roll(images, 4, axis=1)), True),
    ],
)
def test_tables_that_were_prepared_differently_are_noticed(sample, change, differs):
    assert (compare_means(sample.train_pixels, change(sample.test_pixels)) is not None) == differs
    assert compare_means(sample.train_pixels, change(sample.test_pixels[:9])) is None  # too few to tell


def write_data(folder, sample, change_train, change_test):
    folder.mkdir()
    write_table(folder / "train.csv", change_train(sample.train_pixels[:60]), sample.train_labels[:60])
    write_table(folder / "test.csv", change_test(sample.test_pixels[:60]))
    write_labels(folder / "sample_submission.csv", np.zeros(60, int))
    return RunConfig(input_dir=folder)


@pytest.mark.parametrize("changed", [("train",), ("test",), ("train", "test")])
def test_a_data_set_names_the_tables_that_were_mended(tmp_path, sample, changed):
    changes = [lambda pixels, one=one: 255 - pixels if one in changed else pixels for one in ("train", "test")]
    dataset = load_dataset(write_data(tmp_path / "data", sample, *changes))
    assert np.array_equal(dataset.images.reshape(60, PIXELS), sample.train_pixels[:60])
    assert np.array_equal(dataset.test_images.reshape(60, PIXELS), sample.test_pixels[:60])
    assert [note.split(":")[0] for note in dataset.mended] == [f"{one}.csv" for one in changed]
    assert set(dataset.mended) <= set(dataset.notes)


def test_a_mended_table_keeps_the_hash_of_its_file_and_its_cache_the_note(tmp_path, sample):
    path = write_table(tmp_path / "test.csv", 255 - sample.test_pixels[:9])
    first, cached = load_test(path, cache=True), load_test(path, cache=True)
    assert list((find_cache_dir() / "tables").glob(f"*-{first.sha256}.npz"))
    assert np.array_equal(cached.pixels, sample.test_pixels[:9]) and cached.mended == first.mended != ()
    assert first.sha256 == cached.sha256 == read_test_table(pd.read_csv(path)).sha256


FRACTIONS = {
    "0 to 1": lambda pixels: pixels / 255,
    "0 to 1, single": lambda pixels: (pixels / 255).astype(np.float32),
    "-1 to 1": lambda pixels: pixels / 127.5 - 1,
    "0 to 1, dark on light": lambda pixels: 1 - pixels / 255,
}


@pytest.mark.parametrize("name", FRACTIONS)
def test_fractions_are_scaled(sample, name):
    values, labels = FRACTIONS[name](sample.train_pixels[:60]), sample.train_labels[:60]
    table = read_train_table((values, labels))
    assert np.array_equal(table.pixels, sample.train_pixels[:60])
    assert table.mended and table.notes == table.mended
    with pytest.warns(UserWarning) as warned:
        assert np.array_equal(read_images(values.reshape(-1, 28, 28)), table.pixels)
    assert tuple(str(one.message) for one in warned) == table.mended
    assert {one.filename for one in warned} == {__file__}


STANDARDIZED = {
    "one mean, one deviation": lambda pixels: (pixels / 255 - 0.1307) / 0.3081,
    "single precision": lambda pixels: ((pixels / 255 - 0.1307) / 0.3081).astype(np.float32),
    "less the mean": lambda pixels: pixels - 33.318421,
    "of fractions less a half": lambda pixels: pixels / 255 - 0.5,
    "three decimals": lambda pixels: np.round((pixels / 255 - 0.1307) / 0.3081, 3),
    "dark on light": lambda pixels: (1 - pixels / 255 - 0.8693) / 0.3081,
    "whole, from -128": lambda pixels: pixels.astype(int) - 128,
}


@pytest.mark.parametrize("name", STANDARDIZED)
def test_standardized_pixels_are_brought_back(sample, name, tmp_path):
    values = STANDARDIZED[name](sample.train_pixels[:60])
    table = read_train_table((values, sample.train_labels[:60]))
    assert np.array_equal(table.pixels, sample.train_pixels[:60]) and "standardized" in table.mended[0]
    if values.dtype.kind == "f":
        path = tmp_path / "train.csv"
        frame = pd.DataFrame(values, columns=[f"pixel{k}" for k in range(PIXELS)])
        frame.assign(label=sample.train_labels[:60]).to_csv(path, index=False)
        assert np.array_equal(load_train(path).pixels, table.pixels) and load_train(path).mended == table.mended


def test_standardized_black_and_white_is_brought_back(sample):
    black = sample.train_pixels[:60] > 127
    values = (black - black.mean()) / black.std()
    assert np.array_equal(read_test_table(values).pixels, black * 255)


@pytest.mark.parametrize(
    "change",
    [
        lambda pixels: (pixels - pixels.mean(axis=0)) / np.maximum(pixels.std(axis=0), 1),  # each pixel by itself
        lambda pixels: (pixels - pixels.mean(axis=1, keepdims=True)) / pixels.std(axis=1, keepdims=True),
        lambda pixels: np.where(np.arange(PIXELS) == 99, -1, pixels.astype(int)),  # a column that is wrong
    ],
)
def test_other_negative_numbers_are_refused(sample, change):
    with expect_error("table.pixel_range"):
        read_test_table(change(sample.test_pixels))


def test_pixels_with_fractions_are_rounded(sample, tmp_path):
    values = sample.test_pixels + np.where((sample.test_pixels > 0) & (sample.test_pixels < 255), 0.3, 0)
    path = tmp_path / "test.csv"
    pd.DataFrame(values, columns=[f"pixel{k}" for k in range(PIXELS)]).to_csv(path, index=False)
    for table in (read_test_table(values), load_test(path)):
        assert np.array_equal(table.pixels, sample.test_pixels) and "rounded" in table.mended[0]


def test_labels_that_do_not_fit_are_named(sample):
    pixels, labels = sample.train_pixels, sample.train_labels
    assert check_labels(pixels, labels, digits=True) is None
    assert "mean image" in check_labels(pixels, np.random.default_rng(0).permutation(labels), digits=True)
    assert "mean image" in check_labels(pixels, np.roll(labels, 1), digits=False)
    assert "shifted" in check_labels(pixels, (labels + 1) % 10, digits=True)
    assert check_labels(pixels, (labels + 1) % 10, digits=False) is None  # classes of other names
    assert check_labels(pixels[:100], labels[99::-1], digits=True) is None  # too few to tell


def test_a_run_says_that_labels_do_not_fit(sample):
    pixels, labels = sample.train_pixels[:300], sample.train_labels[:300]
    for given, says in ((labels, False), ((labels + 1) % 10, True)):
        dataset = make_dataset(RunConfig(), read_train_table((pixels, given)))
        assert any("do labels" in note or "most labels" in note for note in dataset.notes) == says


def test_black_and_white_in_memory_is_scaled(sample):
    black = sample.train_pixels[:9] > 127
    for table in (
        read_test_table(black),
        read_test_table(black.astype(float)),
        read_test_table(pd.DataFrame(black * 1)),
    ):
        assert np.array_equal(table.pixels, black * 255) and len(table.mended) == 1
