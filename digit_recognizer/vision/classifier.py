"""Who reads: the net that travels with the package, or the nets of a run."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digit_recognizer.config import Preprocess
from digit_recognizer.data.augmentation import preprocess_images
from digit_recognizer.data.labels import DIGITS, parse_label_set
from digit_recognizer.errors import InputError
from digit_recognizer.io import read_json

if TYPE_CHECKING:
    import keras

CLASSES = 10
NO_DIGIT = 10  # the column after those of the digits
BATCH = 64  # always so many images at once: another number would have the net traced anew


@dataclass(frozen=True)
class Reader:
    """One net or several, whose probabilities are averaged.

    Attributes:
        models: from float32 (n, 28, 28, 1) in [0, 1] to probabilities of ten digits, and perhaps of no digit.
        preprocess: what is done to every image first, as in the run that the nets come from.
        temperature: what the logarithms of probabilities are divided by, so that they say how often they are right.
    """

    models: tuple["keras.Model", ...]
    preprocess: Preprocess = "none"
    temperature: float = 1.0

    def read(self, images: np.ndarray) -> np.ndarray:
        """Read images.

        Args:
            images: uint8 (n, 28, 28, 1), 0 = paper, 255 = ink.

        Returns:
            float32 (n, 11), rows sum to 1: ten digits, then no digit, which is 0 where the nets know of none.
        """
        prepared = preprocess_images(images, self.preprocess)
        total = np.zeros((len(images), NO_DIGIT + 1))
        for model in self.models:
            for start in range(0, len(images), BATCH):
                batch = prepared[start : start + BATCH].astype(np.float32) / 255
                filled = np.zeros((BATCH, *batch.shape[1:]), np.float32)
                filled[: len(batch)] = batch
                found = np.asarray(model.predict_on_batch(filled), np.float64)[: len(batch)]
                total[start : start + BATCH, : found.shape[1]] += self._calibrate(found)
        return (total / max(1, len(self.models))).astype(np.float32)

    def _calibrate(self, probabilities: np.ndarray) -> np.ndarray:
        sharpened = np.maximum(probabilities, 1e-12) ** (1 / self.temperature)
        calibrated: np.ndarray = sharpened / sharpened.sum(axis=1, keepdims=True)
        return calibrated


def load_reader(run: Path | None) -> Reader:
    """Load who reads.

    Args:
        run: a finished run folder of cv or train; None takes the net that travels with the package.

    Raises:
        InputError: if the folder holds no finished run, or one on other signs than digits, or no nets, or nets of other
            images than 28 x 28 greys.
    """
    if run is None:
        from digit_recognizer.models import load_packaged_reader

        model, temperature = load_packaged_reader()
        return Reader((model,), temperature=temperature)
    from digit_recognizer.training.fold_models import load_fold_models

    trained = load_fold_models(run)
    _check_digits(run)
    return Reader(trained.models, trained.config.preprocess)


def _check_digits(run: Path) -> None:
    """Refuse a run on clothes or kana, whose answers would stand on the picture as digits."""
    from digit_recognizer.training.run import CLASSES as NAMED
    from digit_recognizer.training.run import METRICS

    metrics = read_json(run / METRICS)
    if isinstance(metrics, dict) and NAMED in metrics:
        label_set = parse_label_set(metrics[NAMED], run / METRICS)
        if label_set.key != DIGITS.key:
            raise InputError(
                f"--run takes a run on digits, which is what pictures are read for; received {run}, whose classes are "
                f"{label_set.key}: name another, or predict a table by --csv."
            )
