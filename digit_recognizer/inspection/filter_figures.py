"""Figures of filters, of their effects and of feature maps."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digit_recognizer.files import write_atomically
from digit_recognizer.inspection.figures import HELD_OUT_COLOUR
from digit_recognizer.inspection.filters import FilterEffects
from digit_recognizer.inspection.sheets import Scale, choose_scale, compose_sheet, enlarge, find_corners, frame

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
    axes.stairs(activations, np.arange(len(activations) + 1) - 0.5, fill=True, color=HELD_OUT_COLOUR)
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
