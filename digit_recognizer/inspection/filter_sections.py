"""The sections on a net's filters, on what they do to an image, and on feature maps."""

from pathlib import Path

import numpy as np

from digit_recognizer.inspection.filter_figures import (
    MOST_EFFECTS,
    MOST_MAPS,
    plot_feature_maps,
    plot_filter_effects,
    plot_filters,
)
from digit_recognizer.inspection.filters import (
    FilterEffects,
    can_filter,
    compute_filter_effects,
    measure_gradients,
    read_filters,
)
from digit_recognizer.inspection.layers import LayerCall, OpenedNetwork
from digit_recognizer.inspection.sections import FigureFile, Section

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
