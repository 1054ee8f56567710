"""The layers that a saved net may hold: their settings, and what comes of these, worked out without Keras.

`RULES` is the list of all that is loaded. Nothing in it calls code, reads a file or draws on more than its inputs:
Lambda, TFSMLayer, TorchModuleWrapper, StringLookup and their like have no rule. A layer of this package gets in by a
rule that names its module and the name it is registered under.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from digit_recognizer.models._stored.settings import (
    Check,
    are_margins,
    are_numbers,
    are_sizes,
    is_activation,
    is_axis,
    is_constraint,
    is_count,
    is_dtype,
    is_flag,
    is_initializer,
    is_name,
    is_noise_shape,
    is_null,
    is_number,
    is_pair,
    is_regularizer,
    maybe,
    one_of,
    only,
)
from digit_recognizer.models._stored.shapes import (
    Settings,
    Shape,
    concatenate,
    count_batch_normalization,
    count_convolution,
    count_dense,
    count_depthwise,
    count_none,
    crop,
    dense,
    enlarge,
    flatten,
    keep,
    merge,
    on_plane,
    pad,
    pool_all,
    rescale,
    reshape,
    resize,
    slide,
)


@dataclass(frozen=True)
class Rule:
    """What is known of a layer.

    Attributes:
        settings: the check of each setting's value, without those that all layers share.
        find_shape: the output's shape, from the settings and the shape of each input.
        count_parameters: from the settings and the shape of the first input.
        merges: whether it takes a list of inputs.
        module: where Keras finds the class.
        registered_name: "package>Name" for a class of this package, None for Keras' own.
    """

    settings: Mapping[str, Check]
    find_shape: Callable[[Settings, list[Shape]], Shape]
    count_parameters: Callable[[Settings, Shape], int] = count_none
    merges: bool = False
    module: str = "keras.layers"
    registered_name: str | None = None


COMMON: dict[str, Check] = {"name": is_name, "trainable": is_flag, "dtype": is_dtype}


def _weights(*names: str) -> dict[str, Check]:
    """The settings that belong to each weight."""
    kinds: dict[str, Check] = {
        "initializer": is_initializer,
        "regularizer": maybe(is_regularizer),
        "constraint": maybe(is_constraint),
    }
    return {f"{name}_{kind}": check for name in names for kind, check in kinds.items()}


_PLANE: dict[str, Check] = {"data_format": one_of("channels_last", "channels_first")}
_WINDOW: dict[str, Check] = {**_PLANE, "strides": is_pair, "padding": one_of("valid", "same")}
_CONVOLUTION: dict[str, Check] = {
    **_WINDOW, "kernel_size": is_pair, "dilation_rate": is_pair, "use_bias": is_flag, "activation": is_activation,
    "activity_regularizer": maybe(is_regularizer),
}  # fmt: skip
_POOL = Rule({**_WINDOW, "pool_size": is_pair}, on_plane(slide))
_POOL_ALL = Rule({**_PLANE, "keepdims": is_flag}, pool_all)
_MERGE = Rule({}, merge, merges=True)

RULES: dict[str, Rule] = {
    "Activation": Rule({"activation": is_activation}, keep),
    "Add": _MERGE,
    "Average": _MERGE,
    "AveragePooling2D": _POOL,
    "BatchNormalization": Rule(
        {"axis": is_axis, "momentum": is_number, "epsilon": is_number, "center": is_flag, "scale": is_flag}
        | {f"{name}_initializer": is_initializer for name in ("beta", "gamma", "moving_mean", "moving_variance")}
        | {f"{name}_regularizer": maybe(is_regularizer) for name in ("beta", "gamma")}
        | {f"{name}_constraint": maybe(is_constraint) for name in ("beta", "gamma")}
        | {"synchronized": only(False), "renorm": only(False), "renorm_clipping": is_null}
        | {"renorm_momentum": is_number},
        keep,
        count_batch_normalization,
    ),
    "Concatenate": Rule({"axis": is_axis}, concatenate, merges=True),
    "Conv2D": Rule(
        {**_CONVOLUTION, "filters": is_count, "groups": is_count, **_weights("kernel", "bias")},
        on_plane(slide),
        count_convolution,
    ),
    "Cropping2D": Rule({**_PLANE, "cropping": are_margins}, on_plane(crop)),
    "Dense": Rule(
        {"units": is_count, "use_bias": is_flag, "activation": is_activation, **_weights("kernel", "bias")},
        dense,
        count_dense,
    ),
    "DepthwiseConv2D": Rule(
        {**_CONVOLUTION, "depth_multiplier": is_count, **_weights("depthwise", "bias")},
        on_plane(slide),
        count_depthwise,
    ),
    "Dropout": Rule({"rate": is_number, "seed": maybe(is_number), "noise_shape": maybe(is_noise_shape)}, keep),
    "ELU": Rule({"alpha": is_number}, keep),
    "Flatten": Rule(_PLANE, flatten),
    "GaussianNoise": Rule({"stddev": is_number, "seed": maybe(is_number)}, keep),
    "GlobalAveragePooling2D": _POOL_ALL,
    "GlobalMaxPooling2D": _POOL_ALL,
    "LeakyReLU": Rule({"negative_slope": is_number}, keep),
    "MaxPooling2D": _POOL,
    "Maximum": _MERGE,
    "Multiply": _MERGE,
    "ReLU": Rule({"max_value": maybe(is_number), "negative_slope": is_number, "threshold": is_number}, keep),
    "Rescaling": Rule({"scale": are_numbers, "offset": are_numbers}, rescale),
    "Reshape": Rule({"target_shape": are_sizes}, reshape),
    "Resizing": Rule(
        {**_PLANE, "height": is_count, "width": is_count, "interpolation": is_name, "antialias": is_flag}
        | {"crop_to_aspect_ratio": only(False), "pad_to_aspect_ratio": only(False)}  # its padding may dwarf both sizes
        | {"fill_mode": is_name, "fill_value": is_number},
        on_plane(resize),
    ),
    "SeparableConv2D": Rule(
        {**_CONVOLUTION, "filters": is_count, "depth_multiplier": is_count}
        | _weights("depthwise", "pointwise", "bias"),
        on_plane(slide),
        count_depthwise,
    ),
    "Softmax": Rule({"axis": is_axis}, keep),
    "UpSampling2D": Rule(
        {**_PLANE, "size": is_pair, "interpolation": is_name},
        on_plane(enlarge),
    ),
    "ZeroPadding2D": Rule({**_PLANE, "padding": are_margins}, on_plane(pad)),
}  # fmt: skip
