"""What a net is fed: images as they are, or the features that a frozen backbone makes of them, computed once."""

import functools
import hashlib
import io
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from digit_recognizer.config import RunConfig, flag
from digit_recognizer.data.augmentation import POLICIES, Augment, build_augment, preprocess_images
from digit_recognizer.errors import InputError
from digit_recognizer.io import HASH_CHUNK_BYTES, write_atomically
from digit_recognizer.models import build_model, load_model_module, read_options
from digit_recognizer.training.hardware import check_backend, precision_policy
from digit_recognizer.training.reproducibility import derive_seed

if TYPE_CHECKING:
    import keras

    from digit_recognizer.data.dataset import Dataset


# A frozen backbone's features, computed once per image and kept on disk.
#
# A frozen backbone answers the same image alike in every epoch and fold, so 30 epochs of 5 folds need one pass, not 150.
# The file's name is a hash of all that the features follow from; whatever changes, a new file is written beside the old.

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


def load_cached_augmentations(
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
        raise InputError(f"--cached-augmentations takes a number of at least 1; received {views}.")
    if views > 1 and augment is None:
        raise InputError(
            f"--cached-augmentations above 1 takes an augmentation; received {views} with none: "
            "name one by --augmentation, or leave --cached-augmentations at 1."
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


@dataclass(frozen=True)
class Inputs:
    """Training and test inputs of a run.

    Attributes:
        train: uint8 images or float32 features (k, n, ...): k versions of each training row, the first unaugmented.
        test: the same without the leading axis, one per test row.
        augment: applied to each training batch; None if nothing is, or if the views are augmented already.
        from_backbone: whether these are features, so that only the part of the net above them is fitted.
    """

    train: np.ndarray
    test: np.ndarray
    augment: Augment | None
    from_backbone: bool


def check_model_flags(config: RunConfig) -> None:
    """Refuse what a model cannot do, before anything is loaded or written.

    Raises:
        InputError: as `check_flag_combinations`, for values of options of which no net can be built, and for weights that
            cannot be had.
    """
    check_flag_combinations(config)
    if hasattr(load_model_module(config.model), "split"):
        load_weighted_model(config)
    elif read_options(config.model, config.model_args):
        count_parameters(config.model, config.model_args)


def check_flag_combinations(config: RunConfig) -> None:
    """Refuse what a model cannot do, as far as that can be told without building its net.

    Raises:
        InputError: for an unknown model or option of it, a backbone's flag on a net without one, weights that are no
            file, an unknown block, or augmentation of a transfer net without cached views to hold it; for generated
            digits of one; for several devices under another backend than JAX.
    """
    check_backend(config)
    module = load_model_module(config.model)
    read_options(config.model, config.model_args)
    if not hasattr(module, "split"):
        for name in ("weights", "unfreeze", "unfreeze_epochs", "unfreeze_learning_rate", "cached_augmentations"):
            if getattr(config, name) != getattr(RunConfig, name):
                raise InputError(f"{flag(name)} is for transfer nets; --model {config.model} has no frozen backbone.")
        return
    if config.weights not in ("imagenet", "none") and not Path(config.weights).is_file():
        raise InputError(f"--weights takes imagenet, none or an existing file; received {config.weights}.")
    if config.unfreeze is not None and config.unfreeze not in module.BLOCKS:
        raise InputError(f"--unfreeze takes one of {', '.join(module.BLOCKS)}; received {config.unfreeze!r}.")
    if config.tta != 1:
        raise InputError(
            f"--tta moves images, but --model {config.model} is fed features that its backbone makes once: "
            f"received {config.tta}; leave it at 1."
        )
    if config.preprocess != "none":
        raise InputError(
            f"--preprocess changes images, but --model {config.model} is fed features that its backbone makes of them "
            f"as they are: received {config.preprocess}; leave it out."
        )
    if config.synthetic_ratio:
        raise InputError(
            f"--synthetic-ratio makes images, but --model {config.model} is fed features that its backbone makes once: "
            f"received {config.synthetic_ratio}; leave it at 0."
        )
    if (config.augmentation == "none") != (config.cached_augmentations == 1):
        raise InputError(
            f"--model {config.model} caches its backbone's features, so augmented images must be a fixed number of "
            f"views: received --augmentation {config.augmentation} with --cached-augmentations {config.cached_augmentations}. "
            "Use --augmentation none, or an augmentation with --cached-augmentations 8."
        )


def make_inputs(dataset: "Dataset", task: tuple[RunConfig, str]) -> Inputs:
    """`build_inputs` as a task: a backbone's features are made where nets are fitted, by as many threads.

    Args:
        dataset: of the run.
        task: the run's configuration, and its precision.

    Raises:
        InputError: if the net's weights are not to be had there.
    """
    config, precision = task
    with precision_policy(precision):
        return build_inputs(config, dataset)


def build_inputs(config: RunConfig, dataset: "Dataset") -> Inputs:
    """Make the inputs of a run; call it under the run's precision policy."""
    module = load_model_module(config.model)
    augment = build_augment(POLICIES[config.augmentation])
    if not hasattr(module, "split"):
        images, test = (
            preprocess_images(images, config.preprocess) for images in (dataset.images, dataset.test_images)
        )
        return Inputs(images[None], test, augment, from_backbone=False)
    lower = module.split(load_weighted_model(config), config.unfreeze).lower
    # a read-only input folder, as on Kaggle, leaves features in memory for the length of the run
    folder = config.input_dir / ".cache"
    cache_dir = folder if os.access(folder if folder.exists() else config.input_dir, os.W_OK) else None
    if augment is None:
        views = load_features(lower, dataset.images, cache_dir, dataset.train_sha256, label="training rows")[None]
    else:
        views = load_cached_augmentations(
            lower,
            dataset.images,
            config.cached_augmentations,
            augment,
            derive_seed(config.seed, "cached augmentations"),
            cache_dir,
            dataset.train_sha256,
            repr(POLICIES[config.augmentation]),
            label="training rows",
        )
    test = load_features(lower, dataset.test_images, cache_dir, dataset.test_sha256, label="test rows")
    return Inputs(views, test, None, from_backbone=True)


def load_weighted_model(config: RunConfig) -> keras.Model:
    """A fresh model of the run's kind and options; `--weights none` means random ones."""
    weights = None if config.weights == "none" else config.weights
    options: dict[str, Any] = read_options(config.model, config.model_args)
    return build_model(config.model, weights=weights, **options)


@functools.cache
def count_parameters(model: str, net: tuple[str, ...]) -> int:
    """The parameters of a net with these options; it is built once, however many runs ask."""
    options: dict[str, Any] = read_options(model, net)
    return int(build_model(model, weights=None, **options).count_params())


def select_trained_part(config: RunConfig, model: keras.Model, inputs: Inputs) -> keras.Model:
    """The part of `model` that takes `inputs`; it shares the model's layers, so fitting it fits the model."""
    if not inputs.from_backbone:
        return model
    part: keras.Model = load_model_module(config.model).split(model, config.unfreeze).upper
    return part
