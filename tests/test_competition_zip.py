import zipfile

import pytest
from image_sets import draw_image_set, write_idx_folder, zip_folder

from digit_recognizer.data import sources as source_files
from digit_recognizer.data.sources import download
from digit_recognizer.errors import InputError
from digit_recognizer.io import TEMPORARY

CSV_NAMES = ["sample_submission.csv", "test.csv", "train.csv"]


@pytest.fixture
def csv_dir(tmp_path):
    """The three files of the competition, unpacked."""
    download(str(write_idx_folder(tmp_path / "idx", draw_image_set())), tmp_path / "csv")
    (tmp_path / "csv" / "test_labels.csv").unlink()
    return tmp_path / "csv"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "input"


def list_names(folder):
    return sorted(path.name for path in folder.iterdir())


def refusal(source, target):
    """The one line by which a zip is refused, after which the target is not there, as before."""
    with pytest.raises(InputError) as caught:
        download(str(source), target)
    assert not target.exists()
    assert "\n" not in str(caught.value)
    assert TEMPORARY not in str(caught.value)
    return str(caught.value)


def test_the_competitions_zip_is_unpacked_byte_for_byte(tmp_path, csv_dir, target):
    crlf = (csv_dir / "sample_submission.csv").read_bytes().replace(b"\n", b"\r\n")  # as Kaggle sends it
    (csv_dir / "sample_submission.csv").write_bytes(crlf)
    download(str(zip_folder(csv_dir, tmp_path / "digits.zip")), target)
    assert list_names(target) == CSV_NAMES
    for name in CSV_NAMES:
        assert (target / name).read_bytes() == (csv_dir / name).read_bytes()


def test_other_members_of_a_zip_stay_in_it(tmp_path, csv_dir, target):
    (csv_dir / "notes.txt").write_text("hello")
    path = zip_folder(csv_dir, tmp_path / "digits.zip", notes="../../escaped.txt")
    assert "1 other files" in download(str(path), target).text
    assert list_names(target) == CSV_NAMES
    assert not list(tmp_path.parent.glob("escaped*"))


def test_a_zip_that_unpacks_to_too_much_is_refused(tmp_path, csv_dir, target, monkeypatch):
    monkeypatch.setattr(source_files, "MEMBER_LIMIT_BYTES", 1000)
    assert "1000 bytes at most" in refusal(zip_folder(csv_dir, tmp_path / "digits.zip"), target)


def test_a_member_that_occurs_twice_is_refused(tmp_path, csv_dir, target):
    path = zip_folder(csv_dir, tmp_path / "digits.zip")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("train.csv", "label\n")
    assert "2 times" in refusal(path, target)
