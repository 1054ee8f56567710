import gzip

import numpy as np
import pytest
from image_sets import draw_image_set, write_idx_folder, write_npz_folder

from digit_recognizer.data.sources import load_image_files
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


def test_an_npz_with_further_arrays_is_refused(npz_dir, images):
    np.savez(npz_dir / "kmnist-train-imgs.npz", images[0], images[1])
    assert "nothing else" in refusal(npz_dir)
