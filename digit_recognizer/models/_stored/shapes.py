"""What comes out of a layer, and how many parameters it has: Keras' arithmetic, done on plain numbers.

Shapes are those of one image, without the batch axis. The settings have passed their checks.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any

Shape = tuple[int, ...]
Settings = Mapping[str, Any]


class UnfitError(ValueError):
    """A net that is not to be built. The message says why, as the end of a sentence."""


def count_none(settings: Settings, shape: Shape) -> int:
    """No parameters."""
    return 0


def keep(settings: Settings, inputs: list[Shape]) -> Shape:
    """The shape stays."""
    return inputs[0]


def on_plane(change: Callable[[Settings, int, int, int], Shape]) -> Callable[[Settings, list[Shape]], Shape]:
    """Have a rule for height, width and channels follow `data_format`."""

    def find_shape(settings: Settings, inputs: list[Shape]) -> Shape:
        if len(inputs[0]) != 3:
            raise UnfitError(f"gives a layer of images the shape {inputs[0]}")
        if settings["data_format"] == "channels_last":
            return change(settings, *inputs[0])
        channels, height, width = inputs[0]
        *sides, channels = change(settings, height, width, channels)
        return (channels, *sides)

    return find_shape


def _channels(settings: Settings, shape: Shape) -> int:
    return shape[-1] if settings["data_format"] == "channels_last" else shape[0]


def slide(settings: Settings, height: int, width: int, channels: int) -> Shape:
    """Convolutions and poolings: a window slides over the plane."""
    windows = settings.get("kernel_size") or settings["pool_size"]
    sides = []
    for axis, side in enumerate((height, width)):
        reach = settings.get("dilation_rate", (1, 1))[axis] * (windows[axis] - 1) + 1
        room = side if settings["padding"] == "same" else side - reach + 1
        sides.append(-(-room // settings["strides"][axis]))
    multiplied = channels * settings.get("depth_multiplier", 1)
    return (*sides, settings.get("filters", multiplied))


def count_convolution(settings: Settings, shape: Shape) -> int:
    """Kernel and bias."""
    channels, filters, groups = _channels(settings, shape), settings["filters"], settings["groups"]
    if channels % groups or filters % groups:
        raise UnfitError(f"parts {channels} channels and {filters} filters into {groups} groups")
    return math.prod(settings["kernel_size"]) * (channels // groups) * filters + settings["use_bias"] * filters


def count_depthwise(settings: Settings, shape: Shape) -> int:
    """One kernel per channel, then, with filters, a pointwise one; and the bias."""
    multiplied = _channels(settings, shape) * settings["depth_multiplier"]
    filters = settings.get("filters", multiplied)
    pointwise = multiplied * filters if "filters" in settings else 0
    return math.prod(settings["kernel_size"]) * multiplied + pointwise + settings["use_bias"] * filters


def count_dense(settings: Settings, shape: Shape) -> int:
    """Kernel and bias."""
    return (shape[-1] + settings["use_bias"]) * settings["units"]


def count_batch_normalization(settings: Settings, shape: Shape) -> int:
    """Moving mean and variance; offset and scale."""
    size: int = (0, *shape)[settings["axis"]] if -len(shape) <= settings["axis"] <= len(shape) else 0
    return (2 + settings["center"] + settings["scale"]) * size


def pad(settings: Settings, height: int, width: int, channels: int) -> Shape:
    """Margins are added."""
    return height + sum(settings["padding"][0]), width + sum(settings["padding"][1]), channels


def crop(settings: Settings, height: int, width: int, channels: int) -> Shape:
    """Margins are taken away."""
    return height - sum(settings["cropping"][0]), width - sum(settings["cropping"][1]), channels


def pool_all(settings: Settings, inputs: list[Shape]) -> Shape:
    """One number per channel."""
    pooled = on_plane(lambda _, height, width, channels: (1, 1, channels))(settings, inputs)
    return pooled if settings["keepdims"] else (_channels(settings, pooled),)


def reshape(settings: Settings, inputs: list[Shape]) -> Shape:
    """The same numbers in other axes."""
    target, size = settings["target_shape"], math.prod(inputs[0])
    known = math.prod(side for side in target if side != -1)
    shape = tuple(size // known if side == -1 else side for side in target)
    if target.count(-1) > 1 or math.prod(shape) != size:
        raise UnfitError(f"reshapes {inputs[0]} to {tuple(target)}")
    return shape


def rescale(settings: Settings, inputs: list[Shape]) -> Shape:
    """The shape stays; lists of numbers must have one per channel."""
    for numbers in (settings["scale"], settings["offset"]):
        if isinstance(numbers, list) and len(numbers) != inputs[0][-1]:
            raise UnfitError(f"rescales {inputs[0][-1]} channels by {len(numbers)} numbers")
    return inputs[0]


def merge(settings: Settings, inputs: list[Shape]) -> Shape:
    """The shape that all inputs have."""
    if len(set(inputs)) != 1:
        raise UnfitError(f"merges unlike shapes, {inputs[0]} and others")
    return inputs[0]


def concatenate(settings: Settings, inputs: list[Shape]) -> Shape:
    """Inputs side by side along an axis."""
    axis, axes = settings["axis"], len(inputs[0])
    at = axis + axes if axis < 0 else axis - 1
    others = {shape[:at] + shape[at + 1 :] for shape in inputs}
    if not 0 <= at < axes or len(others) != 1 or {len(shape) for shape in inputs} != {axes}:
        raise UnfitError(f"joins unlike shapes, {inputs[0]} and others")
    return (*inputs[0][:at], sum(shape[at] for shape in inputs), *inputs[0][at + 1 :])


def dense(settings: Settings, inputs: list[Shape]) -> Shape:
    """The last axis becomes the units."""
    return (*inputs[0][:-1], settings["units"])


def flatten(settings: Settings, inputs: list[Shape]) -> Shape:
    """All numbers in one axis."""
    return (math.prod(inputs[0]),)


def resize(settings: Settings, height: int, width: int, channels: int) -> Shape:
    """Another height and width."""
    return settings["height"], settings["width"], channels


def enlarge(settings: Settings, height: int, width: int, channels: int) -> Shape:
    """A multiple of height and width."""
    return height * settings["size"][0], width * settings["size"][1], channels
