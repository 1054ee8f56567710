"""`DigitClassifier`: a model and its recipe as a scikit-learn estimator."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

import keras
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted, column_or_1d

from digit_recognizer.config import RunConfig, check_field_names
from digit_recognizer.data.augmentation import preprocess_images
from digit_recognizer.data.csv import PIXELS
from digit_recognizer.data.dataset import pixels_to_images
from digit_recognizer.data.frames import read_images
from digit_recognizer.errors import DivergedError, InputError
from digit_recognizer.io import numpy_defaults
from digit_recognizer.models import Builder, build_config, register_model
from digit_recognizer.training.callbacks import Progress, list_callbacks
from digit_recognizer.training.hardware import check_devices, choose_precision, data_parallel, precision_policy
from digit_recognizer.training.inputs import build_fresh_model, check_model_flags, make_inputs
from digit_recognizer.training.trainer import TrainingSession, predict_probabilities, train_model

# fields of RunConfig that are about folds, files or parts of files
UNUSED = (
    *("folds", "split_seed", "input_dir", "run_dir", "submission", "tensorboard", "limit_train", "limit_test"),
    *("refit", "refit_epochs", "refit_preprocess"),
)


class DigitClassifier(ClassifierMixin, BaseEstimator):
    """A model and its recipe, with scikit-learn's interface.

    It works in `cross_val_score`, `GridSearchCV`, `Pipeline` and `VotingClassifier`, and is cloned and pickled. Numbers
    are repeatable: equal data, settings and `seed` give equal predictions.

    X is an array (n, 784), (n, 28, 28) or (n, 28, 28, 1), or a DataFrame of the columns pixel0 to pixel783: whole
    numbers from 0 = paper to 255 = ink. So a step of a pipeline before it must not scale. y holds two classes or more,
    of any type.

    scikit-learn's `check_estimator` passes tables of a few real-valued columns, also negative ones, to every estimator.
    28 x 28 pixels are not such a table, so all of its checks that call `fit` are refused at that call. Those that apply
    are the ones about parameters, cloning, `repr` and an estimator that is not fitted.

    Args:
        model: one of `list_models()`, the path of a model's file, or a function (input_shape, classes) that builds one.
        **settings: fields of `RunConfig` that differ from the model's recipe, such as epochs, seed, batch_size,
            augmentation, tta or patience.

    Attributes:
        classes_: the classes, sorted.
        model_: the trained Keras model, from float32 images (n, 28, 28, 1) in [0, 1] to probabilities.
        history_: DataFrame with a row per epoch: epoch (from 1), loss, accuracy, lr, seconds.
        n_features_in_: 784.

    Example:
        >>> train = dr.load_train("input/train.csv")
        >>> classifier = dr.DigitClassifier("dense", epochs=2, seed=1).fit(train.images, train.labels)
        >>> classifier.predict_proba(train.images[:3]).shape
        (3, 10)
    """

    def __init__(self, model: str | Path | Builder = RunConfig.model, **settings: Any) -> None:
        self.model = model
        self._settings = settings

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """The model, and the settings that were passed."""
        return {"model": self.model, **self._settings}

    def set_params(self, **params: Any) -> Self:
        """Change the model or settings.

        Raises:
            InputError: if a name is no field of `RunConfig`.
        """
        check_field_names(RunConfig, params)
        self.model = params.pop("model", self.model)
        self._settings = {**self._settings, **params}
        return self

    @numpy_defaults
    def fit(
        self, X: Any, y: Any, *, callbacks: keras.callbacks.Callback | Sequence[keras.callbacks.Callback] = ()
    ) -> Self:
        """Train the model on all rows.

        Args:
            X: images, see the class.
            y: (n,), their classes.
            callbacks: a Keras callback or several; their logs also hold lr and seconds.

        Raises:
            InputError: for images, labels or settings that cannot be used.
            DivergedError: if training ends in weights that are NaN.
        """
        labels = column_or_1d(y)
        check_classification_targets(labels)
        pixels = read_images(X)
        if len(pixels) != len(labels):
            raise InputError("table.label_count", path="y", received=labels.shape, expected=len(pixels))
        classes, encoded = np.unique(labels, return_inverse=True)
        if len(classes) < 2:
            raise InputError("data.one_class", path="y", received=classes[0])
        config = self._configure(len(classes))
        config = config.replace(precision=choose_precision(config.precision))
        images = pixels_to_images(pixels)
        targets = np.eye(len(classes), dtype=np.float32)[encoded]
        progress = Progress(lambda _: None, config.count_epochs(0))  # a bar, no lines
        session = TrainingSession((progress, *list_callbacks(callbacks)))
        with progress, precision_policy(config.precision), data_parallel(config.devices):
            inputs = make_inputs((images, images[:0]), config)
            trainer, model = train_model(config, inputs, targets, np.arange(len(encoded)), None, session)
        if not all(np.isfinite(weight).all() for weight in model.get_weights()):
            raise DivergedError("training.diverged", fold="DigitClassifier")
        self.classes_, self.n_features_in_ = classes, PIXELS
        self.config_, self.model_ = config, model
        self.history_ = _tabulate(trainer.history)
        return self

    @numpy_defaults
    def predict_proba(self, X: Any) -> np.ndarray:
        """Predict probabilities.

        Returns:
            float32 (n, classes) in the order of `classes_`; rows sum to 1.

        Raises:
            NotFittedError: before `fit`.
            InputError: for images that cannot be used.
        """
        check_is_fitted(self, "model_")
        images = preprocess_images(pixels_to_images(read_images(X)), self.config_.preprocess)
        return predict_probabilities(self.model_, images, self.config_.tta)

    def predict(self, X: Any) -> np.ndarray:
        """Predict classes: (n,), of the type of y."""
        probabilities: np.ndarray = self.predict_proba(X)
        return self.classes_[probabilities.argmax(axis=1)]

    def _configure(self, classes: int) -> RunConfig:
        """The recipe with the settings.

        Raises:
            InputError: for a setting that is unknown or of no use here.
        """
        if unused := [name for name in self._settings if name in UNUSED]:
            raise InputError("estimator.setting", received=unused[0])
        settings = dict(self._settings)
        config = build_config(register_model(self.model), settings.pop("smoke", False), **settings)
        check_model_flags(config, classes)
        check_devices(config)
        return config

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.three_d_array = tags.input_tags.positive_only = True
        return tags

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "model_" in state:
            state["model_"] = state["model_"].get_weights()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        state = dict(state)
        weights = state.pop("model_", None)
        super().__setstate__(state)
        if weights is not None:
            register_model(self.model)
            with precision_policy(self.config_.precision):
                self.model_ = build_fresh_model(self.config_.replace(weights="none"), len(self.classes_))
            self.model_.set_weights(weights)


def _tabulate(history: list[dict[str, Any]]) -> Any:
    import pandas as pd

    return pd.DataFrame(history).drop(columns="fold")
