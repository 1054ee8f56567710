"""Backbones of `keras.applications` with ImageNet's weights: downloaded, or from a file that anyone may have made."""

import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from digit_recognizer.errors import InputError
from digit_recognizer.models._stored.weights import load_weights_file, write_weights_file

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Split:
    """A net cut in two: `upper(lower(images))` is what the whole net gives. Both halves share its layers."""

    lower: "keras.Model"
    """The part that stays frozen: float32 images (n, height, width, channels) in [0, 1] to features."""
    upper: "keras.Model"
    """The rest: features to float32 probabilities (n, classes). Fitting it fits the whole net."""


def load_backbone(
    build: Callable[[str | None], "keras.Model"], weights: str | None, weights_file: str, name: str
) -> "keras.Model":
    """Build a backbone with the weights asked for.

    Args:
        build: makes it with "imagenet"'s weights, downloaded by Keras once, or for None with random ones.
        weights: "imagenet", None, or the path of the file that Keras would download.
        weights_file: what Keras calls that file.
        name: of the net, in refusals.

    Raises:
        InputError: if the weights cannot be had.
    """
    if weights == "imagenet":
        try:
            return build("imagenet")
        except Exception as error:  # no narrower: Keras raises a bare Exception where the download fails
            raise InputError(
                f"--weights imagenet must be downloaded once, but {_one_line(error)}: "
                f"pass --weights PATH of {weights_file}, or --weights none."
            ) from error
    backbone = build(None)
    if weights is not None:
        _load_weights(backbone, Path(weights), weights_file, name)
    return backbone


def _load_weights(backbone: "keras.Model", path: Path, weights_file: str, name: str) -> None:
    """Load a file that anyone may have made: Keras is given one that holds the arrays of it and nothing else."""
    advice = f"pass the path of {weights_file}, --weights imagenet or --weights none."
    if path.suffix not in (".h5", ".hdf5"):  # Keras would take archives and folders as well
        raise InputError(f"--weights takes a file that ends in .h5, but received {path}: {advice}")
    try:
        weights = load_weights_file(path)
    except InputError as error:
        raise InputError(f"--weights: {error} Or {advice}") from error
    with tempfile.TemporaryDirectory(prefix="digit-recognizer-") as folder:
        copy = Path(folder) / ("copy.weights.h5" if path.name.endswith(".weights.h5") else "copy.h5")
        try:
            write_weights_file(copy, weights)
            with warnings.catch_warnings(action="ignore"):  # what Keras warns of here ends in the error below
                backbone.load_weights(copy)
        except (OSError, ValueError, KeyError, TypeError, RuntimeError) as error:  # of other nets, in odd order
            raise InputError(
                f"{path} must hold the weights of {name} without its top, but {_one_line(error)}: {advice}"
            ) from error


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__
