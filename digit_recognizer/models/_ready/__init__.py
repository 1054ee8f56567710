"""What travels with the package for reading digits without training anything: the ready model and the reader.

Both are champion nets; the reader also knows what is no digit. `champion.safetensors` and `reader.safetensors` hold
their weights, `MODEL_CARD.md` what they were fitted on and how well they read. `benchmarks/make_ready_model.py` takes
the one from a run, `benchmarks/make_reader.py` fits the other.
"""

import hashlib
import json
import struct
from pathlib import Path
from typing import TYPE_CHECKING

from digit_recognizer.errors import InputError

if TYPE_CHECKING:
    import keras

WEIGHTS = Path(__file__).with_name("champion.safetensors")
READER_WEIGHTS = Path(__file__).with_name("reader.safetensors")
CARD = Path(__file__).with_name("MODEL_CARD.md")
KIND = "champion"
WEIGHTS_SHA256 = "965067f3c6b162e72dc59f86049d968d1e7d1704117d737a06c5cd20b61d371a"
READER_SHA256 = "38babb9f8a9f2a20d5efccc15c0ecc59a45225a10a2aa3aee16fddbb1eb80ecd"

REASON = (
    "this process has loaded the ready model, which has seen digits that are in Kaggle's test.csv: begin what ends in "
    "a submission in another process."
)


def load_ready_model() -> "keras.Model":
    """Load the ready model; from then on the process begins no run and writes no submission.

    Returns:
        The champion net, uncompiled, from float32 images (n, 28, 28, 1), 0 = paper, 1 = ink, to float32 probabilities
        (n, 10). `digit_recognizer.vision.normalize` brings photographs to that form.

    Raises:
        InputError: if the weights are missing, or not byte for byte those that the card describes.
    """
    return _load(WEIGHTS, WEIGHTS_SHA256, 10)


def load_packaged_reader() -> tuple["keras.Model", float]:
    """Load the reader, a champion net that also knows what is no digit; what it bars is as for `load_ready_model`.

    Returns:
        The net, uncompiled, from float32 images as above to float32 probabilities (n, 11), the last of them of no
        digit; and the temperature by which the logarithms of these must be divided to say how often they are right.

    Raises:
        InputError: if the weights are missing, or not byte for byte those that the card describes.
    """
    return _load(READER_WEIGHTS, READER_SHA256, 11), float(read_facts(READER_WEIGHTS)["temperature"])


def _load(path: Path, sha256: str, classes: int) -> "keras.Model":
    import keras
    from safetensors.numpy import load

    from digit_recognizer.competition.submissions import block_submissions
    from digit_recognizer.models import build_model

    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(f"{path} must hold the ready model, but cannot be read: install the package anew.") from error
    if hashlib.sha256(content).hexdigest() != sha256:
        raise InputError(f"{path} must hold the ready model, but holds something else: install the package anew.")
    arrays = load(content)
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")  # whatever is in force: the card's figures are of float32
    try:
        model = build_model(KIND, classes=classes)
    finally:
        keras.config.set_dtype_policy(policy)
    block_submissions(InputError(REASON))
    model.set_weights([arrays[weight.path] for weight in model.weights])
    return model


def read_facts(path: Path = WEIGHTS) -> dict[str, str]:
    """What a weights file says of itself: command, commit, fold, rows, held_out_rows, held_out_accuracy, …"""
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        facts: dict[str, str] = json.loads(file.read(length))["__metadata__"]
    return facts
