"""New classes for a trained model: a fresh output layer and how it is trained, and classifiers that train nothing.

Embeddings are computed once, because the model below the output layer stays frozen.
"""

import itertools
import math
from collections.abc import Callable, Sequence

import keras
import numpy as np

from digit_recognizer.errors import InputError
from digit_recognizer.models._blocks import softmax_output
from digit_recognizer.training.batches import TrainingBatches
from digit_recognizer.training.reproducibility import derive_seed
from digit_recognizer.training.trainer import Trainer, TrainingSession, predict_probabilities
from digit_recognizer.transfer_learning.config import TransferConfig

STD_FLOOR = 1e-3  # of the standard deviation of all numbers: what hardly ever changes must not be blown up

BuildHead = Callable[[tuple[int, ...], int], keras.Model]
"""From the features' shape and the number of classes to a model from features to probabilities."""
Callbacks = Sequence[keras.callbacks.Callback]


def replace_head(model: keras.Model, classes: int) -> keras.Model:
    """Put a fresh output layer in place of a model's own, and freeze everything else.

    Args:
        model: a trained model that ends in a dense layer, or in one and its softmax.
        classes: number of the new outputs.

    Returns:
        From the same images to float32 probabilities (n, classes); the layers below are those of `model`.

    Raises:
        InputError: if the model ends in another layer.
    """
    last = next((layer for layer in reversed(model.layers) if layer.weights), None)
    after = model.layers[model.layers.index(last) + 1 :] if last is not None else []
    if (
        not isinstance(last, keras.layers.Dense)
        or len(last.input.shape) != 2
        or any(not isinstance(layer, (keras.layers.Activation, keras.layers.Softmax)) for layer in after)
    ):
        raise InputError("models.head_not_dense", model=model.name, received=model.layers[-1].name)
    model.trainable = False
    return keras.Model(model.input, softmax_output(last.input, classes), name=f"{model.name}_transferred")


def cut_head(model: keras.Model) -> keras.Model:
    """The part below the output layer of `replace_head`, to the embedding (n, numbers); the two share their layers."""
    return keras.Model(model.input, model.layers[-1].input, name="body")


def unfreeze_from(model: keras.Model, name: str) -> None:
    """Make a layer and all after it trainable, except normalization. Compile afterwards.

    Normalization keeps the statistics of the many images that it was trained on (those of a few would shift every
    feature map), and its scale with them: Keras runs a frozen layer in inference mode even while others are trained.

    Args:
        model: of `replace_head`; changed in place.
        name: of a layer.

    Raises:
        InputError: if there is no such layer, or no weights from it on but those of the output layer.
    """
    body, normalization = model.layers[:-1], keras.layers.BatchNormalization
    for layer in itertools.dropwhile(lambda layer: layer.name != name, body):
        for part in (layer, *getattr(layer, "layers", ())):  # also of a model within the model
            part.trainable = not isinstance(part, normalization)
    if not any(layer.trainable_weights for layer in body):
        known = ", ".join(layer.name for layer in body if layer.weights and not isinstance(layer, normalization))
        raise InputError("models.unfreeze", received=name, known=known)


def count_parameters(model: keras.Model) -> tuple[int, int]:
    """How many parameters of a model or layer are trained, and how many are frozen."""
    trained = sum(math.prod(weight.shape) for weight in model.trainable_weights)
    return trained, model.count_params() - trained


# Classifiers on embeddings.


def standardize(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each number of embeddings (n, numbers), the latter raised by a small floor."""
    floor = STD_FLOOR * float(embeddings.std()) or 1.0
    return embeddings.mean(axis=0), embeddings.std(axis=0) + np.float32(floor)


def predict_by_nearest_mean(embeddings: np.ndarray, labels: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Predict the class whose mean is nearest (Snell et al. 2017, section 2.1).

    scikit-learn's `NearestCentroid` predicts the same, but warns of every number that is constant within the classes,
    which most embeddings have.

    Args:
        embeddings: float32 (n, numbers) of the training pictures.
        labels: int64 (n,), 0 to classes - 1, each class at least once.
        queries: float32 (m, numbers), at least one.

    Returns:
        Float32 (m, classes), 1 for the predicted class, else 0.
    """
    from sklearn.metrics import pairwise_distances_argmin

    means = np.stack([embeddings[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
    return np.eye(len(means), dtype=np.float32)[pairwise_distances_argmin(queries, means)]


class NeighbourClassifier:
    """Lets the nearest pictures vote, by the distance of standardized numbers; in a tie the nearest picture decides.

    Args:
        embeddings: float32 (n, numbers) of the training pictures.
        labels: int64 (n,), 0 to classes - 1, each class at least once.
        neighbours: how many vote, at most n of them.
    """

    def __init__(self, embeddings: np.ndarray, labels: np.ndarray, neighbours: int) -> None:
        from sklearn.neighbors import KNeighborsClassifier

        self.mean, self.std = standardize(embeddings)
        self.voters = KNeighborsClassifier(min(neighbours, len(labels)), weights=_weigh_by_rank, algorithm="brute")
        self.voters.fit((embeddings - self.mean) / self.std, labels)

    def predict(self, queries: np.ndarray) -> np.ndarray:
        """Shares of the votes, float32 (m, classes), for embeddings float32 (m, numbers), at least one."""
        shares: np.ndarray = self.voters.predict_proba((queries - self.mean) / self.std)
        return shares.astype(np.float32)


def _weigh_by_rank(distances: np.ndarray) -> np.ndarray:
    """A vote each, and a little more for nearer neighbours, whose surplus is less than one vote together."""
    ranks = np.arange(distances.shape[1])
    return np.ones_like(distances) + 0.5 ** (ranks + 2)


def build_linear_head(shape: tuple[int, ...], classes: int) -> keras.Model:
    """One dense layer with its softmax, as `replace_head` puts it on a model."""
    inputs = keras.Input(shape, name="embedding")
    return keras.Model(inputs, softmax_output(inputs, classes), name="head")


def train_head(
    build: BuildHead,
    features: np.ndarray,
    labels: np.ndarray,
    config: TransferConfig,
    seed: int,
    callbacks: Callbacks = (),
) -> keras.Model:
    """Train a fresh head on the features of pictures and their copies.

    Args:
        build: makes the head.
        features: float32 (n, ...).
        labels: int64 (n,), 0 to classes - 1, each class at least once.
        config: epochs, batch size, learning rate and label smoothing.
        seed: initial weights and the order of rows derive from it.
        callbacks: are called as Keras does.
    """
    run_config = config.training(seed)
    fit_seed = derive_seed(seed, "fit")
    keras.utils.set_random_seed(fit_seed)
    targets = np.eye(labels.max() + 1, dtype=np.float32)
    head = build(features.shape[1:], len(targets))
    batches = TrainingBatches(features[None], targets[labels], np.arange(len(labels)), run_config.batch_size, fit_seed)
    trainer = Trainer(head, run_config, TrainingSession(callbacks))
    trainer.fit(batches, epochs=run_config.epochs, learning_rate=run_config.learning_rate)
    return head


def train_linear_head(
    features: np.ndarray, labels: np.ndarray, config: TransferConfig, seed: int, callbacks: Callbacks = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Train a linear head on standardized features; the standardization is then put into its weights.

    On the tasks of benchmarks/few_shot.py: 73.9 % with features standardized, 70.6 % as they are.

    Returns:
        Kernel (numbers, classes) and bias (classes,), float32, for features as they are.
    """
    mean, std = standardize(features)
    head = train_head(build_linear_head, (features - mean) / std, labels, config, seed, callbacks)
    kernel, bias = head.get_weights()
    kernel = kernel / std[:, None]
    return kernel, bias - mean @ kernel


def fine_tune(
    model: keras.Model,
    images: np.ndarray,
    labels: np.ndarray,
    config: TransferConfig,
    seed: int,
    callbacks: Callbacks = (),
) -> None:
    """Then train the output layer and the layers below it together, from `config.unfreeze` on.

    Args:
        model: of `replace_head`, its output layer trained already, or its gradients would wreck the layers below;
            changed in place.
        images: uint8 (n, height, width, channels): pictures and their copies.
        labels: int64 (n,).
        config: how to train, and from which layer on.
        seed: the order of rows and dropout derive from it.
        callbacks: are called as Keras does; epochs are counted on from those of the output layer.
    """
    assert config.unfreeze is not None
    unfreeze_from(model, config.unfreeze)
    run_config = config.training(seed)
    targets = np.eye(labels.max() + 1, dtype=np.float32)[labels]
    fit_seed = derive_seed(seed, "fit", 1)
    batches = TrainingBatches(images[None], targets, np.arange(len(labels)), run_config.batch_size, fit_seed)
    trainer = Trainer(model, run_config, TrainingSession(callbacks))
    trainer.epochs_planned = run_config.epochs  # counted on from those of the output layer
    trainer.fit(batches, epochs=config.unfreeze_epochs, learning_rate=config.unfreeze_learning_rate)


def predict_finite(model: keras.Model, inputs: np.ndarray) -> np.ndarray:
    """Probabilities float32 (n, classes).

    Raises:
        InputError: if training diverged, so that some are NaN.
    """
    probabilities = predict_probabilities(model, inputs)
    if not np.isfinite(probabilities).all():
        raise InputError("transfer.diverged")
    return probabilities
