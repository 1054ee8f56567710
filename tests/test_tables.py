import numpy as np
import pytest

from digit_recognizer.data import csv as csv_blocks
from digit_recognizer.data.tables import load_test, load_train, pixels_to_images
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


def refusal(path, load=load_train):
    with pytest.raises(InputError) as caught:
        load(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_a_train_table_holds_what_the_file_says(tmp_path, cells, pixels):
    table = load_train(write(tmp_path, join(cells)))
    np.testing.assert_array_equal(table.pixels, pixels)
    np.testing.assert_array_equal(table.labels, np.arange(ROWS))
    assert (table.pixels.dtype, table.labels.dtype) == (np.uint8, np.int64)
    assert table.pixels.flags.c_contiguous
    assert table.notes == ()


def test_the_hash_is_that_of_the_files_bytes(tmp_path, cells):
    from digit_recognizer.io import hash_file

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
    assert "line 79, column pixel783" in refusal(write(tmp_path, join([cells[0], *rows])))


def test_a_missing_file_is_answered_with_every_way_to_get_it(tmp_path):
    message = refusal(tmp_path / "train.csv")
    for way in ("download kaggle", "download PATH-OF-ZIP", "download sample"):
        assert way in message


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
