"""A folder per class: what is taken, what is ignored, and what is refused."""

import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import expect_error
from drawn_letters import write_letters

from digit_recognizer.vision import class_folders
from digit_recognizer.vision.class_folders import find_classes, list_pictures, load_pictures
from digit_recognizer.vision.segment import load_letter

pytestmark = pytest.mark.fast


@pytest.fixture
def folder(tmp_path):
    return write_letters(tmp_path / "letters", 2, seed=0)


def test_classes_are_named_after_their_folders_and_counted(folder):
    found = find_classes(folder, "--images")
    assert found.classes == ("cross", "hook", "ring")
    assert found.names == [f"{name}/{number}.png" for name in found.classes for number in range(2)]
    assert found.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert found.counts == {"cross": 2, "hook": 2, "ring": 2}
    assert found.notes == ()


def test_hidden_files_are_ignored_and_files_beside_the_folders_with_a_note(folder):
    (folder / ".cache").mkdir()
    (folder / "ring" / ".DS_Store").touch()
    (folder / "sources.csv").touch()
    found = find_classes(folder, "--images")
    assert found.names == [f"{name}/{number}.png" for name in ("cross", "hook", "ring") for number in range(2)]
    assert found.notes == (f"files in no class's folder are not used: {folder / 'sources.csv'}",)
    (folder / "picture.png").touch()
    (note,) = find_classes(folder, "--images").notes
    assert note.endswith(f"{folder / 'picture.png'} and 1 more")


@pytest.mark.parametrize(
    ("spoil", "code"),
    [
        (lambda folder: shutil.rmtree(folder), "io.not_folder"),
        (lambda folder: [shutil.rmtree(folder / name) for name in ("cross", "hook")], "photos.class_folders"),
        (lambda folder: [shutil.rmtree(folder / name) for name in ("cross", "hook", "ring")], "photos.class_folders"),
        (lambda folder: [path.unlink() for path in (folder / "hook").iterdir()], "photos.empty_class"),
        (lambda folder: (folder / "hook").rename(folder / "ho\nok"), "io.unprintable"),
    ],
    ids=["no folder", "one class", "no class", "an empty class", "a name of two lines"],
)
def test_a_folder_without_classes_or_pictures_is_refused(folder, spoil, code):
    spoil(folder)
    with expect_error(code):
        find_classes(folder, "--images")


@pytest.mark.parametrize(("classes", "different"), [(("cross", "hook"), "ring"), (("a", "cross", "hook", "ring"), "a")])
def test_other_classes_than_those_set_are_refused_with_one_of_them(folder, classes, different):
    with expect_error("photos.other_classes", path=folder, received=different):
        find_classes(folder, "--test", classes)


def test_a_thousand_classes_are_taken_and_no_more_nor_too_many_files(tmp_path, folder, monkeypatch):
    for number in range(1000):
        (tmp_path / "many" / str(number)).mkdir(parents=True)
        (tmp_path / "many" / str(number) / "a.png").touch()
    assert len(find_classes(tmp_path / "many", "--images").classes) == 1000
    (tmp_path / "many" / "more").mkdir()
    with expect_error("photos.class_folders", received=1001):
        find_classes(tmp_path / "many", "--images")
    monkeypatch.setattr(class_folders, "MAX_FILES", 5)
    with expect_error("photos.too_many", limit=5):
        find_classes(folder, "--images")


def test_what_a_system_puts_there_is_passed_over_and_what_is_no_picture_is_counted(folder):
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "._0.png", "~$notes.docx"):
        (folder / "ring" / name).write_bytes(b"\xd0\xcf\x11\xe0")
    for name in ("@eaDir", "__MACOSX", "$RECYCLE.BIN"):
        (folder / name).mkdir()
        (folder / name / "0.png").touch()
    assert find_classes(folder, "--images").notes == ()
    (folder / "hook" / "a.txt").write_text("hello")
    (folder / "ring" / "deeper").mkdir()
    shutil.copy(folder / "hook" / "0.png", folder / "hook" / "a picture without an ending")
    found = find_classes(folder, "--images")
    assert found.counts == {"cross": 2, "hook": 3, "ring": 2}
    assert found.notes == (f"not used, as they are no pictures: {folder / 'hook' / 'a.txt'} and 1 more",)


def test_a_picture_that_cannot_be_used_is_named_and_costs_itself(folder):
    from PIL import Image

    (folder / "hook" / "0.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (folder / "hook" / "9.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    Image.new("L", (64, 64), 255).save(folder / "ring" / "blank.png")

    def load(path):
        if path.name == "1.png" and path.parent.name == "cross":
            raise IndexError("nobody foresaw that")
        return load_letter(path)

    found = load_pictures(find_classes(folder, "--images"), load, "pictures")
    assert found.names == ["cross/0.png", "hook/1.png", "ring/0.png", "ring/1.png"]
    assert found.labels.tolist() == [0, 1, 2, 2] and len(found.images) == len(found.digests) == 4
    for note, name in zip(found.notes, ("cross/1.png", "hook/0.png", "hook/9.HEIC", "ring/blank.png"), strict=True):
        assert name in note
    assert "IndexError: nobody foresaw that" in found.notes[0] and "pillow-heif" in found.notes[2]
    (folder / "hook" / "1.png").unlink()
    with expect_error("photos.damaged", path=folder / "hook" / "0.png"):  # nothing of its class is left
        load_pictures(find_classes(folder, "--images"), load, "pictures")


def test_names_are_compared_in_nfc_and_folders_of_one_name_are_one_class(folder, tmp_path):
    shutil.copytree(folder, tmp_path / "other")
    (folder / "hook").rename(folder / "ha\u0308kchen")
    (tmp_path / "other" / "hook").rename(tmp_path / "other" / "h\u00e4kchen")
    found = find_classes(folder, "--images")
    assert found.classes == ("cross", "h\u00e4kchen", "ring") and found.names[2] == "h\u00e4kchen/0.png"
    other = find_classes(tmp_path / "other", "--test", found.classes)
    assert (other.classes, other.names) == (found.classes, found.names)
    older = ("cross", "ha\u0308kchen", "ring")  # as a transfer wrote it before
    assert find_classes(folder, "--test", older).classes == older
    shutil.copytree(tmp_path / "other" / "ring", folder / "h\u00e4kchen")
    found = find_classes(folder, "--images")
    assert found.counts == {"cross": 2, "h\u00e4kchen": 4, "ring": 2} and len(set(found.names)) == 8


@pytest.fixture
def locked(monkeypatch):
    """The names of folders that cannot be listed."""
    names, list_entries = {"hook"}, Path.iterdir

    def refuse(path):
        if path.name in names:
            raise PermissionError(13, "Permission denied", str(path))
        return list_entries(path)

    monkeypatch.setattr(Path, "iterdir", refuse)
    return names


def test_a_folder_that_cannot_be_entered_costs_itself(folder, monkeypatch):
    is_dir = Path.is_dir

    def refuse(path):
        if path.parent.name == "hook":  # its entries are known, and nothing of them
            raise PermissionError(13, "Permission denied", str(path))
        return is_dir(path)

    monkeypatch.setattr(Path, "is_dir", refuse)
    found = list_pictures(folder, deep=True)
    assert [error.path for error in found.unreadable] == [folder / "hook"] and len(found.pictures) == 4


def test_a_class_that_cannot_be_listed_costs_itself(folder, locked):
    found = find_classes(folder, "--images")
    assert found.counts == {"cross": 2, "ring": 2} and str(folder / "hook") in found.notes[0]
    with expect_error("io.unreadable", path=folder / "hook"):  # of which another folder has taught a model
        find_classes(folder, "--test", ("cross", "hook", "ring"))
    locked.add("ring")
    with expect_error("io.unreadable"):  # one class is none
        find_classes(folder, "--images")


def test_pictures_lie_deep_and_a_folder_that_cannot_be_read_is_told(folder, locked):
    (folder / "loop").symlink_to(folder)
    found = list_pictures(folder, deep=True)
    assert [path.parent.name for path in found.pictures] == ["cross", "cross", "ring", "ring"]
    assert found.others == [folder / "loop"] and found.pictures == sorted(found.pictures)
    assert [(error.code, error.path) for error in found.unreadable] == [("io.unreadable", folder / "hook")]


def test_a_picture_is_recognized_by_its_image(folder, tmp_path):
    from PIL import Image

    other = write_letters(tmp_path / "other", 2, seed=1)
    shutil.copy(folder / "ring" / "0.png", other / "cross" / "copy.png")
    Image.open(folder / "hook" / "1.png").save(other / "hook" / "again.bmp")
    seen = load_pictures(find_classes(folder, "--images"), load_letter, "pictures")
    found = load_pictures(find_classes(other, "--test"), load_letter, "pictures")
    assert found.images.shape == (8, 28, 28, 1) and found.images.dtype == np.uint8
    shared = found.select(np.isin(found.digests, seen.digests))
    assert shared.names == ["cross/copy.png", "hook/again.bmp"]
    assert shared.images.shape == (2, 28, 28, 1)
