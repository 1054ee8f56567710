"""A folder per class: what is taken, what is passed over, and what is refused in one line."""

import shutil

import numpy as np
import pytest
from signs import write_signs

from digit_recognizer.errors import InputError
from digit_recognizer.vision import class_folders
from digit_recognizer.vision.class_folders import find_classes, find_shared, load_pictures
from digit_recognizer.vision.normalize import load_letter


@pytest.fixture
def folder(tmp_path):
    return write_signs(tmp_path / "signs", 2, seed=0)


def test_classes_are_named_after_their_folders_and_counted(folder):
    found = find_classes(folder, "--images")
    assert found.classes == ("cross", "hook", "ring")
    assert found.names == [f"{name}/{number}.png" for name in found.classes for number in range(2)]
    assert found.labels.tolist() == [0, 0, 1, 1, 2, 2]
    assert found.counts == {"cross": 2, "hook": 2, "ring": 2}
    assert found.notes == ()


def test_hidden_files_are_passed_over_and_files_beside_the_folders_with_a_word(folder):
    (folder / ".cache").mkdir()
    (folder / "ring" / ".DS_Store").touch()
    (folder / "sources.csv").touch()
    assert find_classes(folder, "--images").names == [
        f"{name}/{number}.png" for name in ("cross", "hook", "ring") for number in range(2)
    ]
    assert find_classes(folder, "--images").notes == (
        f"passed over, as it is in no class's folder: {folder / 'sources.csv'}",
    )
    (folder / "notes.txt").touch()
    (note,) = find_classes(folder, "--images").notes
    assert "2 files" in note and "first notes.txt" in note


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda folder: shutil.rmtree(folder), "is none"),
        (lambda folder: [shutil.rmtree(folder / name) for name in ("cross", "hook")], "holds 1"),
        (lambda folder: [shutil.rmtree(folder / name) for name in ("cross", "hook", "ring")], "holds 0"),
        (lambda folder: [path.unlink() for path in (folder / "hook").iterdir()], "hook must hold pictures"),
    ],
    ids=["no folder", "one class", "no class", "an empty class"],
)
def test_a_folder_of_another_kind_is_refused_in_one_line(folder, spoil, words):
    spoil(folder)
    with pytest.raises(InputError, match=words) as refusal:
        find_classes(folder, "--images")
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("classes", "words"), [(("cross", "hook"), "also holds 'ring'"), (("a", "ring"), "lacks 'a'")])
def test_other_classes_than_those_set_are_refused_with_one_of_them(folder, classes, words):
    with pytest.raises(InputError, match=words):
        find_classes(folder, "--test", classes)


def test_a_thousand_classes_are_taken_and_more_are_not_nor_too_many_files(tmp_path, folder, monkeypatch):
    for number in range(1000):
        (tmp_path / "many" / str(number)).mkdir(parents=True)
        (tmp_path / "many" / str(number) / "a.png").touch()
    assert len(find_classes(tmp_path / "many", "--images").classes) == 1000
    (tmp_path / "many" / "more").mkdir()
    with pytest.raises(InputError, match="holds 1001"):
        find_classes(tmp_path / "many", "--images")
    monkeypatch.setattr(class_folders, "MOST_FILES", 5)
    with pytest.raises(InputError, match="5 pictures at most"):
        find_classes(folder, "--images")


def test_a_file_that_is_no_picture_is_named(folder):
    (folder / "hook" / "a.txt").write_text("hello")
    with pytest.raises(InputError, match=r"hook/a\.txt must be a PNG"):
        load_pictures(find_classes(folder, "--images").files, load_letter, "pictures")


def test_a_picture_is_known_again_by_its_bytes_and_by_its_image_under_another_name_and_form(folder, tmp_path):
    from PIL import Image

    other = write_signs(tmp_path / "other", 2, seed=1)
    shutil.copy(folder / "ring" / "0.png", other / "cross" / "copy.png")
    Image.open(folder / "hook" / "1.png").save(other / "hook" / "again.bmp")
    seen = load_pictures(find_classes(folder, "--images").files, load_letter, "pictures")
    found = find_classes(other, "--test")
    pictures = load_pictures(found.files, load_letter, "pictures")
    assert pictures.images.shape == (8, 28, 28, 1) and pictures.images.dtype == np.uint8
    shared = find_shared(seen.digests, pictures.digests)
    assert [name for name, both in zip(found.names, shared, strict=True) if both] == [
        "cross/copy.png",
        "hook/again.bmp",
    ]
