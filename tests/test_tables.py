import gzip
import os
import zipfile

import numpy as np
import pytest

from digit_recognizer.data import csv_blocks
from digit_recognizer.data.tables import load_test_table, load_train_table, pixels_to_images
from digit_recognizer.errors import InputError

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


def refusal(path, load=load_train_table):
    with pytest.raises(InputError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_a_train_table_holds_what_the_file_says(tmp_path, cells, pixels):
    table = load_train_table(write(tmp_path, join(cells)))
    np.testing.assert_array_equal(table.pixels, pixels)
    np.testing.assert_array_equal(table.labels, np.arange(ROWS))
    assert (table.pixels.dtype, table.labels.dtype) == (np.uint8, np.int64)
    assert table.pixels.flags.c_contiguous
    assert table.notes == ()


def test_the_hash_is_that_of_the_files_bytes(tmp_path, cells):
    from digit_recognizer.files import hash_file

    path = write(tmp_path, "\n" + join(cells) + "\n\n")
    assert load_train_table(path).sha256 == hash_file(path)


def test_a_test_table_holds_pixels_only(tmp_path, cells, pixels):
    table = load_test_table(write(tmp_path, join(row[1:] for row in cells), "test.csv"))
    np.testing.assert_array_equal(table.pixels, pixels)


def test_blocks_of_any_size_give_the_same_table(tmp_path, cells, pixels, monkeypatch):
    path = write(tmp_path, join(cells, end="\r\n").removesuffix("\r\n"))
    for block_bytes in (1, 100, 3000, 10**6):
        monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", block_bytes)
        np.testing.assert_array_equal(load_train_table(path).pixels, pixels)


def reorder(cells):
    order = np.random.default_rng(0).permutation(785)
    return join([row[i] for i in order] for row in cells)


ACCEPTED = {
    "another order": reorder,
    "byte order mark": lambda cells: b"\xef\xbb\xbf" + join(cells).encode(),
    "CRLF": lambda cells: join(cells, end="\r\n"),
    "quoted": lambda cells: join([f'"{cell}"' for cell in row] for row in cells),
    "blank lines were skipped: 9": lambda cells: join(cells, end="\n\n") + "\n\n",
    "blank lines were skipped: 1": lambda cells: join(cells[:3]) + "\n" + join(cells[3:]),
    "pixel1 to pixel784": lambda cells: join([["label", *(f"pixel{k}" for k in range(1, 785))], *cells[1:]]),
}


@pytest.mark.parametrize("note", ACCEPTED)
def test_a_harmless_departure_is_read_and_noted(tmp_path, cells, pixels, note):
    table = load_train_table(write(tmp_path, ACCEPTED[note](cells)))
    np.testing.assert_array_equal(table.pixels, pixels)
    np.testing.assert_array_equal(table.labels, np.arange(ROWS))
    assert any(note in found for found in table.notes)


def test_a_file_without_a_last_line_end_is_whole(tmp_path, cells, pixels):
    table = load_train_table(write(tmp_path, join(cells).rstrip("\n")))
    np.testing.assert_array_equal(table.pixels, pixels)
    assert table.notes == ()


BAD_PIXELS = ["256", "1000", "-1", "0.5", "1.0", "1e2", "", "  ", "nan", "NaN", "NULL", "x", "0x1F", "+5", "5 5", "1_0"]
BAD_PIXELS += ["٣", "9" * 5000, '"5"6', '5"6"', '""', '"5,6"']


@pytest.mark.parametrize("value", BAD_PIXELS)
def test_a_bad_pixel_is_named_by_line_and_column(tmp_path, cells, value):
    cells[4][18] = value
    message = refusal(write(tmp_path, join(cells)))
    assert "line 5" in message
    assert "column pixel17" in message or '"' in value
    assert len(message) < 400


@pytest.mark.parametrize("value", ["10", "three", "-1", "3.0", "", "256"])
def test_a_bad_label_is_named_by_line(tmp_path, cells, value):
    cells[2][0] = value
    message = refusal(write(tmp_path, join(cells)))
    assert "line 3, column label" in message
    assert "0 to 9" in message or "missing" in message


def test_a_line_number_counts_blank_lines_too(tmp_path, cells):
    cells[3][1] = "256"
    assert "line 9, column pixel0" in refusal(write(tmp_path, "\n\n" + join(cells, end="\n\n")))


def test_a_column_is_named_as_the_file_orders_it(tmp_path, cells):
    cells = [row[::-1] for row in cells]
    cells[1][0] = "-7"
    assert "line 2, column pixel783" in refusal(write(tmp_path, join(cells)))


def drop(cells, column):
    return [row[:column] + row[column + 1 :] for row in cells]


def put(cells, row, column, value):
    return [[value if (r, c) == (row, column) else cell for c, cell in enumerate(line)] for r, line in enumerate(cells)]


REFUSED = {
    "empty file": (lambda cells: "", "empty"),
    "blank lines only": (lambda cells: "\n\n\n", "blank lines only"),
    "header only": (lambda cells: join(cells[:1]), "header only"),
    "no header": (lambda cells: join(cells[1:]), "must name the columns"),
    "column missing": (lambda cells: join(drop(cells, 300)), "'pixel299' is missing"),
    "column extra": (lambda cells: join([*row, "7"] for row in put(cells, 0, 0, "label")), "does not belong here"),
    "column twice": (lambda cells: join(put(cells, 0, 5, "pixel7")), "'pixel7' stands twice"),
    "column misnamed": (lambda cells: join(put(cells, 0, 5, "ink")), "'pixel4' is missing"),
    "no label in train": (lambda cells: join(drop(cells, 0)), "swapped"),
    "header in mid-file": (lambda cells: join([*cells, *cells]), "line 8: the header stands here again"),
    "semicolons": (lambda cells: join(cells, ";"), "semicolons"),
    "tabs": (lambda cells: join(cells, "\t"), "tabs"),
    "short row": (lambda cells: join([*cells[:3], cells[3][:-1], *cells[4:]]), "line 4, column pixel783"),
    "long row": (lambda cells: join([*cells[:3], [*cells[3], "1"], *cells[4:]]), "line 4, column 786"),
    "last row cut": (lambda cells: join(cells)[:-700], "line 7, column pixel"),
    "UTF-16 with mark": (lambda cells: join(cells).encode("utf-16"), "UTF-16"),
    "UTF-16 without mark": (lambda cells: join(cells).encode("utf-16-le"), "UTF-16"),
    "NUL in header": (lambda cells: join(cells).replace("pixel3,", "pixel3\0,").encode(), "NUL bytes"),
    "NUL in row": (lambda cells: join(put(cells, 2, 2, "\0")), "line 3: NUL bytes"),
    "web page": (lambda cells: "<!DOCTYPE html>\n<html><body>Log in</body></html>\n", "web page"),
    "gzip": (lambda cells: gzip.compress(join(cells).encode()), "gunzip"),
    "one class": (lambda cells: join([cells[0], *(["4", *row[1:]] for row in cells[1:])]), "label 4"),
    "quote left open": (lambda cells: join(put(cells, 2, 2, '"5')), "line 3"),
    "lone carriage returns": (lambda cells: join(cells[:2]) + join(cells[2:], end="\r"), "line 3: a lone carriage"),
    "one endless line": (lambda cells: "9" * 200_000, "line 1"),
    "endless line below the header": (lambda cells: join(cells) + "9" * 200_000, "line 8: longer than any row"),
    "binary": (lambda cells: bytes(range(1, 256)) * 10, "line"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_spoilt_file_is_refused_in_one_line_that_says_why(tmp_path, cells, case):
    spoil, expected = REFUSED[case]
    assert expected in refusal(write(tmp_path, spoil(cells)))


def test_a_fault_far_down_a_file_of_many_blocks_is_found(tmp_path, cells, monkeypatch):
    monkeypatch.setattr(csv_blocks, "BLOCK_BYTES", 5000)
    rows = [cells[1 + n % ROWS] for n in range(100)]
    rows[77] = [*rows[77][:-1], "999"]
    assert "line 79, column pixel783" in refusal(write(tmp_path, join([cells[0], *rows])))


def test_a_zip_under_a_csv_name_names_the_download_command(tmp_path, cells):
    with zipfile.ZipFile(tmp_path / "train.csv", "w") as archive:
        archive.writestr("train.csv", join(cells))
    assert f"digit_recognizer.download {tmp_path / 'train.csv'}" in refusal(tmp_path / "train.csv")


def test_labels_in_the_test_file_raise_the_question_of_a_swap(tmp_path, cells):
    assert "swapped" in refusal(write(tmp_path, join(cells), "test.csv"), load_test_table)


def test_a_missing_file_is_answered_with_every_way_to_get_it(tmp_path):
    message = refusal(tmp_path / "train.csv")
    for way in ("download kaggle", "download PATH-OF-ZIP", "download sample"):
        assert way in message


def test_a_folder_is_no_table(tmp_path):
    assert "folder" in refusal(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no FIFOs")
def test_a_fifo_is_refused_without_waiting_for_its_writer(tmp_path):
    os.mkfifo(tmp_path / "train.csv")
    assert "pipe or device" in refusal(tmp_path / "train.csv")


def test_a_file_larger_than_memory_is_refused_before_it_is_read(tmp_path, cells, monkeypatch):
    monkeypatch.setattr(csv_blocks, "physical_memory_bytes", lambda: 1000)
    assert "fit in memory" in refusal(write(tmp_path, join(cells)))


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path, cells, monkeypatch):
    path = write(tmp_path, join(cells))
    parse = csv_blocks._parse_block

    def parse_and_append(block, names):
        with path.open("a") as file:
            file.write(join(cells[1:2]))
        return parse(block, names)

    monkeypatch.setattr(csv_blocks, "_parse_block", parse_and_append)
    assert "must not change while it is read" in refusal(path)


def test_memory_for_rows_that_never_come_is_given_back(tmp_path, cells):
    table = load_train_table(write(tmp_path, join(cells) + "\n" * 100_000))
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
