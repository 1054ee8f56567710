"""Which parts of an image a net reads its class from: the change in probability when a grey patch covers them.

Occlusion sensitivity after Zeiler and Fergus 2014 (arXiv 1311.2901, section 4.2). It asks of the net nothing but
answers, so it works for every net and on every backend, where methods by gradients need a way to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from digit_recognizer.files import write_atomically
from digit_recognizer.inspection.layers import OpenedNetwork
from digit_recognizer.inspection.sheets import Scale, choose_scale

if TYPE_CHECKING:
    from matplotlib.figure import Figure

GREY = 128
PATCHES_ALONG, STEPS_ALONG = 5, 14  # of 28 px: patches of 5 px, every 2 px: a stroke is 2 to 4 px wide
LEAST_CHANGE = 0.01  # where nothing changes, rounding must not be blown up to a picture
COLUMNS = 3


@dataclass(frozen=True)
class Saliency:
    """What a net's reading of one image hangs on.

    Attributes:
        predicted: the class that the net reads.
        probability: its probability.
        changes: float32 (rows, columns): the change in that probability when a patch is centred in that cell of the
            image; negative where the covered part spoke for the class.
        patch_px: the side of the patch.
    """

    predicted: int
    probability: float
    changes: np.ndarray
    patch_px: int


def compute_saliency(network: OpenedNetwork, image: np.ndarray) -> Saliency:
    """Cover an image part by part with a grey patch, and watch the probability of what the net reads.

    Args:
        network: from images to probabilities.
        image: uint8 (height, width, channels).
    """
    height, width = image.shape[:2]
    patch_px = max(1, min(height, width) // PATCHES_ALONG)
    step_px = max(1, min(height, width) // STEPS_ALONG)
    rows, columns = (np.arange(step_px // 2, side, step_px) for side in (height, width))
    covered = np.repeat(image[None], len(rows) * len(columns), axis=0)
    for number, (row, column) in enumerate((row, column) for row in rows for column in columns):
        top, left = row - patch_px // 2, column - patch_px // 2
        covered[number, max(top, 0) : top + patch_px, max(left, 0) : left + patch_px] = GREY
    (probabilities,) = network.compute(network.model.outputs, np.concatenate([image[None], covered]))
    predicted = int(probabilities[0].argmax())
    changes = probabilities[1:, predicted] - probabilities[0, predicted]
    return Saliency(predicted, float(probabilities[0, predicted]), changes.reshape(len(rows), len(columns)), patch_px)


def plot_saliency(images: np.ndarray, titles: Sequence[str], saliencies: Sequence[Saliency], path: Path) -> None:
    """Draw where a patch changes the reading, under the outline of each image.

    Args:
        images: uint8 (n, height, width, channels).
        titles: one for each image.
        saliencies: one for each image, drawn on one common scale.
        path: the PNG to write.
    """
    figure = _draw_saliency(images, titles, saliencies)
    with write_atomically(path) as temporary:
        figure.savefig(temporary, dpi=120)


def _draw_saliency(images: np.ndarray, titles: Sequence[str], saliencies: Sequence[Saliency]) -> "Figure":
    from matplotlib.figure import Figure  # not pyplot: no window, no global state

    lines = -(-len(images) // COLUMNS)
    figure = Figure(figsize=(9.6, 0.9 + 3.4 * lines), layout="constrained")
    panels = figure.subplots(lines, COLUMNS, squeeze=False).ravel()
    scale = _choose_changes_scale(saliencies)
    for axes in panels:
        axes.set_axis_off()
    for axes, image, title, saliency in zip(panels, images, titles, saliencies, strict=False):
        height, width = image.shape[:2]
        extent = (-0.5, width - 0.5, height - 0.5, -0.5)
        axes.imshow(saliency.changes, cmap=scale.map().cmap, vmin=scale.low, vmax=scale.high, extent=extent)
        ink = image.mean(axis=-1)
        if ink.min() < GREY < ink.max():  # else there is no outline
            axes.contour(ink, levels=[GREY], colors="black", linewidths=1.6)
        axes.set_title(title, fontsize=12)
    bar = figure.colorbar(scale.map(), ax=list(panels), location="bottom", shrink=0.7, pad=0.02, aspect=50)
    bar.set_label("change in the probability of the class that was read", fontsize=12)
    return figure


def _choose_changes_scale(saliencies: Sequence[Saliency]) -> Scale:
    scale = choose_scale(*(saliency.changes for saliency in saliencies), np.array([-LEAST_CHANGE]))
    return Scale(scale.low, scale.high, signed=True)
