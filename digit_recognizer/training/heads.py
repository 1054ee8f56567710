"""Output layers fitted on embeddings that are computed once, as the net below them stays frozen."""

from collections.abc import Callable

import keras
import numpy as np

from digit_recognizer.errors import InputError
from digit_recognizer.models._heads import OUTPUT, Transferred, unfreeze_from
from digit_recognizer.training.batches import TrainingBatches
from digit_recognizer.training.fit import EpochCurve, EpochListener, compile_model, fit_compiled, predict_probabilities
from digit_recognizer.training.neighbours import standardise
from digit_recognizer.training.seeds import derive_seed
from digit_recognizer.training.transfer_config import TransferConfig

BuildHead = Callable[[tuple[int, ...], int], keras.Model]
"""From the features' shape and the number of classes to a net from features to probabilities."""


def build_linear_head(shape: tuple[int, ...], classes: int) -> keras.Model:
    """One dense layer with its softmax, as `replace_head` puts it on a net."""
    inputs = keras.Input(shape, name="embedding")
    outputs = keras.layers.Dense(classes, activation="softmax", dtype="float32", name=OUTPUT)(inputs)
    return keras.Model(inputs, outputs, name="head")


def fit_head(
    build: BuildHead,
    features: np.ndarray,
    labels: np.ndarray,
    config: TransferConfig,
    seed: int,
    on_epoch: EpochListener,
    held_out: tuple[np.ndarray, np.ndarray] | None = None,
) -> keras.Model:
    """Fit a fresh head on the features of pictures and their copies.

    Args:
        build: makes the head.
        features: float32 (n, ...).
        labels: int64 (n,), 0 to classes - 1, each class at least once.
        config: how to fit.
        seed: first weights and the order derive from it.
        on_epoch: told of every epoch.
        held_out: features and labels measured after each epoch; they steer nothing.

    Returns:
        The head, fitted.
    """
    fit = config.describe_fit(seed)
    fit_seed = derive_seed(seed, "fit")
    keras.utils.set_random_seed(fit_seed)
    targets = np.eye(labels.max() + 1, dtype=np.float32)
    head = build(features.shape[1:], len(targets))
    batches = TrainingBatches(features[None], targets[labels], np.arange(len(labels)), fit.batch_size, fit_seed)
    compile_model(head, len(batches), fit, epochs=fit.epochs, learning_rate=fit.learning_rate)
    curve = EpochCurve(held_out[0], targets[held_out[1]]) if held_out is not None else None
    fit_compiled(head, batches, fit, epochs=fit.epochs, curve=curve, on_epoch=on_epoch)
    return head


def fit_linear_head(
    features: np.ndarray, labels: np.ndarray, config: TransferConfig, seed: int, on_epoch: EpochListener
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a linear head on standardised features; what standardises them is then put into its weights.

    On the tasks of benchmarks/few_shot.py: 73.9 % with features standardised, 70.6 % as they are.

    Returns:
        Kernel (numbers, classes) and bias (classes,), float32, for features as they are.
    """
    mean, spread = standardise(features)
    head = fit_head(build_linear_head, (features - mean) / spread, labels, config, seed, on_epoch)
    kernel, bias = head.get_weights()
    kernel = kernel / spread[:, None]
    return kernel, bias - mean @ kernel


def fine_tune(
    transferred: Transferred,
    images: np.ndarray,
    labels: np.ndarray,
    config: TransferConfig,
    seed: int,
    on_epoch: EpochListener,
) -> None:
    """Go on training the output layer and the net below it, from the layer named in the configuration on.

    Args:
        transferred: with an output layer that is fitted already, or its gradients would wreck the layers below;
            changed in place.
        images: uint8 (n, height, width, channels): pictures and their copies.
        labels: int64 (n,).
        config: how to fit, and from which layer on.
        seed: the order and dropout derive from it.
        on_epoch: told of every epoch, counted on from those of the output layer.
    """
    assert config.unfreeze is not None
    unfreeze_from(transferred.model, config.unfreeze)
    fit = config.describe_fit(seed)
    targets = np.eye(labels.max() + 1, dtype=np.float32)[labels]
    fit_seed = derive_seed(seed, "fit", 1)
    batches = TrainingBatches(images[None], targets, np.arange(len(labels)), fit.batch_size, fit_seed)
    epochs, rate = config.unfreeze_epochs, config.unfreeze_learning_rate
    compile_model(transferred.model, len(batches), fit, epochs=epochs, learning_rate=rate)
    fit_compiled(transferred.model, batches, fit, epochs=epochs, epochs_before=fit.epochs, phase=1, on_epoch=on_epoch)


def embed(body: keras.Model, images: np.ndarray) -> np.ndarray:
    """The embedding of uint8 images: float32 (n, numbers)."""
    return predict_probabilities(body, images)


def check_converged(probabilities: np.ndarray) -> None:
    """Refuse what a fit that has lost its way makes of pictures.

    Raises:
        InputError: if some probabilities are no numbers.
    """
    if not np.isfinite(probabilities).all():
        raise InputError("the fit diverged, its probabilities are no numbers. Lower the learning rates.")
