r"""Draw the learning curve of the seed report `digit-nets`: `python benchmarks/digit_nets.py RUN curves.png`.

RUN is a run folder of `train` with the report's recipe (constant Adam, no augmentation, 80/20 split):

    python -m digit_recognizer.train --augmentation none --schedule constant --learning-rate 0.001 \
        --batch-size 128 --epochs 30 --precision float32 --run-dir runs/digit-nets

The report ("MNIST data deep learning", T. Shan) gives one figure: 0.994 on its validation set, at epoch 94, the best
of 100. The best epoch on the rows that are reported is too good; the last epoch is what a fixed plan would give.
"""

import sys
from pathlib import Path

import pandas as pd

from digit_recognizer.reporting.plots import ACCENT_COLOUR, plot_learning_curves, save_figure, tidy_history

REPORTED_ACCURACY = 0.994


def main() -> None:
    run, figure = map(Path, sys.argv[1:3])
    history = tidy_history(pd.read_csv(run / "history.csv"))
    curves = plot_learning_curves(history, "baseline with the recipe of digit-nets")
    label = f"digit-nets, best of 100 epochs: {REPORTED_ACCURACY}"
    curves.axes[0].axhline(1 - REPORTED_ACCURACY, color=ACCENT_COLOUR, linestyle="--", label=label)
    curves.legends[0].remove()  # which lacks the level line
    curves.legend(*curves.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    save_figure(curves, figure)
    accuracies = history["val_accuracy"].tolist()
    best = max(range(len(accuracies)), key=accuracies.__getitem__)
    print(f"last epoch {len(accuracies)}: {accuracies[-1]:.4f}; best epoch {best + 1}: {accuracies[best]:.4f}")
    print(f"report: best of 100 epochs, epoch 94: {REPORTED_ACCURACY}")


if __name__ == "__main__":
    main()
