"""The filters of a model's first convolution, what they do to an image, and the feature maps of its layers.

After the seed reports inside-and-transfer (section B, figures 8 and 9) and fashion-filters (part 2), which finds the
results of OpenCV and of the truncated model virtually identical.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digit_recognizer.reporting.embedding import Examples
from digit_recognizer.reporting.html import Section
from digit_recognizer.reporting.network import LayerCall, Network, to_float32
from digit_recognizer.reporting.plots import (
    HELD_OUT_COLOUR,
    PALE_GREY,
    WIDTH,
    choose_colours,
    default_style,
    draw_figure,
    open_figure,
    tile,
)

if TYPE_CHECKING:
    import keras
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.figure import Figure

MAX_MAPS, MAX_EFFECTS = 64, 16  # drawn: more would be too small to see
COLUMNS, EFFECT_COLUMNS = 8, 4
NUMBER_SHARE, GAP_SHARE = 0.3, 0.1  # of a picture: left above it for its number, and to its right
MIN_PX = 12  # smaller pictures are enlarged, so that these shares need not be whole pixels
MOSTLY = 0.5  # of a filter's variation: then it is a gradient more than anything else
ROUNDING = 1e-4  # of the largest activation: float32 keeps seven figures, of which sums of many terms lose some
PICTURE_RANK = 3  # height, width, channels


# What is measured


def read_filters(call: LayerCall) -> np.ndarray:
    """A convolution's filters, float32 (filters, height, width), summed over the channels of its input.

    The sum is what a grey image meets, whose channels are equal.
    """
    kernel = to_float32(call.layer.kernel)
    filters: np.ndarray = np.moveaxis(kernel.sum(axis=2), -1, 0)
    return filters


def measure_gradients(filters: np.ndarray) -> tuple[np.ndarray, float]:
    """How much of each filter is a gradient from light to dark, as Sobel's filters are, by least squares.

    Args:
        filters: float (n, height, width).

    Returns:
        float (n,), the share of each filter's variation that the best gradient explains: 1 for a gradient, 0 where
        there is none of one; and the mean share in filters of random weights.
    """
    places = np.indices(filters.shape[1:], np.float64).reshape(2, -1).T
    weights = filters.reshape(len(filters), -1).T.astype(np.float64)
    places, weights = places - places.mean(axis=0), weights - weights.mean(axis=0)
    slopes, _, directions, _ = np.linalg.lstsq(places, weights)
    explained, variation = ((part**2).sum(axis=0) for part in (places @ slopes, weights))
    shares = np.divide(explained, variation, out=np.zeros(len(filters)), where=variation > 0)
    return shares, directions / max(len(places) - 1, 1)


def can_filter(call: LayerCall) -> bool:
    """Whether cv2.filter2D can stand in for a convolution: every filter sees all channels, without holes."""
    layer = call.layer
    return layer.groups == 1 and tuple(layer.dilation_rate) == (1, 1) and layer.data_format == "channels_last"


def compute_filter_effects(network: Network, call: LayerCall, image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Filter one image, uint8 (height, width, channels), with OpenCV as a convolution does, and with the model itself.

    Returns:
        Two arrays, float32 (filters, height, width): what cv2.filter2D, bias and the layer's activation make of the
        layer's input, and what the model computes, truncated after the layer.
    """
    inputs, outputs = network.compute([call.inputs, call.outputs], image[None])
    layer: Any = call.layer
    sums = _filter_planes(inputs[0], layer)
    if layer.use_bias:
        sums = sums + to_float32(layer.bias)
    filtered = np.moveaxis(to_float32(layer.activation(sums)), -1, 0)
    return filtered, np.moveaxis(outputs[0], -1, 0)


def _filter_planes(planes: np.ndarray, layer: "keras.layers.Conv2D") -> np.ndarray:
    """Filter planes (height, width, channels) with cv2.filter2D as a convolution does: (height, width, filters)."""
    import cv2

    kernel, steps = to_float32(layer.kernel), layer.strides
    missing = [
        max((-(-side // step) - 1) * step + size - side, 0) if layer.padding == "same" else 0
        for side, size, step in zip(planes.shape[:2], kernel.shape[:2], steps, strict=True)
    ]
    # as Keras pads: with zeros, the fewer half before the image
    padded = np.pad(planes, [*((zeros // 2, zeros - zeros // 2) for zeros in missing), (0, 0)])
    height, width = (1 + side - size for side, size in zip(padded.shape[:2], kernel.shape[:2], strict=True))
    results = []
    for filter_ in np.moveaxis(kernel, -1, 0):
        # like Keras, filter2D correlates: it does not turn the kernel round; its anchor is where the result is put down
        sums = sum(
            cv2.filter2D(plane, cv2.CV_32F, np.ascontiguousarray(weights), anchor=(0, 0))
            for plane, weights in zip(
                np.ascontiguousarray(np.moveaxis(padded, -1, 0)), np.moveaxis(filter_, -1, 0), strict=True
            )
        )
        results.append(np.asarray(sums, np.float32)[: height : steps[0], : width : steps[1]])
    return np.stack(results, axis=-1)


# Figures


@default_style()
def plot_maps(pictures: np.ndarray, title: str, quantity: str) -> "Figure":
    """Draw the first 64 filters or feature maps, float (n, height, width), numbered from 0, coloured by sign and size.

    `quantity` says what the numbers are, such as weight.
    """
    pictures = pictures[:MAX_MAPS]
    columns = min(COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    inches = WIDTH / COLUMNS  # of a picture
    height = rows * inches * pictures.shape[1] / pictures.shape[2] * (1 + NUMBER_SHARE) / (1 + GAP_SHARE)
    figure = open_figure(inches * max(columns, 4), 0.95 + height)
    figure.suptitle(title, fontsize="medium", wrap=True)
    axes, colours = figure.subplots(), choose_colours(pictures)
    _draw_tiles(axes, pictures, columns, colours)
    _add_bar(figure, [axes], colours, quantity)
    return figure


@default_style()
def plot_filter_effects(
    filters: np.ndarray, effects: tuple[np.ndarray, np.ndarray], image: np.ndarray, name: str
) -> "Figure":
    """Draw an image, a layer's first 16 filters, and what cv2.filter2D and the model make of the image with each."""
    answers = [part[:MAX_EFFECTS] for part in effects]
    filters = filters[:MAX_EFFECTS]
    rows = -(-len(filters) // EFFECT_COLUMNS)
    weights, responses = choose_colours(filters), choose_colours(*answers)
    figure = open_figure(WIDTH, 2 + 1.2 * rows)
    panels = figure.subplots(2, 2).ravel()
    panels[0].imshow(image.mean(axis=-1), cmap="gray_r", vmin=0, vmax=255)
    panels[0].set_axis_off()
    _draw_tiles(panels[1], filters, EFFECT_COLUMNS, weights)
    for axes, answer in zip(panels[2:], answers, strict=True):
        _draw_tiles(axes, answer, EFFECT_COLUMNS, responses)
    for axes, words in zip(panels, (name, "filters", "cv2.filter2D", "the model"), strict=True):
        axes.set_title(words, fontsize="medium")
    _add_bar(figure, [panels[1]], weights, "weight")
    _add_bar(figure, list(panels[2:]), responses, "activation")
    return figure


@default_style()
def plot_units(activations: np.ndarray, title: str) -> "Figure":
    """Draw what a layer without places computes, float (units,), as bars."""
    figure = open_figure(WIDTH, 3)
    axes = figure.subplots()
    # one outline: thousands of bars would take seconds
    axes.stairs(activations, np.arange(len(activations) + 1) - 0.5, fill=True, color=HELD_OUT_COLOUR)
    axes.set(title=title, xlabel="unit", ylabel="activation")
    axes.margins(x=0)
    axes.axhline(0, color="black", linewidth=0.8)
    return figure


def _draw_tiles(axes: "Axes", pictures: np.ndarray, columns: int, colours: "ScalarMappable") -> None:
    times = -(-MIN_PX // min(pictures.shape[1:]))
    pictures = pictures.astype(np.float32).repeat(times, axis=1).repeat(times, axis=2)
    above, right = (round(share * pictures.shape[1]) for share in (NUMBER_SHARE, GAP_SHARE))
    sheet, corners = tile(pictures, columns, above, right, np.nan)
    axes.set_axis_off()
    low, high = colours.get_clim()
    shades = colours.cmap.with_extremes(bad=PALE_GREY)
    axes.imshow(sheet, cmap=shades, vmin=low, vmax=high, interpolation="nearest")
    for number, (x, y) in enumerate(corners):
        axes.annotate(str(number), (x - 0.5, y - 0.5), (0, 2), textcoords="offset points", fontsize=9)


def _add_bar(figure: "Figure", axes: "list[Axes]", colours: "ScalarMappable", quantity: str) -> None:
    bar = figure.colorbar(colours, ax=axes, location="bottom", shrink=0.7, pad=0.02, aspect=40)
    bar.set_label(quantity, fontsize="medium")


# Sections


def describe_filters(network: Network, examples: Examples, folder: Path) -> list[Section]:
    """The first convolution's filters, and their effect on the first image; none of a model without convolutions."""
    convolutions = network.list_convolutions()
    if not convolutions:
        return [Section("First-layer filters", (f"{network.model.name} has no convolution, and so no filters.",))]
    call = convolutions[0]
    filters, image, name = read_filters(call), examples.images[0], examples.names[0]
    shares, chance = measure_gradients(filters)
    sentence = (
        "A filter that finds edges is a gradient: its weights rise from one side to the other, as Sobel's do. "
        f"{(shares > MOSTLY).sum()} of these {len(filters)} filters are mostly that. A gradient explains "
        f"{100 * shares.mean():.0f} % of a filter's variation on average, {100 * chance:.0f} % in random filters."
    )
    caption = f"The filters of {call.name}. Blue: positive weights. Orange: negative weights. White: 0."
    figure = draw_figure(plot_maps(filters, f"filters of {call.name}", "weight"), folder / "filters.png", caption)
    sections = [Section("First-layer filters", (sentence,), (figure,))]
    if not can_filter(call):
        return sections
    effects = compute_filter_effects(network, call, image)
    difference, largest = np.abs(effects[0] - effects[1]).max(), np.abs(effects[1]).max()
    verdict = "agree" if difference <= ROUNDING * max(largest, 1) else "DISAGREE"
    sentence = (
        f"cv2.filter2D and the truncated model {verdict}: the largest difference is {difference:.1g}, the largest "
        f"activation {largest:.2f}."
    )
    caption = f"Filters of {call.name}, what cv2.filter2D makes of {name} with each, and what the model makes of it."
    figure = draw_figure(plot_filter_effects(filters, effects, image, name), folder / "filter_effects.png", caption)
    return [*sections, Section("Effect of the filters on an image", (sentence,), (figure,))]


def describe_feature_maps(network: Network, layer: str | None, examples: Examples, folder: Path) -> Section:
    """What layers compute for the first image.

    Args:
        network: the model.
        layer: a name; None for the first and the last convolution, or the first layer with weights where there is none.
        examples: some images.
        folder: where the figures go.

    Raises:
        InputError: if no layer has that name.
    """
    convolutions = network.list_convolutions()
    if layer is not None:
        calls = [network.find(layer)]
    elif convolutions:
        calls = [convolutions[0], convolutions[-1]][: len(convolutions)]
    else:
        calls = [call for call in network.calls.values() if call.layer.weights][:1]
    figures, image, name = [], examples.images[0], examples.names[0]
    table: list[tuple[str, ...]] = [("layer", "kind", "output", "lowest", "highest", "above 0", "never above 0")]
    for call, (outputs,) in zip(calls, network.compute([call.outputs for call in calls], image[None]), strict=True):
        path = folder / f"feature_maps_{re.sub('[^A-Za-z0-9_.-]', '_', call.name)}.png"
        if outputs.ndim == PICTURE_RANK:
            maps, kind = np.moveaxis(outputs, -1, 0), f"maps of {outputs.shape[0]} × {outputs.shape[1]}"
            figure = plot_maps(maps, f"{call.name} for {name}", "activation")
        else:  # what is no picture per channel has no places: its numbers are units
            maps, kind = outputs.ravel(), "units"
            figure = plot_units(maps, f"{call.name} for {name}")
        figures.append(draw_figure(figure, path, f"{call.name} for {name}. Blue: above 0. Orange: below 0."))
        silent = (maps.reshape(len(maps), -1) <= 0).all(axis=1).sum()
        above = f"{100 * (maps > 0).mean():.0f} %"
        row = (call.name, type(call.layer).__name__, f"{len(maps):,} {kind}", f"{maps.min():.2f}", f"{maps.max():.2f}")
        table.append((*row, above, f"{silent:,}"))
    sentence = "Each map shows where its filter responds; above it is the filter's number. " if convolutions else ""
    sentence += "A map or unit that is never above 0 takes no part in this prediction where a rectifier follows."
    return Section("Feature maps", (sentence,), tuple(figures), tuple(table))
