"""What a net answers to the first examples: output vectors, what is read, and the true labels.

After document 002, figures 5 and 6.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digit_recognizer.data.alphabets import DIGITS
from digit_recognizer.files import write_atomically
from digit_recognizer.inspection.figures import REFERENCE_COLOUR, are_short

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TABLE_ROWS, FIGURE_ROWS = 10, 9
WRONG = "wrong"


def tabulate_readings(
    probabilities: np.ndarray, labels: np.ndarray, names: Sequence[str] = DIGITS.names
) -> tuple[tuple[str, ...], ...]:
    """Of each of the first ten examples the class of the largest entry, the label, "wrong" if they differ, the vector.

    Args:
        probabilities: float (n, classes).
        labels: int (n,).
        names: of the classes.

    Returns:
        Rows of cells, the first of them the header; examples are counted from 1.
    """
    names = names[: probabilities.shape[1]]
    columns = [f"P({name})" for name in names] if are_short(names) else names  # a word says what it is
    header = ("example", "argmax", "label", "", *columns)
    rows = [
        (
            str(number + 1),
            names[probabilities[number].argmax()],
            names[labels[number]],
            WRONG if probabilities[number].argmax() != labels[number] else "",
            *(f"{probability:.4f}" for probability in probabilities[number]),
        )
        for number in range(min(len(labels), TABLE_ROWS))
    ]
    return header, *rows


def plot_readings(
    images: np.ndarray,
    probabilities: np.ndarray,
    labels: np.ndarray,
    path: Path,
    names: Sequence[str] = DIGITS.names,
) -> None:
    """Draw the first nine examples, above each what the net reads; a wrong one is framed and has its label as well.

    Args:
        images: uint8 (n, height, width, channels).
        probabilities: float (n, classes).
        labels: int (n,).
        path: the PNG to write.
        names: of the classes.
    """
    figure = _draw_readings(images, probabilities, labels, names)
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _draw_readings(
    images: np.ndarray, probabilities: np.ndarray, labels: np.ndarray, names: Sequence[str] = DIGITS.names
) -> "Figure":
    from matplotlib.figure import Figure  # not pyplot: no window, no global state

    figure = Figure(figsize=(6.6, 7.6), layout="constrained")
    panels = figure.subplots(3, 3).ravel()
    space = " " if are_short(names) else "\n"
    for axes in panels:
        axes.set_axis_off()
    for number, (axes, image) in enumerate(zip(panels, images[:FIGURE_ROWS], strict=False)):
        predicted = int(probabilities[number].argmax())
        title = f"{number + 1}: read {names[predicted]}{space}({probabilities[number, predicted]:.3f})"
        axes.imshow(image.squeeze(), cmap="gray_r", vmin=0, vmax=255)
        if predicted != labels[number]:
            title = f"{title},\n{WRONG}: label {names[labels[number]]}"
            axes.set_axis_on()
            axes.set_xticks([])
            axes.set_yticks([])
            axes.spines[:].set(color=REFERENCE_COLOUR, linewidth=4)
        axes.set_title(title, fontsize=12)
    return figure
