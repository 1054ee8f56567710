"""Arrays that hold a pickle, wherever this package reads arrays: refused or passed over, and nothing has run."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import expect_error, write_run

from digit_recognizer.io import load_npz
from digit_recognizer.training.run import load_run


class PickledMark:
    """What leaves its mark on being unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that is there if a payload has run."""
    return tmp_path / "mark"


def pickle_array(mark: Path) -> np.ndarray:
    array = np.empty(1, object)
    array[0] = PickledMark(mark)
    return array


def test_the_payload_is_real(tmp_path: Path, mark: Path) -> None:
    np.save(tmp_path / "array.npy", pickle_array(mark), allow_pickle=True)
    np.load(tmp_path / "array.npy", allow_pickle=True)
    assert mark.exists()


@pytest.mark.parametrize("name", ["oof_probabilities", "test_probabilities"])
def test_a_run_with_a_pickle_for_its_probabilities_is_refused(
    tmp_path: Path, tiny_dir: Path, mark: Path, name: str
) -> None:
    run = write_run(tmp_path / "run", tiny_dir, np.full((60, 10), 0.1), np.full((20, 10), 0.1))
    load_run(run)
    np.save(run / f"{name}.npy", pickle_array(mark), allow_pickle=True)
    with expect_error("io.npy_dtype", path=run / f"{name}.npy"):
        load_run(run)
    assert not mark.exists()


def test_images_that_are_a_pickle_are_refused(tmp_path: Path, mark: Path) -> None:
    np.savez(tmp_path / "images.npz", pickle_array(mark), allow_pickle=True)
    with expect_error("io.npy_dtype", path=tmp_path / "images.npz"):
        load_npz(tmp_path / "images.npz", 1 << 20)
    assert not mark.exists()
