"""Ensembles of one configuration's seeds: the accuracy of the mean of 1, 2, … of its models.

The seed report journal wishes for "training many good models and averaging their predictions". A study whose
`split_seed` is fixed holds out the same rows whatever the seed, so the mean of its models' probabilities is evaluated
on rows that none of them has seen. Of k models out of n every choice is evaluated, up to a number: which k are taken
must not decide.

The scores are a DataFrame with the columns of ensembles.csv: configuration (as `batch_size=40`), models (how many are
averaged), choices (ways to take so many that were evaluated), accuracy (mean over these), lowest, highest (0 to 1) and
trials (the names of all models of the configuration).
"""

import io
import itertools
import math
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from digit_recognizer.console import print_line
from digit_recognizer.data.csv import CLASSES
from digit_recognizer.errors import InputError
from digit_recognizer.io import load_npy, read_bytes, write_csv
from digit_recognizer.sweeps.study import Configuration, Study
from digit_recognizer.sweeps.trials import LIMIT_BYTES, TRIALS_DIR, TrialRecord, group_by_configuration

ENSEMBLES = "ensembles.csv"
MAX_CHOICES = 100
COLUMNS = ["configuration", "models", "choices", "accuracy", "lowest", "highest", "trials"]


def evaluate_ensembles(
    study: Study,
    records: Sequence[TrialRecord],
    trials_dir: Path,
    load_labels: Callable[[Configuration], np.ndarray],
) -> pd.DataFrame:
    """Evaluate the ensembles of every configuration whose models all held out the same rows.

    Args:
        study: whose parameters name a configuration.
        records: of its trials.
        trials_dir: the trials' folders. A trial without a folder is left out. So is one whose folder is damaged, with a
            line that says so.
        load_labels: int (n,), of all training rows that the trials of a configuration use.
    """
    rows = []
    for configuration, group in group_by_configuration([record for record in records if record.state == "done"]):
        there = [record for record in group if (trials_dir / record.name).is_dir()]
        if len(there) < 2:
            continue
        labels = load_labels(configuration)
        models = {one.name: loaded for one in there if (loaded := _load_model(trials_dir, one, labels)) is not None}
        folds = [one[0] for one in models.values()]
        if len(folds) < 2 or any(not np.array_equal(folds[0], other) for other in folds[1:]):
            continue
        held_out = folds[0] == 0
        probabilities = np.stack([one[1][held_out] for one in models.values()])
        for count in range(1, len(folds) + 1):
            found = [
                float((probabilities[list(chosen)].mean(axis=0).argmax(axis=1) == labels[held_out]).mean())
                for chosen in choose_members(len(folds), count)
            ]
            scores = [len(found), float(np.mean(found)), min(found), max(found)]
            rows.append([describe_configuration(study, configuration), count, *scores, " ".join(models)])
    return pd.DataFrame(rows, columns=COLUMNS)


def merge_ensembles(study: Study, scores: pd.DataFrame, records: Sequence[TrialRecord]) -> pd.DataFrame:
    """The scores of the study as it reads now, for each configuration those of the most models.

    Args:
        study: whose order of configurations is taken.
        scores: those evaluated just now, then those of ensembles.csv, whose trials' folders may be gone since then.
        records: of the study's trials; scores of other trials do not count.
    """
    labels = {one.name: describe_configuration(study, one.configuration) for one in records if one.state == "done"}
    best: dict[str, pd.DataFrame] = {}
    for trials, own in scores.groupby("trials", sort=False):
        names = str(trials).split()
        if labels.keys() >= set(names) and 1 in own.models.values:
            label = labels[names[0]]  # now more may vary than then
            if label not in best or len(names) > len(best[label].trials.iloc[0].split()):
                best[label] = own.drop_duplicates("models").assign(configuration=label)
    return _join(*(best[label] for label in dict.fromkeys(labels.values()) if label in best))


def _join(*scores: pd.DataFrame) -> pd.DataFrame:
    """One table of several, of which some may be empty."""
    parts = [one for one in scores if len(one)]
    return pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=COLUMNS)


def choose_members(models: int, count: int) -> list[tuple[int, ...]]:
    """All ways to take so many of the models; of more than `MAX_CHOICES` as many drawn evenly, each once."""
    if count == 1 or math.comb(models, count) <= MAX_CHOICES:
        return list(itertools.combinations(range(models), count))
    random = np.random.default_rng(0)
    drawn: dict[tuple[int, ...], None] = {}
    while len(drawn) < MAX_CHOICES:
        drawn.setdefault(tuple(sorted(random.choice(models, count, replace=False).tolist())))
    return list(drawn)


def _load_model(trials_dir: Path, record: TrialRecord, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """A trial's folds and out-of-fold probabilities; None, and a line that says so, if they cannot be used."""
    folder, rows = trials_dir / record.name, len(labels)
    try:
        folds, probabilities = load_npy(folder / "folds.npy"), load_npy(folder / "oof_probabilities.npy")
        if folds.shape != (rows,) or probabilities.shape != (rows, CLASSES):
            raise InputError("sweep.ensemble_rows", path=folder, received=f"{rows:,}")
        held_out = folds == 0
        right = probabilities[held_out].argmax(axis=1) == labels[held_out]
        if not held_out.any() or abs(right.mean() - (record.accuracy or 0)) > 1e-6:
            raise InputError("sweep.ensemble_model", path=folder, received=record.accuracy)
    except InputError as error:  # the trial's line in the table is whole: one damaged folder must not hide the page
        print_line(f"note: {error} The ensembles leave this model out.")
        return None
    return folds, probabilities


def describe_configuration(study: Study, configuration: Configuration) -> str:
    """The values of what varies, as `model_args.dropout=0.3 batch_size=40`."""
    return " ".join(f"{name}={configuration[name]}" for name in study.parameters if name in configuration)


def update_ensembles(
    study: Study, records: Sequence[TrialRecord], folder: Path, load_labels: Callable[[Configuration], np.ndarray]
) -> None:
    """Evaluate the ensembles of a study, and write ensembles.csv, which is kept when the trials' folders are not."""
    kept = load_ensembles(folder / ENSEMBLES)
    new = evaluate_ensembles(study, records, folder / TRIALS_DIR, load_labels)
    if not new.empty:
        scores = merge_ensembles(study, _join(new, kept), records)
        others = kept[~kept.trials.isin(scores.trials)]
        write_csv(folder / ENSEMBLES, _join(scores, others), float_format="%.6f")


def load_ensembles(path: Path) -> pd.DataFrame:
    """Read ensembles.csv; empty if there is none.

    Raises:
        InputError: if it is damaged.
    """
    if not path.exists():
        return pd.DataFrame(columns=COLUMNS)
    text = io.BytesIO(read_bytes(path, LIMIT_BYTES))
    try:
        scores = pd.read_csv(text, dtype=str, keep_default_na=False)[COLUMNS]
        scores = scores.astype(dict.fromkeys(("models", "choices"), int))
        scores = scores.astype(dict.fromkeys(("accuracy", "lowest", "highest"), float))
        known = scores.trials.str.split().str.len()
        possible = scores.models.between(1, known) & (scores.lowest >= 0) & (scores.lowest <= scores.highest)
        if not (possible & (scores.highest <= 1)).all():
            raise ValueError("a number is out of range")
    except (KeyError, TypeError, ValueError) as error:  # pandas' parser errors are ValueErrors
        raise InputError("sweep.ensembles", path=path, problem=" ".join(str(error).split())[:100]) from error
    return scores
