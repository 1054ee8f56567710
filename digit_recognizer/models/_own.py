"""Models of one's own: the path of a file, or a Python function, wherever a model's name is taken.

A file is code. It runs only if its user has named it: in `--model`, or in a call from Python. The hash of its content
is then kept in the user's cache folder. So a run folder from somebody else, which holds the file of its model, runs
nothing until its user has looked at that file and has named it.

A function is known to the process that it was passed to, and to no other.
"""

import functools
import hashlib
import inspect
import os
import re
import sys
import textwrap
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from digit_recognizer.backend import import_keras
from digit_recognizer.config import FUNCTION
from digit_recognizer.errors import InputError
from digit_recognizer.io import find_cache_dir, lock_folder, read_bytes, read_json, write_json

Builder = Callable[..., Any]
ALLOWED = "models.json"  # in the user's cache folder: hashes of the model files that were named
LIMIT_BYTES = 1 << 20  # of a model's file
IMPORTS_KERAS = re.compile(rb"^(import|from) (keras|tensorflow)\b", re.MULTILINE)  # not only inside `build`

_functions: dict[str, Builder] = {}  # by what a configuration calls them
_modules: dict[str, ModuleType] = {}  # by the hash of their file's content: an edited file is another module
_named: set[str] = set()  # hashes of the files that were named in this process


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


def load_own_module(model: str) -> ModuleType:
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
    """The Python source of a model of one's own, for a fingerprint.

    A function's holds also the functions and classes of its module which it uses, and the values of constants.
    """
    if model.startswith(FUNCTION):
        load_own_module(model)
        return _describe_function(_functions[model], set())
    return read_bytes(Path(model), LIMIT_BYTES).decode("utf-8")


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
