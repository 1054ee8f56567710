"""Several runs, or several submissions, made into one. Nothing is trained here, and Keras is not needed."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from digit_recognizer.competition.metrics import compute_wilson_interval
from digit_recognizer.competition.submissions import (
    SUBMISSIONS,
    Provenance,
    Submission,
    check_new_submission_path,
    check_submission,
    count_image_ids,
    find_free_path,
    load_submission,
    write_submission,
)
from digit_recognizer.data.tables import load_test_table, load_train_table
from digit_recognizer.errors import InputError
from digit_recognizer.files import hash_file
from digit_recognizer.training.runs import FinishedRun, describe_command, find_commit, load_run

CLASSES = 10


def ensemble(members: Sequence[Path], method: str, input_dir: Path, submission: Path | None) -> str:
    """Combine members and write a submission.

    Args:
        members: run folders and submission files, at least two.
        method: "mean" of probabilities (runs only), or "vote".
        input_dir: folder that holds the data set which the members were made for.
        submission: file to write; None for one under submissions/.

    Returns:
        A table for the screen: each member's out-of-fold accuracy and the ensemble's, where all members have one.

    Raises:
        InputError: if the members are of different data, or not of the data at hand.
    """
    if len(members) < 2:
        raise InputError(f"an ensemble takes two or more runs or submissions; received {len(members)}.")
    if submission is not None:
        check_new_submission_path(submission)
    rows = count_image_ids(input_dir / "sample_submission.csv")
    cache_dir = input_dir / ".cache"
    test_sha256 = load_test_table(input_dir / "test.csv", cache_dir).sha256
    runs, files = _load_members(members, rows, test_sha256)
    if method == "mean" and files:
        raise InputError(
            f"--method mean takes runs, whose probabilities are saved; {files[0].path} holds labels only. Use vote."
        )
    _check_same_data(runs, test_sha256)

    lines, accuracy, unfit = [], None, None
    train_sha256 = None
    if runs:
        train = load_train_table(input_dir / "train.csv", cache_dir)
        train_sha256 = train.sha256
        if runs[0].metrics["train_sha256"] != train.sha256:
            raise InputError(
                f"{runs[0].path} was made from another train.csv than {input_dir}'s: name its folder with --input-dir."
            )
        for run in runs:
            lines.append((str(run.path), run.metrics["oof_accuracy"]))
        accuracy = _score_out_of_fold(runs, train.labels, method) if not files else None
        unfit = next(
            (run.metrics["unfit_for_competition"] for run in runs if run.metrics["unfit_for_competition"]), None
        )
    for file in files:
        lines.append((str(file.path), file.provenance.oof_accuracy if file.provenance else None))
        unfit = unfit or (file.provenance.unfit if file.provenance else None)

    labels = combine([run.test_probabilities for run in runs], [file.labels for file in files], method)
    score = "" if accuracy is None else f"-{accuracy[0]:.5f}"
    path = submission or find_free_path(SUBMISSIONS, f"ensemble{score}" + ("-UNFIT" if unfit else ""))
    provenance = Provenance(
        model="ensemble",
        command=describe_command(),
        commit=find_commit(),
        train_sha256=train_sha256,
        test_sha256=test_sha256,
        oof_accuracy=None if accuracy is None else accuracy[0],
        unfit=unfit,
    )
    write_submission(path, labels, rows, provenance)
    return _format(lines, accuracy, path, unfit)


def combine(probabilities: Sequence[np.ndarray], labels: Sequence[np.ndarray], method: str) -> np.ndarray:
    """Combine predictions of the same rows.

    Args:
        probabilities: float (n, classes) each, of members that have them.
        labels: int (n,) each, of members that have only these; "vote" only.
        method: "mean", or "vote": each member has one vote per row; a tie goes to the tied class with the highest
            summed probability, and, where no member has any, to the tied class that the earliest member named.

    Returns:
        int64 (n,).
    """
    if method == "mean":
        mean: np.ndarray = np.mean(probabilities, axis=0)
        return mean.argmax(axis=1)
    ballots = [member.argmax(axis=1) for member in probabilities] + list(labels)
    rows = np.arange(len(ballots[0]))
    votes = np.zeros((len(rows), CLASSES))
    for position, ballot in enumerate(ballots):
        votes[rows, ballot] += 1 - 1e-6 * position  # less than a vote in sum: it only settles what is left tied
    if probabilities:
        # confidence ranks above the order of members, and below a vote
        votes += 1e-3 * np.mean(probabilities, axis=0)
    return votes.argmax(axis=1)


def _load_members(members: Sequence[Path], rows: int, test_sha256: str) -> tuple[list[FinishedRun], list[Submission]]:
    runs, files = [], []
    for member in members:
        if member.is_dir():
            runs.append(load_run(member))
        elif member.is_file():
            file = load_submission(member)
            check_submission(file, rows, test_sha256)
            files.append(file)
        else:
            raise InputError(f"{member} must be a run folder or a submission file: there is none of that name.")
    seen: dict[str, Path] = {}
    for path, digest in [(run.path, hash_file(run.path / "test_probabilities.npy")) for run in runs] + [
        (file.path, hash_file(file.path)) for file in files
    ]:
        if digest in seen:
            raise InputError(f"{path} and {seen[digest]} hold the same predictions, which would count twice: name one.")
        seen[digest] = path
    return runs, files


def _check_same_data(runs: Sequence[FinishedRun], test_sha256: str) -> None:
    for run in runs:
        if run.metrics["test_sha256"] != test_sha256:
            raise InputError(
                f"{run.path} was made for another test.csv than the one at hand: name its folder with --input-dir."
            )
        for name in ("train_sha256", "test_sha256"):
            if run.metrics[name] != runs[0].metrics[name]:
                raise InputError(f"{run.path} and {runs[0].path} were made from different data: their {name} differ.")
        if run.oof_probabilities.shape != runs[0].oof_probabilities.shape or run.metrics["submission"] is None:
            raise InputError(
                f"{run.path} used only part of the rows (--train-rows, --test-rows or --smoke): leave it out."
            )
        if not np.isfinite(run.test_probabilities).all():
            raise InputError(f"{run.path} holds probabilities that are no numbers: its training failed; leave it out.")


def _score_out_of_fold(
    runs: Sequence[FinishedRun], labels: np.ndarray, method: str
) -> tuple[float, float, float] | None:
    """Accuracy and interval over the rows that every run held out; None if there are none."""
    judged = np.all([np.isfinite(run.oof_probabilities).all(axis=1) for run in runs], axis=0)
    if not judged.any():
        return None
    predictions = combine([run.oof_probabilities[judged] for run in runs], [], method)
    right = int((predictions == labels[judged]).sum())
    return right / int(judged.sum()), *compute_wilson_interval(right, int(judged.sum()))


def _format(
    members: list[tuple[str, float | None]], accuracy: tuple[float, float, float] | None, path: Path, unfit: str | None
) -> str:
    lines = [f"  {name:<48}{'no score' if score is None else f'{score:.5f}'}" for name, score in members]
    if accuracy is None:
        lines.append(
            f"  {'ensemble, out-of-fold':<48}no score: not every member has out-of-fold predictions of the same rows"
        )
    else:
        lines.append(
            f"  {'ensemble, out-of-fold':<48}{accuracy[0]:.5f}  (95 % interval {accuracy[1]:.5f} to {accuracy[2]:.5f})"
        )
    lines.append(f"  {'submission':<48}{path}")
    if unfit:
        lines.append(f"  UNFIT FOR THE COMPETITION: {unfit}")
    return "\n".join(lines)
