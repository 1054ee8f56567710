"""train.csv, test.csv and files of labels as arrays, from their text and from the cache."""

import os
import shutil

import numpy as np
import pytest
from conftest import expect_error, write_table

from digit_recognizer.data import csv as csv_blocks
from digit_recognizer.data import dataset
from digit_recognizer.data.csv import load_labels
from digit_recognizer.data.dataset import load_test, load_train, pixels_to_images
from digit_recognizer.io import find_cache_dir, hash_file

pytestmark = pytest.mark.fast

ROWS = 6


@pytest.fixture
def pixels():
    return np.random.default_rng(3).integers(0, 256, (ROWS, 784), dtype=np.uint8)


@pytest.fixture
def cells(pixels):
    """A sound train.csv as rows of texts, header first; tests spoil it."""
    header = ["label", *(f"pixel{k}" for k in range(784))]
    return [header, *([str(row % 10), *map(str, values)] for row, values in enumerate(pixels.tolist()))]


def join(cells, separator=",", end="\n"):
    return "".join(separator.join(row) + end for row in cells)


def write(folder, content, name="train.csv"):
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def test_a_train_table_holds_what_the_file_says(tmp_path, cells, pixels):
    table = load_train(write(tmp_path, join(cells)))
    np.testing.assert_array_equal(table.pixels, pixels)
    np.testing.assert_array_equal(table.labels, np.arange(ROWS))
    assert (table.pixels.dtype, table.labels.dtype) == (np.uint8, np.int64)
    assert table.pixels.flags.c_contiguous
    assert table.notes == ()


def test_the_hash_is_that_of_the_files_bytes(tmp_path, cells):
    path = write(tmp_path, "\n" + join(cells) + "\n\n")
    assert load_train(path).sha256 == hash_file(path)


def test_a_test_table_holds_pixels_only(tmp_path, cells, pixels):
    table = load_test(write(tmp_path, join(row[1:] for row in cells), "test.csv"))
    np.testing.assert_array_equal(table.pixels, pixels)


def test_blocks_of_any_size_give_the_same_table(tmp_path, cells, pixels, monkeypatch):
    path = write(tmp_path, join(cells, end="\r\n").removesuffix("\r\n"))
    for block_bytes in (1, 100, 3000, 10**6):
        monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", block_bytes)
        np.testing.assert_array_equal(load_train(path).pixels, pixels)


def reorder(cells):
    order = np.random.default_rng(0).permutation(785)
    return join([row[i] for i in order] for row in cells)


ACCEPTED = {
    "another order": reorder,
    "byte order mark": lambda cells: b"\xef\xbb\xbf" + join(cells).encode(),
    "CRLF": lambda cells: join(cells, end="\r\n"),
    "quoted": lambda cells: join([f'"{cell}"' for cell in row] for row in cells),
    "lines end with CRLF": lambda cells: join(cells, end="\r\n").removesuffix("\n"),
    "blank lines were skipped: 9": lambda cells: join(cells, end="\n\n") + "\n\n",
    "blank lines were skipped: 1": lambda cells: join(cells[:3]) + "\n" + join(cells[3:]),
    "pixel1 to pixel784": lambda cells: join([["label", *(f"pixel{k}" for k in range(1, 785))], *cells[1:]]),
}


GRID = [f"{row}x{column}" for row in range(1, 29) for column in range(1, 29)]
ACCEPTED |= {
    "1x1 to 28x28": lambda cells: join([["label", *GRID], *cells[1:]]),
    "0 to 783": lambda cells: join([["label", *map(str, range(784))], *cells[1:]]),
    "no header": lambda cells: join(cells[1:]),
    "it begins with a byte order mark": lambda cells: b"\xef\xbb\xbf" + join(cells[1:]).encode(),
    "named Label": lambda cells: join([["Label", *cells[0][1:]], *cells[1:]]),
    "'Unnamed: 0', was left out": lambda cells: join(
        [["Unnamed: 0", *cells[0]], *([str(300 * n), *row] for n, row in enumerate(cells[1:]))]
    ),
    "written as decimals": lambda cells: join([cells[0], *([f"{row[0]}.0", *row[1:]] for row in cells[1:])]),
    "pixels of 0 to 1": lambda cells: join(
        [cells[0], *([row[0], *(f"{int(cell) / 255:.4f}" for cell in row[1:])] for row in cells[1:])]
    ),
    "pixels of -1 to 1": lambda cells: join(
        [cells[0], *([row[0], *(str(int(cell) / 127.5 - 1) for cell in row[1:])] for row in cells[1:])]
    ),
}


def test_without_a_header_labels_may_be_the_last_column(tmp_path, cells):
    rows = [[label, "0", *pixels[1:-1], "0"] for label, *pixels in cells[1:]]
    first = load_train(write(tmp_path, join(rows)))
    last = load_train(write(tmp_path, join([*pixels, label] for label, *pixels in rows)))
    assert np.array_equal(first.labels, last.labels) and np.array_equal(first.pixels, last.pixels)
    assert "its labels are the last column" in last.notes


@pytest.mark.parametrize(
    ("code", "place", "spoil"),
    [
        ("csv.label_range", {"line": 3, "received": "1.5"}, lambda cells: cells[2].__setitem__(0, "1.5")),
        ("csv.label_range", {"line": 3, "received": "12.0"}, lambda cells: cells[2].__setitem__(0, "12.0")),
        ("csv.pixel_range", {"line": 4, "column": "pixel7"}, lambda cells: cells[3].__setitem__(8, "12.5")),
        ("csv.pixel_range", {"line": 4, "column": "pixel7"}, lambda cells: cells[3].__setitem__(8, "256.0")),
        ("csv.pixel_range", {"line": 4, "column": "pixel7"}, lambda cells: cells[3].__setitem__(8, "nan")),
    ],
)
def test_a_fault_among_decimals_is_found(tmp_path, cells, code, place, spoil):
    cells[1:] = [[f"{cell}.0" for cell in row] for row in cells[1:]]
    spoil(cells)
    with expect_error(code, **place):
        load_train(write(tmp_path, join(cells)))


@pytest.mark.parametrize(
    ("code", "place", "spoil"),
    [
        ("csv.cut_off", {"line": ROWS + 1}, lambda cells: cells[-1].__delitem__(slice(500, None))),
        ("csv.cells", {"line": 4}, lambda cells: cells[3].append("0.5")),
        ("csv.label_range", {"line": 3}, lambda cells: cells[2].__setitem__(0, "12")),
        ("csv.pixel_range", {"line": 4, "column": "pixel7"}, lambda cells: cells[3].__setitem__(8, "?")),
    ],
)
def test_a_fault_among_fractions_is_not_blamed_on_a_fraction(tmp_path, cells, code, place, spoil):
    cells[1:] = [[row[0], *(f"{int(cell) / 255:.4f}" for cell in row[1:])] for row in cells[1:]]
    spoil(cells)
    with expect_error(code, **place):
        load_train(write(tmp_path, join(cells)))


def test_labels_in_a_test_table_are_set_aside(tmp_path, cells, pixels):
    table = load_test(write(tmp_path, join(cells), "test.csv"))
    np.testing.assert_array_equal(table.pixels, pixels)
    np.testing.assert_array_equal(table.labels_aside, np.arange(ROWS))
    assert "set aside" in table.notes[-1]


@pytest.mark.parametrize("note", ACCEPTED)
def test_a_harmless_departure_is_read_and_noted(tmp_path, cells, pixels, note):
    table = load_train(write(tmp_path, ACCEPTED[note](cells)))
    np.testing.assert_array_equal(table.pixels, pixels)
    np.testing.assert_array_equal(table.labels, np.arange(ROWS))
    assert any(note in found for found in table.notes)


def test_a_file_without_a_last_line_end_is_whole(tmp_path, cells, pixels):
    table = load_train(write(tmp_path, join(cells).rstrip("\n")))
    np.testing.assert_array_equal(table.pixels, pixels)
    assert table.notes == ()


def test_a_fault_far_down_a_file_of_many_blocks_is_found(tmp_path, cells, monkeypatch):
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 5000)
    rows = [cells[1 + n % ROWS] for n in range(100)]
    rows[77] = [*rows[77][:-1], "999"]
    path = write(tmp_path, join([cells[0], *rows]))
    with expect_error("csv.pixel_range", path=path, line=79, column="pixel783", received="999"):
        load_train(path)


def test_a_missing_file_is_answered_with_the_command_that_downloads_it(tmp_path):
    with expect_error("data.missing", command=f"python -m digit_recognizer.download kaggle --input-dir {tmp_path}"):
        load_train(tmp_path / "train.csv")
    with expect_error("data.missing", command="python -m digit_recognizer.download kaggle"):
        load_train("input/train.csv")


def test_a_file_larger_than_memory_is_refused_before_it_is_read(tmp_path, cells, monkeypatch):
    monkeypatch.setattr(csv_blocks, "physical_memory_bytes", lambda: 1000)
    path = write(tmp_path, join(cells))
    with expect_error("csv.memory", path=path):
        load_train(path)


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path, cells, monkeypatch):
    path = write(tmp_path, join(cells))
    parse = csv_blocks._parse_block

    def parse_and_append(block, header):
        with path.open("a") as file:
            file.write(join(cells[1:2]))
        return parse(block, header)

    monkeypatch.setattr(csv_blocks, "_parse_block", parse_and_append)
    with expect_error("csv.changed", path=path):
        load_train(path)


def test_memory_for_rows_that_never_come_is_given_back(tmp_path, cells):
    table = load_train(write(tmp_path, join(cells) + "\n" * 100_000))
    assert table.pixels.base is None
    assert table.pixels.nbytes == ROWS * 784


def test_images_are_a_view_of_the_pixels(pixels):
    images = pixels_to_images(pixels)
    assert images.shape == (ROWS, 28, 28, 1)
    assert np.shares_memory(images, pixels)
    assert images[2, 3, 4, 0] == pixels[2, 3 * 28 + 4]


def test_rows_of_another_length_are_no_images():
    with pytest.raises(ValueError, match="784"):
        pixels_to_images(np.zeros((2, 783), np.uint8))


def test_a_table_becomes_the_frame_that_pandas_would_read(tmp_path, cells, pixels):
    import pandas as pd

    path = write(tmp_path, join(cells))
    table = load_train(path)
    pd.testing.assert_frame_equal(table.to_frame(), pd.read_csv(path), check_dtype=False)
    assert table.images.shape == (ROWS, 28, 28, 1) and np.shares_memory(table.images, table.pixels)
    test = load_test(write(tmp_path, join(row[1:] for row in cells), "test.csv"))
    assert test.to_frame().columns[0] == "pixel0"


def test_labels_are_read_in_order(tmp_path):
    path = write(tmp_path, "ImageId,Label\r\n1,7\r\n2,0\r\n\r\n3,9\r\n", "test_labels.csv")
    assert load_labels(path).tolist() == [7, 0, 9] and load_labels(path).dtype == np.int64


def test_blank_lines_and_zeros_before_a_label_do_no_harm(tmp_path):
    path = write(tmp_path, '\n"ImageId","Label"\n1, 7\n\n2,0' + "0" * 5000 + "\n", "test_labels.csv")
    assert load_labels(path).tolist() == [7, 0]


def test_an_endless_file_of_labels_is_refused_before_it_fills_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(csv_blocks, "LABELS_LIMIT_BYTES", 20)
    path = write(tmp_path, "ImageId,Label\n1,7\n2,0\n3,9\n", "test_labels.csv")
    with expect_error("io.too_long", path=path):
        load_labels(path)


# ---- the cache

LONG_AGO_NS = 1_600_000_000 * 10**9


def write_train(path, ink=0, rows=4):
    pixels = ",".join(f"pixel{k}" for k in range(784))
    body = "".join(f"{row % 10}" + f",{ink + row}" * 784 + "\n" for row in range(rows))
    path.write_text(f"label,{pixels}\n{body}")
    return path


@pytest.fixture
def train(tmp_path, monkeypatch):
    """A train.csv, and a cache folder of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return write_train(tmp_path / "train.csv")


@pytest.fixture
def cache_dir(train):
    return find_cache_dir() / "tables"


@pytest.fixture
def readings(monkeypatch):
    """The CSV files whose text was read, in order."""
    paths = []
    read = dataset.read_pixel_csv

    def read_and_count(path, with_labels):
        paths.append(path)
        return read(path, with_labels)

    monkeypatch.setattr(dataset, "read_pixel_csv", read_and_count)
    return paths


def assert_same(one, other):
    np.testing.assert_array_equal(one.pixels, other.pixels)
    np.testing.assert_array_equal(one.labels, other.labels)
    assert (one.sha256, one.notes, one.path) == (other.sha256, other.notes, other.path)
    assert one.labels.dtype == other.labels.dtype


def test_the_second_start_reads_no_text_and_gets_the_same_table(train, readings):
    first = load_train(train, cache=True)
    second = load_train(train, cache=True)
    assert len(readings) == 1
    assert_same(first, second)
    assert second.pixels.flags.c_contiguous


def test_notes_come_from_the_cache_too(train):
    train.write_text(train.read_text() + "\n")
    assert load_train(train, cache=True).notes == load_train(train, cache=True).notes != ()


def test_an_edited_csv_is_read_anew(train):
    load_train(train, cache=True)
    write_train(train, ink=9)
    assert load_train(train, cache=True).pixels[0, 0] == 9


def test_an_edit_of_equal_length_that_hides_its_time_is_noticed(train):
    load_train(train, cache=True)
    state = train.stat()
    write_train(train, ink=5)
    os.utime(train, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (train.stat().st_size, train.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    assert load_train(train, cache=True).pixels[0, 0] == 5


def test_a_cache_beside_the_data_is_not_believed(train):
    """Somebody's data folder may come with a `.cache`, as version 0.2 left it, whose labels are others."""
    first = load_train(train, cache=True)
    (kept,) = (find_cache_dir() / "tables").iterdir()
    (train.parent / ".cache").mkdir()
    shutil.move(kept, train.parent / ".cache" / "train.csv.npz")
    change_array(train.parent / ".cache" / "train.csv.npz", labels=(first.labels + 1) % 10)
    assert_same(load_train(train, cache=True), first)


def test_a_cache_file_that_nobody_uses_is_removed(train, cache_dir):
    load_train(train, cache=True)
    (old,) = cache_dir.iterdir()
    os.utime(old, ns=(LONG_AGO_NS, LONG_AGO_NS))
    load_train(write_train(train, ink=3), cache=True)
    assert old not in cache_dir.iterdir()


def test_arrays_of_other_csv_files_stay(train, readings):
    other = write_train(train.with_name("other-train.csv"), ink=3)
    load_train(other, cache=True)
    load_train(train, cache=True)
    load_train(other, cache=True)
    assert len(readings) == 2


def test_a_csv_replaced_by_an_older_one_is_read_anew(train):
    older = write_train(train.with_name("older.csv"), ink=7)
    os.utime(older, ns=(LONG_AGO_NS, LONG_AGO_NS))
    load_train(train, cache=True)
    shutil.move(older, train)
    assert load_train(train, cache=True).pixels[0, 0] == 7


def test_the_cache_of_a_table_keeps_what_the_table_holds(train):
    load_train(train, cache=True)
    assert "set aside" in load_test(train, cache=True).notes[-1]
    shutil.copy(train, train.with_name("test.csv"))
    load_test(train.with_name("test.csv"), cache=True)
    write_table(train.with_name("bare.csv"), load_test(train).pixels)
    load_test(train.with_name("bare.csv"), cache=True)
    with expect_error("csv.label_column", path=train.with_name("bare.csv")):
        load_train(train.with_name("bare.csv"), cache=True)


def test_bare_rows_without_labels_are_no_train_table(train):
    train.write_text("\n".join([",".join(["7"] * 784)] * 3) + "\n")
    assert load_test(train).notes == ("it has no header",)
    with expect_error("csv.label_column", path=train, line=1):
        load_train(train)


def test_a_removed_csv_is_not_served_from_its_cache(train):
    load_train(train, cache=True)
    train.unlink()
    with expect_error("data.missing", path=train):
        load_train(train, cache=True)


def change_array(file, **arrays):
    with np.load(file) as kept:
        np.savez(file, **{**kept, **arrays})


def flip_one_bit(file):
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1  # among the pixels
    file.write_bytes(content)


DAMAGES = {
    "truncated": lambda file: file.write_bytes(file.read_bytes()[:-100]),
    "one bit": flip_one_bit,
    "empty": lambda file: file.write_bytes(b""),
    "no zip": lambda file: file.write_text("[1]"),
    "an array is missing": lambda file: np.savez(file, pixels=np.zeros((4, 784), np.uint8)),
    "a pickle": lambda file: change_array(file, notes=np.array([{}], object)),
    "no JSON": lambda file: change_array(file, notes=np.zeros(3, np.uint8)),
    "notes that are no texts": lambda file: change_array(file, notes=np.frombuffer(b"[1]", np.uint8)),
    "pixels of another type": lambda file: change_array(file, pixels=np.zeros((4, 784), np.float32)),
    "pixels of another shape": lambda file: change_array(file, pixels=np.zeros((4, 783), np.uint8)),
    "a row more": lambda file: change_array(file, pixels=np.zeros((5, 784), np.uint8)),
    "a label out of range": lambda file: change_array(file, labels=np.array([0, 1, 2, 10])),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_cache_is_rebuilt(train, cache_dir, readings, damage):
    first = load_train(train, cache=True)
    (kept,) = cache_dir.iterdir()
    DAMAGES[damage](kept)
    assert_same(load_train(train, cache=True), first)
    assert len(readings) == 2
    assert_same(load_train(train, cache=True), first)
    assert len(readings) == 2


def test_without_a_writable_cache_loading_works_and_says_so(train, tmp_path):
    (tmp_path / "cache").write_text("no folder")
    table = load_train(train, cache=True)
    assert table.pixels.shape == (4, 784)
    assert any("cannot be written" in note for note in table.notes)


def test_without_a_cache_folder_nothing_is_written(train, tmp_path):
    before = set(tmp_path.iterdir())
    load_train(train)
    assert set(tmp_path.iterdir()) == before
