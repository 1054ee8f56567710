import os

import numpy as np
import pytest
from image_sets import draw_image_set, write_idx_folder, write_npz_folder, zip_folder

from digit_recognizer.config import RunConfig
from digit_recognizer.data import sources
from digit_recognizer.data.dataset import load_dataset
from digit_recognizer.data.sources import download
from digit_recognizer.data.tables import load_labels, load_test, load_train
from digit_recognizer.errors import InputError
from digit_recognizer.io import TEMPORARY, install_file

CSV_NAMES = ["sample_submission.csv", "test.csv", "train.csv"]


@pytest.fixture
def images():
    return draw_image_set()


@pytest.fixture
def idx_dir(tmp_path, images):
    return write_idx_folder(tmp_path / "idx", images)


@pytest.fixture
def npz_dir(tmp_path, images):
    return write_npz_folder(tmp_path / "npz", images)


@pytest.fixture
def csv_dir(tmp_path, idx_dir):
    download(str(idx_dir), tmp_path / "csv")
    (tmp_path / "csv" / "test_labels.csv").unlink()
    return tmp_path / "csv"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "input"


def list_names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


def refusal(source, target, **options):
    """The one line by which a download is refused, after which the target holds what it held before."""
    before = {path: path.read_bytes() for path in target.iterdir()} if target.exists() else {}
    with pytest.raises(InputError) as caught:
        download(str(source), target, **options)
    after = {path: path.read_bytes() for path in target.iterdir()} if target.exists() else {}
    assert after == before
    assert "\n" not in str(caught.value)
    assert TEMPORARY not in str(caught.value)
    return str(caught.value)


def assert_holds(target, images):
    train, test = load_train(target / "train.csv"), load_test(target / "test.csv")
    np.testing.assert_array_equal(train.pixels, images[0].reshape(-1, 784))
    np.testing.assert_array_equal(train.labels, images[1])
    np.testing.assert_array_equal(test.pixels, images[2].reshape(-1, 784))
    assert train.notes == test.notes == ()


@pytest.mark.parametrize("folder", ["idx_dir", "npz_dir"])
def test_an_image_set_becomes_kaggle_shaped_csv_files(folder, images, target, request):
    summary = download(str(request.getfixturevalue(folder)), target)
    assert list_names(target) == [*CSV_NAMES[:2], "test_labels.csv", "train.csv"]
    assert_holds(target, images)
    assert load_labels(target / "test_labels.csv").tolist() == [3, 1, 4, 1, 5]
    assert (target / "sample_submission.csv").read_text() == "ImageId,Label\n1,0\n2,0\n3,0\n4,0\n5,0\n"
    assert (summary.train_rows, summary.test_rows) == (12, 5)


def test_written_csv_files_have_kaggles_form(idx_dir, images, target):
    download(str(idx_dir), target)
    header, first, *_ = (target / "train.csv").read_text().split("\n")
    assert header.startswith("label,pixel0,pixel1,") and header.endswith(",pixel783")
    assert first == ",".join(map(str, [0, *images[0][0].ravel()]))
    assert (target / "test.csv").read_bytes().startswith(b"pixel0,pixel1,")
    assert b'"' not in (target / "train.csv").read_bytes()


def test_what_is_noted_of_an_image_set_is_told(npz_dir, target):
    for name in ("imgs", "labels"):
        (npz_dir / f"kmnist-train-{name}.npz").rename(npz_dir / f"kmnist-train-{name}-first12.npz")
    assert "holds only the first 12 rows" in download(str(npz_dir), target).text


def test_an_image_set_without_test_labels_gives_three_files(idx_dir, target):
    (idx_dir / "t10k-labels-idx1-ubyte").unlink()
    download(str(idx_dir), target)
    assert list_names(target) == CSV_NAMES


def test_a_damaged_image_file_leaves_nothing_behind(idx_dir, target):
    (idx_dir / "t10k-labels-idx1-ubyte").write_bytes(b"")
    assert "t10k-labels-idx1-ubyte" in refusal(idx_dir, target)


def test_a_folder_of_csv_files_is_copied(csv_dir, target, images):
    download(str(csv_dir), target)
    assert_holds(target, images)


def test_a_folder_without_sample_submission_gets_one(csv_dir, target):
    (csv_dir / "sample_submission.csv").unlink()
    download(str(csv_dir), target)
    assert list_names(target) == CSV_NAMES


def test_csv_files_in_another_form_are_brought_into_kaggles(csv_dir, target, images):
    path = csv_dir / "train.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert "train.csv was brought into Kaggle's form" in download(str(csv_dir), target).text
    assert_holds(target, images)


@pytest.mark.parametrize("name", ["sample_submission.csv", "test_labels.csv"])
def test_ids_that_do_not_match_the_test_images_are_refused(csv_dir, target, name):
    (csv_dir / name).write_text("ImageId,Label\n1,0\n2,0\n")
    assert "has 2" in refusal(csv_dir, target)


@pytest.mark.parametrize("name", ["train.csv", "test.csv"])
def test_a_folder_with_half_of_the_files_is_refused(csv_dir, target, name):
    (csv_dir / name).unlink()
    assert f"{name} is missing" in refusal(csv_dir, target)


def test_a_folder_of_nothing_known_is_refused(tmp_path, target):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text("hello")
    assert "holds none" in refusal(tmp_path / "other", target)


def test_a_source_that_is_not_there_leaves_no_folder_behind(tmp_path, target):
    assert "kaggle, sample, or the path" in refusal(tmp_path / "nowhere", target)
    assert not target.exists()


def test_the_same_data_may_come_twice(idx_dir, target):
    download(str(idx_dir), target)
    assert download(str(idx_dir), target).train_rows == 12


def test_different_files_are_kept_unless_overwriting_is_asked_for(idx_dir, target, images):
    download("sample", target)
    message = refusal(idx_dir, target)
    assert "--overwrite" in message
    assert "train.csv, test.csv" in message
    download(str(idx_dir), target, overwrite=True)
    assert_holds(target, images)


def test_labels_of_earlier_test_images_do_not_stay_behind(idx_dir, csv_dir, target):
    download("sample", target)
    assert "test_labels.csv" in refusal(csv_dir, target)
    download(str(csv_dir), target, overwrite=True)
    assert list_names(target) == CSV_NAMES


def test_labels_of_the_same_test_images_stay(idx_dir, csv_dir, target):
    download(str(idx_dir), target)
    download(str(csv_dir), target)
    assert "test_labels.csv" in list_names(target)


def test_a_failure_half_way_leaves_nothing_behind(idx_dir, target, monkeypatch):
    def fail(path, labels):
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(sources, "write_label_csv", fail)
    with pytest.raises(InputError, match="No space left"):
        download(str(idx_dir), target)
    assert list_names(target) == []


def test_a_replacement_stopped_half_way_is_not_taken_for_a_data_set_and_can_be_finished(
    idx_dir, target, images, monkeypatch
):
    def stop_at_test(staged, path):
        if path.name == "test.csv":
            raise KeyboardInterrupt
        install_file(staged, path)

    download("sample", target)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(sources, "install_file", stop_at_test)
        download(str(idx_dir), target, overwrite=True)
    with pytest.raises(InputError, match=r"sample_submission\.csv is missing"):
        load_dataset(RunConfig(input_dir=target))
    download(str(idx_dir), target, overwrite=True)
    assert_holds(target, images)


def test_what_a_killed_download_left_goes_with_the_next(idx_dir, target):
    left = target / f"{TEMPORARY}elsewhere-1-x"
    left.mkdir(parents=True)
    (left / "train.csv").write_text("half")
    os.utime(left, (0, 0))
    download(str(idx_dir), target)
    assert not left.exists()


def test_an_input_folder_that_is_a_file_is_refused(idx_dir, target):
    target.write_text("a file")
    with pytest.raises(InputError, match="takes a folder"):
        download(str(idx_dir), target)


def test_a_source_may_have_a_name_and_a_wanted_number_of_rows(csv_dir, target, images):
    archive = zip_folder(csv_dir, csv_dir.parent / "digit-recognizer.zip")
    with pytest.raises(InputError, match="must have 42,000 and 28,000 rows, but have 12 and 5"):
        download(str(archive), target, name="Kaggle", rows=(42_000, 28_000))
    assert not target.exists()
    assert "from Kaggle" in download(str(archive), target, name="Kaggle", rows=(12, 5)).text
    assert_holds(target, images)
    assert list_names(target) == CSV_NAMES


def test_the_sample_arrives_with_its_test_labels(target):
    summary = download("sample", target)
    assert (summary.train_rows, summary.test_rows) == (1300, 497)
    assert len(load_labels(target / "test_labels.csv")) == 497


def test_the_summary_counts_classes_and_is_one_paragraph(idx_dir, target):
    text = download(str(idx_dir), target).text
    assert "12 training rows, 5 test rows, 10 classes" in text
    assert "0: 2, 1: 2, 2: 1" in text
    assert "\n" not in text
