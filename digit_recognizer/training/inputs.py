"""What a model is trained on: images as they are, or the features that a frozen backbone makes of them.

A frozen backbone turns the same image into the same features in every epoch and fold, so 30 epochs of 5 folds need one
pass, not 150. Features are kept in files; a file's name is a hash of all that its features follow from, so whatever
changes gets a new file beside the old one.
"""

import contextlib
import functools
import hashlib
import json
import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from digit_recognizer.config import RunConfig, flag, is_user_model
from digit_recognizer.console import open_bar
from digit_recognizer.data.augmentation import POLICIES, SMALL_PX, Augment, build_augment, preprocess_images
from digit_recognizer.data.csv import CLASSES, IMAGE_SIDE_PX
from digit_recognizer.errors import InputError
from digit_recognizer.io import check_free_disk, find_cache_dir, hash_file, remove_unused, write_atomically
from digit_recognizer.models import SEEN_TEST_ROWS, construct_model, load_model_module, read_options
from digit_recognizer.training.hardware import precision_policy
from digit_recognizer.training.reproducibility import derive_seed

BATCH_SIZE = 256  # images per call of the backbone: VGG16's first block then takes some 200 MB
PROBABILITY_TOLERANCE = 1e-2  # of the sum of a row; a softmax in bfloat16 is off by a few thousandths
DIGEST_BYTES = hashlib.sha256().digest_size


@dataclass(frozen=True)
class Inputs:
    """Training and test inputs of a run.

    Attributes:
        train: uint8 images or float32 features (k, n, ...): k versions of each training row, the first unaugmented.
        test: the same without the leading axis, one per test row.
        from_backbone: whether these are features, so that only the part of the model above them is trained.
    """

    train: np.ndarray
    test: np.ndarray
    from_backbone: bool


def make_inputs(images: tuple[np.ndarray, np.ndarray], config: RunConfig) -> Inputs:
    """Make the inputs of a run. Features depend on the number of threads, so the executor runs this, as training.

    Args:
        images: of the training and of the test rows, uint8 (n, height, width, 1).
        config: of the run, with its precision resolved.

    Raises:
        InputError: if the model's weights are not available.
    """
    module = load_model_module(config.model)
    if not hasattr(module, "split_backbone"):
        train, test = (preprocess_images(each, config.preprocess) for each in images)
        return Inputs(train[None], test, from_backbone=False)
    augment = build_augment(POLICIES[config.augmentation])
    cache_dir = None  # a user without a home leaves features in memory for the length of the run
    with contextlib.suppress(OSError):
        (folder := find_cache_dir() / "features").mkdir(parents=True, exist_ok=True)
        cache_dir = folder
    with precision_policy(config.precision):
        lower = module.split_backbone(build_fresh_model(config), config.unfreeze).lower
        versions = [load_features(lower, images[0], cache_dir, label="training rows")]
        for number in range(1, config.cached_augmentations):
            assert augment is not None, "check_flag_combinations refuses several versions without augmentation"
            seed = derive_seed(config.seed, "cached augmentations")
            version = AugmentedVersion(number, augment, repr(POLICIES[config.augmentation]), seed)
            versions.append(load_features(lower, images[0], cache_dir, version, label=f"training rows, {number}"))
        test = load_features(lower, images[1], cache_dir, label="test rows")
    train = versions[0][None] if len(versions) == 1 else np.stack(versions)
    return Inputs(train, test, from_backbone=True)


# Features of a frozen backbone, and their cache


class AugmentedVersion(NamedTuple):
    """One more version of every image, the same in all epochs, so that its features can be cached."""

    number: int
    """Of the version, from 1; 0 would be the images as they are."""
    augment: Augment
    """From uint8 (n, height, width) to the same."""
    name: str
    """Names `augment` and its settings; another name gets another file."""
    seed: int
    """Batch b of version k is drawn by the generator of [seed, k, b]."""


def load_features(
    lower: keras.Model,
    images: np.ndarray,
    cache_dir: Path | None,
    version: AugmentedVersion | None = None,
    batch_size: int = BATCH_SIZE,
    label: str = "features",
) -> np.ndarray:
    """Load the features of these images, or compute and keep them.

    Args:
        lower: the frozen part of a model, from float32 images in [0, 1] to features.
        images: uint8 (n, height, width, 1), 255 = full ink.
        cache_dir: folder of the kept features, made if need be; None keeps them in memory only.
        version: how the images are augmented first; None takes them as they are.
        batch_size: images per call of `lower`.
        label: what the progress bar calls them.

    Returns:
        float32 (n, *feature shape), read-only where it comes from a file. A damaged file is computed again.

    Raises:
        InputError: if the folder cannot be written to, or its disk is too full.

    Example:
        >>> halves = vgg16.split_backbone(build_model("vgg16", weights=None))          # doctest: +SKIP
        >>> load_features(halves.lower, dataset.images, Path("cache")).shape    # doctest: +SKIP
        (42000, 512)
    """
    if cache_dir is None or not len(images):
        return compute_features(lower, images, version, batch_size, label)
    path = cache_dir / f"features-{_hash_dependencies(lower, images, version, batch_size)}.npy"
    if _is_intact(path):
        kept: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
        if (kept.dtype, kept.shape) == (np.float32, (len(images), *lower.output_shape[1:])) and np.isfinite(kept).all():
            os.utime(path)  # so that it is not taken for unused
            return kept
    # found now, and not after minutes of computing
    check_free_disk(cache_dir, 4 * len(images) * math.prod(lower.output_shape[1:]))
    features = compute_features(lower, images, version, batch_size, label)
    with write_atomically(path) as temporary:
        with temporary.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(features))
            file.write(features.data)  # NumPy's own writing does not say why it fails
        digest = bytes.fromhex(hash_file(temporary))
        with temporary.open("ab") as file:
            file.write(digest)  # behind the array, where np.load does not read
    remove_unused(cache_dir)
    return features


def compute_features(
    lower: keras.Model, images: np.ndarray, version: AugmentedVersion | None, batch_size: int, label: str
) -> np.ndarray:
    """Compute the features of images (n, height, width, channels); arguments and result as in `load_features`.

    Only one batch at a time is held as float32 images.
    """
    features = np.empty((len(images), *lower.output_shape[1:]), np.float32)
    size = max(1, min(batch_size, len(images)))
    with open_bar(label, len(images), "images") as progress:
        for number, start in enumerate(range(0, len(images), size)):
            batch = images[start : start + size]
            if version is not None:
                rng = np.random.default_rng([version.seed, version.number, number])
                batch = version.augment(batch[..., 0], rng)[..., None]
            # blank images fill up the last batch: another batch shape would be compiled again
            padded = np.zeros((size, *batch.shape[1:]), np.float32)
            np.divide(batch, 255, out=padded[: len(batch)], dtype=np.float32)
            features[start : start + size] = lower.predict_on_batch(padded)[: len(batch)]
            progress.update(len(batch))
    return features


def _hash_dependencies(
    lower: keras.Model, images: np.ndarray, version: AugmentedVersion | None, batch_size: int
) -> str:
    """Hash all that the features follow from: images, augmentation, layers, weights, precision and backend."""
    facts = {
        "version": version and [version.number, version.name, version.seed, batch_size],
        "shape": images.shape,
        "layers": lower.to_json(),  # each layer's precision is in it
        "precision": lower.dtype_policy.name,
        "backend": keras.backend.backend(),
    }
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for array in (images, *lower.get_weights()):
        digest.update(np.ascontiguousarray(array).data)
    return digest.hexdigest()


def _is_intact(path: Path) -> bool:
    """Whether the file is there and ends with the SHA-256 of all before."""
    if not path.is_file() or path.stat().st_size <= DIGEST_BYTES:
        return False
    content = np.memmap(path, np.uint8, mode="r")
    return hashlib.sha256(content[:-DIGEST_BYTES].data).digest() == content[-DIGEST_BYTES:].tobytes()


# Models as a configuration asks for them, and what their flags can be


def build_fresh_model(config: RunConfig, classes: int = CLASSES) -> keras.Model:
    """A fresh model with the run's options; `--weights none` means random weights."""
    weights = None if config.weights == "none" else config.weights
    options: dict[str, Any] = read_options(config.model, config.model_args)
    return construct_model(config.model, classes=classes, weights=weights, **options)


def count_parameters(model: str, model_args: tuple[str, ...]) -> int:
    """The number of parameters of a model with these options; one of the package is built once for all calls."""
    if is_user_model(model):  # its code may change between two calls
        return _count_parameters.__wrapped__(model, model_args)
    return _count_parameters(model, model_args)


@functools.cache
def _count_parameters(model: str, model_args: tuple[str, ...]) -> int:
    options: dict[str, Any] = read_options(model, model_args)
    return int(construct_model(model, weights=None, **options).count_params())


def select_trainable_model(config: RunConfig, model: keras.Model, inputs: Inputs) -> keras.Model:
    """The part of `model` that takes `inputs`; it shares the model's layers, so training it trains the model."""
    if not inputs.from_backbone:
        return take_any_size(config, model) if config.small_epochs else model
    part: keras.Model = load_model_module(config.model).split_backbone(model, config.unfreeze).upper
    return part


def take_any_size(config: RunConfig, model: keras.Model) -> keras.Model:
    """The layers of `model` as a model that takes images of any size.

    Raises:
        InputError: if small images do not pass its layers: a dense one after a flattened image knows one size only.
    """

    def share_layers(side_px: int | None) -> keras.Model:
        images = keras.Input((side_px, side_px, 1))
        shared: keras.Model = keras.models.clone_model(model, input_tensors=images, clone_function=lambda layer: layer)
        return shared

    try:
        share_layers(SMALL_PX)
        return share_layers(None)
    except (ValueError, TypeError) as error:
        raise InputError("training.needs_any_size", column=flag("small_epochs"), model=config.model_name) from error


def check_model_flags(config: RunConfig, classes: int = CLASSES) -> None:
    """Refuse what a model cannot do, before anything is loaded or written.

    Raises:
        InputError: as `check_flag_combinations`; for options with which no model can be built; for missing weights; for
            a user's model that is none.
    """
    check_flag_combinations(config)
    if is_user_model(config.model):
        check_user_model(config, classes)
    elif hasattr(load_model_module(config.model), "split_backbone"):
        build_fresh_model(config)
    elif read_options(config.model, config.model_args):
        count_parameters(config.model, config.model_args)
    if config.small_epochs:
        take_any_size(config, build_fresh_model(config, classes))


def check_user_model(config: RunConfig, classes: int = CLASSES) -> None:
    """Refuse a user's model that cannot be trained and evaluated as ours are, by a batch of noise.

    Args:
        config: names the model.
        classes: how many probabilities it must give.

    Raises:
        InputError: if it cannot be built, has other inputs or outputs, gives no probabilities, or is not a new one in
            each call.
    """
    name = config.model_name
    try:
        model, second = (build_fresh_model(config, classes) for _ in range(2))
    except InputError:
        raise
    except Exception as error:  # whatever its author has written
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"
        raise InputError("models.build_fails", model=name, reason=reason) from error
    if not isinstance(model, keras.Model) or not _has_one(model, "inputs") or not _has_one(model, "outputs"):
        raise InputError("models.not_functional", model=name, received=type(model).__name__)
    shapes, expected = (model.input_shape, model.output_shape), (None, IMAGE_SIDE_PX, IMAGE_SIDE_PX, 1)
    if shapes != (expected, (None, classes)):
        received = f"{shapes[0]} to {shapes[1]}"
        raise InputError("models.own_shape", model=name, expected=expected, classes=classes, received=received)
    try:
        model.get_config()  # else all epochs of a fold would be trained before its model could not be written
    except Exception as error:
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:150]}"
        raise InputError("models.build_fails", model=name, reason=reason) from error
    if {id(layer) for layer in model.layers if layer.weights} & {id(layer) for layer in second.layers}:
        raise InputError("models.not_fresh", model=name)
    noise = np.random.default_rng(0).random((8, *expected[1:]), np.float32)
    outputs = np.asarray(keras.ops.convert_to_numpy(model(noise, training=False)), np.float64)
    if outputs.min() < 0 or not np.isfinite(outputs).all():
        raise InputError("models.not_probabilities", model=name, received=f"some are {outputs.min():.2g}")
    sums = outputs.sum(axis=1)
    if np.abs(sums - 1).max() > PROBABILITY_TOLERANCE:
        raise InputError("models.not_probabilities", model=name, received=f"rows sum to {sums[0]:.3g}")


def has_seen_test_rows(model: keras.Model) -> bool:
    """Whether layers of the packaged models, which have seen digits of Kaggle's test.csv, are part of this one."""
    return any(
        getattr(layer, SEEN_TEST_ROWS, False) or (isinstance(layer, keras.Model) and has_seen_test_rows(layer))
        for layer in model.layers
    )


def _has_one(model: keras.Model, name: str) -> bool:
    """Whether a model has one input, or output; none is known of a model that is defined only by how it is called."""
    try:
        return len(getattr(model, name)) == 1
    except (AttributeError, ValueError, TypeError):
        return False


def check_flag_combinations(config: RunConfig) -> None:
    """Refuse what a model cannot do, as far as that is known without building it.

    Raises:
        InputError: for an unknown model or option, a flag that the model has no use for, weights that are no file, an
            unknown block, augmentation that does not fit the cached augmentations or lacks its package, or several
            devices without JAX.
    """
    backend = keras.config.backend()
    if config.devices > 1 and backend != "jax":  # the one backend on which Keras 3.15 spreads a model
        raise InputError("training.devices_backend", received=config.devices, backend=backend)
    module = load_model_module(config.model)
    read_options(config.model, config.model_args)
    build_augment(POLICIES[config.augmentation])  # its package may be missing: found before a run's folder is made
    if not hasattr(module, "split_backbone"):
        for name in ("weights", "unfreeze", "unfreeze_epochs", "unfreeze_learning_rate", "cached_augmentations"):
            if getattr(config, name) != getattr(RunConfig, name):
                raise InputError("training.needs_backbone", column=flag(name), model=config.model_name)
        return
    check_weights(config.weights)
    if config.unfreeze is not None and config.unfreeze not in module.BLOCKS:
        raise InputError("training.unfreeze", received=config.unfreeze, blocks=", ".join(module.BLOCKS))
    # a backbone has made features of the images as they are
    for name in ("tta", "preprocess", "refit_preprocess", "synthetic_ratio", "small_epochs"):
        if (value := getattr(config, name)) != getattr(RunConfig, name):
            raise InputError("training.needs_images", column=flag(name), received=value, model=config.model_name)
    if (config.augmentation == "none") != (config.cached_augmentations == 1):
        versions, received = config.cached_augmentations, config.augmentation
        raise InputError("training.cached_augmentations", received=received, versions=versions, model=config.model_name)


def check_weights(weights: str) -> None:
    """Refuse what a backbone cannot start from, before it is built: anything but imagenet, none or a file.

    Raises:
        InputError: says so.
    """
    if weights not in ("imagenet", "none") and not Path(weights).is_file():
        raise InputError("training.weights", received=weights)
