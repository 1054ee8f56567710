"""Tiny image sets of the MNIST family, as their makers would publish them."""

import struct
import zipfile

import numpy as np


def draw_image_set(seed=5):
    """Train images, train labels, test images, test labels: 12 and 5 rows of noise."""
    rng = np.random.default_rng(seed)
    train, test = (rng.integers(0, 256, (rows, 28, 28), dtype=np.uint8) for rows in (12, 5))
    return train, np.arange(12, dtype=np.uint8) % 10, test, np.array([3, 1, 4, 1, 5], np.uint8)


def pack_idx(array):
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx_folder(folder, arrays):
    folder.mkdir()
    names = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
    for name, array in zip(names, arrays, strict=True):
        (folder / name).write_bytes(pack_idx(array))
    return folder


def write_npz_folder(folder, arrays):
    folder.mkdir()
    for name, array in zip(("train-imgs", "train-labels", "test-imgs", "test-labels"), arrays, strict=True):
        np.savez_compressed(folder / f"kmnist-{name}.npz", array)
    return folder


def zip_folder(folder, path, **renamed):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(folder.iterdir()):
            archive.writestr(renamed.get(file.stem, file.name), file.read_bytes())
    return path
