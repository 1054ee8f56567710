r"""Document 001's learning curve beside ours: `python benchmarks/document_001.py RUN curves.png`.

RUN is a run folder of `train` with the document's recipe (constant Adam, no augmentation, 80/20 split):

    python -m digit_recognizer.train --augmentation none --schedule constant --learning-rate 0.001 \
        --batch-size 128 --epochs 30 --precision float32 --run-dir runs/document-001

The document ("MNIST data deep learning", T. Shan) gives one figure: 0.994 on its validation rows, at epoch 94, the best
of 100. Choosing the best epoch on the rows that are reported flatters; the last epoch is what a fixed plan would give.
"""

import csv
import sys
from pathlib import Path

from digit_recognizer.reporting.plots import plot_learning_curves, save_figure, tidy_history

DOCUMENT_ACCURACY = 0.994


def main() -> None:
    run, figure = map(Path, sys.argv[1:3])
    with (run / "history.csv").open() as file:
        history = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    reference = ("document 001, best of 100 epochs", DOCUMENT_ACCURACY)
    save_figure(plot_learning_curves(history, "baseline under document 001's recipe", reference=reference), figure)
    accuracies = tidy_history(history)["val_accuracy"].tolist()
    best = max(range(len(accuracies)), key=accuracies.__getitem__)
    print(f"last epoch {len(accuracies)}: {accuracies[-1]:.4f}; best epoch {best + 1}: {accuracies[best]:.4f}")
    print(f"document: best of 100 epochs, epoch 94: {DOCUMENT_ACCURACY}")


if __name__ == "__main__":
    main()
