"""How a transfer ends: its figures and tables, and its metrics last.

runs/<time>-transfer/
    config.json               every field of the configuration, and the command
    history.csv               one line per seed, part (all pictures, or all but a fold) and epoch
    predictions.csv           what the first seed's net read: file, label, predicted, probability
    metrics.json              accuracies per seed and class, intervals, counts, seconds
    models/transferred.keras  the first seed's net, fitted on all training pictures (resnet152v2: but those held out,
                              and only what was trained, from its 2048 features to probabilities)
    models/classes.json       the names of its classes, in the order of its outputs
    learning_curves.png       loss and accuracy against epochs
    class_counts.png          training pictures per class
    confusion.png             which class was read as which
    misread.png               the pictures that were misread; no file where there are none
    log.txt                   what the screen showed
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from digit_recognizer.data.class_folders import ClassFolder
from digit_recognizer.files import write_json
from digit_recognizer.inspection.transfer_figures import (
    plot_class_confusion,
    plot_misread,
    plot_picture_counts,
    plot_transfer_curves,
)
from digit_recognizer.training.runs import METRICS, RunFolder
from digit_recognizer.training.transfer_config import TransferConfig
from digit_recognizer.training.transfer_results import (
    CLASSES,
    Judgement,
    describe_judgement,
    format_result,
    write_predictions,
)


def conclude(
    config: TransferConfig,
    run: RunFolder,
    train: ClassFolder,
    judgement: Judgement | None,
    images: Sequence[np.ndarray],
    history: list[dict[str, Any]],
    parameters: tuple[int, int],
    shared: list[str],
    started: float,
    warning: str | None = None,
) -> dict[str, Any]:
    """Write all that a finished transfer leaves; metrics.json comes last and says that it has finished.

    Args:
        config: what was done.
        run: its folder.
        train: the training pictures.
        judgement: None where nothing could be judged.
        images: of the pictures judged, to be shown: uint8 (height, width, channels) each.
        history: a row per epoch.
        parameters: how many were trained, and how many frozen.
        shared: names of the test pictures left out, as they are training pictures too.
        started: by `time.perf_counter`.
        warning: why the accuracy means nothing; None if it means what it says.

    Returns:
        The content of metrics.json.
    """
    seeds = list(range(config.seed, config.seed + config.seeds))
    write_json(run.path / "models" / CLASSES, list(train.classes))
    run.write_history(history)
    plot_transfer_curves(
        history, run.path / "learning_curves.png", f"{config.run}: a new output layer for {len(train.classes)} classes"
    )
    plot_picture_counts(train.counts, run.path / "class_counts.png")
    metrics: dict[str, Any] = {
        "run": config.run,
        "classes": list(train.classes),
        "training_pictures": train.counts,
        "shared_pictures": shared,
        "parameters": {"trained": parameters[0], "frozen": parameters[1]},
        "neighbours": config.neighbours,
        "warning": warning,
    }
    if judgement is not None:
        metrics |= describe_judgement(judgement, train.classes, seeds)
        write_predictions(run, judgement, train.classes)
        predictions = judgement.predictions[0]
        plot_class_confusion(judgement.labels, predictions, train.classes, run.path / "confusion.png")
        if (predictions != judgement.labels).any():
            plot_misread(images, judgement.labels, judgement.probabilities[0], train.classes, run.path / "misread.png")
    metrics["elapsed_seconds"] = time.perf_counter() - started
    run.say(format_result(metrics, run))
    write_json(run.path / METRICS, metrics)
    return metrics
