"""Draw the models for docs/models.md: an architecture of boxes and a learning curve for each of them.

    python benchmarks/gallery.py                     # draws all; needs no data and no training
    python benchmarks/gallery.py --collect FOLDER    # first writes docs/data/curves.csv from the runs FOLDER/MODEL

An architecture is read from the built model, so it cannot differ from the code. A run of FOLDER is made by
`python -m digit_recognizer.train --model MODEL --run-dir FOLDER/MODEL`; a run that has not ended is left out.
"""

import argparse
import ast
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter
from PIL import Image

from digit_recognizer.models import build_config, build_model, list_models, read_options
from digit_recognizer.models.__main__ import load_results
from digit_recognizer.reporting.plots import (
    ACCENT_COLOUR,
    HELD_OUT_COLOUR,
    PALE_GREY,
    TRAINING_COLOUR,
    open_figure,
)

ROOT = Path(__file__).resolve().parents[1]
CURVES = ROOT / "docs" / "data" / "curves.csv"
IMAGES = ROOT / "docs" / "images" / "models"
PAGE = ROOT / "docs" / "models.md"
GALLERY = re.compile(r"(<!-- gallery -->\n).*?(<!-- end -->)", flags=re.DOTALL)
KEPT = ("epoch", "loss", "accuracy", "holdout_loss", "holdout_accuracy", "lr", "seconds")
COLOURS = {"input": "#ffffff", "convolution": "#d5e5f5", "dense": "#f7dfcf", "join": "#e4ecd9", "shape": "#eeeeee"}
NAMES = {"relu": "ReLU", "gelu": "GELU"}
WITHOUT_TRAINING = {"vgg16": {"weights": "none"}}  # the shapes do not need ImageNet's weights, a download of 59 MB
ROW_INCHES, WIDTH_INCHES = 0.42, 5.2
DPI = 150


@dataclass
class Block:
    """One box: a layer and what follows it without parameters of its own.

    Attributes:
        title: what the layer is.
        kind: a key of COLOURS.
        shape: of its output, without the batch.
        parameters: of all its layers.
        notes: the layers that follow.
        skips: indices of earlier blocks that a shortcut comes from.
    """

    title: str
    kind: str
    shape: tuple[int, ...]
    parameters: int
    notes: list[str] = field(default_factory=list)
    skips: list[int] = field(default_factory=list)


def save_picture(figure: Figure, path: Path) -> None:
    """Write a figure with 48 colours: a third of the bytes, and no difference to be seen."""
    drawn = io.BytesIO()
    figure.savefig(drawn, dpi=DPI)
    Image.open(drawn).convert("RGB").quantize(48).save(path, optimize=True)


def describe_layer(layer: Any) -> tuple[str, str]:
    """What a layer is, and the key of its colour; an empty key joins it to the box before."""
    kind = type(layer).__name__
    if kind == "InputLayer":
        return "image", "input"
    if kind == "Conv2D":
        padded = ", padded" if layer.padding == "same" else ""
        strided = f", every {layer.strides[0]}nd px" if layer.strides[0] > 1 else ""
        return f"convolution {layer.kernel_size[0]}×{layer.kernel_size[1]}{padded}{strided}", "convolution"
    if kind == "Dense":
        return "dense", "dense"
    if kind == "Flatten":
        return "flatten", "shape"
    if kind.startswith("Global"):
        return ("mean" if "Average" in kind else "maximum") + " over the image", "shape"
    if kind in ("Add", "Concatenate"):
        return {"Add": "sum", "Concatenate": "side by side"}[kind], "join"
    if kind == "MaxPooling2D":
        return f"pool {layer.pool_size[0]}×{layer.pool_size[1]}", ""
    if "Normalization" in kind:
        return "batch norm", ""
    if kind == "ZeroPadding2D":
        return "zero padding", ""
    if kind.endswith("Dropout") or "Dropout" in kind:
        return f"dropout {layer.rate:g}", ""
    return layer.name.replace("_", " ") if kind not in ("Activation", "ReLU") else "activation", ""


def find_sources(layer: Any) -> list[Any]:
    """The layers whose outputs a layer takes."""
    given = layer.input if isinstance(layer.input, list) else [layer.input]
    return [tensor._keras_history.operation for tensor in given]


def unfold(layers: list[Any]) -> list[Any]:
    """The layers of a model, with those of a model inside it in its place."""
    flat: list[Any] = []
    for layer in layers:
        inner = getattr(layer, "layers", None)
        flat += unfold([each for each in inner if type(each).__name__ != "InputLayer"]) if inner else [layer]
    return flat


def list_blocks(model: Any) -> list[Block]:
    """The boxes of a model, from its input to its output."""
    blocks: list[Block] = []
    places: dict[str, int] = {}  # name of a layer -> index of its box
    for layer in unfold(model.layers):
        words, kind = describe_layer(layer)
        shape = tuple(layer.output.shape[1:])
        activation = getattr(getattr(layer, "activation", None), "__name__", "linear")
        notes = [NAMES.get(activation, activation)] if activation != "linear" else []
        sources = [] if type(layer).__name__ == "InputLayer" else [places.get(s.name, -1) for s in find_sources(layer)]
        last = len(blocks) - 1
        pair = kind and blocks and blocks[-1].title.endswith("over the image")
        if kind == "" and sources and 0 <= sources[0] < last:  # on a shortcut: it belongs to where that begins
            places[layer.name] = sources[0]
            continue
        if kind == "" and blocks:
            blocks[-1].notes += [note for note in (notes if words == "activation" else [words]) if note != "dropout 0"]
            blocks[-1].shape, blocks[-1].parameters = shape, blocks[-1].parameters + layer.count_params()
        elif pair and kind in ("shape", "join"):  # mean and maximum, side by side
            blocks[-1].title = "mean and maximum over the image"
            blocks[-1].shape = shape
        else:
            skips = [source for source in sources if 0 <= source < last] if kind == "join" else []
            blocks.append(Block(words, kind, shape, layer.count_params(), notes, skips))
        places[layer.name] = len(blocks) - 1
    return blocks


def draw_architecture(name: str, path: Path) -> int:
    """Draw the boxes of a model; returns its number of parameters."""
    options = read_options(name, build_config(name).model_args)
    model = build_model(name, **options, **WITHOUT_TRAINING.get(name, {}))
    blocks = list_blocks(model)
    figure = open_figure(WIDTH_INCHES, ROW_INCHES * (len(blocks) + 0.7))
    figure.set_layout_engine("none")
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, WIDTH_INCHES), ylim=(ROW_INCHES * (len(blocks) + 0.7), 0))
    axes.axis("off")
    for place, words, side in ((0.62, "layer", "left"), (4.17, "output", "right"), (5.0, "parameters", "right")):
        axes.text(place, 0.24, words, ha=side, va="center", size=7.5, color=TRAINING_COLOUR)
    for number, block in enumerate(blocks):
        draw_block(axes, block, ROW_INCHES * (number + 0.75))
        for skip in block.skips:
            ends = [(0.56, ROW_INCHES * (row + 0.75) + 0.18) for row in (skip, number)]
            curve = f"arc3,rad={0.22 / (ends[1][1] - ends[0][1]):.3f}"  # bows by 0.11 inches, whatever its length
            axes.add_patch(FancyArrowPatch(*ends, connectionstyle=curve, arrowstyle="->", mutation_scale=8,
                                           color=ACCENT_COLOUR, lw=1.1))  # fmt: skip
    save_picture(figure, path)
    return int(model.count_params())


def draw_block(axes: Axes, block: Block, top: float) -> None:
    """A box with its words, and left of it a square as wide as the image is there."""
    height = ROW_INCHES - 0.06
    axes.add_patch(Rectangle((0.6, top), 4.48, height, facecolor=COLOURS[block.kind], edgecolor="#9a9a9a", lw=0.6))
    middle = top + height / 2
    if len(block.shape) == 3:
        side = 0.30 * block.shape[0] / 28 if block.shape[0] <= 28 else 0.34
        shade = str(0.86 - 0.09 * np.log2(max(1, block.shape[2])))  # the more channels, the darker
        axes.add_patch(Rectangle((0.28 - side / 2, middle - side / 2), side, side, facecolor=shade, edgecolor="#333333",
                                 lw=0.5))  # fmt: skip
    words = " · ".join(block.notes)
    axes.text(0.68, middle - (0.07 if words else 0), block.title, va="center", size=8.2, weight="bold", color="#222222")
    if words:
        axes.text(0.68, middle + 0.08, words, va="center", size=6.8, color="#444444")
    axes.text(4.17, middle, " × ".join(map(str, block.shape)), ha="right", va="center", size=7.8, color="#222222")
    if block.parameters:
        axes.text(5.0, middle, f"{block.parameters:,}", ha="right", va="center", size=7.8, color="#222222")


def draw_curve(curves: pd.DataFrame, name: str, path: Path) -> None:
    """The error of a model after each epoch, on a logarithmic axis, before those of all others."""
    figure = open_figure(WIDTH_INCHES, 3.6)
    axes = figure.add_subplot()
    for other, frame in curves.groupby("model"):
        if other != name:
            axes.plot(frame["epoch"], 100 - 100 * frame["holdout_accuracy"], color=PALE_GREY, lw=1)
    own = curves[curves["model"] == name]
    axes.plot([], [], color=PALE_GREY, label="held out, other models")
    axes.plot(own["epoch"], 100 - 100 * own["accuracy"], color=TRAINING_COLOUR, lw=1.4, ls="--", label="training")
    axes.plot(own["epoch"], 100 - 100 * own["holdout_accuracy"], color=HELD_OUT_COLOUR, lw=2, label="held out")
    end = own.iloc[-1]
    error = 100 - 100 * end["holdout_accuracy"]
    axes.plot(end["epoch"], error, "o", color=HELD_OUT_COLOUR, ms=5)
    axes.set_title(f"{name}: {error:.2f} % of held-out rows wrong after epoch {end['epoch']:.0f}", size=9.5, loc="left")
    finish_curve(axes)
    save_picture(figure, path)


def draw_all_curves(curves: pd.DataFrame, path: Path) -> None:
    """The held-out errors of all models in one figure, each named at its end."""
    figure = open_figure(7.2, 4.4)
    axes = figure.add_subplot()
    ends = []
    for name, frame in curves.groupby("model"):
        error = 100 - 100 * frame["holdout_accuracy"]
        colour = ACCENT_COLOUR if name == "champion" else HELD_OUT_COLOUR
        axes.plot(frame["epoch"], error, color=colour, lw=2.2 if name == "champion" else 1.1)
        ends.append([float(np.log10(error.iloc[-1])), int(frame["epoch"].iloc[-1]), str(name), colour])
    last = curves["epoch"].max()
    height = -np.inf
    for log, epoch, name, colour in sorted(ends):
        height = max(height + 0.095, log)  # names that would lie on each other move up
        axes.annotate(name, (epoch, 10**log), (last + 0.8, 10**height), size=8, color=colour, va="center",
                      arrowprops={"arrowstyle": "-", "color": PALE_GREY, "lw": 0.7})  # fmt: skip
    axes.set_xlim(right=last + 4)
    axes.set_title("Held-out error, one run each", size=10, loc="left")
    finish_curve(axes, legend=False)
    save_picture(figure, path)


def finish_curve(axes: Axes, legend: bool = True) -> None:
    """The axes that the curves share."""
    axes.set(xlabel="epoch", ylabel="error, %", yscale="log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(which="both", color="#eeeeee", lw=0.6)
    axes.spines[["top", "right"]].set_visible(False)
    if legend:
        axes.legend(frameon=False, fontsize=8)


def collect(folder: Path) -> pd.DataFrame:
    """One table of the runs of a folder that have ended."""
    frames = []
    for path in sorted(folder.glob("*/history.csv")):
        if (path.parent / "metrics.json").exists():
            # `train` calls the rows that it holds out its validation set
            frame = pd.read_csv(path).rename(columns=lambda name: name.replace("val_", "holdout_"))
            kept = [name for name in KEPT if name in frame]
            frames.append(frame[kept].assign(model=path.parent.name)[["model", *kept]])
    return pd.concat(frames, ignore_index=True).round(6)


def describe_model(name: str) -> str:
    """Its part of the page: heading, pictures, and the docstring of its file."""
    source = (ROOT / "digit_recognizer" / "models" / f"{name}.py").read_text(encoding="utf-8")
    words = str(ast.get_docstring(ast.parse(source))).replace(
        "docs/what-was-tried.md", "[What was tried](what-was-tried.md)"
    )
    pictures = [f"![Layers of {name}, with outputs and parameters](images/models/{name}.png)"]
    if (IMAGES / f"{name}-curve.png").exists():
        pictures.append(f"![Errors of {name} after each epoch](images/models/{name}-curve.png)")
    else:
        pictures.append("*Its learning curve has not been drawn yet.*")
    pair = "\n\n".join(pictures)
    return f'### {name}\n\n<div class="pair" markdown>\n\n{pair}\n\n</div>\n\n{words}\n\n'


def fill(text: str) -> str:
    """The page with the gallery as code and pictures have it, in the order of results.csv."""
    parts = "".join(describe_model(name) for name in load_results()["model"])
    return GALLERY.sub(lambda found: f"{found[1]}\n{parts}{found[2]}", text)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--collect", type=Path, metavar="FOLDER", help="write docs/data/curves.csv from these runs")
    parser.add_argument("--only", nargs="*", default=list_models(), metavar="MODEL", help="draw these only")
    arguments = parser.parse_args()
    if arguments.collect:
        collect(arguments.collect).to_csv(CURVES, index=False)
    IMAGES.mkdir(parents=True, exist_ok=True)
    for name in arguments.only:
        print(f"{name}: {draw_architecture(name, IMAGES / f'{name}.png'):,} parameters")
    curves = pd.read_csv(CURVES)
    for name in curves["model"].unique():
        draw_curve(curves, name, IMAGES / f"{name}-curve.png")
    draw_all_curves(curves, IMAGES / "curves.png")
    PAGE.write_text(fill(PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
