"""Figures, drawn without a display and written whole."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from digit_recognizer.files import write_atomically

if TYPE_CHECKING:  # whoever draws nothing need not wait for matplotlib
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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
