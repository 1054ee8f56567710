"""The filters of a convolution, and what they do to an image: OpenCV's answer beside the truncated net's.

After document 002 (section B, figures 8 and 9) and document 003 (part 2), which finds the two answers virtually
identical.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from digit_recognizer.inspection.layers import LayerCall, OpenedNetwork

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Gradients:
    """How much of each filter is a ramp from light to dark, as Sobel's filters are; all arrays have shape (filters,).

    Attributes:
        shares: float, of the filter's variation that the best ramp explains: 1 for a ramp, 0 for none of one.
        angles_deg: float, -180 to 180, in which the weights rise: 0 to the right, 90 upwards.
        chance: the mean share in filters of random weights.
    """

    shares: np.ndarray
    angles_deg: np.ndarray
    chance: float


@dataclass(frozen=True)
class FilterEffects:
    """What a convolution makes of one image, by two ways; both float32 (filters, height, width).

    Attributes:
        filtered: by cv2.filter2D, border cropping, bias and the layer's activation.
        activations: the output of the net, truncated after the layer.
    """

    filtered: np.ndarray
    activations: np.ndarray

    @property
    def difference(self) -> float:
        """The largest difference between the two."""
        return float(np.abs(self.filtered - self.activations).max())


def read_filters(call: LayerCall) -> np.ndarray:
    """A convolution's filters, float32 (filters, height, width), summed over the channels of its input.

    The sum is what meets a grey image, whose channels are equal.
    """
    kernel = _read(call.layer.kernel)
    filters: np.ndarray = np.moveaxis(kernel.sum(axis=2), -1, 0)
    return filters


def measure_gradients(filters: np.ndarray) -> Gradients:
    """Compare filters (n, height, width) with ramps, by least squares."""
    count, height, width = filters.shape
    down, right = (np.arange(side) - (side - 1) / 2 for side in (height, width))
    centred = filters - filters.mean(axis=(1, 2), keepdims=True, dtype=np.float64)
    per_row = (centred * down[:, None]).sum(axis=(1, 2)) / max(width * (down**2).sum(), 1)
    per_column = (centred * right).sum(axis=(1, 2)) / max(height * (right**2).sum(), 1)
    explained = per_row**2 * width * (down**2).sum() + per_column**2 * height * (right**2).sum()
    variation = (centred**2).sum(axis=(1, 2))
    shares = np.divide(explained, variation, out=np.zeros(count), where=variation > 0)
    slopes = (height > 1) + (width > 1)
    return Gradients(shares, np.degrees(np.arctan2(-per_row, per_column)), slopes / max(height * width - 1, 1))


def can_filter(call: LayerCall) -> bool:
    """Whether cv2.filter2D can stand in for a convolution: every filter sees all channels, without holes."""
    layer = call.layer
    return layer.groups == 1 and tuple(layer.dilation_rate) == (1, 1) and layer.data_format == "channels_last"


def compute_filter_effects(network: OpenedNetwork, call: LayerCall, image: np.ndarray) -> FilterEffects:
    """Filter one image with OpenCV as a convolution does, and with the net itself.

    Args:
        network: that holds the layer.
        call: a convolution for which `can_filter` holds; its own input is filtered, whatever came before it.
        image: uint8 (height, width, channels).
    """
    inputs, outputs = network.compute([call.inputs, call.outputs], image[None])
    layer: Any = call.layer
    sums = _filter_planes(inputs[0], layer)
    if layer.use_bias:
        sums = sums + _read(layer.bias)
    return FilterEffects(
        filtered=np.moveaxis(_read(layer.activation(sums)), -1, 0), activations=np.moveaxis(outputs[0], -1, 0)
    )


def _filter_planes(planes: np.ndarray, layer: "keras.layers.Conv2D") -> np.ndarray:
    """Filter planes (height, width, channels) with cv2.filter2D, and crop: (height, width, filters)."""
    import cv2

    kernel = _read(layer.kernel)
    steps, padding = layer.strides, layer.padding
    # like Keras, filter2D correlates: it does not turn the kernel round; its anchor is where the result is put down,
    # and for sides of even length, which have no middle, its own choice is not Keras's
    anchors = [(side - 1) // 2 for side in kernel.shape[:2]]
    slices = [
        _find_kept(*numbers, padding)
        for numbers in zip(planes.shape[:2], kernel.shape[:2], steps, anchors, strict=True)
    ]
    results = []
    for number in range(kernel.shape[-1]):
        filtered = sum(
            cv2.filter2D(
                np.ascontiguousarray(planes[..., channel]),
                cv2.CV_32F,
                np.ascontiguousarray(kernel[..., channel, number]),
                anchor=(anchors[1], anchors[0]),
                borderType=cv2.BORDER_CONSTANT,  # zeros, as Keras pads
            )
            for channel in range(planes.shape[-1])
        )
        results.append(np.asarray(filtered, np.float32)[slices[0], slices[1]])
    return np.stack(results, axis=-1)


def _find_kept(side: int, kernel_side: int, step: int, anchor: int, padding: str) -> slice:
    """Which of filter2D's results along a side of the image a convolution keeps."""
    if padding == "valid":  # only those whose whole kernel lies on the image
        return slice(anchor, side - (kernel_side - 1 - anchor), step)
    kept = -(-side // step)
    before = max((kept - 1) * step + kernel_side - side, 0) // 2  # zeros that come before the image, the fewer half
    return slice(anchor - before, None, step)


def _read(tensor: Any) -> np.ndarray:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(tensor), np.float32)
