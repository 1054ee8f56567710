"""The architectures, one file each. A file put here is a model: its name is at once a value of `--model`.

A file elsewhere is a model by its path, and so is, from Python, a function. A file is code. It runs only if its user
has named it: in `--model`, or in a call from Python. The hash of its content is then kept in the user's cache folder.
So a run folder from somebody else, which holds the file of its model, runs nothing until its user has looked at that
file and has named it. A function is known to the process that it was passed to, and to no other.

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
import functools
import hashlib
import importlib
import inspect
import math
import os
import pkgutil
import re
import sys
import textwrap
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from digit_recognizer.backend import import_keras, keras_defaults
from digit_recognizer.config import FUNCTION, SMOKE, RunConfig, is_user_model
from digit_recognizer.errors import InputError, suggest
from digit_recognizer.io import find_cache_dir, lock_folder, read_bytes, read_json, write_json

if TYPE_CHECKING:
    import keras

Number = int | float
Builder = Callable[..., Any]
ALLOWED = "models.json"  # in the user's cache folder: hashes of the model files that were named
LIMIT_BYTES = 1 << 20  # of a model's file
IMPORTS_KERAS = re.compile(rb"^(import|from) (keras|tensorflow)\b", re.MULTILINE)  # not only inside `build`

_functions: dict[str, Builder] = {}  # by what a configuration calls them
_modules: dict[str, ModuleType] = {}  # by the hash of their file's content: an edited file is another module
_named: set[str] = set()  # hashes of the files that were named in this process
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
    if is_user_model(name):
        return load_user_module(name)
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
        name: of the model; a user's file must have been named to `build_model` before.
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
    changes["smoke"] = smoke
    changes = {key: value.item() if type(value).__module__ == "numpy" else value for key, value in changes.items()}
    recipe = {**defaults, **load_preset(name), "model": name}
    smoke_run = {**SMOKE, **load_smoke(name)} if smoke else {}
    return RunConfig.from_json({**recipe, **smoke_run, **changes})


def build_model(
    model: str | Path | Builder,
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
    with keras_defaults():
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


# Users' models: files and functions


def register_model(model: str | Path | Builder) -> str:
    """Take a model that the user has named.

    Args:
        model: a name, the path of a file that ends in .py, or a function (input_shape, classes) that builds a model.

    Returns:
        What a configuration calls it: the name, the file's absolute path, or `function:NAME`.

    Raises:
        InputError: if the file cannot be read, or this is no model.
    """
    if hasattr(model, "get_weights"):
        raise InputError("models.built", received=type(model).__name__)
    if callable(model):
        name = FUNCTION + (re.sub(r"\W", "", _name_function(model)) or "model")
        _functions[name] = model
        return name
    if not isinstance(model, (str, os.PathLike)):
        raise InputError("models.no_model", received=type(model).__name__)
    text = os.fspath(model)
    if not text.endswith(".py"):
        return text
    path = Path(os.path.realpath(Path(text).expanduser()))  # Path.resolve raises on looped links
    _allow(hashlib.sha256(read_bytes(path, LIMIT_BYTES)).hexdigest())
    return str(path)


def load_user_module(model: str) -> ModuleType:
    """The module of a model's file, or one made of a function.

    Args:
        model: as `register_model` gave it, or as a run's configuration has it.

    Raises:
        InputError: if its user has not named the file, it cannot be executed, or it builds no model; or if nobody has
            passed the function in this process.
    """
    if model.startswith(FUNCTION):
        if model not in _functions:
            raise InputError("models.function_unknown", received=model.removeprefix(FUNCTION))
        return _wrap_function(_functions[model])
    path = Path(model)
    content = read_bytes(path, LIMIT_BYTES)
    sha256 = hashlib.sha256(content).hexdigest()
    if sha256 not in _modules:
        if sha256 not in _named | _read_allowed():
            raise InputError("models.file_not_allowed", path=path)
        _modules[sha256] = _execute(path, content, sha256)
    return _modules[sha256]


def describe_source(model: str) -> str:
    """The Python source of a user's model, for a fingerprint.

    A function's holds also the functions and classes of its module which it uses, and the values of constants.
    """
    if model.startswith(FUNCTION):
        load_user_module(model)
        return _describe_function(_functions[model], set())
    return read_bytes(Path(model), LIMIT_BYTES).decode("utf-8-sig")


def _execute(path: Path, content: bytes, sha256: str) -> ModuleType:
    module = ModuleType(f"digit_recognizer_model_{path.stem}_{sha256[:8]}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module  # where dataclasses look for the types of their fields
    if IMPORTS_KERAS.search(content):
        import_keras()  # without TensorFlow's notes on its own start
    try:
        exec(compile(content, str(path), "exec"), vars(module))  # its user has named the file
    except Exception as error:  # whatever its author has written
        del sys.modules[module.__name__]
        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"
        raise InputError("models.file_fails", path=path, line=_find_line(error, path), reason=reason) from error
    if not callable(getattr(module, "build", None)):
        raise InputError("models.no_build", path=path)
    return module


def _find_line(error: Exception, path: Path) -> int:
    """The line of a file at which an error arose."""
    if isinstance(error, SyntaxError) and error.lineno:
        return error.lineno
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    return (frames[-1].lineno or 1) if frames else 1


def _wrap_function(function: Builder) -> ModuleType:
    """A function as the module of a model. One without parameters, as many tutorials write it, is called without."""
    takes_nothing = not inspect.signature(function).parameters

    def build(input_shape: tuple[int, int, int], classes: int) -> Any:
        return function() if takes_nothing else function(input_shape, classes)

    module = ModuleType(_name_function(function))
    module.__file__ = None
    vars(module)["build"] = build
    return module


def _name_function(function: Builder) -> str:
    if isinstance(function, functools.partial):
        return _name_function(function.func)
    return str(getattr(function, "__name__", type(function).__name__))


def _describe_function(function: Any, seen: set[Any]) -> str:
    if isinstance(function, functools.partial):
        arguments = f"{function.args!r} {sorted(function.keywords.items())!r}"
        return f"{_describe_function(function.func, seen)}\n{arguments}"
    seen.add(function)
    subject = function if inspect.isroutine(function) or inspect.isclass(function) else type(function)
    try:
        parts = [textwrap.dedent(inspect.getsource(subject))]
    except (OSError, TypeError):  # typed at Python's prompt
        parts = [repr(getattr(getattr(subject, "__code__", None), "co_code", subject.__name__))]
    if inspect.isfunction(function):
        used = inspect.getclosurevars(function)
        for name, value in sorted({**used.globals, **used.nonlocals}.items()):
            if (inspect.isfunction(value) or inspect.isclass(value)) and value.__module__ == function.__module__:
                parts += [] if value in seen else [_describe_function(value, seen)]
            elif value is None or isinstance(value, (bool, int, float, str, tuple, list, dict)):
                parts.append(f"{name} = {value!r}")
    return "\n".join(parts)


# The files that a user has named


def _allow(sha256: str) -> None:
    """Let a file with this content run, from now on and for this user."""
    _named.add(sha256)
    folder = find_cache_dir()
    try:
        if sha256 not in _read_allowed():
            folder.mkdir(parents=True, exist_ok=True)
            with lock_folder(folder):
                write_json(folder / ALLOWED, sorted({*_read_allowed(), sha256}))
    except (OSError, InputError):
        return  # it cannot be kept: the file runs in this process, and must be named again in the next


def _read_allowed() -> set[str]:
    try:
        return set(map(str, read_json(find_cache_dir() / ALLOWED)))
    except (InputError, TypeError):  # there is none, or it is damaged: nothing is allowed
        return set()
