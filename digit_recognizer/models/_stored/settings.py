"""Which values a layer's settings may have in the config.json of a saved net."""

import re
from collections.abc import Callable
from functools import partial
from typing import Any

MOST_ON_A_SIDE = 1 << 16  # px, units, filters: whatever counts along one axis
LARGEST_NUMBER = 1e15
DTYPES = ("float16", "bfloat16", "float32", "float64")
MIXED = ("mixed_float16", "mixed_bfloat16")
ACTIVATIONS = (
    ("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "mish", "tanh", "softplus")
    + ("sigmoid", "hard_sigmoid", "hard_silu", "softmax", "log_softmax")
)  # fmt: skip
INITIALIZERS = ("Zeros", "Ones", "Constant", "VarianceScaling", "TruncatedNormal") + tuple(
    family + spread for family in ("Glorot", "He", "Lecun", "Random") for spread in ("Normal", "Uniform")
)
PART_KEYS = ("module", "class_name", "config", "registered_name")

Check = Callable[[Any], bool]


def is_flag(value: Any) -> bool:
    """Whether it is true or false."""
    return isinstance(value, bool)


def is_null(value: Any) -> bool:
    """Whether it is null."""
    return value is None


def is_count(value: Any) -> bool:
    """Whether it is a whole number from 1 that an axis can have."""
    return type(value) is int and 1 <= value <= MOST_ON_A_SIDE


def is_number(value: Any) -> bool:
    """Whether it is a finite number."""
    return type(value) in (int, float) and abs(value) < LARGEST_NUMBER  # NaN is less than nothing


def is_name(value: Any) -> bool:
    """Whether it is a short word, as names of layers and modes are."""
    return isinstance(value, str) and re.fullmatch("[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}", value) is not None


def is_pair(value: Any) -> bool:
    """Whether it is a list of two counts, for height and width."""
    return isinstance(value, list) and len(value) == 2 and all(map(is_count, value))


def is_axis(value: Any) -> bool:
    """Whether it is an axis of up to three dimensions, other than the batch's."""
    return type(value) is int and -3 <= value <= 3 and value != 0


def are_margins(value: Any) -> bool:
    """Whether it is [[top, bottom], [left, right]] in px."""
    sides = value if isinstance(value, list) and len(value) == 2 else [None]
    return all(
        isinstance(side, list) and len(side) == 2 and all(_is_margin(margin_px) for margin_px in side) for side in sides
    )


def _is_margin(value: Any) -> bool:
    return is_count(value) or (type(value) is int and value == 0)


def are_numbers(value: Any) -> bool:
    """Whether it is a number, or a list of a few."""
    return is_number(value) or (isinstance(value, list) and 0 < len(value) <= 16 and all(map(is_number, value)))


def are_sizes(value: Any) -> bool:
    """Whether it is a shape, in which an axis may be -1."""
    return isinstance(value, list) and len(value) <= 4 and all(map(_is_size, value))


def _is_size(value: Any) -> bool:
    return is_count(value) or (type(value) is int and value == -1)


def is_noise_shape(value: Any) -> bool:
    """Whether it tells of each axis, up to four, if dropout draws along it (null) or once for all of it (1)."""
    return (
        isinstance(value, list)
        and len(value) <= 4
        and all(one is None or (type(one) is int and one == 1) for one in value)
    )


def one_of(*words: str) -> Check:
    """Whether it is one of these words."""
    return lambda value: isinstance(value, str) and value in words


def only(wanted: bool) -> Check:
    """Whether it is that one truth value."""
    return lambda value: value is wanted


def maybe(check: Check) -> Check:
    """Whether it is null or passes."""
    return lambda value: value is None or check(value)


def is_part(value: Any, module: str, names: tuple[str, ...]) -> bool:
    """Whether it describes an object of one of Keras' own classes, made from nothing but numbers and words."""
    if not isinstance(value, dict) or set(value) - {"shared_object_id"} != set(PART_KEYS):
        return False
    name, config = value["class_name"], value["config"]
    return (
        value["module"] == module
        and isinstance(name, str)
        and name in names
        and (value["registered_name"] is None or value["registered_name"] == name)
        and isinstance(config, dict)
        and all(item is None or is_flag(item) or is_number(item) or is_name(item) for item in config.values())
    )


def is_dtype(value: Any) -> bool:
    """Whether it is a format of floats, or a policy of one or two of them."""
    if is_part(value, "keras", ("DTypePolicy",)):
        return set(value["config"]) == {"name"} and value["config"]["name"] in DTYPES + MIXED
    return isinstance(value, str) and value in DTYPES


is_activation = one_of(*ACTIVATIONS)
is_initializer = partial(is_part, module="keras.initializers", names=INITIALIZERS)
is_regularizer = partial(is_part, module="keras.regularizers", names=("L1", "L2", "L1L2"))
is_constraint = partial(is_part, module="keras.constraints", names=("NonNeg", "MaxNorm", "UnitNorm"))


def clean(value: Any) -> Any:
    """A setting that passed its check, without what only joins parts of one file (shared objects)."""
    return {key: value[key] for key in PART_KEYS} if isinstance(value, dict) else value
