"""Cross-validation: every row judged by a net that never saw it, and a submission from the mean of the fold nets."""

import time
from pathlib import Path
from typing import Any

import keras
import numpy as np

from digit_recognizer.competition.submissions import (
    SUBMISSIONS,
    Provenance,
    check_new_submission_path,
    find_free_path,
    name_submission,
    write_submission,
)
from digit_recognizer.config import RunConfig
from digit_recognizer.data.folds import assign_folds
from digit_recognizer.errors import InputError
from digit_recognizer.files import check_writable_folder, write_atomically, write_json
from digit_recognizer.inspection.figures import plot_learning_curves
from digit_recognizer.training.dataset import Dataset, load_dataset
from digit_recognizer.training.fit import EpochCurve, predict_probabilities
from digit_recognizer.training.fold import fit_fold
from digit_recognizer.training.inputs import Inputs, build_inputs, check_model_flags
from digit_recognizer.training.precision import choose_precision, precision_policy
from digit_recognizer.training.progress import Progress
from digit_recognizer.training.results import CVResult, describe_metrics, format_result, judge_probabilities
from digit_recognizer.training.runs import RunFolder, describe_command, find_commit
from digit_recognizer.training.seeds import derive_seed


def cross_validate(config: RunConfig, *, single_split: bool = False) -> CVResult:
    """Run a configuration on its data set, from the CSV files to a submission.

    Args:
        config: what to do.
        single_split: hold out the first fold only (with 5 folds document 001's 80/20 split), fit one net, and
            record its learning curve on the held-out rows; nothing is steered by that curve.

    Returns:
        The result; everything else is in the run folder (see `digit_recognizer.training.runs`).

    Raises:
        InputError: one line for whatever the person at the keyboard can mend; found before any training.
    """
    started = time.perf_counter()
    check_model_flags(config)
    if config.submission is not None:
        check_new_submission_path(config.submission, config.input_dir)
    dataset = load_dataset(config)
    if config.submission is None and dataset.whole_test and not config.smoke:
        check_writable_folder(SUBMISSIONS)
    if config.submission is not None and not dataset.whole_test:
        raise InputError(
            f"--submission needs a prediction for every test row, but --test-rows leaves {len(dataset.test_images):,} "
            f"of {dataset.all_test_rows:,}: leave one of the two out."
        )
    fold_of_row = assign_folds(dataset.labels, config.folds, derive_seed(config.seed, "folds"))
    run = RunFolder.create(config)
    for note in dataset.notes:
        run.say(f"note: {note}")
    if dataset.unfit:
        run.say(f"WARNING: UNFIT FOR THE COMPETITION: {dataset.unfit.upper()}.")

    precision = choose_precision(config.precision)
    commit = find_commit()  # now: by the end the files may be others
    run.write_environment(precision, keras.config.backend(), commit)
    run.say(
        f"{config.model}: {len(dataset.labels):,} training rows, {len(dataset.test_images):,} test rows, "
        f"epochs: {config.epochs}, {precision} on {keras.config.backend()}; run folder {run.path}"
    )
    if config.smoke:
        run.say(
            "a smoke run: it shows that everything runs, and its score means nothing"
            + (" (--weights none: a backbone of random weights)" if config.weights == "none" else "")
        )
    with precision_policy(precision):
        inputs = build_inputs(config, dataset)
        held_out_folds = [0] if single_split else list(range(config.folds))
        if single_split:
            fold_of_row[fold_of_row != 0] = -1
        run.write_array("folds", fold_of_row)
        oof, test, training_seconds = _fit_folds(
            config, dataset, inputs, fold_of_row, held_out_folds, run, single_split
        )
    run.write_array("oof_probabilities", oof)
    run.write_array("test_probabilities", test)

    score = judge_probabilities(oof, dataset.labels, fold_of_row)
    result = CVResult(
        score=score,
        oof_probabilities=oof,
        test_probabilities=test,
        elapsed_seconds=time.perf_counter() - started,
        training_seconds=training_seconds,
        run_dir=run.path,
        submission=_write_submission(config, dataset, run, test, score.oof_accuracy, commit),
        unfit=dataset.unfit,
    )
    write_json(run.path / "metrics.json", describe_metrics(config, dataset, result, precision))
    if single_split:
        plot_learning_curves(
            run.history,
            run.path / "learning_curves.png",
            f"{config.model}: learning curves, 1/{config.folds} of the rows held out",
        )
    run.say(format_result(result, "held-out accuracy" if single_split else "out-of-fold accuracy"))
    return result


def _fit_folds(
    config: RunConfig,
    dataset: Dataset,
    inputs: Inputs,
    fold_of_row: np.ndarray,
    held_out_folds: list[int],
    run: RunFolder,
    with_curve: bool,
) -> tuple[np.ndarray, np.ndarray, float]:
    """Fit a fresh net per fold; out-of-fold and mean test probabilities, and the seconds spent fitting."""
    targets = np.eye(10, dtype=np.float32)[dataset.labels]
    oof = np.full(targets.shape, np.nan, np.float32)
    test = np.zeros((len(inputs.test), targets.shape[1]), np.float32)
    epochs_per_fold = config.epochs + (config.unfreeze_epochs if config.unfreeze else 0)
    progress = Progress(run.say, epochs_per_fold * len(held_out_folds))
    training_seconds = 0.0
    for fold in held_out_folds:
        name = f"fold {fold + 1}/{config.folds}"
        told = len(run.history)

        def on_epoch(epoch: dict[str, Any], fold: int = fold, name: str = name) -> None:
            run.history.append({"fold": fold, **epoch})
            progress.report_epoch(name, epoch)

        held_out = np.flatnonzero(fold_of_row == fold)
        curve = EpochCurve(inputs.views[0][held_out], targets[held_out]) if with_curve else None
        started = time.perf_counter()
        model, part = fit_fold(config, inputs, targets, np.flatnonzero(fold_of_row != fold), fold, curve, on_epoch)
        training_seconds += time.perf_counter() - started
        progress.skip_epochs(epochs_per_fold - (len(run.history) - told))
        oof[held_out] = predict_probabilities(part, inputs.views[0][held_out])
        test += predict_probabilities(part, inputs.test) / len(held_out_folds)
        if not (np.isfinite(oof[held_out]).all() and np.isfinite(test).all()):
            raise InputError(f"{name}: the fit diverged, its probabilities are no numbers. Lower --learning-rate.")
        with write_atomically(run.path / "models" / f"fold{fold}.keras") as temporary:
            # without compilation and optimizer: a third of the size, and plain Keras can open it
            keras.Model(model.inputs, model.outputs, name=model.name).save(temporary)
        run.write_history()
        right = oof[held_out].argmax(axis=1) == dataset.labels[held_out]
        run.say(f"{name}  held-out accuracy {right.mean():.5f}  ({(~right).sum()} of {len(right)} rows wrong)")
    return oof, test, training_seconds


def _write_submission(
    config: RunConfig, dataset: Dataset, run: RunFolder, test: np.ndarray, accuracy: float, commit: str | None
) -> Path | None:
    if not dataset.whole_test:
        return None
    path = config.submission
    if path is None and config.smoke:
        path = run.path / "submission.csv"  # a smoke run's file has no place among those worth keeping
    if path is None:
        path = find_free_path(
            SUBMISSIONS, name_submission(f"{config.model}-{accuracy:.5f}", config.input_dir, dataset.unfit)
        )
    provenance = Provenance(
        model=config.model,
        command=describe_command(),
        commit=commit,
        train_sha256=dataset.train_sha256,
        test_sha256=dataset.test_sha256,
        oof_accuracy=accuracy,
        unfit=dataset.unfit,
    )
    try:
        write_submission(path, test.argmax(axis=1), len(test), provenance)
    except FileExistsError:  # it was free before training
        taken, path = path, find_free_path(path.parent, path.stem)
        run.say(f"{taken} was written by another command meanwhile; this run's submission is {path}")
        write_submission(path, test.argmax(axis=1), len(test), provenance)
    return path
