import gzip

import numpy as np
import pytest
from image_sets import draw_image_set, pack_idx, write_idx_folder, write_npz_folder

from digit_recognizer.data import image_files
from digit_recognizer.data.image_files import load_image_files
from digit_recognizer.errors import InputError


@pytest.fixture
def images():
    return draw_image_set()


@pytest.fixture
def idx_dir(tmp_path, images):
    return write_idx_folder(tmp_path / "idx", images)


@pytest.fixture
def npz_dir(tmp_path, images):
    return write_npz_folder(tmp_path / "npz", images)


def refusal(folder):
    with pytest.raises(InputError) as caught:
        load_image_files(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def assert_holds(loaded, images):
    np.testing.assert_array_equal(loaded.train_pixels, images[0].reshape(-1, 784))
    np.testing.assert_array_equal(loaded.train_labels, images[1])
    np.testing.assert_array_equal(loaded.test_pixels, images[2].reshape(-1, 784))
    np.testing.assert_array_equal(loaded.test_labels, images[3])


@pytest.mark.parametrize("folder", ["idx_dir", "npz_dir"])
def test_an_image_set_is_loaded_as_pixels_and_labels(folder, images, request):
    loaded = load_image_files(request.getfixturevalue(folder))
    assert_holds(loaded, images)
    assert (loaded.train_pixels.dtype, loaded.train_labels.dtype) == (np.uint8, np.int64)
    assert loaded.notes == ()


def test_gzipped_idx_files_are_the_same(idx_dir, images):
    for path in list(idx_dir.iterdir()):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert_holds(load_image_files(idx_dir), images)


def test_test_labels_may_be_missing(idx_dir):
    (idx_dir / "t10k-labels-idx1-ubyte").unlink()
    assert load_image_files(idx_dir).test_labels is None


def test_an_excerpt_by_its_name_is_noted(npz_dir):
    for name in ("imgs", "labels"):
        (npz_dir / f"kmnist-train-{name}.npz").rename(npz_dir / f"kmnist-train-{name}-first12.npz")
    notes = load_image_files(npz_dir).notes
    assert notes == ("kmnist-train-imgs-first12.npz holds only the first 12 rows of its set",)


def cut(content):
    return content[:-1]


def lengthen(content):
    return content + b"\0"


def change_type(content):
    return content[:2] + b"\x0d" + content[3:]


def change_side(content):
    return content[:11] + b"\x1d" + content[12:]


def claim_many(content):
    return content[:4] + b"\xff\xff\xff\xff" + content[8:]


def cut_gzip(content):
    return gzip.compress(content)[:-20]


def spoil_gzip(content):
    packed = bytearray(gzip.compress(content))
    packed[len(packed) // 2] ^= 255
    return bytes(packed)


def bomb_gzip(content):
    return gzip.compress(content + bytes(50_000_000))


SPOILERS = [cut, lengthen, change_type, change_side, claim_many, cut_gzip, spoil_gzip, bomb_gzip]


@pytest.mark.parametrize("spoil", [*SPOILERS, lambda content: b""], ids=lambda spoil: spoil.__name__)
def test_a_damaged_idx_file_is_refused_by_name(idx_dir, spoil):
    path = idx_dir / "train-images-idx3-ubyte"
    path.write_bytes(spoil(path.read_bytes()))
    assert str(path) in refusal(idx_dir)


@pytest.mark.parametrize("name", ["train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte"])
def test_a_missing_idx_file_is_named_by_its_role(idx_dir, name):
    (idx_dir / name).unlink()
    part, kind, _ = name.replace("t10k", "test").split("-", 2)
    assert f"none of the {part} {kind}" in refusal(idx_dir)


def test_a_file_both_plain_and_gzipped_is_refused(idx_dir):
    (idx_dir / "train-images-idx3-ubyte.gz").write_bytes(b"")
    assert "keep one" in refusal(idx_dir)


def test_idx_and_npz_in_one_folder_are_refused(idx_dir, npz_dir):
    for path in npz_dir.iterdir():
        path.rename(idx_dir / path.name)
    assert "two folders" in refusal(idx_dir)


def test_labels_of_other_classes_are_refused(idx_dir):
    (idx_dir / "train-labels-idx1-ubyte").write_bytes(pack_idx(np.arange(12, dtype=np.uint8)))
    message = refusal(idx_dir)
    assert "train-labels-idx1-ubyte, row 11" in message
    assert "this is 10" in message


@pytest.mark.parametrize("rows", [11, 13])
def test_images_and_labels_that_do_not_pair_are_refused(idx_dir, rows):
    (idx_dir / "train-labels-idx1-ubyte").write_bytes(pack_idx(np.arange(rows, dtype=np.uint8) % 10))
    assert f"12 images and train-labels-idx1-ubyte {rows} labels" in refusal(idx_dir)


BAD_ARRAYS = {
    "floats": np.zeros((12, 28, 28), np.float32),
    "flat": np.zeros((12, 784), np.uint8),
    "none": np.zeros((0, 28, 28), np.uint8),
    "objects": np.array([{}] * 12, object),
}


@pytest.mark.parametrize("case", BAD_ARRAYS)
def test_an_npz_of_anything_but_images_is_refused(npz_dir, case):
    np.savez(npz_dir / "kmnist-train-imgs.npz", BAD_ARRAYS[case])
    assert "kmnist-train-imgs.npz" in refusal(npz_dir)


def test_an_npz_with_further_arrays_is_refused(npz_dir, images):
    np.savez(npz_dir / "kmnist-train-imgs.npz", images[0], images[1])
    assert "nothing else" in refusal(npz_dir)


def test_an_npz_that_unpacks_to_too_much_is_refused(npz_dir, monkeypatch):
    monkeypatch.setattr(image_files, "MOST_IMAGES", 5)
    assert "more than any such set" in refusal(npz_dir)


def test_a_truncated_npz_is_refused(npz_dir):
    path = npz_dir / "kmnist-test-imgs.npz"
    path.write_bytes(path.read_bytes()[:-40])
    assert str(path) in refusal(npz_dir)
