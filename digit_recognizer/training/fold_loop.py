"""The folds of a run, in their order: fitted by an executor, and kept in the run's folder by this process alone."""

import time
from collections.abc import Callable
from typing import Any

from digit_recognizer.files import write_atomically
from digit_recognizer.training.executors import Executor, map_in_order
from digit_recognizer.training.fitting import (
    EpochWatch,
    FoldListener,
    FoldResult,
    FoldWork,
    fit_and_judge,
    fit_elsewhere,
    name_fold,
)
from digit_recognizer.training.progress import Progress
from digit_recognizer.training.runs import RunFolder
from digit_recognizer.training.state import FitState, RunState


def fit_folds(
    work: FoldWork,
    run: RunFolder,
    state: RunState,
    save: Callable[[FitState | None], None],
    watch: EpochWatch | None,
    executor: Executor,
    on_differences: Callable[[list[str]], None],
) -> None:
    """Fit a fresh net per fold that is not done, into `state`, and keep each net in the run's folder.

    Args:
        work: what the folds share.
        run: its folder.
        state: of the run; changed in place, fold by fold.
        save: writes the state.
        watch: watches the run; None if nobody does. Of folds fitted elsewhere it sees the epochs when the fold is done.
        executor: does the folds.
        on_differences: told if a machine is another than the fingerprint says, in what can be borne.

    Raises:
        InputError: if a fit diverges, or a machine differs in what cannot be borne.
    """
    config, held_out_folds = work.config, work.list_folds()
    epochs_per_fold = config.epochs + (config.unfreeze_epochs if config.unfreeze else 0)
    left = held_out_folds[state.folds_done :]
    begun = sum(entry["fold"] in left for entry in state.history)
    progress = Progress(run.say, epochs_per_fold * len(left) - begun)

    def listen(fold: int) -> FoldListener:
        started, before = time.perf_counter(), state.training_seconds

        def on_epoch(epoch: dict[str, Any]) -> None:
            state.history.append({"fold": fold, **epoch})
            if executor.here:
                progress.report_epoch(name_fold(config, fold), epoch)
            if watch is not None:
                watch(state.history)

        def on_untrained(accuracy: float) -> None:
            state.untrained_accuracy = accuracy

        def on_state(fit: FitState) -> None:
            state.training_seconds = before + time.perf_counter() - started
            save(fit)

        return FoldListener(on_epoch, on_untrained, on_state)

    def fit_here(work: FoldWork, task: tuple[int, FitState | None]) -> FoldResult:
        before = state.training_seconds
        result = fit_and_judge(work, *task, listen(task[0]))
        state.training_seconds = before
        return result

    tasks = [(fold, None if number else state.fit) for number, fold in enumerate(left)]
    results = map_in_order(executor, fit_here if executor.here else fit_elsewhere, tasks, work)
    for fold, result in zip(left, results, strict=True):
        if not executor.here:
            _replay(result, listen(fold))
            on_differences([f"fold {fold + 1}: {difference}" for difference in result.differences])
        state.training_seconds += result.seconds
        progress.skip_epochs(epochs_per_fold - sum(entry["fold"] == fold for entry in state.history))
        _keep(work, fold, result, run, state)
        save(None)
        right = result.held_out.argmax(axis=1) == work.labels[work.fold_of_row == fold]
        line = (
            f"{name_fold(config, fold)}  held-out accuracy {right.mean():.5f}  ({(~right).sum()} of {len(right)} rows "
            "wrong)"
        )
        if executor.here:
            run.say(line)
        else:
            progress.report_fold(line, len(result.epochs))


def _replay(result: FoldResult, listener: FoldListener) -> None:
    """Tell of a fold that was fitted elsewhere as if it had been fitted here."""
    if result.untrained_accuracy is not None:
        listener.on_untrained(result.untrained_accuracy)
    for epoch in result.epochs:
        listener.on_epoch(epoch)


def _keep(work: FoldWork, fold: int, result: FoldResult, run: RunFolder, state: RunState) -> None:
    state.oof[work.fold_of_row == fold] = result.held_out
    state.test += result.test / len(work.list_folds())
    with write_atomically(run.path / "models" / f"fold{fold}.keras") as temporary:
        temporary.write_bytes(result.net)
    run.write_history(state.history)
    state.folds_done += 1
