import hashlib
import json

import numpy as np
import pytest
from conftest import expect_error
from image_sets import draw_image_set, write_idx_folder, write_npz_folder, zip_folder

from digit_recognizer import download as download_command
from digit_recognizer.cli import parse_run_config
from digit_recognizer.config import RunConfig
from digit_recognizer.data import labels, sources
from digit_recognizer.data.dataset import check_augmentation, load_dataset
from digit_recognizer.data.labels import DIGITS, FASHION, KUZUSHIJI, LABEL_SETS, load_label_set
from digit_recognizer.data.sources import download
from digit_recognizer.io import hash_file, install_file

pytestmark = pytest.mark.fast

VEGETABLES = ["leek", "beet", "kale", "okra", "pea", "yam", "maize", "chard", "cress", "Brüssel (1)"]
OWN = {"label_set": "other", "names": VEGETABLES}


@pytest.fixture
def images():
    return draw_image_set()


@pytest.fixture
def idx_dir(tmp_path, images):
    return write_idx_folder(tmp_path / "idx", images)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "input"


@pytest.fixture
def known(images, monkeypatch):
    """The tiny test images stand for Fashion-MNIST's."""
    digest = hashlib.sha256(images[2].tobytes()).hexdigest()
    monkeypatch.setattr(sources, "KNOWN_TEST_IMAGES", {digest: FASHION})


def put(folder, content):
    (folder / "classes.json").write_text(json.dumps(content))


def test_a_published_set_is_known_by_its_test_images_whatever_its_files_are_called(
    known, images, idx_dir, tmp_path, capsys
):
    npz_dir = write_npz_folder(tmp_path / "npz", images)
    assert download_command.main([str(idx_dir), "--input-dir", "input"]) == 0
    assert "T-shirt/top: 2, Trouser: 2, Pullover: 1" in capsys.readouterr().out
    for number, source in enumerate((npz_dir, tmp_path / "input", zip_folder(tmp_path / "input", tmp_path / "a.zip"))):
        found = download(str(source), tmp_path / str(number))
        assert "T-shirt/top: 2" in found and "classes.json" in found
        content = json.loads((tmp_path / str(number) / "classes.json").read_text())
        assert content.pop("test_sha256") == hash_file(tmp_path / str(number) / "test.csv")
        assert content == {"label_set": "fashion", "names": list(FASHION.names)}


def test_other_images_are_digits_and_get_no_file(idx_dir, target):
    download(str(idx_dir), target)
    assert not (target / "classes.json").exists() and load_label_set(target) == DIGITS


def test_names_of_ones_own_come_with_the_source_and_are_bound_to_its_test_images(idx_dir, target, tmp_path):
    put(idx_dir, OWN)
    assert "leek: 2, beet: 2" in download(str(idx_dir), target)
    table = (target / "test.csv").read_bytes()
    (target / "test.csv").write_bytes(table.replace(b"\n", b"\r\n"))
    with expect_error("data.other_classes", path=target / "classes.json"):
        download(str(target), tmp_path / "copy")
    put(target, OWN)  # bound to no table
    download(str(target), tmp_path / "copy")
    assert (tmp_path / "copy" / "test.csv").read_bytes() == table
    assert load_label_set(tmp_path / "copy", hash_file(tmp_path / "copy" / "test.csv")).names == tuple(VEGETABLES)


def test_names_of_earlier_images_do_not_stay_behind(known, idx_dir, target, tmp_path):
    other = str(write_idx_folder(tmp_path / "digits", draw_image_set(6)))
    download(str(idx_dir), target)
    with expect_error("data.would_overwrite", path=target, received="train.csv, test.csv, classes.json"):
        download(other, target)
    download(other, target, overwrite=True)
    assert not (target / "classes.json").exists()


def test_names_of_the_same_images_stay_and_are_not_overwritten_unasked(known, idx_dir, target):
    download(str(idx_dir), target)
    german = {"label_set": "fashion", "names": [f"{name} (de)"[-14:].strip() for name in FASHION.names]}
    put(target, german)
    with expect_error("data.would_overwrite", path=target, received="classes.json"):
        download(str(idx_dir), target)
    kept = load_label_set(target)
    assert list(kept.names) == german["names"] and kept.can_mirror and kept.near_distance == FASHION.near_distance


def test_a_download_stopped_before_the_names_came_is_not_taken_for_digits(known, idx_dir, target, monkeypatch):
    def stop_at_names(staged, path):
        if path.name == "classes.json":
            raise KeyboardInterrupt
        install_file(staged, path)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(sources, "install_file", stop_at_names)
        download(str(idx_dir), target)
    with expect_error("data.missing", path=target / "sample_submission.csv"):
        load_dataset(RunConfig(input_dir=target))
    download(str(idx_dir), target)
    assert load_dataset(RunConfig(input_dir=target)).class_names == FASHION.names


NO_NAMES = ("", " ", "leek ", "a" * 15, "a\nb", "\x1b[2J", "$x$", "<b>", "お", "\u202eab", "_x", "x\u0301", 9, "leek")


@pytest.mark.parametrize(
    ("content", "column"),
    [
        ([], ""),
        ({**OWN, "colour": 1}, "colour"),
        ({"names": VEGETABLES}, "label_set"),
        ({**OWN, "label_set": ["fashion"]}, "label_set"),
        ({**OWN, "label_set": "greek"}, "label_set"),
        ({**OWN, "test_sha256": 5}, "test_sha256"),
        ({**OWN, "names": VEGETABLES[:9]}, "names"),
        ({**OWN, "names": dict.fromkeys(VEGETABLES)}, "names"),
        *[({**OWN, "names": [*VEGETABLES[:9], name]}, "names") for name in NO_NAMES],
    ],
)
def test_names_that_cannot_be_shown_are_refused(tmp_path, content, column):
    put(tmp_path, content)
    with expect_error("data.label_set", path=tmp_path / "classes.json", column=column) as caught:
        load_label_set(tmp_path)
    assert str(caught.value).isprintable()


def test_an_accent_of_its_own_is_one_letter_with_its_letter(tmp_path):
    put(tmp_path, {**OWN, "names": [*VEGETABLES[:9], "e\u0301"]})
    assert load_label_set(tmp_path).names[9] == "\u00e9"


def test_a_damaged_file_of_names_is_named_as_the_source_calls_it(idx_dir, target):
    (idx_dir / "classes.json").write_text('{"label_set"')
    with expect_error("io.not_json", path=idx_dir / "classes.json"):
        download_command.main([str(idx_dir), "--input-dir", str(target), "--debug"])
    assert not target.exists()


def test_the_names_of_known_label_sets_are_such_as_a_file_may_hold(tmp_path):
    for label_set in (DIGITS, FASHION, KUZUSHIJI):
        put(tmp_path, label_set.to_json())
        assert load_label_set(tmp_path) == label_set


def test_matplotlibs_own_font_has_every_letter_that_a_name_may_have():
    from matplotlib.font_manager import findfont, get_font

    drawn = get_font(findfont("DejaVu Sans")).get_charmap()
    allowed = {letter for script in labels.SCRIPTS for letter in script if chr(letter).isalnum()}
    assert allowed <= set(drawn) and {ord("Я"), ord("ω"), ord("ß")} <= allowed


def test_clothes_that_are_alike_are_not_taken_for_copies_of_one_image(tmp_path, known, images):
    shirt = np.zeros((28, 28), np.uint8)
    shirt[4:24, 6:22] = 100
    striped = shirt.copy()
    striped[4:24:2, 6:22] = 124  # 0.11 away, where digits are copies
    faded = shirt // 4 * 3
    images[0][:3] = shirt, striped, faded
    download(str(write_idx_folder(tmp_path / "shirts", images)), tmp_path / "clothes")
    config = RunConfig(input_dir=tmp_path / "clothes")
    assert load_dataset(config).groups[:4].tolist() == [0, 1, 0, 2]
    (tmp_path / "clothes" / "classes.json").unlink()
    assert load_dataset(config).groups[:4].tolist() == [0, 0, 0, 1]


@pytest.mark.parametrize("label_set", LABEL_SETS.values(), ids=list(LABEL_SETS))
def test_a_data_set_has_a_recipe_that_can_be_typed(label_set):
    name, *flags = label_set.recipe.split()
    check_augmentation(parse_run_config(name, flags, ""), label_set)
