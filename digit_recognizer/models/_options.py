"""Options of a net: the keyword-only arguments of its `build` that are numbers, set by `--model-args NAME=VALUE`.

A model's file declares them with their defaults and refuses, by the checks below, what no net can be built of.
"""

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Any

from digit_recognizer.errors import InputError

Number = int | float


def list_options(build: Callable[..., Any]) -> dict[str, Number]:
    """The options of a model's `build` by name, in its order, with their defaults."""
    return {
        parameter.name: parameter.default
        for parameter in inspect.signature(build).parameters.values()
        if parameter.kind is parameter.KEYWORD_ONLY and type(parameter.default) in (int, float)
    }


def read_options(build: Callable[..., Any], model: str, pairs: Sequence[str]) -> dict[str, Number]:
    """Read NAME=VALUE pairs against a model's options.

    Args:
        build: of the model's file.
        model: its name, for the message.
        pairs: such as "dropout=0.3"; an option whose default is an int takes no fraction.

    Returns:
        The options named, and no others.

    Raises:
        InputError: if an option is unknown or named twice, or its value is no number of its kind.
    """
    known = list_options(build)
    options: dict[str, Number] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        value = _read_number(text, type(known[name])) if name in known else None
        if name not in known:
            fault = "is none of them" if known else "can be none"
        elif name in options:
            fault = f"names {name} again"
        elif value is None:
            fault = f"gives {name} no {'whole' if type(known[name]) is int else 'finite'} number"
        else:
            options[name] = value
            continue
        raise InputError(f"{describe_options(build, model)}; received {pair[:60]!r}, which {fault}.")
    return options


def describe_options(build: Callable[..., Any], model: str) -> str:
    """What a model takes by `--model-args`, as a sentence without its full stop."""
    known = list_options(build)
    if not known:
        return f"--model {model} takes no --model-args: its net has no options"
    pairs = " ".join(f"{name}={default}" for name, default in known.items())
    return f"--model {model} takes --model-args NAME=VALUE of these, which have their defaults here: {pairs}"


def check_count(name: str, value: Number, highest: int) -> None:
    """Refuse layers, units or px below 1, and more than a net that can be opened again may have.

    Raises:
        InputError: one line that names the option, its range and what was received.
    """
    if not 1 <= value <= highest:
        raise InputError(f"--model-args {name} takes a number from 1 to {highest}; received {value}.")


def check_share(name: str, value: Number) -> None:
    """Refuse a share to drop that is below 0, or leaves nothing.

    Raises:
        InputError: as `check_count`.
    """
    if not 0 <= value < 1:  # NaN too
        raise InputError(f"--model-args {name} takes a number from 0 to below 1; received {value}.")


def check_room(shape: Sequence[int | None], kernel_px: int, layer: str) -> None:
    """Refuse a kernel that is larger than what the layers before it have left of the image.

    Args:
        shape: of the activations, (n, height, width, channels).
        kernel_px: side of the kernel, or of a pooling's square.
        layer: that will slide it.

    Raises:
        InputError: one line that names the layer and what is left.
    """
    left_px = min(side_px or 0 for side_px in shape[1:3])
    if kernel_px > left_px:
        raise InputError(
            f"--model-args leaves {left_px} px of an image's side at layer {layer}, whose kernel has {kernel_px}: "
            "take smaller kernels or fewer convolutions."
        )


def _read_number(text: str, kind: type) -> Number | None:
    """A finite number of a kind, None where the text is none."""
    try:
        value: Number = kind(text)
        return value if math.isfinite(value) else None
    except (ValueError, OverflowError):  # the latter of a whole number beyond all floats
        return None
