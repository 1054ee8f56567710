"""The architectures, one file each. A file put here is a model: its name is at once a value of `--model`.

A file elsewhere is a model by its path, and so is, from Python, a function; see `digit_recognizer.models._own`.

A model's file holds

- `PRESET`, its differences from `RunConfig`'s defaults; a file elsewhere may do without;
- `build(input_shape, classes)`, which returns an uncompiled Keras model from float32 images in [0, 1] to probabilities.
  It imports Keras inside, so that names and presets are read without it. A model with a pretrained backbone takes
  `weights` too;
- `Options`, if the architecture has some: a dataclass of numbers, each an `option` with a default and a range, which
  `build` takes as `options`. Users set them by `--model-args NAME=VALUE`;
- `SMOKE`, if the common smoke run would take too long: the differences from it.
"""

import dataclasses
import importlib
import inspect
import math
import pkgutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from digit_recognizer.backend import import_keras
from digit_recognizer.config import SMOKE, RunConfig, is_own_model
from digit_recognizer.errors import InputError, suggest
from digit_recognizer.models._own import Builder, load_own_module, register_model

if TYPE_CHECKING:
    import keras

Number = int | float
SEEN_TEST_ROWS = "seen_test_rows"  # an attribute of every layer of the packaged models, for a submission's provenance

# Recipes that the presets of several models share. Accuracies on 2,000 held-out rows (1 % is 20 rows), one seed,
# `train --epochs 5 --limit-train 10000 --batch-size 64 --precision bfloat16`; a dash was not tried:
#
#                  adam 0.001  adam 0.003  muon 0.02  muon 0.05
#     lenet5           0.9270      0.9600     0.9855     0.9765  (with tanh)
#     alexnet          0.9805      0.9850     0.1124     0.1124
#     resnet           0.9745      0.9855     0.9925     0.9930
#     narrow           0.9300      0.9595     0.9805     0.9850
#     wide             0.9710      0.9810     0.9795          -
#     journal          0.9755      0.9805     0.9870          -
#     convolutional         -      0.9665     0.9735          -
#
# AlexNet's five convolutions, without normalization, do not begin to learn with muon at these rates.
ADAM: dict[str, Any] = {"epochs": 15, "learning_rate": 3e-3}
MUON: dict[str, Any] = {
    "epochs": 15,
    "optimizer": "muon",
    "learning_rate": 0.02,
    "weight_decay": 0.1,
    "label_smoothing": 0.1,
}
FAST_MUON: dict[str, Any] = {**MUON, "learning_rate": 0.05}


def list_models() -> list[str]:
    """The names of all models, in alphabetical order.

    Example:
        >>> list_models()[:2]
        ['alexnet', 'baseline']
    """
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def load_model_module(name: str) -> ModuleType:
    """The module of a model, without Keras.

    Args:
        name: as a configuration has it; one of `list_models()`, or what `register_model` gave.

    Raises:
        InputError: if no model has that name, or its file cannot be used.
    """
    if is_own_model(name):
        return load_own_module(name)
    if name not in list_models():
        known = list_models()
        raise InputError("models.unknown", received=name, known=", ".join(known), hint=suggest(name, known))
    return importlib.import_module(f"{__name__}.{name}")


def load_preset(name: str) -> dict[str, Any]:
    """A model's differences from `RunConfig`'s defaults.

    Raises:
        InputError: naming the model's file and what is wrong with its PRESET or SMOKE.
    """
    module = load_model_module(name)
    for column in ("PRESET", "SMOKE"):
        try:
            RunConfig.from_json({**RunConfig().to_json(), **getattr(module, column, {})})
        except (InputError, TypeError) as error:  # TypeError: it is no dict
            raise InputError("models.preset_value", path=module.__file__, column=column, reason=error) from error
    preset: dict[str, Any] = getattr(module, "PRESET", {})
    return preset


def load_smoke(name: str) -> dict[str, Any]:
    """A model's differences from the common smoke run; none for most."""
    return getattr(load_model_module(name), "SMOKE", {})


def build_config(name: str, /, smoke: bool = False, **changes: Any) -> RunConfig:
    """The configuration of a run of a model: the defaults, its preset, the smoke run's settings, then `changes`.

    Args:
        name: of the model; a file of one's own must have been named to `build_model` before.
        smoke: whether this is a smoke run.
        **changes: fields of `RunConfig`. `model_args` may be a dict, and numbers may be NumPy's.

    Raises:
        InputError: if no model has that name, a field is unknown, or a value is not allowed.

    Example:
        >>> build_config("champion", epochs=3).optimizer
        'muon'
    """
    defaults = RunConfig().to_json()
    if isinstance(changes.get("model_args"), Mapping):
        changes["model_args"] = tuple(f"{key}={value}" for key, value in changes["model_args"].items())
    changes = {key: value.item() if type(value).__module__ == "numpy" else value for key, value in changes.items()}
    recipe = {**defaults, **load_preset(name), "model": name}
    smoke_run = {**SMOKE, **load_smoke(name), "smoke": True} if smoke else {}
    return RunConfig.from_json({**recipe, **smoke_run, **changes})


def build_model(
    model: "str | Path | Builder",
    input_shape: tuple[int, int, int] = (28, 28, 1),
    classes: int = 10,
    weights: str | None = "imagenet",
    **options: Number,
) -> "keras.Model":
    """Build a fresh, uncompiled model.

    Args:
        model: one of `list_models()`; the path of a model's file; or a function (input_shape, classes) that builds one.
        input_shape: height, width and channels of an image, in px.
        classes: number of outputs.
        weights: of a pretrained backbone: "imagenet", None for random ones, or the path of a weights file. Models
            without a backbone ignore it.
        options: of the architecture, as `read_options` gives them; the defaults hold for those left out.

    Returns:
        A model from float32 (n, *input_shape) in [0, 1] to float32 probabilities (n, classes).

    Raises:
        InputError: if no model has that name, the weights cannot be loaded, or an option has a value of which no model
            can be built.

    Example:
        >>> build_model("narrow", dropout=0.3).count_params()
        21840
    """
    return construct_model(register_model(model), input_shape, classes, weights, **options)


def construct_model(
    name: str,
    input_shape: tuple[int, int, int] = (28, 28, 1),
    classes: int = 10,
    weights: str | None = "imagenet",
    **options: Number,
) -> "keras.Model":
    """`build_model` of the model that a configuration names: a file runs only if its user has named it before."""
    import_keras()
    module = load_model_module(name)
    arguments: dict[str, Any] = {}
    if hasattr(module, "Options"):
        arguments["options"] = module.Options(**options)
        for field in dataclasses.fields(module.Options):
            lowest, highest = field.metadata.get("range", (-math.inf, math.inf))
            value = getattr(arguments["options"], field.name)
            if not lowest <= value <= highest:  # NaN too
                bounds = {"lowest": lowest, "highest": highest}
                raise InputError("models.option_range", option=field.name, received=value, **bounds)
    elif options:
        raise TypeError(f"{name} has no options")
    if "weights" in inspect.signature(module.build).parameters:
        arguments["weights"] = weights
    model: keras.Model = module.build(input_shape, classes, **arguments)
    return model


def list_options(name: str) -> dict[str, Number]:
    """The options of a model by name, in order, with their defaults."""
    options = getattr(load_model_module(name), "Options", None)
    return {} if options is None else dataclasses.asdict(options())


def read_options(name: str, pairs: Sequence[str]) -> dict[str, Number]:
    """Read `--model-args` against a model's options, for `build_model`.

    Args:
        name: of the model.
        pairs: such as "dropout=0.3". An option whose default is an int takes whole numbers only.

    Returns:
        The options named, and no others.

    Raises:
        InputError: if no model has that name, an option is unknown or named twice, or a value is not a number of the
            option's type.
    """
    known = list_options(name)
    options: dict[str, Number] = {}
    for pair in pairs:
        key, _, text = pair.partition("=")
        if key not in known:
            hint = suggest(key, known)
            raise InputError("models.option_unknown", received=pair[:60], help=describe_options(name), hint=hint)
        if key in options:
            raise InputError("models.option_repeated", received=pair[:60], option=key)
        try:
            options[key] = type(known[key])(text)
            if not math.isfinite(options[key]):
                raise ValueError
        except (ValueError, OverflowError):  # the latter of a whole number beyond all floats
            code = "models.option_not_whole" if type(known[key]) is int else "models.option_not_finite"
            raise InputError(code, received=pair[:60], option=key) from None
    return options


def describe_options(name: str) -> str:
    """What a model takes by `--model-args`, with the defaults, as a sentence without its full stop."""
    known = list_options(name)
    if not known:
        return f"--model {name} has no options"
    return f"--model {name} has these options: {' '.join(f'{key}={default}' for key, default in known.items())}"


def option(default: Number, lowest: Number, highest: Number) -> Any:
    """A field of an architecture's `Options`: its default, and the range that `build_model` holds it to."""
    return dataclasses.field(default=default, metadata={"range": (lowest, highest)})


def check_kernel_size(shape: Sequence[int | None], kernel_px: int, layer: str) -> None:
    """Refuse a kernel that is larger than the feature map.

    Args:
        shape: of the feature map, (n, height, width, channels).
        kernel_px: side of the kernel, or of a pooling window.
        layer: that has the kernel.

    Raises:
        InputError: one line that names the layer and both sizes.
    """
    side_px = min(px or 0 for px in shape[1:3])
    if kernel_px > side_px:
        raise InputError("models.kernel_too_large", layer=layer, received=kernel_px, side=side_px)
