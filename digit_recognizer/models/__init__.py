"""The networks. One file per family; a file put here is a model, and nothing else needs to know of it.

A model's file holds `PRESET`, the differences of its recipe from `RunConfig`'s defaults, and
`build(input_shape, classes, weights)`, which returns an uncompiled Keras model from float32 images in [0, 1] to
probabilities. It imports Keras inside `build`, so that names and presets are read without it. Numbers that `build`
takes by keyword only, each with a default, are the net's options (`--model-args NAME=VALUE`).
"""

import importlib
import pkgutil
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

from digit_recognizer.config import SMOKE, RunConfig
from digit_recognizer.errors import InputError
from digit_recognizer.models import _options
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


def read_options(name: str, pairs: Sequence[str]) -> dict[str, int | float]:
    """A net's options from `--model-args`, such as ("dropout=0.3", "kernel_px=4"), for `build_model`.

    Raises:
        InputError: if no model has that name, it has no such option, or a value is no number of the option's kind.
    """
    return _options.read_options(load_model_module(name).build, name, pairs)


def describe_options(name: str) -> str:
    """What a model takes by `--model-args`, with the defaults, as a sentence without its full stop."""
    return _options.describe_options(load_model_module(name).build, name)


def build_config(name: str, /, smoke: bool = False, **changes: Any) -> RunConfig:
    """A model's recipe: the defaults, then its preset, then the smoke run's, then `changes`.

    Raises:
        InputError: if no model has that name, there is no such field, or a value is none that a run can mean.
    """
    recipe = {**load_preset(name), **({**SMOKE, **load_smoke(name), "smoke": True} if smoke else {}), **changes}
    return RunConfig.from_json({**RunConfig().to_json(), "model": name, **recipe})


def build_model(
    name: str,
    input_shape: tuple[int, int, int] = (28, 28, 1),
    classes: int = 10,
    weights: str | None = "imagenet",
    **options: float,
) -> "keras.Model":
    """Build a fresh, uncompiled network.

    Args:
        name: one of `list_models()`.
        input_shape: height, width and channels of an image, in px.
        classes: width of the output.
        weights: for transfer nets only: "imagenet", None for random ones, or the path of a weights file.
        options: of the net, as `read_options` gives them; its own defaults hold for those left out.

    Returns:
        A model from float32 (n, *input_shape) in [0, 1] to float32 probabilities (n, classes).

    Raises:
        InputError: if no model has that name, the weights cannot be had, or no net can be built with an option's value.
    """
    model: keras.Model = load_model_module(name).build(input_shape, classes, weights, **options)
    return model
