import numpy as np
import pytest
from conftest import write_labels, write_table

from digit_recognizer.config import RunConfig
from digit_recognizer.data.dataset import load_dataset


def write_data(folder, train, test):
    folder.mkdir()
    write_table(folder / "train.csv", train, np.arange(len(train)) % 10)
    write_table(folder / "test.csv", test)
    write_labels(folder / "sample_submission.csv", np.zeros(len(test), int))
    return RunConfig(input_dir=folder)


def draw_pixels(rows, seed):
    return np.random.default_rng(seed).integers(0, 256, (rows, 784))


@pytest.mark.parametrize(("shared", "ineligible"), [(0, False), (1, False), (2, True)])
def test_more_than_one_test_row_in_a_hundred_among_the_training_rows_is_a_leak(tmp_path, shared, ineligible):
    train, test = draw_pixels(120, 0), draw_pixels(100, 1)
    test[:shared] = train[50 : 50 + shared]
    config = write_data(tmp_path / "data", train, test)
    dataset = load_dataset(config)
    assert dataset.shared_test_rows == shared and (dataset.ineligible is not None) == ineligible
    for part in ({"limit_test": 5}, {"limit_train": 20}):
        assert load_dataset(config.replace(**part)).ineligible == dataset.ineligible, (
            "a short run is judged by the whole files"
        )


def test_fewer_rows_are_the_same_for_every_seed_and_keep_their_labels(tmp_path):
    config = write_data(tmp_path / "data", draw_pixels(120, 0), draw_pixels(10, 1))
    whole = load_dataset(config)
    first, other = (load_dataset(config.replace(limit_train=30, seed=seed)) for seed in (0, 7))
    assert len(first.images) == 30 and np.array_equal(first.images, other.images)
    assert np.bincount(first.labels).tolist() == [3] * 10
    where = [int(np.flatnonzero((whole.images == image).all((1, 2, 3)))[0]) for image in first.images]
    assert np.array_equal(whole.labels[where], first.labels)
    assert len(load_dataset(config.replace(limit_train=119)).images) == 119


def test_fewer_test_rows_are_the_first_and_leave_the_test_set_incomplete(tmp_path):
    config = write_data(tmp_path / "data", draw_pixels(20, 0), draw_pixels(10, 1))
    whole, part = load_dataset(config), load_dataset(config.replace(limit_test=4))
    assert whole.has_all_test_rows and not part.has_all_test_rows
    assert np.array_equal(part.test_images, whole.test_images[:4])


def test_a_note_names_its_table(tmp_path):
    config = write_data(tmp_path / "data", draw_pixels(20, 0), draw_pixels(5, 1))
    path = config.input_dir / "test.csv"
    path.write_bytes(path.read_bytes().replace(b"\n", b"\r\n"))
    assert "test.csv: its lines end with CRLF" in load_dataset(config).notes


def test_repeated_training_rows_are_counted_in_a_note(tmp_path):
    train = draw_pixels(20, 0)
    train[[7, 8, 9]] = train[3]
    assert (
        "3 rows of train.csv repeat an earlier one"
        in load_dataset(write_data(tmp_path / "data", train, draw_pixels(5, 1))).notes[0]
    )


def test_nothing_is_left_in_the_folder_of_the_data(tmp_path):
    config = write_data(tmp_path / "data", draw_pixels(20, 0), draw_pixels(5, 1))
    before = sorted((tmp_path / "data").iterdir())
    load_dataset(config)
    assert sorted((tmp_path / "data").iterdir()) == before
