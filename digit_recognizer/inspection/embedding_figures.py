"""Figures of an embedding: images as points in two dimensions, and distances to prototypes."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digit_recognizer.files import write_atomically
from digit_recognizer.inspection.embedding import Distances, Projection
from digit_recognizer.inspection.figures import REFERENCE_COLOUR, slant_names

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours for the colour-blind, without their yellow, which white paper swallows, and darker shades;
# the marker tells the class, the colour only helps to see groups
CLASS_COLOURS = (
    ("#000000", "#b35900", "#0072b2", "#7a7a7a", "#cc79a7")
    + ("#006b4f", "#56b4e9", "#a3173a", "#e69f00", "#5b3a91")
)  # fmt: skip
MOST_THUMBNAILS = 150  # more would hide each other
FRAME_STROKES = ("-", "--", ":", "-.")
THUMBNAIL_PX, NAME_POINTS = 22, 9.5
LONGEST_LEVEL_NAME = 7  # characters: longer ones would run into each other below the columns of a matrix
PANELS = ("principal components", "t-SNE")


def plot_embedding(
    projection: Projection,
    classes: np.ndarray,
    names: Sequence[str],
    path: Path,
    *,
    marks: Sequence[str] | None = None,
    thumbnails: np.ndarray | None = None,
) -> None:
    """Draw an embedding's two projections side by side; each image is marked by its class's name or by itself.

    Args:
        projection: of n images.
        classes: int (n,), 0 to k - 1.
        names: of the k classes.
        path: the PNG to write.
        marks: a sign per class, drawn in place of names of several letters, and told in a legend; None for names.
        thumbnails: uint8 (n, height, width, channels), drawn in place of names where there are at most 150.
    """
    _save(_draw_embedding(projection, classes, names, thumbnails, marks), path)


def plot_distances(distances: Distances, images: np.ndarray, path: Path) -> None:
    """Draw the mean SSD from the images of each class to each prototype, the prototypes above.

    Args:
        distances: of n images; the darker a cell, the nearer.
        images: uint8 (n, height, width, channels).
        path: the PNG to write.
    """
    _save(_draw_distances(distances, images), path)


def shorten(number: float) -> str:
    """Three figures, without an exponent where one can do without."""
    if np.isnan(number):
        return "–"
    return f"{number:,.0f}" if number >= 100 else f"{number:.3g}"


def _draw_embedding(
    projection: Projection,
    classes: np.ndarray,
    names: Sequence[str],
    thumbnails: np.ndarray | None,
    marks: Sequence[str] | None = None,
) -> "Figure":
    drawn = [points for points in (projection.components, projection.neighbours) if points is not None]
    figure = _open(6.4 * len(drawn), 6.6)
    panels = figure.subplots(1, len(drawn), squeeze=False)[0]
    signs = names if marks is None or max(map(len, names)) == 1 else marks
    for axes, points, title in zip(panels, drawn, PANELS, strict=False):
        axes.set_title(title, fontsize=13)
        if thumbnails is not None and len(thumbnails) <= MOST_THUMBNAILS:
            _put_thumbnails(axes, points, classes, names, thumbnails)
        else:
            _put_names(axes, points, classes, names, signs)
        axes.tick_params(labelsize=10)
    for axis, number, share in zip((panels[0].xaxis, panels[0].yaxis), (1, 2), projection.shares, strict=True):
        axis.set_label_text(f"component {number} ({100 * share:.0f} % of the variance)", fontsize=12)
    if projection.neighbours is not None:
        panels[1].set_xlabel("dimension 1 (no unit: only who is near whom counts)", fontsize=12)
        panels[1].set_ylabel("dimension 2", fontsize=12)
    if signs is not names:
        handles, told = panels[0].get_legend_handles_labels()
        figure.legend(handles, told, loc="outside lower center", ncols=5, fontsize=12, frameon=False, markerscale=1.4)
    return figure


def _put_names(
    axes: "Axes", points: np.ndarray, classes: np.ndarray, names: Sequence[str], marks: Sequence[str]
) -> None:
    from matplotlib.textpath import TextPath

    axes.margins(0.08)
    for number, (name, mark) in enumerate(zip(names, marks, strict=True)):
        x, y = points[classes == number].T
        letters = "".join(letter for letter in mark if letter.isalnum())  # a name is no command to mathtext
        text = letters or str(number)
        marker = rf"$\mathrm{{{text}}}$"
        # a marker's size is that of its longer side, which for equal type depends on the word
        extents = TextPath((0, 0), marker, size=NAME_POINTS).get_extents()
        longer = max(extents.width, extents.height)
        colour = CLASS_COLOURS[number % len(CLASS_COLOURS)]
        axes.scatter(x, y, s=longer**2, marker=marker, color=colour, linewidths=0, label=name)


def _put_thumbnails(
    axes: "Axes", points: np.ndarray, classes: np.ndarray, names: Sequence[str], thumbnails: np.ndarray
) -> None:
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage
    from matplotlib.patches import Rectangle

    axes.scatter(points[:, 0], points[:, 1], s=0)  # sets the limits
    axes.margins(0.08)
    looks = [_choose_frame(number) for number in range(len(names))]
    for point, number, image in zip(points, classes, thumbnails, strict=True):
        picture = OffsetImage(
            image.squeeze(), zoom=THUMBNAIL_PX / max(image.shape), cmap="gray_r", interpolation="none"
        )
        axes.add_artist(AnnotationBbox(picture, tuple(point), pad=0.1, bboxprops=looks[number]))
    handles = [Rectangle((0, 0), 1, 1, fill=False, **look) for look in looks]
    legend = axes.legend(
        handles, list(names), loc="upper center", bbox_to_anchor=(0.5, -0.1), ncols=6, fontsize=11, frameon=False
    )
    for text in legend.get_texts():
        text.set_parse_math(False)  # a folder may have a dollar in its name


def _choose_frame(number: int) -> dict[str, Any]:
    """Colour and stroke of a class's frames, which differ in grey print as well."""
    return {
        "edgecolor": CLASS_COLOURS[number % len(CLASS_COLOURS)],
        "linestyle": FRAME_STROKES[number % len(FRAME_STROKES)],
        "linewidth": 2,
    }


def _draw_distances(distances: Distances, images: np.ndarray) -> "Figure":
    from matplotlib.colors import LinearSegmentedColormap

    count = len(distances.names)
    figure = _open(1.6 + 0.78 * max(count, 4), 2.0 + 0.78 * max(count, 4))
    axes = figure.subplots()
    colours = LinearSegmentedColormap.from_list("near", [REFERENCE_COLOUR, "white"])
    axes.imshow(distances.means, cmap=colours.with_extremes(bad="white"), vmin=0)
    for row, column in np.ndindex(count, count):
        mean = float(distances.means[row, column])
        weight = "bold" if row == column else "normal"
        axes.text(column, row, shorten(mean), ha="center", va="center", fontsize=12, weight=weight)
    for column, row in enumerate(distances.prototypes):
        extent = (column - 0.45, column + 0.45, -0.65, -1.55)
        axes.imshow(images[row].squeeze(), cmap="gray_r", vmin=0, vmax=255, extent=extent)
    axes.set_xlim(-0.5, count - 0.5)
    axes.set_ylim(count - 0.5, -1.65)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(np.arange(count), distances.names, fontsize=12, parse_math=False)
    if max(map(len, distances.names)) > LONGEST_LEVEL_NAME:
        slant_names(axes)
    axes.set_xlabel("prototype (above: its image)", fontsize=12)
    axes.set_ylabel("class of the images", fontsize=12)
    axes.set_title("mean sum of squared differences to the prototype", fontsize=12)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    return figure


def _open(width_inches: float, height_inches: float) -> "Figure":
    from matplotlib.figure import Figure  # not pyplot: no window, no global state

    return Figure(figsize=(width_inches, height_inches), layout="constrained")


def _save(figure: "Figure", path: Path) -> None:
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=120)
