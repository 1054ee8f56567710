"""How a run ends: judged, with a submission that is written once however often it is stopped, and its metrics last."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from digit_recognizer.competition.provenance import Provenance
from digit_recognizer.competition.submissions import (
    SMOKE_UNFIT,
    SUBMISSIONS,
    find_free_path,
    name_submission,
    write_submission,
)
from digit_recognizer.config import RunConfig
from digit_recognizer.files import write_json
from digit_recognizer.inspection.figures import plot_learning_curves
from digit_recognizer.training.dataset import Dataset
from digit_recognizer.training.results import CVResult, describe_metrics, format_result, judge_probabilities
from digit_recognizer.training.runs import METRICS, RunFolder
from digit_recognizer.training.state import FitState, RunState


def conclude(
    config: RunConfig,
    dataset: Dataset,
    fold_of_row: Any,
    run: RunFolder,
    state: RunState,
    save: Callable[[FitState | None], None],
    measure_elapsed: Callable[[], float],
    environment: dict[str, Any],
    tell: Callable[[dict[str, Any]], None],
    draw: bool = True,
) -> CVResult:
    """Write all that a finished run leaves; metrics.json comes last and says that it has finished.

    Args:
        config: of the run.
        dataset: of the run.
        fold_of_row: int16 (n,), -1 in rows that were never held out.
        run: its folder.
        state: with all folds done.
        save: writes the state.
        measure_elapsed: seconds used so far, over all sittings.
        environment: the content of environment.json.
        tell: given the content of metrics.json before it is written, so that a run stopped in between tells it again.
        draw: whether `train` draws its learning curves.
    """
    run.write_array("oof_probabilities", state.oof)
    run.write_array("test_probabilities", state.test)
    score = judge_probabilities(state.oof, dataset.labels, fold_of_row, dataset.class_names)
    unfit = dataset.unfit or (SMOKE_UNFIT if config.smoke else None)
    submission = _hand_out(config, dataset, run, state, save, score.oof_accuracy, environment["commit"], unfit)
    if run.verb == "train" and draw:
        plot_learning_curves(
            state.history,
            run.path / "learning_curves.png",
            f"{config.model}: learning curves, 1/{config.folds} of the rows held out",
        )
    result = CVResult(
        score=score,
        oof_probabilities=state.oof,
        test_probabilities=state.test,
        elapsed_seconds=measure_elapsed(),
        training_seconds=state.training_seconds,
        run_dir=run.path,
        submission=submission,
        unfit=unfit,
        single_split=run.verb == "train",
        untrained_accuracy=state.untrained_accuracy,
    )
    run.say(format_result(result))
    fingerprint, inexact = environment["fingerprint"], environment["resumed_with_differences"]
    metrics = describe_metrics(config, dataset, result, fingerprint["precision"], inexact)
    tell(metrics)
    write_json(run.path / METRICS, metrics)
    return result


def _hand_out(
    config: RunConfig,
    dataset: Dataset,
    run: RunFolder,
    state: RunState,
    save: Callable[[FitState | None], None],
    accuracy: float,
    commit: str | None,
    unfit: str | None,
) -> Path | None:
    """Write the submission; its name is in the state before the file is there, so a resumed run finds its own."""
    if not dataset.whole_test:
        return None
    provenance = Provenance(
        model=config.model,
        command=run.command,
        commit=commit,
        train_sha256=dataset.train_sha256,
        test_sha256=dataset.test_sha256,
        oof_accuracy=accuracy,
        unfit=unfit,
        run=str(run.path),
    )
    path = Path(state.submission) if state.submission else _choose_path(config, dataset, run, accuracy)
    while True:
        if state.submission != str(path):
            state.submission = str(path)
            save(None)
        try:
            write_submission(path, state.test.argmax(axis=1), dataset.all_test_rows, provenance)
            return path
        except FileExistsError:  # it was free before training
            taken, path = path, find_free_path(path.parent, path.stem)
            run.say(f"{taken} was written by another command meanwhile; this run's submission is {path}")


def _choose_path(config: RunConfig, dataset: Dataset, run: RunFolder, accuracy: float) -> Path:
    if config.submission is not None:
        return config.submission
    if config.smoke:
        return run.path / "submission.csv"  # a smoke run's file has no place among those worth keeping
    name = name_submission(f"{config.model}-{accuracy:.5f}", config.input_dir, dataset.unfit)
    return find_free_path(SUBMISSIONS, name)
