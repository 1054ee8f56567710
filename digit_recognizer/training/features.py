"""A frozen backbone's features, computed once per image and kept on disk.

A frozen backbone answers the same image alike in every epoch and fold, so 30 epochs of 5 folds need one pass, not 150.
The file's name is a hash of all that the features follow from; whatever changes, a new file is written beside the old.
"""

import functools
import hashlib
import io
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digit_recognizer.errors import InputError
from digit_recognizer.files import HASH_CHUNK_BYTES, write_atomically

if TYPE_CHECKING:
    import keras

BATCH_SIZE = 256  # images per call of the backbone: VGG16's first block then takes some 200 MB
PROGRESS_DELAY_SECONDS = 1.0  # a bar that vanishes at once is noise
DIGEST_BYTES = hashlib.sha256().digest_size

ViewBatch = Callable[[np.ndarray, int], np.ndarray]
"""From a batch of uint8 images and the batch's number to the view of them that the backbone sees."""


def load_features(
    lower: "keras.Model",
    pixels: np.ndarray,
    cache_dir: Path | None,
    data_sha256: str,
    batch_size: int = BATCH_SIZE,
    label: str = "",
) -> np.ndarray:
    """Open the features of these images, or compute them and keep them.

    Args:
        lower: the frozen part of a net, from float32 images in [0, 1] to features.
        pixels: uint8 (n, 784) or (n, height, width, channels), 255 = full ink; n at least 1.
        cache_dir: the folder of the kept features, made if need be; None keeps them in memory only.
        data_sha256: what names the data set; the rows themselves are part of the key as well.
        batch_size: images per call of `lower`.
        label: what the progress bar calls them.

    Returns:
        float32 (n, *feature shape), read-only if it comes from a file. A file that is cut short or damaged is computed
        anew.

    Raises:
        InputError: if the folder cannot be written to, or its disk is too full.
    """
    return _load_view(lower, pixels, cache_dir, {"data": data_sha256, "view": 0}, None, batch_size, label)


def load_feature_views(
    lower: "keras.Model",
    pixels: np.ndarray,
    views: int,
    augment: Callable[[np.ndarray, np.random.Generator], np.ndarray] | None,
    seed: int,
    cache_dir: Path | None,
    data_sha256: str,
    augmentation_key: str,
    batch_size: int = BATCH_SIZE,
    label: str = "",
) -> np.ndarray:
    """Open or compute the features of several views of each image: the first as it is, the others augmented.

    Augmentation and kept features are at odds; a handful of fixed views is the middle way.

    Args:
        lower: as in `load_features`.
        pixels: as in `load_features`.
        views: how many, at least 1.
        augment: from uint8 images, (n, height, width) if they have one channel and (n, height, width, channels) if
            not, and a generator to new ones of the same shape. Batch b of view k gets the generator of
            [seed, k, b]. Only a single view goes without.
        seed: of the views.
        cache_dir: as in `load_features`; every view has its file.
        data_sha256: as in `load_features`.
        augmentation_key: what names `augment` and its settings; another name gives other files.
        batch_size: images per call of `lower` and of `augment`.
        label: what the progress bar calls them.

    Returns:
        float32 (views, n, *feature shape), in memory if there are two views or more.

    Raises:
        InputError: as in `load_features`, or if there is nothing to make a second view with.
    """
    if views < 1:
        raise InputError(f"--feature-views takes a number of at least 1; received {views}.")
    if views > 1 and augment is None:
        raise InputError(
            f"--feature-views above 1 takes an augmentation; received {views} with none: "
            "name one by --augmentation, or leave --feature-views at 1."
        )
    features = [load_features(lower, pixels, cache_dir, data_sha256, batch_size, label)]
    if augment is not None:
        named = {"data": data_sha256, "seed": seed, "augmentation": augmentation_key, "batch_size": batch_size}
        for view in range(1, views):
            view_batch = functools.partial(_augment_batch, augment, seed, view)
            title = f"{label} view {view}".strip()
            features.append(
                _load_view(lower, pixels, cache_dir, {**named, "view": view}, view_batch, batch_size, title)
            )
    return features[0][np.newaxis] if views == 1 else np.stack(features)


def compute_features(
    lower: "keras.Model", pixels: np.ndarray, view_batch: ViewBatch | None, batch_size: int, label: str
) -> Iterator[np.ndarray]:
    """Yield the features batch by batch: float32 (at most batch_size, *feature shape), in the images' order.

    Only one batch is ever held as float32 images.

    Args:
        lower: as in `load_features`.
        pixels: as in `load_features`.
        view_batch: what is done to each batch first; None leaves the images as they are.
        batch_size: images per call of `lower`.
        label: what the progress bar calls them.
    """
    from tqdm import tqdm

    images = _to_images(lower, pixels)
    width = min(batch_size, len(images))
    with tqdm(total=len(images), desc=label or "features", unit="image", delay=PROGRESS_DELAY_SECONDS) as progress:
        for number, start in enumerate(range(0, len(images), width)):
            batch = images[start : start + width]
            if view_batch is not None:
                batch = view_batch(batch, number)
            # blank images fill up the last batch: another batch shape would be compiled anew
            padded = np.zeros((width, *batch.shape[1:]), np.float32)
            np.divide(batch, 255, out=padded[: len(batch)], dtype=np.float32)
            yield np.asarray(lower.predict_on_batch(padded), np.float32)[: len(batch)]
            progress.update(len(batch))


def _load_view(
    lower: "keras.Model",
    pixels: np.ndarray,
    cache_dir: Path | None,
    facts: dict[str, object],
    view_batch: ViewBatch | None,
    batch_size: int,
    label: str,
) -> np.ndarray:
    blocks = compute_features(lower, pixels, view_batch, batch_size, label)
    if cache_dir is None:
        return np.concatenate(list(blocks))
    path = Path(cache_dir) / f"features-{_hash_key(lower, _to_images(lower, pixels), facts)}.npy"
    if not _is_whole(path):
        _write_features(path, (len(pixels), *lower.output_shape[1:]), blocks)
    return np.load(path, mmap_mode="r", allow_pickle=False)


def _to_images(lower: "keras.Model", pixels: np.ndarray) -> np.ndarray:
    if pixels.dtype != np.uint8 or len(pixels) == 0:
        raise ValueError(f"pixels must be uint8 and at least one image; received {pixels.dtype} {pixels.shape}")
    return pixels.reshape(len(pixels), *lower.input_shape[1:])


def _augment_batch(
    augment: Callable[[np.ndarray, np.random.Generator], np.ndarray],
    seed: int,
    view: int,
    images: np.ndarray,
    number: int,
) -> np.ndarray:
    seen = images[..., 0] if images.shape[-1] == 1 else images
    augmented = augment(seen, np.random.default_rng([seed, view, number]))
    if augmented.shape != seen.shape or augmented.dtype != np.uint8:
        raise ValueError(f"augment must return uint8 {seen.shape}; received {augmented.dtype} {augmented.shape}")
    return augmented.reshape(images.shape)


def _hash_key(lower: "keras.Model", images: np.ndarray, facts: dict[str, object]) -> str:
    """Hash all that the features follow from: images, view, layers, weights, precision and backend."""
    import keras

    facts = {
        **facts,
        "shape": images.shape,
        "layers": lower.to_json(),  # each layer's precision is in it
        "precision": lower.dtype_policy.name,
        "backend": keras.backend.backend(),
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for array in (images, *lower.get_weights()):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _write_features(path: Path, shape: tuple[int, ...], blocks: Iterator[np.ndarray]) -> None:
    """Write an .npy file block by block, and behind it its SHA-256, which np.load does not read."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": shape})
    with write_atomically(path) as temporary:
        need_bytes, free_bytes = 4 * int(np.prod(shape)), shutil.disk_usage(path.parent).free
        if need_bytes > free_bytes:  # known now, and not after minutes of computing
            raise InputError(
                f"{path.parent} must have room for {need_bytes:,} bytes of features, but {free_bytes:,} are free: "
                "make room or name another folder."
            )
        digest = hashlib.sha256(header.getvalue())
        with temporary.open("wb") as file:
            file.write(header.getvalue())
            for block in blocks:
                content = block.astype("<f4").tobytes()
                digest.update(content)
                file.write(content)
            file.write(digest.digest())


def _is_whole(path: Path) -> bool:
    """Whether the file is there and ends with the SHA-256 of all before."""
    if not path.is_file():
        return False
    digest, left_bytes = hashlib.sha256(), path.stat().st_size - DIGEST_BYTES
    with path.open("rb") as file:
        while left_bytes > 0:
            chunk = file.read(min(HASH_CHUNK_BYTES, left_bytes))
            digest.update(chunk)
            left_bytes -= len(chunk)
        return file.read() == digest.digest()
