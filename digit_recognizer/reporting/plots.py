"""Many small pictures on one sheet, in colours that mean the same in every figure: the darker, the larger."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from digit_recognizer.io import write_atomically

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure


# Figures, drawn without a display and written whole.

FITTED_COLOUR, HELD_OUT_COLOUR, REFERENCE_COLOUR = (
    "#7a7a7a",
    "#0b5fa5",
    "#c2571a",
)  # apart in grey print and for the colour-blind
LONG_RUN_EPOCHS = 20
SHORT_NAME = 3  # characters of a class's name: more have no room beside others


def plot_learning_curves(
    history: Sequence[dict[str, Any]], path: Path, title: str, reference: tuple[str, float] | None = None
) -> None:
    """Draw loss and accuracy against epochs, fitted rows beside held-out ones.

    Args:
        history: one dict per epoch with epoch, loss, accuracy, held_out_loss and held_out_accuracy.
        path: the PNG to write.
        title: one line above both panels.
        reference: name and value of an accuracy to compare with, drawn as a level line.
    """
    epochs = [row["epoch"] for row in history]
    figure = open_figure(10, 4.4)
    figure.suptitle(title)
    for axes, name, label in zip(
        figure.subplots(1, 2), ("loss", "accuracy"), ("cross-entropy", "accuracy"), strict=True
    ):
        fitted, held_out = [row[name] for row in history], [row[f"held_out_{name}"] for row in history]
        axes.plot(epochs, fitted, color=FITTED_COLOUR, marker=".", label="fitted rows, during training")
        axes.plot(epochs, held_out, color=HELD_OUT_COLOUR, marker=".", label="held-out rows")
        axes.set_title(f"held-out rows after the last epoch: {held_out[-1]:.4f}", fontsize="medium")
        axes.set_xlabel("epoch")
        axes.set_ylabel(label)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.set_xlim(0.5, epochs[-1] + 0.5)
        if name == "accuracy":
            if reference:
                axes.axhline(
                    reference[1], color=REFERENCE_COLOUR, linestyle="--", label=f"{reference[0]}: {reference[1]}"
                )
            # in long runs the first epochs would flatten all that matters
            settled = slice(len(epochs) // 4 if len(epochs) > LONG_RUN_EPOCHS else 0, None)
            axes.set_ylim(bottom=max(0.0, min(fitted[settled] + held_out[settled]) - 0.01), top=1.002)
    # below the panels: curves that rise and fall leave no corner free for certain
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center", ncols=3)
    save_figure(figure, path)


def are_short(names: Sequence[str]) -> bool:
    """Whether the names of classes fit where a digit does."""
    return max(map(len, names)) <= SHORT_NAME


def name_classes(axes: "Axes", names: Sequence[str], *, down: bool = True) -> None:
    """Put the names of classes along the x-axis, aslant where they are long, and unless `down` is off the y-axis."""
    axes.set_xticks(range(len(names)), names)
    if not are_short(names):
        slant_names(axes)
    if down:
        axes.set_yticks(range(len(names)), names)


def slant_names(axes: "Axes") -> None:
    """Turn what stands along the x-axis, so that each name ends below its tick and none runs into the next."""
    for text in axes.get_xticklabels():
        text.set(rotation=40, ha="right", rotation_mode="anchor")


def open_figure(width_inches: float, height_inches: float) -> "Figure":
    """An empty figure."""
    from matplotlib.figure import Figure  # not pyplot: no window, no global state

    return Figure(figsize=(width_inches, height_inches), layout="constrained")


def save_figure(figure: "Figure", path: Path) -> None:
    """Write a figure as PNG, whole or not at all."""
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=120)


# Many small images on one sheet, each with a few words above it.

SHEET_INCHES, MOST_COLUMNS = 12, 10
GAP_SHARE, LINE_SHARE = 0.3, 0.23  # of a tenth's image's side: between images, and above each for a line of words
WORDS_POINTS = 10
CHARACTER_INCHES = 0.08  # of words, in the mean: ten to a row have room for fifteen


def draw_contact_sheet(images: np.ndarray, words: Sequence[str], title: str) -> "Figure":
    """Draw images in rows of ten, or of fewer where the words need the room.

    Args:
        images: uint8 (n, side, side), 0 = paper, 255 = ink; without any, the sheet is empty.
        words: above each image, of as many lines each.
        title: one line above the sheet.
    """
    longest = max((len(line) for text in words for line in text.split("\n")), default=0)
    columns = min(MOST_COLUMNS, int(SHEET_INCHES / (CHARACTER_INCHES * (longest + 1))))
    side = images.shape[1]
    word_lines = max((text.count("\n") + 1 for text in words), default=2)
    gap, room = round(GAP_SHARE * side), round(LINE_SHARE * word_lines * side * columns / MOST_COLUMNS)
    width, height = side + gap, side + gap // 2 + room
    lines = max(1, -(-len(images) // columns))
    # one picture of all images: a panel for each takes eight times as long to draw
    sheet = np.zeros((lines * height, columns * width), np.uint8)
    figure = open_figure(SHEET_INCHES, 0.5 + SHEET_INCHES / columns * lines * height / width)
    figure.suptitle(title)
    axes = figure.subplots()
    axes.set_axis_off()
    for number, (image, text) in enumerate(zip(images, words, strict=True)):
        line, column = divmod(number, columns)
        top, left = line * height + room, column * width + gap // 2
        sheet[top : top + side, left : left + side] = image
        axes.text(left + side / 2, top - 1, text, ha="center", va="bottom", fontsize=WORDS_POINTS, linespacing=1.1)
    axes.imshow(sheet, cmap="gray_r", vmin=0, vmax=255)
    return figure


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
