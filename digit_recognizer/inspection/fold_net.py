"""The net of one fold, opened and shown the rows that it was not fitted on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast, get_args

import numpy as np

from digit_recognizer.backend import import_keras
from digit_recognizer.config import Preparation
from digit_recognizer.data.preparation import prepare_images
from digit_recognizer.data.tables import TrainTable, pixels_to_images
from digit_recognizer.errors import InputError
from digit_recognizer.inspection.examined_run import ExaminedRun
from digit_recognizer.inspection.letters import Letters
from digit_recognizer.inspection.sections import Section
from digit_recognizer.training.runs import CONFIG

if TYPE_CHECKING:
    import keras

FIRST_ROWS = 10  # as many examples are shown one by one


@dataclass(frozen=True)
class NetRequest:
    """What of a net is wanted.

    Attributes:
        fold: whose net, counted from 1; None for the first that was held out.
        layer: whose feature maps, by name; None for a choice.
        rows: data rows of train.csv, counted from 1, whose saliency is wanted; empty for a choice.
        letters: of classes that the net never saw.
    """

    fold: int | None = None
    layer: str | None = None
    rows: Sequence[int] = ()
    letters: Letters | None = None

    @property
    def is_asked_for(self) -> bool:
        """Whether somebody asked for it, who would miss it."""
        return self != NetRequest()


@dataclass(frozen=True)
class InsideNet:
    """What was found in a net.

    Attributes:
        sections: in the order of reading.
        gap: why there is nothing to see; None where there is. Nobody then asked for anything in particular.
    """

    sections: tuple[Section, ...]
    gap: str | None


def examine_fold_net(run: ExaminedRun, train: TrainTable, request: NetRequest, folder: Path) -> InsideNet:
    """Describe and draw what is inside the net of one fold.

    Args:
        run: whose net.
        train: the run's rows.
        request: what is wanted.
        folder: where the figures go.

    Raises:
        InputError: if what was asked for is not there.
    """
    fold = _find_fold(run, request.fold)
    _check_rows(request.rows, len(train.labels))
    try:
        preparation = _read_preparation(run)
        model = _open_net(run.find_model_path(fold))
    except InputError as error:
        if request.is_asked_for or isinstance(error.__cause__, OSError):  # a full disk is no property of the run
            raise
        return InsideNet((Section("One net, looked into", (f"Left out: {error}",)),), str(error))
    from digit_recognizer.inspection.network import examine_foreign_images, examine_network

    held_out = np.flatnonzero(run.fold_of_row == fold)
    asked = np.array(sorted(set(request.rows)), np.int64) - 1
    fitted = asked[run.fold_of_row[asked] != fold]  # behind the others, and told of
    shown = np.concatenate([held_out, fitted])
    images = prepare_images(pixels_to_images(train.pixels[shown]), preparation)
    places = [int(np.flatnonzero(shown == row)[0]) for row in asked]
    sections = [_introduce(run, fold, shown, asked, train.labels, preparation)]
    sections += examine_network(
        model,
        images,
        train.labels[shown],
        folder,
        layer=request.layer,
        saliency_rows=places,
        judged=len(held_out),
        names=run.class_names,
    )
    if request.letters is not None:
        letters = request.letters
        signs = prepare_images(letters.images, preparation)
        if letters.notes:
            sections.append(Section("Pictures of other signs", tuple(f"{note}." for note in letters.notes)))
        sections += examine_foreign_images(model, letters.names, signs, letters.classes, folder)
    return InsideNet(tuple(sections), None)


def _find_fold(run: ExaminedRun, number: int | None) -> int:
    """The fold that is meant, counted from 0."""
    if number is None:
        return run.folds[0]
    if number - 1 not in run.folds:
        there = ", ".join(str(fold + 1) for fold in run.folds)
        raise InputError(f"--fold takes one of the folds that {run.run.path} held out, {there}; received {number}.")
    return number - 1


def _check_rows(rows: Sequence[int], count: int) -> None:
    for row in rows:
        if not 1 <= row <= count:
            raise InputError(f"--row takes data rows of train.csv, 1 to {count:,}; received {row}.")


def _read_preparation(run: ExaminedRun) -> Preparation:
    told = run.settings.get("preparation")
    if told not in get_args(Preparation):
        raise InputError(
            f"{run.run.path / CONFIG} must tell how the net's images were prepared (--preparation), but does not: "
            "restore it."
        )
    return cast("Preparation", told)


def _open_net(path: Path) -> "keras.Model":
    if not path.is_file():
        raise InputError(f"{path} is missing, so no net can be looked into: examine a run that kept its models.")
    import_keras()
    from digit_recognizer.training.saved_models import load_saved_model

    model = load_saved_model(path)
    shapes = tuple(model.input_shape[1:]), tuple(model.output_shape[1:])
    if shapes != ((28, 28, 1), (10,)):
        raise InputError(
            f"{path} must be a net from images of 28 x 28 to ten probabilities, but goes from {shapes[0]} to "
            f"{shapes[1]}: it is not this run's."
        )
    return model


def _introduce(
    run: ExaminedRun, fold: int, shown: np.ndarray, asked: np.ndarray, labels: np.ndarray, preparation: Preparation
) -> Section:
    """Which net it is, and on what it is judged."""
    held_out = run.fold_of_row == fold
    right = int((run.run.oof_probabilities[held_out].argmax(axis=1) == labels[held_out]).sum())
    paragraphs = [
        f"What follows is about one net, {run.find_model_path(fold).name} of fold {fold + 1}, and about the "
        f"{held_out.sum():,} rows that it was not fitted on; it read {right:,} of them rightly.",
        "They are the examples below, counted in the order of train.csv: the first are the data rows "
        f"{_list_rows(shown[:FIRST_ROWS])}.",
    ]
    if preparation != "none":
        paragraphs.append(f"All images were prepared as the run prepared them ({preparation}); they are shown so.")
    if len(asked):
        places = (f"{row + 1:,} (example {np.flatnonzero(shown == row)[0] + 1:,})" for row in asked)
        paragraphs.append(f"Data rows asked for: {', '.join(places)}.")
    if len(fitted := asked[~held_out[asked]]):
        paragraphs.append(
            f"The net WAS FITTED on {_list_rows(fitted)}, which were asked for: what is shown of them is no test of "
            f"it, and counts nowhere. They are the last of the examples.{_tell_other_folds(run, fitted)}"
        )
    return Section("One net, looked into", tuple(paragraphs))


def _tell_other_folds(run: ExaminedRun, rows: np.ndarray) -> str:
    elsewhere = [f"{row + 1:,} in fold {run.fold_of_row[row] + 1}" for row in rows if run.fold_of_row[row] >= 0]
    return f" Held out were {', '.join(elsewhere)}: --fold chooses the net." if elsewhere else ""


def _list_rows(rows: np.ndarray) -> str:
    return ", ".join(f"{row + 1:,}" for row in rows)
