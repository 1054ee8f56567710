import json
import os
import shutil
import time

import numpy as np
import pytest

from digit_recognizer.data import csv as csv_blocks
from digit_recognizer.data import tables as cache_module
from digit_recognizer.data.tables import load_test, load_train
from digit_recognizer.errors import InputError

LONG_AGO_NS = 1_600_000_000 * 10**9


def write_train(path, ink=0, rows=4):
    pixels = ",".join(f"pixel{k}" for k in range(784))
    body = "".join(f"{row % 10}" + f",{ink + row}" * 784 + "\n" for row in range(rows))
    path.write_text(f"label,{pixels}\n{body}")
    return path


@pytest.fixture
def train(tmp_path, monkeypatch):
    """A train.csv that counts as settled, whenever it was written."""
    monkeypatch.setattr(cache_module, "SETTLED_AFTER_NS", -1)
    return write_train(tmp_path / "train.csv")


@pytest.fixture
def cache_dir(tmp_path):
    return tmp_path / ".cache"


@pytest.fixture
def readings(monkeypatch):
    """The CSV files whose text was read, in order."""
    paths = []
    read = csv_blocks.read_csv_content

    def read_and_count(path, with_labels):
        paths.append(path)
        return read(path, with_labels)

    monkeypatch.setattr(csv_blocks, "read_csv_content", read_and_count)
    return paths


def assert_same(one, other):
    np.testing.assert_array_equal(one.pixels, other.pixels)
    np.testing.assert_array_equal(one.labels, other.labels)
    assert (one.sha256, one.notes, one.path) == (other.sha256, other.notes, other.path)
    assert one.labels.dtype == other.labels.dtype


def test_the_second_start_reads_no_text_and_gets_the_same_table(train, cache_dir, readings):
    first = load_train(train, cache_dir)
    second = load_train(train, cache_dir)
    assert len(readings) == 1
    assert_same(first, second)
    assert second.pixels.flags.c_contiguous


def test_notes_are_told_again(train, cache_dir):
    train.write_text(train.read_text() + "\n")
    assert load_train(train, cache_dir).notes == load_train(train, cache_dir).notes != ()


def test_an_edited_csv_is_read_anew(train, cache_dir):
    load_train(train, cache_dir)
    write_train(train, ink=9)
    assert load_train(train, cache_dir).pixels[0, 0] == 9


def test_an_edit_of_equal_length_that_hides_its_time_is_noticed(train, cache_dir):
    load_train(train, cache_dir)
    state = train.stat()
    write_train(train, ink=5)
    os.utime(train, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert (train.stat().st_size, train.stat().st_mtime_ns) == (state.st_size, state.st_mtime_ns)
    assert load_train(train, cache_dir).pixels[0, 0] == 5


def test_an_edit_in_the_same_tick_of_the_clock_is_noticed(tmp_path, cache_dir, monkeypatch):
    """All states are made to look alike, as on a file system with a slow clock."""
    train = write_train(tmp_path / "train.csv")
    now = time.time_ns()
    like = {"st_size": train.stat().st_size, "st_mtime_ns": now, "st_ctime_ns": now, "st_ino": 1, "st_dev": 1}
    monkeypatch.setattr(cache_module, "_describe", lambda state: like)
    load_train(train, cache_dir)
    write_train(train, ink=5)
    assert load_train(train, cache_dir).pixels[0, 0] == 5


def test_a_touched_but_equal_csv_is_not_read_again(train, cache_dir, readings):
    load_train(train, cache_dir)
    os.utime(train, ns=(LONG_AGO_NS, LONG_AGO_NS))
    load_train(train, cache_dir)
    assert len(readings) == 1
    pointer = json.loads((cache_dir / "train.csv.json").read_text())
    assert pointer["state"]["st_mtime_ns"] == LONG_AGO_NS


def test_a_settled_csv_is_trusted_without_hashing(train, cache_dir, monkeypatch):
    load_train(train, cache_dir)

    def fail(path):
        raise AssertionError("hashed")

    monkeypatch.setattr(cache_module, "hash_file", fail)
    load_train(train, cache_dir)


def test_arrays_of_the_old_content_are_removed(train, cache_dir):
    load_train(train, cache_dir)
    before = set(cache_dir.iterdir())
    write_train(train, ink=9)
    load_train(train, cache_dir)
    after = set(cache_dir.iterdir())
    assert len(after) == len(before) == 3
    assert before & after == {cache_dir / "train.csv.json"}


def test_arrays_of_other_csv_files_stay(train, cache_dir, readings):
    other = write_train(train.with_name("other-train.csv"), ink=3)
    load_train(other, cache_dir)
    load_train(train, cache_dir)
    load_train(other, cache_dir)
    assert len(readings) == 2


def test_a_csv_replaced_by_an_older_one_is_read_anew(train, cache_dir):
    older = write_train(train.with_name("older.csv"), ink=7)
    os.utime(older, ns=(LONG_AGO_NS, LONG_AGO_NS))
    load_train(train, cache_dir)
    shutil.move(older, train)
    assert load_train(train, cache_dir).pixels[0, 0] == 7


def test_a_cached_train_file_is_still_no_test_file(train, cache_dir):
    load_train(train, cache_dir)
    with pytest.raises(InputError, match="swapped"):
        load_test(train, cache_dir)


def test_a_removed_csv_is_not_served_from_its_cache(train, cache_dir):
    load_train(train, cache_dir)
    train.unlink()
    with pytest.raises(InputError, match="is missing"):
        load_train(train, cache_dir)


def find_pixels(cache_dir):
    return next(cache_dir.glob("*-pixels.npy"))


def truncate(cache_dir):
    file = find_pixels(cache_dir)
    file.write_bytes(file.read_bytes()[:-100])


def flip_one_bit(cache_dir):
    file = find_pixels(cache_dir)
    content = bytearray(file.read_bytes())
    content[-50] ^= 1
    file.write_bytes(content)


def empty_array(cache_dir):
    find_pixels(cache_dir).write_bytes(b"")


def remove_array(cache_dir):
    find_pixels(cache_dir).unlink()


def reshape_array(cache_dir):
    file = find_pixels(cache_dir)
    np.save(file, np.load(file).reshape(-1, 28, 28))


def pickle_array(cache_dir):
    np.save(find_pixels(cache_dir), np.array([{}], object), allow_pickle=True)


def truncate_pointer(cache_dir):
    (cache_dir / "train.csv.json").write_text('{"version": 1, "sta')


def empty_pointer(cache_dir):
    (cache_dir / "train.csv.json").write_text("{}")


def list_pointer(cache_dir):
    (cache_dir / "train.csv.json").write_text("[1]")


def misdirect_pointer(cache_dir):
    pointer = json.loads((cache_dir / "train.csv.json").read_text())
    (cache_dir / "train.csv.json").write_text(json.dumps({**pointer, "sha256": "../elsewhere"}))


def age_pointer(cache_dir):
    pointer = json.loads((cache_dir / "train.csv.json").read_text())
    (cache_dir / "train.csv.json").write_text(json.dumps({**pointer, "version": 0}))


DAMAGES = [truncate, flip_one_bit, empty_array, remove_array, reshape_array, pickle_array]
DAMAGES += [truncate_pointer, empty_pointer, list_pointer, misdirect_pointer, age_pointer]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_cache_is_rebuilt(train, cache_dir, readings, damage):
    first = load_train(train, cache_dir)
    damage(cache_dir)
    assert_same(load_train(train, cache_dir), first)
    assert len(readings) == 2
    assert_same(load_train(train, cache_dir), first)
    assert len(readings) == 2


def test_without_a_writable_cache_loading_works_and_says_so(train, tmp_path):
    (tmp_path / "file").write_text("no folder")
    table = load_train(train, tmp_path / "file" / ".cache")
    assert table.pixels.shape == (4, 784)
    assert any("cannot be written to" in note for note in table.notes)


def test_a_cache_that_turned_read_only_still_serves_a_touched_csv(train, cache_dir, readings, monkeypatch):
    load_train(train, cache_dir)
    os.utime(train, ns=(LONG_AGO_NS, LONG_AGO_NS))

    def refuse(path, content):
        raise InputError("read-only")

    monkeypatch.setattr(cache_module, "write_json", refuse)
    load_train(train, cache_dir)
    assert len(readings) == 1


def test_without_a_cache_folder_nothing_is_written(train, tmp_path):
    before = set(tmp_path.iterdir())
    load_train(train)
    assert set(tmp_path.iterdir()) == before
