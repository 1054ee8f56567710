"""What a net is fed: images as they are, or the features that a frozen backbone makes of them, computed once."""

import functools
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from digit_recognizer.config import RunConfig, flag
from digit_recognizer.data.augmentation import POLICIES, Augment, build_augment
from digit_recognizer.data.preparation import prepare_images
from digit_recognizer.errors import InputError
from digit_recognizer.models import build_model, load_model_module, read_options
from digit_recognizer.training.devices import check_backend
from digit_recognizer.training.features import load_feature_views, load_features
from digit_recognizer.training.precision import precision_policy
from digit_recognizer.training.seeds import derive_seed

if TYPE_CHECKING:
    from digit_recognizer.training.dataset import Dataset


@dataclass(frozen=True)
class Inputs:
    """Training and test inputs of a run.

    Attributes:
        views: uint8 images or float32 features (k, n, ...): k versions of each training row, the first unaugmented.
        test: the same without the leading axis, one per test row.
        augment: applied to each training batch; None if nothing is, or if the views are augmented already.
        from_backbone: whether these are features, so that only the part of the net above them is fitted.
    """

    views: np.ndarray
    test: np.ndarray
    augment: Augment | None
    from_backbone: bool


def check_model_flags(config: RunConfig) -> None:
    """Refuse what a model cannot do, before anything is loaded or written.

    Raises:
        InputError: as `check_flags_apart`, for values of options of which no net can be built, and for weights that
            cannot be had.
    """
    check_flags_apart(config)
    if hasattr(load_model_module(config.model), "split"):
        load_weighted_model(config)
    elif read_options(config.model, config.net):
        count_parameters(config.model, config.net)


def check_flags_apart(config: RunConfig) -> None:
    """Refuse what a model cannot do, as far as that can be told without building its net.

    Raises:
        InputError: for an unknown model or option of it, a backbone's flag on a net without one, weights that are no
            file, an unknown block, or augmentation of a transfer net without cached views to hold it; for generated
            digits of one; for several devices under another backend than JAX.
    """
    check_backend(config)
    module = load_model_module(config.model)
    read_options(config.model, config.net)
    if not hasattr(module, "split"):
        for name in ("weights", "unfreeze", "unfreeze_epochs", "unfreeze_learning_rate", "feature_views"):
            if getattr(config, name) != getattr(RunConfig, name):
                raise InputError(f"{flag(name)} is for transfer nets; --model {config.model} has no frozen backbone.")
        return
    if config.weights not in ("imagenet", "none") and not Path(config.weights).is_file():
        raise InputError(f"--weights takes imagenet, none or an existing file; received {config.weights}.")
    if config.unfreeze is not None and config.unfreeze not in module.BLOCKS:
        raise InputError(f"--unfreeze takes one of {', '.join(module.BLOCKS)}; received {config.unfreeze!r}.")
    if config.shifted_copies != 1:
        raise InputError(
            f"--shifted-copies moves images, but --model {config.model} is fed features that its backbone makes once: "
            f"received {config.shifted_copies}; leave it at 1."
        )
    if config.preparation != "none":
        raise InputError(
            f"--preparation changes images, but --model {config.model} is fed features that its backbone makes of them "
            f"as they are: received {config.preparation}; leave it out."
        )
    if config.generated:
        raise InputError(
            f"--generated makes images, but --model {config.model} is fed features that its backbone makes once: "
            f"received {config.generated}; leave it at 0."
        )
    if (config.augmentation == "none") != (config.feature_views == 1):
        raise InputError(
            f"--model {config.model} caches its backbone's features, so augmented images must be a fixed number of "
            f"views: received --augmentation {config.augmentation} with --feature-views {config.feature_views}. "
            "Use --augmentation none, or an augmentation with --feature-views 8."
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
        images, test = (prepare_images(images, config.preparation) for images in (dataset.images, dataset.test_images))
        return Inputs(images[None], test, augment, from_backbone=False)
    lower = module.split(load_weighted_model(config), config.unfreeze).lower
    # a read-only input folder, as on Kaggle, leaves features in memory for the length of the run
    folder = config.input_dir / ".cache"
    cache_dir = folder if os.access(folder if folder.exists() else config.input_dir, os.W_OK) else None
    if augment is None:
        views = load_features(lower, dataset.images, cache_dir, dataset.train_sha256, label="training rows")[None]
    else:
        views = load_feature_views(
            lower,
            dataset.images,
            config.feature_views,
            augment,
            derive_seed(config.seed, "views"),
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
    options: dict[str, Any] = read_options(config.model, config.net)
    return build_model(config.model, weights=weights, **options)


@functools.cache
def count_parameters(model: str, net: tuple[str, ...]) -> int:
    """The parameters of a net with these options; it is built once, however many runs ask."""
    options: dict[str, Any] = read_options(model, net)
    return int(build_model(model, weights=None, **options).count_params())


def select_fitted_part(config: RunConfig, model: keras.Model, inputs: Inputs) -> keras.Model:
    """The part of `model` that takes `inputs`; it shares the model's layers, so fitting it fits the model."""
    if not inputs.from_backbone:
        return model
    part: keras.Model = load_model_module(config.model).split(model, config.unfreeze).upper
    return part
