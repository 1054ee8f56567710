import zipfile

import pytest
from image_sets import draw_image_set, write_idx_folder, zip_folder

from digit_recognizer.data import sources
from digit_recognizer.data.sources import download
from digit_recognizer.errors import InputError

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
    """The one line by which a zip is refused, after which the target is empty."""
    with pytest.raises(InputError) as caught:
        download(str(source), target)
    assert list_names(target) == []
    assert "\n" not in str(caught.value)
    assert ".download-" not in str(caught.value)
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


@pytest.mark.parametrize("name", ["../train.csv", "/train.csv", "folder/train.csv", "TRAIN.CSV"])
def test_a_member_by_another_path_is_not_taken(tmp_path, csv_dir, target, name):
    assert "must hold train.csv" in refusal(zip_folder(csv_dir, tmp_path / "digits.zip", train=name), target)


def test_a_zip_that_unpacks_to_too_much_is_refused(tmp_path, csv_dir, target, monkeypatch):
    monkeypatch.setattr(sources, "MEMBER_LIMIT_BYTES", 1000)
    assert "1000 bytes at most" in refusal(zip_folder(csv_dir, tmp_path / "digits.zip"), target)


def test_a_member_that_occurs_twice_is_refused(tmp_path, csv_dir, target):
    path = zip_folder(csv_dir, tmp_path / "digits.zip")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("train.csv", "label\n")
    assert "2 times" in refusal(path, target)


@pytest.mark.parametrize("spoil", [lambda content: content[:-30], lambda content: content[:500], lambda content: b"no"])
def test_a_broken_zip_is_refused(tmp_path, csv_dir, target, spoil):
    path = zip_folder(csv_dir, tmp_path / "digits.zip")
    path.write_bytes(spoil(path.read_bytes()))
    assert str(path) in refusal(path, target)


def test_a_zip_with_a_flipped_byte_is_refused(tmp_path, csv_dir, target):
    path = zip_folder(csv_dir, tmp_path / "digits.zip")
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content)
    assert str(path) in refusal(path, target)


def test_an_encrypted_zip_is_refused(tmp_path, csv_dir, target):
    path = zip_folder(csv_dir, tmp_path / "digits.zip")
    content = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        at = -1
        while (at := content.find(signature, at + 1)) >= 0:
            content[at + offset] |= 1
    path.write_bytes(content)
    assert "password" in refusal(path, target)


def test_a_bad_cell_in_a_zip_is_named_within_the_zip(tmp_path, csv_dir, target):
    lines = (csv_dir / "train.csv").read_text().split("\n")
    lines[3] = "5,999" + lines[3][lines[3].index(",", 2) :]
    (csv_dir / "train.csv").write_text("\n".join(lines))
    path = zip_folder(csv_dir, tmp_path / "digits.zip")
    assert f"{path}/train.csv, line 4, column pixel" in refusal(path, target)
