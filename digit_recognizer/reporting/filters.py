"""The sections on a net's filters, on what they do to an image, and on feature maps."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digit_recognizer.errors import InputError
from digit_recognizer.io import write_atomically
from digit_recognizer.reporting.html import FigureFile, Section
from digit_recognizer.reporting.plots import VALIDATION_COLOUR

if TYPE_CHECKING:
    import keras
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure


# lightness falls from end to end, so that grey print keeps the order; orange and blue stay apart for the colour-blind
SIGNED_COLOURS = ("#fff1dc", "#e9aa64", "#a3a3a3", "#3f6ea8", "#08245c")
POSITIVE_COLOURS = ("#ffffff", "#9db9dc", "#3f6ea8", "#08245c")
FRAME_GREY = 0.75


@dataclass(frozen=True)
class Scale:
    """How numbers become colours.

    Attributes:
        low, high: the numbers at the ends of the colours.
        signed: whether there are negative numbers: then 0 is grey and in the middle, else it is white.
    """

    low: float
    high: float
    signed: bool

    def map(self) -> "ScalarMappable":
        """Matplotlib's form of this scale, for colour bars and pictures."""
        from matplotlib.cm import ScalarMappable
        from matplotlib.colors import Normalize

        return ScalarMappable(Normalize(self.low, self.high), build_colours(self.signed))

    def colour(self, numbers: np.ndarray) -> np.ndarray:
        """Numbers of any shape as colours (..., 4) in [0, 1]."""
        colours: np.ndarray = self.map().cmap((numbers - self.low) / (self.high - self.low))
        return colours


def build_colours(signed: bool) -> "Colormap":
    """Matplotlib's colour map for numbers of both signs, or for those from 0 up."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = SIGNED_COLOURS if signed else POSITIVE_COLOURS
    return LinearSegmentedColormap.from_list("signed" if signed else "positive", colours)


def choose_scale(*numbers: np.ndarray) -> Scale:
    """A scale that takes in all the numbers, with 0 in the middle where some are negative."""
    low, high = min(part.min() for part in numbers), max(part.max() for part in numbers)
    reach = float(max(-low, high)) or 1.0  # of zeros only: any scale will do, an empty one will not
    return Scale(-reach if low < 0 else 0.0, reach, bool(low < 0))


def enlarge(pictures: np.ndarray, height: int, width: int) -> np.ndarray:
    """Enlarge pictures (n, h, w) to (n, height, width) by repeating their pixels: no number is made up."""
    rows = np.arange(height) * pictures.shape[1] // height
    columns = np.arange(width) * pictures.shape[2] // width
    enlarged: np.ndarray = pictures[:, rows][:, :, columns]
    return enlarged


def frame(pictures: np.ndarray) -> np.ndarray:
    """Coloured pictures (n, height, width, 4) with a line around each, so that white ones end somewhere.

    Returns:
        float (n, height + 2, width + 2, 4).
    """
    count, height, width, channels = pictures.shape
    framed = np.ones((count, height + 2, width + 2, channels))
    framed[..., :3] = FRAME_GREY
    framed[:, 1:-1, 1:-1] = pictures
    return framed


def compose_sheet(pictures: np.ndarray, columns: int, gap: tuple[int, int]) -> np.ndarray:
    """Lay coloured pictures side by side on white.

    Args:
        pictures: float (n, height, width, 4) in [0, 1].
        columns: pictures in a row.
        gap: rows of pixels above each picture, columns of pixels to its right.

    Returns:
        float (rows * (gap[0] + height), columns * (width + gap[1]), 4).
    """
    count, height, width, channels = pictures.shape
    lines = -(-count // columns)
    cells = np.ones((lines * columns, gap[0] + height, width + gap[1], channels))
    cells[:count, gap[0] :, :width] = pictures
    cells = cells.reshape(lines, columns, *cells.shape[1:]).swapaxes(1, 2)
    return cells.reshape(lines * cells.shape[1], columns * cells.shape[3], channels)


def find_corners(count: int, columns: int, height: int, width: int, gap: tuple[int, int]) -> list[tuple[float, float]]:
    """Where each picture of `compose_sheet` begins: x and y of its upper left corner, in pixels of the sheet."""
    return [
        (number % columns * (width + gap[1]) - 0.5, number // columns * (gap[0] + height) + gap[0] - 0.5)
        for number in range(count)
    ]


# A net's layers by name, those within nested nets too, and what each of them gives for an image.

BATCH_SIZE = 256
MOST_NAMES = 60  # in an error: resnet152v2 has hundreds of layers
EMBEDDING = "embedding"


@dataclass(frozen=True)
class LayerCall:
    """A layer where the net makes use of it.

    Attributes:
        name: of the layer; "vgg16/block1_conv1" for layer block1_conv1 of the nested net vgg16.
        layer: in float32.
        inputs: the symbolic tensor that it takes, or a list of them.
        outputs: the symbolic tensor that it gives.
    """

    name: str
    layer: "keras.Layer"
    inputs: Any
    outputs: "keras.KerasTensor"


@dataclass(frozen=True)
class OpenedNetwork:
    """A net whose layers can be reached.

    Attributes:
        model: a copy in float32: what is measured is then the net, not the rounding of a shorter number format.
        calls: its layers by name, in the order of computation, nested ones in place of the net that holds them.
    """

    model: "keras.Model"
    calls: dict[str, LayerCall]

    def find(self, name: str) -> LayerCall:
        """The layer of that name.

        Raises:
            InputError: if there is none.
        """
        if name not in self.calls:
            more = len(self.calls) - MOST_NAMES
            names = ", ".join(list(self.calls)[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
            raise InputError(f"a layer of {self.model.name} is one of {names}; received {name!r}: name one of these.")
        return self.calls[name]

    def list_convolutions(self) -> list[LayerCall]:
        """The layers that lay one kernel over all channels: Conv2D, in the order of computation."""
        import keras

        return [call for call in self.calls.values() if isinstance(call.layer, keras.layers.Conv2D)]

    def compute(self, tensors: Sequence["keras.KerasTensor"], images: np.ndarray) -> list[np.ndarray]:
        """Truncate the net at some of its tensors and show it images.

        Args:
            tensors: of `calls`.
            images: uint8 (n, height, width, channels).

        Returns:
            For each tensor, a float32 array of n rows.
        """
        import keras

        from digit_recognizer.training.batches import scale_images  # which imports Keras

        truncated = keras.Model(self.model.inputs[0], list(tensors))
        parts = []
        for first in range(0, len(images), BATCH_SIZE):
            # called, not predicted: a graph of its own for each truncated net would take longer than its batches
            outputs = truncated(scale_images(images[first : first + BATCH_SIZE]), training=False)
            parts.append([_to_float32(output) for output in keras.tree.flatten(outputs)])
        return [np.concatenate(batches) for batches in zip(*parts, strict=True)]


def open_network(model: "keras.Model") -> OpenedNetwork:
    """Make all layers of a net reachable by name.

    Args:
        model: functional or sequential, with one input; it is copied and stays as it is.
    """
    import keras

    calls: dict[str, LayerCall] = {}
    copy = keras.models.clone_model(_as_functional(model), clone_function=_copy_in_float32)
    copy.set_weights(model.get_weights())
    copy = keras.models.clone_model(copy, clone_function=_keep, call_function=_note_calls(calls, ""))
    return OpenedNetwork(_as_functional(copy), calls)


def find_embedding(network: OpenedNetwork) -> tuple["keras.KerasTensor", str]:
    """Where the net holds what it makes of an image, before it decides for a class.

    Returns:
        The output of the layer named "embedding" where there is one, else the input of the last layer that has weights;
        and words that say which.
    """
    for name, call in network.calls.items():
        if name.split("/")[-1] == EMBEDDING:
            return call.outputs, f"the output of layer {name}"
    last = [call for call in network.calls.values() if call.layer.weights][-1]
    return last.inputs, f"the input of the last layer with weights, {last.name}"


def _as_functional(model: "keras.Model") -> "keras.Model":
    """The same layers in a functional net of one input, which Keras clones with a function of ours; no copy."""
    import keras

    return keras.Model(model.inputs[0], model.outputs[0], name=model.name)


def _copy_in_float32(layer: "keras.Layer") -> "keras.Layer":
    import keras

    if isinstance(layer, keras.Model):  # nested
        return keras.models.clone_model(layer, clone_function=_copy_in_float32)
    return type(layer).from_config({**layer.get_config(), "dtype": "float32"})


def _keep(layer: "keras.Layer") -> "keras.Layer":
    return layer


def _note_calls(calls: dict[str, LayerCall], prefix: str) -> Callable[..., Any]:
    """What calls the layers of a net while it is rebuilt, and notes each call; a nested net's in place of its own."""
    import keras

    def call(layer: "keras.Layer", *args: Any, **kwargs: Any) -> Any:
        if isinstance(layer, keras.Model):
            within: dict[str, LayerCall] = {}
            note = _note_calls(within, f"{prefix}{layer.name}/")
            keras.models.clone_model(_as_functional(layer), args[0], clone_function=_keep, call_function=note)
            calls.update(within)
            return list(within.values())[-1].outputs  # a net of one output computes that last
        outputs = layer(*args, **kwargs)
        calls.setdefault(f"{prefix}{layer.name}", LayerCall(f"{prefix}{layer.name}", layer, args[0], outputs))
        return outputs

    return call


def _to_float32(tensor: Any) -> np.ndarray:
    import keras

    return np.asarray(keras.ops.convert_to_numpy(tensor), np.float32)


# The filters of a convolution, and what they do to an image: OpenCV's answer beside the truncated net's.
#
# After document 002 (section B, figures 8 and 9) and document 003 (part 2), which finds the two answers virtually
# identical.


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


# Figures of filters, of their effects and of feature maps.

MOST_MAPS = 64  # more would be too small to see, in filters as in feature maps
MOST_EFFECTS = 32
COLUMNS, EFFECT_COLUMNS = 8, 4
WIDTH_INCHES = 9.6
NUMBER_SHARE = 0.26  # of a picture's height, left above it for its number
EFFECTS_KEY = "the image, and for each filter, from left to right:\nthe filter, cv2.filter2D's answer, the net's own"
SMALLEST_CELL_PX = 48  # small pictures are enlarged, so that frames and gaps need not be whole weights


def plot_filters(filters: np.ndarray, path: Path, title: str) -> None:
    """Draw filters, numbered from 0, in colours for their weights' signs and sizes.

    Args:
        filters: float (n, height, width); the first 64 are drawn.
        path: the PNG to write.
        title: one line above them.
    """
    _save(_draw_maps(filters, title, "weight"), path)


def plot_filter_effects(filters: np.ndarray, effects: FilterEffects, image: np.ndarray, path: Path, title: str) -> None:
    """Draw, for each filter, the filter, what cv2.filter2D makes of an image with it, and what the net makes of it.

    Args:
        filters: float (n, height, width); the first 32 are drawn.
        effects: of these filters.
        image: uint8 (height, width, channels), drawn above them.
        path: the PNG to write.
        title: one line above all.
    """
    _save(_draw_filter_effects(filters, effects, image, title), path)


def plot_feature_maps(activations: np.ndarray, path: Path, title: str) -> None:
    """Draw what a layer gives for one image.

    Args:
        activations: float (channels, height, width), of which the first 64 are drawn as maps, or (units,), drawn as
            bars.
        path: the PNG to write.
        title: one line above.
    """
    if activations.ndim == 1:
        _save(_draw_units(activations, title), path)
    else:
        _save(_draw_maps(activations, title, "activation"), path)


def _draw_maps(pictures: np.ndarray, title: str, quantity: str) -> "Figure":
    pictures = pictures[:MOST_MAPS]
    times = max(1, -(-SMALLEST_CELL_PX // min(pictures.shape[1:])))
    scale = choose_scale(pictures)
    enlarged = enlarge(pictures, times * pictures.shape[1], times * pictures.shape[2])
    cells = frame(scale.colour(enlarged))
    columns = min(COLUMNS, len(cells))
    gap = (_choose_gap(cells.shape[1]), max(1, cells.shape[2] // 10))
    sheet = compose_sheet(cells, columns, gap)
    figure, axes = _open_sheet(sheet, WIDTH_INCHES * max(columns, 4) / COLUMNS, title)
    axes.imshow(sheet, interpolation="nearest")
    _number(axes, find_corners(len(cells), columns, cells.shape[1], cells.shape[2], gap))
    _add_bar(figure, axes, scale, quantity)
    return figure


def _draw_filter_effects(filters: np.ndarray, effects: FilterEffects, image: np.ndarray, title: str) -> "Figure":
    answers = [part[:MOST_EFFECTS] for part in (effects.filtered, effects.activations)]
    weights, responses = choose_scale(filters[:MOST_EFFECTS]), choose_scale(*answers)
    parts = [(filters[:MOST_EFFECTS], weights), *((answer, responses) for answer in answers)]
    side = max(*answers[0].shape[1:], *image.shape[:2])
    coloured = [frame(scale.colour(enlarge(pictures, side, side))) for pictures, scale in parts]
    edge = np.ones((len(coloured[0]), side + 2, max(1, side // 14), 4))
    triples = np.concatenate([coloured[0], edge, coloured[1], edge, coloured[2]], axis=2)

    columns = min(EFFECT_COLUMNS, len(triples))
    gap = (_choose_gap(side), side // 2)
    sheet = compose_sheet(triples, columns, gap)
    top = np.ones((side, *sheet.shape[1:]))
    top[:, :side] = _ink(enlarge(image.mean(axis=-1)[None], side, side)[0])
    sheet = np.concatenate([top, sheet])
    figure, axes = _open_sheet(sheet, WIDTH_INCHES, title)
    axes.imshow(sheet, interpolation="nearest")
    axes.text(1.2 * side, side / 2, EFFECTS_KEY, fontsize=11, va="center")
    corners = find_corners(len(triples), columns, triples.shape[1], triples.shape[2], gap)
    _number(axes, [(x, y + side) for x, y in corners])
    _add_bar(figure, axes, responses, "activation")
    _add_bar(figure, axes, weights, "weight")
    return figure


def _draw_units(activations: np.ndarray, title: str) -> "Figure":
    figure = _open(WIDTH_INCHES, 4)
    axes = figure.subplots()
    # one outline: thousands of bars would take seconds
    axes.stairs(activations, np.arange(len(activations) + 1) - 0.5, fill=True, color=VALIDATION_COLOUR)
    axes.set_title(title)
    axes.set_xlabel("unit")
    axes.set_ylabel("activation")
    axes.margins(x=0)
    axes.axhline(0, color="black", linewidth=0.8)
    return figure


def _ink(pixels: np.ndarray) -> np.ndarray:
    """Pixels, 255 = ink, as colours (..., 4)."""
    grey = 1 - pixels[..., None] / 255
    return np.concatenate([grey, grey, grey, np.ones_like(grey)], axis=-1)


def _choose_gap(side: int) -> int:
    """Room for a number above a picture."""
    return max(1, round(NUMBER_SHARE * side))


def _open_sheet(sheet: np.ndarray, width_inches: float, title: str) -> tuple["Figure", "Axes"]:
    """A figure as wide as it should be and as high as the sheet wants it, with axes that show nothing of their own."""
    figure = _open(width_inches, 0.95 + width_inches * sheet.shape[0] / sheet.shape[1])
    figure.suptitle(title, fontsize=12, wrap=True)
    axes = figure.subplots()
    axes.set_axis_off()
    return figure, axes


def _number(axes: "Axes", corners: list[tuple[float, float]]) -> None:
    for number, (x, y) in enumerate(corners):
        axes.annotate(str(number), (x, y), (0, 2), textcoords="offset points", fontsize=10)


def _add_bar(figure: "Figure", axes: "Axes", scale: Scale, quantity: str) -> None:
    bar = figure.colorbar(scale.map(), ax=axes, location="bottom", shrink=0.6, pad=0.02, aspect=50)
    bar.set_label(quantity, fontsize=11)


def _open(width_inches: float, height_inches: float) -> "Figure":
    from matplotlib.figure import Figure  # not pyplot: no window, no global state

    return Figure(figsize=(width_inches, height_inches), layout="constrained")


def _save(figure: "Figure", path: Path) -> None:
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=120)


HALF = 0.5  # of a filter's variation: then it is a ramp more than anything else
PICTURE_RANK = 3  # height, width, channels
ROUNDING = 1e-4  # of the largest activation: float32 keeps seven figures, of which sums of many terms lose some
DIRECTIONS = (
    "to the right", "to the upper right", "upwards", "to the upper left",
    "to the left", "to the lower left", "downwards", "to the lower right",
)  # fmt: skip


def describe_filters(network: OpenedNetwork, image: np.ndarray, name: str, folder: Path) -> list[Section]:
    """Draw and describe the first convolution's filters and their effect on an image.

    Args:
        network: with or without convolutions.
        image: uint8 (height, width, channels).
        name: of the image, to the reader.
        folder: where the figures go.
    """
    convolutions = network.list_convolutions()
    if not convolutions:
        words = f"{network.model.name} has no convolution, and so no filters that could be laid on an image."
        return [Section("First-layer filters", (words,))]
    call = convolutions[0]
    filters, path = read_filters(call), folder / "filters.png"
    plot_filters(filters, path, f"filters of {call.name}")
    caption = (
        f"{_count(filters, MOST_MAPS, 'filters')} of {call.name}: blue and dark where a weight is positive, orange and "
        "light where it is negative."
    )
    sections = [
        Section(
            "First-layer filters",
            (_tell_filters(call, filters), _tell_gradients(filters)),
            (FigureFile(path, caption),),
        )
    ]
    if not can_filter(call):
        words = (
            f"The filters of {call.name} are spread or grouped, which cv2.filter2D cannot do: there is no comparison."
        )
        return [*sections, Section("What the filters do to an image", (words,))]
    return [*sections, _describe_effects(network, call, filters, image, name, folder)]


def describe_feature_maps(
    network: OpenedNetwork, layer: str | None, image: np.ndarray, name: str, folder: Path
) -> Section:
    """Draw and describe what layers make of an image.

    Args:
        network: with or without convolutions.
        layer: a name; None for the first and the last convolution, or the first layer with weights where there is none.
        image: uint8 (height, width, channels).
        name: of the image, to the reader.
        folder: where the figures go.

    Raises:
        InputError: if no layer has that name.
    """
    if layer is not None:
        calls = [network.find(layer)]
    else:
        found = network.list_convolutions() or [call for call in network.calls.values() if call.layer.weights]
        calls = found[:1] if network.list_convolutions() == [] or len(found) == 1 else [found[0], found[-1]]
    paragraphs, figures = [], []
    for call, (outputs,) in zip(calls, network.compute([call.outputs for call in calls], image[None]), strict=True):
        # what is no picture per channel has no places to keep: its numbers are units
        maps = np.moveaxis(outputs, -1, 0) if outputs.ndim == PICTURE_RANK else outputs.ravel()
        path = folder / f"feature_maps_{call.name.replace('/', '_')}.png"
        plot_feature_maps(maps, path, f"{call.name}: what it makes of {name}")
        paragraphs.append(_tell_maps(call, maps))
        kind = "units" if maps.ndim == 1 else "feature maps"
        shown = f"{len(maps):,} units" if maps.ndim == 1 else _count(maps, MOST_MAPS, kind)
        figures.append(FigureFile(path, f"{shown} of {call.name} for {name}: the darker or higher, the more active."))
    return Section("Feature maps", tuple(paragraphs), tuple(figures))


def _describe_effects(
    network: OpenedNetwork, call: LayerCall, filters: np.ndarray, image: np.ndarray, name: str, folder: Path
) -> Section:
    effects, path = compute_filter_effects(network, call, image), folder / "filter_effects.png"
    plot_filter_effects(filters, effects, image, path, f"what the filters of {call.name} make of {name}")
    caption = (
        f"{_count(filters, MOST_EFFECTS, 'filters')} of {call.name}, each beside what cv2.filter2D makes of {name} "
        "with it and what the net makes of it."
    )
    return Section(
        "What the filters do to an image", (_tell_effects(call, effects, name),), (FigureFile(path, caption),)
    )


def _tell_filters(call: LayerCall, filters: np.ndarray) -> str:
    count, height, width = filters.shape
    channels = int(call.layer.kernel.shape[2])
    summed = (
        f" Each has a layer of weights for each of {channels} channels; drawn is their sum, which is what a grey image "
        "meets."
        if channels > 1
        else ""
    )
    return (
        f"The first convolution, {call.name}, has {count} filters of {height} × {width} weights, from "
        f"{filters.min():.2f} to {filters.max():.2f}.{summed} A filter slides over the image; where its positive "
        "weights meet ink its answer grows, where its negative ones do it shrinks."
    )


def _tell_gradients(filters: np.ndarray) -> str:
    gradients = measure_gradients(filters)
    found, best = int((gradients.shares > HALF).sum()), int(gradients.shares.argmax())
    direction = DIRECTIONS[round(gradients.angles_deg[best] / 45) % len(DIRECTIONS)]
    return (
        f"A filter whose weights rise evenly in one direction, as Sobel's do, answers to edges. In {found} of "
        f"{len(filters)} filters such a ramp explains more than half of the variation; in the mean it explains "
        f"{100 * gradients.shares.mean():.0f} %, where random weights would give {100 * gradients.chance:.0f} %. "
        f"Filter {best} comes nearest to one, with {100 * gradients.shares[best]:.0f} %: its weights rise {direction}."
    )


def _tell_effects(call: LayerCall, effects: FilterEffects, name: str) -> str:
    largest = float(np.abs(effects.activations).max())
    steps = ["the bias added"] if call.layer.use_bias else []
    activation = call.layer.activation.__name__
    steps += [] if activation == "linear" else [f"{activation} applied"]
    steps += ["the border cropped"] if call.layer.padding == "valid" else []
    with_steps = f", with {', '.join(steps)}" if steps else ""
    verdict = (
        "that is rounding, the two are the same"
        if effects.difference <= ROUNDING * max(largest, 1)
        else ("that is more than rounding explains: the two are not the same")
    )
    silent = int((effects.activations <= 0).all(axis=(1, 2)).sum())
    answer = (
        f"{silent} of {len(effects.activations)} filters give nothing" if silent else "Every filter gives something"
    )
    return (
        f"cv2.filter2D lays the filters on {name} without any net{with_steps}. The net, truncated after {call.name}, "
        f"gives the second picture of each pair. The largest difference between the two is {effects.difference:.1e}, "
        f"the largest activation {largest:.2f}: {verdict}. {answer} above 0."
    )


def _tell_maps(call: LayerCall, maps: np.ndarray) -> str:
    form = f"{len(maps):,} units" if maps.ndim == 1 else f"{len(maps):,} maps of {maps.shape[1]} × {maps.shape[2]}"
    flat = maps.reshape(len(maps), -1)
    silent, strongest = int((flat <= 0).all(axis=1).sum()), int(flat.max(axis=1).argmax())
    word = "unit" if maps.ndim == 1 else "map"
    none = f"in {silent:,} of {len(maps):,} {word}s none is" if silent else f"in every {word} some are"
    return (
        f"{call.name} ({type(call.layer).__name__}) gives {form}, from {maps.min():.2f} to {maps.max():.2f}. "
        f"{100 * (maps > 0).mean():.0f} % of the numbers are above 0; {none}. The strongest is {word} {strongest}."
    )


def _count(pictures: np.ndarray, most: int, kind: str) -> str:
    return f"{len(pictures)} {kind}" if len(pictures) <= most else f"The first {most} of {len(pictures)} {kind}"
