"""The networks. One file per family; a file put here is a model, and nothing else needs to know of it.

A model's file holds `PRESET`, the differences of its recipe from `RunConfig`'s defaults, and
`build(input_shape, classes, weights)`, which returns an uncompiled Keras model from float32 images in [0, 1] to
probabilities. It imports Keras inside `build`, so that names and presets are read without it.
"""

import importlib
import pkgutil
from types import ModuleType
from typing import TYPE_CHECKING, Any

from digit_recognizer.config import SMOKE, RunConfig
from digit_recognizer.errors import InputError
from digit_recognizer.models._ready import load_packaged_reader as load_packaged_reader
from digit_recognizer.models._ready import load_ready_model as load_ready_model

if TYPE_CHECKING:
    import keras


def list_models() -> list[str]:
    """The names of all models, in alphabetical order."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load_model_module(name: str) -> ModuleType:
    """The module of a model, without Keras.

    Raises:
        InputError: if no model has that name.
    """
    if name not in list_models():
        raise InputError(f"--model takes one of {', '.join(list_models())}; received {name!r}.")
    return importlib.import_module(f"{__name__}.{name}")


def load_preset(name: str) -> dict[str, Any]:
    """A model's differences from `RunConfig`'s defaults."""
    preset: dict[str, Any] = load_model_module(name).PRESET
    return preset


def load_smoke(name: str) -> dict[str, Any]:
    """A model's differences from the common smoke run: `SMOKE` in the file of a net that would take too long in it."""
    return getattr(load_model_module(name), "SMOKE", {})


def build_config(name: str, smoke: bool = False, **changes: Any) -> RunConfig:
    """A model's recipe: the defaults, then its preset, then the smoke run's, then `changes`.

    Raises:
        InputError: if no model has that name, there is no such field, or a value is none that a run can mean.
    """
    recipe = {**load_preset(name), **({**SMOKE, **load_smoke(name), "smoke": True} if smoke else {}), **changes}
    return RunConfig.from_json({**RunConfig().to_json(), "model": name, **recipe})


def build_model(
    name: str, input_shape: tuple[int, int, int] = (28, 28, 1), classes: int = 10, weights: str | None = "imagenet"
) -> "keras.Model":
    """Build a fresh, uncompiled network.

    Args:
        name: one of `list_models()`.
        input_shape: height, width and channels of an image, in px.
        classes: width of the output.
        weights: for transfer nets only: "imagenet", None for random ones, or the path of a weights file.

    Returns:
        A model from float32 (n, *input_shape) in [0, 1] to float32 probabilities (n, classes).

    Raises:
        InputError: if no model has that name, or the weights cannot be had.
    """
    model: keras.Model = load_model_module(name).build(input_shape, classes, weights)
    return model
