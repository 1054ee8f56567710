"""What a finished transfer shows: its accuracy, what chose its model, its errors, and what the model has learned."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from digit_recognizer.backend import import_keras
from digit_recognizer.console import format_seconds
from digit_recognizer.data.augmentation import preprocess_images
from digit_recognizer.errors import InputError, require
from digit_recognizer.evaluation.metrics import compute_accuracy_interval, count_confusions
from digit_recognizer.io import guard_cell, hash_file, make_folder, open_staging_folder
from digit_recognizer.records import METRICS
from digit_recognizer.reporting.embedding import Examples
from digit_recognizer.reporting.examination import Examination, choose_folder, publish
from digit_recognizer.reporting.html import FigureFile, Section, build_facts, describe_safely, leave_section_out
from digit_recognizer.reporting.model_report import (
    ModelRequest,
    describe_network,
    describe_new_classes,
    load_letters,
)
from digit_recognizer.reporting.network import open_network
from digit_recognizer.reporting.plots import (
    plot_confusion_matrix,
    plot_contact_sheet,
    plot_learning_curves,
    save_figure,
    shorten,
)
from digit_recognizer.training.run import HISTORY, load_history
from digit_recognizer.training.transfers import (
    PREDICTIONS,
    FinishedTransfer,
    load_transfer,
    load_transfer_predictions,
)
from digit_recognizer.vision.class_folders import find_classes
from digit_recognizer.vision.photos import load_colours
from digit_recognizer.vision.segment import load_letter

CLASSIFIERS = {"model": "the output layer", "neighbours": "the nearest neighbours"}
CONFUSION = "confusion.png"
SHOWN_ERRORS, THUMBNAIL_PX = 40, 96
DEFAULT = ModelRequest()


def examine_transfer(path: Path, output: Path | None = None, request: ModelRequest = DEFAULT) -> Examination:
    """Examine a transfer, and write its figures.

    Args:
        path: its run folder.
        output: folder for the figures, which replace those of an older examination; None for `<run>/examination`.
        request: what to show of the model: its `layer`, and `images` of classes that it never saw. By default the model
            is left out where it cannot be loaded, or where the evaluated pictures are no longer there.

    Raises:
        InputError: if the folder holds no finished transfer, something asked for is not there, or the folder cannot be
            written to.
    """
    require("matplotlib.figure", "report")
    transfer = load_transfer(path)
    folder = choose_folder(path, output, CONFUSION)
    pictures = read_evaluated(transfer)
    with make_folder(folder), open_staging_folder(folder) as staging:
        model_note = "shown"
        try:
            of_model = _describe_model(transfer, pictures, request, staging)
        except InputError as error:
            if request != DEFAULT:
                raise
            model_note = f"left out: {error}"
            of_model = [Section("The model", (model_note,))]
        except OSError:
            raise
        except Exception as error:  # no model may cost the rest
            of_model, model_note = [leave_section_out("The model", path, error)], "left out, see the report"
        sections = publish(staging, folder, [*describe_results(transfer, staging), *of_model])
    title = f"{transfer.base}: {len(transfer.classes)} new classes"
    if pictures is not None:
        right = 100 * (pictures.label == pictures.predicted).mean()
        title += f", {right:.2f} % of {len(pictures):,} pictures are right"
    found = list_facts(transfer, pictures)
    header = '<p class="quiet">Transfer learning</p>\n' + build_facts(found)
    facts = (("examination", str(folder)), *found, ("model", model_note))
    return Examination(transfer, title, header, sections, facts)


def list_facts(transfer: FinishedTransfer, pictures: pd.DataFrame | None) -> list[tuple[str, str]]:
    """Names and values for the screen."""
    accuracy = "unknown: without --test every class needs two different pictures to hold one out"
    if pictures is not None:
        right, count = int((pictures.label == pictures.predicted).sum()), len(pictures)
        low, high = compute_accuracy_interval(right, count)
        accuracy = f"{right / count:.5f} of {count:,} pictures  (95 % interval {low:.5f} to {high:.5f})"
    facts = [("accuracy", accuracy), ("classifier", CLASSIFIERS[transfer.recommended])]
    warning = transfer.metrics.get("warning")
    return [*facts, ("MEANINGLESS", str(warning))] if warning else facts


def format_results(transfer: FinishedTransfer) -> str:
    """The table that ends a transfer: its facts, and the accuracies of every seed."""
    facts = [
        *list_facts(transfer, read_evaluated(transfer)),
        ("time", format_seconds(transfer.metrics.get("elapsed_seconds", 0))),
        ("run folder", str(transfer.path)),
    ]
    choice = _describe_choice(transfer)
    lines = [f"{name:<24}{value}" for name, value in facts] + list(choice.paragraphs)
    if choice.table:
        lines += pd.DataFrame(choice.table[1:], columns=choice.table[0]).to_string(index=False).splitlines()
    return "\n" + "\n".join(f"  {line}" for line in lines)


def describe_results(transfer: FinishedTransfer, folder: Path) -> list[Section]:
    """Score, choice, training and wrong pictures, with the figures in `folder`; errors as of `read_evaluated`."""
    pictures = read_evaluated(transfer)
    path = transfer.path
    sections = describe_safely("Score", path, _describe_score, transfer, pictures, folder)
    sections.append(_describe_choice(transfer))
    sections += describe_safely("Training", path, _describe_training, transfer, folder)
    if pictures is not None:
        sections += describe_safely("Wrong pictures", path, _describe_errors, transfer, pictures, folder)
    rows = [(str(name), str(count)) for name, count in dict(transfer.metrics.get("training_pictures", {})).items()]
    return [*sections, Section("Training pictures", (), table=(("class", "pictures"), *rows))]


def read_evaluated(transfer: FinishedTransfer) -> pd.DataFrame | None:
    """The evaluated pictures: predictions.csv with label and predicted as int64; None where none could be held out.

    Raises:
        InputError: if predictions.csv is damaged.
    """
    try:
        table = load_transfer_predictions(transfer.path)
    except InputError as error:
        if error.code == "transfer.not_evaluated":
            return None
        raise
    places = {guard_cell(name): place for place, name in enumerate(transfer.classes)}
    try:
        return table.assign(**{name: table[name].map(places).astype(np.int64) for name in ("label", "predicted")})
    except ValueError as error:  # a name that is no class has no place
        raise InputError("transfer.damaged", path=transfer.path / PREDICTIONS, column="label") from error


def find_files(transfer: FinishedTransfer, pictures: pd.DataFrame) -> list[Path]:
    """The files of the evaluated pictures, where the transfer found them.

    Raises:
        InputError: if the folder is gone or has other classes, or a picture is missing or has changed.
    """
    name = "test" if transfer.config.get("test") else "images"
    found = find_classes(Path(str(transfer.config.get(name))), f"--{name}", transfer.classes)
    files = {guard_cell(name): file for name, file in zip(found.names, found.files, strict=True)}
    for name, sha256 in zip(pictures.file, pictures.sha256, strict=True):
        if name not in files:
            raise InputError("io.missing", path=found.path / name)
        if hash_file(files[name]) != sha256:
            raise InputError("transfer.other_picture", path=files[name])
    return [files[name] for name in pictures.file]


def _describe_score(transfer: FinishedTransfer, pictures: pd.DataFrame | None, folder: Path) -> Section:
    if pictures is None:
        return Section("Score", ("Unknown: every class needs two different pictures to hold one out, or --test.",))
    names, right = transfer.classes, pictures.label == pictures.predicted
    low, high = compute_accuracy_interval(int(right.sum()), len(right))
    counts = count_confusions(pictures.label.to_numpy(), pictures.predicted.to_numpy(), len(names))
    save_figure(plot_confusion_matrix(counts, names, unit="pictures"), folder / CONFUSION)
    words = (
        f"{(~right).sum():,} of {len(right):,} pictures are wrong: accuracy {right.mean():.5f}, 95 % interval "
        f"{low:.5f} to {high:.5f}. Evaluated on {transfer.metrics.get('evaluated')}, which did not choose what "
        "predicts them."
    )
    if transfer.metrics.get("warning"):
        words += f" {transfer.metrics['warning']}."
    table = [("class", "pictures", "errors", "accuracy", "most often predicted as")]
    for label, name in enumerate(names):
        of_class, wrong = int(counts[label].sum()), counts[label].copy()
        wrong[label] = 0
        accuracy = f"{counts[label, label] / of_class:.4f}" if of_class else "–"
        other = f"{names[int(wrong.argmax())]} ({wrong.max():,} pictures)" if wrong.any() else "–"
        table.append((name, f"{of_class:,}", f"{wrong.sum():,}", accuracy, other))
    caption = "How often each class was predicted as each."
    return Section("Score", (words,), (FigureFile(folder / CONFUSION, caption),), tuple(table))


def _describe_choice(transfer: FinishedTransfer) -> Section:
    """Which seed and which classifier are kept, and by which pictures."""
    metrics = transfer.metrics
    kept = f"Seed {metrics.get('kept_seed')} is kept, and predict takes {CLASSIFIERS[transfer.recommended]}."
    validation = metrics.get("validation")
    if validation is None:
        return Section("What was chosen", (f"{kept} There were too few pictures to choose by.",))
    words = f"{kept} Both were chosen by {validation['pictures']:,} {validation['what']}, never by evaluated pictures."
    if validation["accuracy"]["mean"] == validation["nearest_neighbours"]["mean"]:
        words += " The two classifiers tie, so the output layer is kept."
    names = {"accuracy": "output layer", "nearest_neighbours": "nearest neighbours"}
    found = {f"{title}, validation": validation[name] for name, title in names.items()}
    names["nearest_class_mean"] = "nearest class mean"
    found |= {f"{title}, evaluated": metrics[name] for name, title in names.items() if name in metrics}
    head = ("accuracy", "mean", *(f"seed {seed}" for seed in metrics.get("seeds", ())))
    rows = [(title, *(f"{value:.5f}" for value in (one["mean"], *one["per_seed"]))) for title, one in found.items()]
    if any(len(row) != len(head) for row in rows):
        raise InputError("transfer.damaged", path=transfer.path / METRICS, column="per_seed")
    return Section("What was chosen", (words,), table=(head, *rows))


def _describe_training(transfer: FinishedTransfer, folder: Path) -> Section:
    title, path = "Learning curves", transfer.path / HISTORY
    try:
        figure = plot_learning_curves(load_history(transfer.path), f"{transfer.path.name}: learning curves")
    except InputError as error:
        return Section(title, (f"Left out: {error}",))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError) as error:  # a table of something else
        reason = " ".join(str(error).split())[:80]
        return Section(title, (f"Left out: {InputError('report.history', path=path, received=reason)}",))
    save_figure(figure, folder / "learning_curves.png")
    caption = "Loss and accuracy on pictures and their copies, a line per seed and part of the pictures."
    return Section(title, (), (FigureFile(folder / "learning_curves.png", caption),))


def _describe_errors(transfer: FinishedTransfer, pictures: pd.DataFrame, folder: Path) -> Section:
    """The wrong pictures, the most confident errors first."""
    title, names, path = "Wrong pictures", transfer.classes, folder / "misclassified.png"
    wrong = pictures[pictures.label != pictures.predicted]
    wrong = wrong.sort_values("probability", ascending=False, kind="stable")[:SHOWN_ERRORS]
    if wrong.empty:
        return Section(title, ("None.",))
    rows = [
        (one.file, names[one.label], names[one.predicted], f"{one.probability:.4f}")
        for one in wrong.itertuples(index=False)
    ]
    table = (("picture", "class", "predicted", "probability"), *rows)
    try:
        files = find_files(transfer, pictures)
        load = (lambda file: load_colours(file, THUMBNAIL_PX)) if transfer.of_photographs else load_letter
        images = np.stack([load(files[row]) for row in wrong.index])
    except InputError as error:
        return Section(title, (f"The pictures themselves are left out: {error}",), table=table)
    words = [f"{shorten(right)},\nnot {shorten(predicted)}\n({share})" for _, right, predicted, share in rows]
    sheet = images[..., 0] if images.shape[-1] == 1 else images
    save_figure(plot_contact_sheet(sheet, words, "wrong pictures, with the probability of the prediction"), path)
    caption = "Wrong pictures, the most confident errors first: the class, the prediction and its probability."
    return Section(title, (), (FigureFile(path, caption),), table)


def _describe_model(
    transfer: FinishedTransfer, pictures: pd.DataFrame | None, request: ModelRequest, folder: Path
) -> list[Section]:
    """What is inside the model, shown the evaluated pictures.

    Raises:
        InputError: if it cannot be loaded, or there is no picture to show it.
    """
    if transfer.of_photographs:
        raise InputError("transfer.model_of_photographs")
    if pictures is None:
        raise InputError("transfer.not_evaluated", path=transfer.path)
    files = find_files(transfer, pictures)
    images = preprocess_images(np.stack([load_letter(file) for file in files]), transfer.preprocess)
    letters = None if request.images is None else load_letters(request.images)
    import_keras()  # nothing before this needs it
    from digit_recognizer.transfer_learning.transferred import load_letter_model

    network = open_network(load_letter_model(transfer))
    examples = Examples(images, pictures.label.to_numpy(), pictures.file.tolist(), transfer.classes)
    words = "The model with the new output layer is shown the evaluated pictures, in the order of predictions.csv."
    if not transfer.config.get("test"):
        words += " It WAS TRAINED on them: what it predicts here is no test."
    first, *others = describe_network(network, examples, folder, request.layer)
    sections = [replace(first, title="The model", paragraphs=(" ".join((words, *first.paragraphs)),)), *others]
    if letters is not None:
        sections.append(describe_new_classes(network, letters, transfer.preprocess, folder))
    return sections
