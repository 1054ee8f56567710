"""The model of a finished transfer: built again by this package, with its weights, for new pictures.

No file becomes code: the architecture is one of this package's, and weights and embeddings are safetensors.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from digit_recognizer.errors import InputError
from digit_recognizer.models import _resnet152v2 as resnet152v2
from digit_recognizer.models import build_model, list_models, read_options
from digit_recognizer.records import CONFIG
from digit_recognizer.training.hardware import precision_policy
from digit_recognizer.training.inputs import check_weights
from digit_recognizer.training.transfers import NEIGHBOURS, WEIGHTS, ClassifierName, FinishedTransfer
from digit_recognizer.training.weights import HEADER_BYTES_PER_ARRAY, load_arrays, load_weights
from digit_recognizer.transfer_learning.config import MAX_COPIES
from digit_recognizer.transfer_learning.heads import NeighbourClassifier, cut_head, replace_head
from digit_recognizer.vision.class_folders import MAX_FILES

MAX_EMBEDDINGS = MAX_COPIES + MAX_FILES


class NeighbourModel(NamedTuple):
    """The nearest neighbours as a model: from images to shares of their votes."""

    body: keras.Model
    voters: NeighbourClassifier

    def predict_on_batch(self, batch: np.ndarray) -> np.ndarray:
        """Shares float32 (n, classes)."""
        return self.voters.predict(np.asarray(self.body.predict_on_batch(batch), np.float32))


def load_letter_model(transfer: FinishedTransfer) -> keras.Model:
    """Build the model of a transfer to letters, and load its weights.

    Returns:
        Uncompiled, from float32 (n, 28, 28, 1) in [0, 1] to probabilities (n, classes).

    Raises:
        InputError: if its architecture is none of this package's, or weights are missing, damaged or of another model.
    """
    if transfer.base not in list_models():  # a path would be run
        raise InputError("transfer.foreign_model", path=transfer.path, received=transfer.base)
    options: dict[str, Any] = read_options(transfer.base, transfer.model_args)
    with precision_policy(transfer.precision):
        model = replace_head(build_model(transfer.base, weights=None, **options), len(transfer.classes))
    load_weights(model, transfer.path / "models" / WEIGHTS)
    return model


def load_letter_classifier(transfer: FinishedTransfer, classifier: ClassifierName) -> "keras.Model | NeighbourModel":
    """The model, or the nearest neighbours in its embedding; errors are those of `load_letter_model`."""
    model = load_letter_model(transfer)
    if classifier == "model":
        return model
    body = cut_head(model)
    return NeighbourModel(body, _load_neighbours(transfer, int(body.output_shape[-1])))


class PhotographClassifier(NamedTuple):
    """Classifies whole colour photographs.

    Attributes:
        lower: the frozen backbone, from float32 images in [0, 1] to features.
        upper: from features to probabilities.
        names: of the classes.
    """

    lower: keras.Model
    upper: Callable[[np.ndarray], Any]
    names: tuple[str, ...]

    def predict(self, images: Sequence[np.ndarray]) -> np.ndarray:
        """Probabilities float32 (n, classes) of uint8 images (height, width, 3) of the backbone's size."""
        features = self.lower.predict_on_batch(np.stack(images).astype(np.float32) / 255)
        return np.asarray(self.upper(np.asarray(features)), np.float32)


def load_photograph_classifier(transfer: FinishedTransfer, classifier: ClassifierName) -> PhotographClassifier:
    """Build the model of a transfer to photographs, with the weights that its config.json names for the backbone.

    Raises:
        InputError: if weights are missing, damaged or of another model.
    """
    weights = transfer.config.get("weights")
    if not isinstance(weights, str):
        raise InputError("transfer.damaged", path=transfer.path / CONFIG, column="weights")
    check_weights(weights)
    lower = resnet152v2.split_backbone(resnet152v2.build(len(transfer.classes), weights)).lower
    if classifier == "neighbours":
        neighbours = _load_neighbours(transfer, int(lower.output_shape[-1]))
        return PhotographClassifier(lower, neighbours.predict, transfer.classes)
    head = resnet152v2.build_head(lower.output_shape[1:], len(transfer.classes))
    load_weights(head, transfer.path / "models" / WEIGHTS)
    return PhotographClassifier(lower, head.predict_on_batch, transfer.classes)


def _load_neighbours(transfer: FinishedTransfer, width: int) -> NeighbourClassifier:
    """The training pictures of the transfer, with embeddings of so many numbers."""
    path = transfer.path / "models" / NEIGHBOURS
    if not path.is_file():
        raise InputError("transfer.no_neighbours", path=transfer.path)
    arrays = load_arrays(path, MAX_EMBEDDINGS * (4 * width + 8) + 4 * HEADER_BYTES_PER_ARRAY)
    nothing = np.zeros(0)
    embeddings, labels = arrays.get("embeddings", nothing), arrays.get("labels", nothing)
    kinds = (str(embeddings.dtype), str(labels.dtype), embeddings.shape, labels.shape)
    if (
        kinds != ("float32", "int64", (labels.size, width), (labels.size,))
        or not np.array_equal(np.unique(labels), np.arange(len(transfer.classes)))
        or not np.isfinite(embeddings).all()
    ):
        raise InputError("models.weights_damaged", path=path, reason="it does not hold the embeddings of this transfer")
    return NeighbourClassifier(embeddings, labels, transfer.neighbours)
