"""The two trained models that travel with the package, for predicting digits without training anything.

Both are champions; the classifier has an eleventh class for what is not a digit. `MODEL_CARD.md` says what they were
trained on and how accurate they are. `benchmarks/make_packaged_champion.py` takes the one from a run,
`benchmarks/make_packaged_classifier.py` trains the other.
"""

import hashlib
import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from digit_recognizer.errors import InputError

if TYPE_CHECKING:
    import keras

ARCHITECTURE = "champion"
WEIGHTS = Path(__file__).with_name("champion.safetensors")
CLASSIFIER_WEIGHTS = Path(__file__).with_name("classifier.safetensors")
WEIGHTS_SHA256 = "965067f3c6b162e72dc59f86049d968d1e7d1704117d737a06c5cd20b61d371a"
CLASSIFIER_SHA256 = "ee0c31918cc92c68a5138ba24d5e7ae182f9f9243d08f88eb3567ee3b076fbea"


def load_pretrained() -> "keras.Model":
    """Load the pretrained champion, which is for reading and not for the competition.

    It has seen digits of Kaggle's test.csv. The submission of a run whose model contains its layers is ineligible.

    Returns:
        The model, uncompiled, in float32: from float32 images (n, 28, 28, 1), 0 = paper, 1 = ink, to probabilities
        (n, 10). `digit_recognizer.vision.segment` brings photographs to that form.

    Raises:
        InputError: if the weights are missing, or not byte for byte those that the card describes.

    Example:
        >>> load_pretrained().predict(np.zeros((1, 28, 28, 1), np.float32), verbose=0).shape
        (1, 10)
    """
    return _load(WEIGHTS, WEIGHTS_SHA256, 10)


def load_pretrained_classifier() -> tuple["keras.Model", float]:
    """Load the pretrained classifier, which also knows what is not a digit; otherwise as `load_pretrained`.

    Returns:
        The model, uncompiled, from float32 images as above to float32 probabilities (n, 11), the last of them of "not a
        digit"; and the temperature by which to divide the logarithms of these to calibrate them.

    Raises:
        InputError: as `load_pretrained`.
    """
    return _load(CLASSIFIER_WEIGHTS, CLASSIFIER_SHA256, 11), float(read_facts(CLASSIFIER_WEIGHTS)["temperature"])


def read_facts(path: Path = WEIGHTS) -> dict[str, str]:
    """What a weights file says of itself: command, commit, fold, rows, held_out_rows, held_out_accuracy, …"""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        facts: dict[str, str] = json.loads(file.read(length))["__metadata__"]
    return facts


def _load(path: Path, sha256: str, classes: int) -> "keras.Model":
    import keras
    from safetensors.numpy import load

    from digit_recognizer.models import SEEN_TEST_ROWS, build_model

    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError("models.packaged_weights", path=path) from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise InputError("models.packaged_weights", path=path)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")  # whatever is in force: the card's figures are of float32
    try:
        model = build_model(ARCHITECTURE, classes=classes)
    finally:
        keras.config.set_dtype_policy(policy)
    for layer in model.layers:
        setattr(layer, SEEN_TEST_ROWS, True)
    arrays = load(content)
    model.set_weights([arrays[weight.path] for weight in model.weights])
    return model
