"""Ensembles of one setting's seeds: what the mean of 1, 2, … of its nets achieves on rows that all of them held out.

Document 004 wishes for "training many good models and averaging their predictions". A study whose `split_seed` is fixed
holds out the same rows whatever the seed, so the means of its nets' probabilities are judged without another fit. Of k
nets out of n every choice is judged, up to a number: which k are taken must not decide.
"""

import csv
import io
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from digit_recognizer.console import print_line
from digit_recognizer.data.csv import CLASSES
from digit_recognizer.errors import InputError
from digit_recognizer.io import load_npy, open_regular_file, write_atomically
from digit_recognizer.sweeps.study import Setting, Study
from digit_recognizer.sweeps.trials import LIMIT_BYTES, TrialRecord, group_by_setting

ENSEMBLES = "ensembles.csv"
MOST_CHOICES = 100
COLUMNS = ("nets", "choices", "accuracy", "lowest", "highest", "trials")


@dataclass(frozen=True)
class EnsembleScore:
    """What the mean of several nets of one setting achieves.

    Attributes:
        setting: values of what varies, as `describe_setting` writes them.
        nets: how many are averaged.
        choices: ways to take so many of the setting's nets that were judged.
        accuracy, lowest, highest: over these, on the held-out rows; 0 to 1.
        trials: the names of all nets of the setting, from which they are taken.
    """

    setting: str
    nets: int
    choices: int
    accuracy: float
    lowest: float
    highest: float
    trials: tuple[str, ...]

    def is_of(self, records: Sequence[TrialRecord]) -> bool:
        """Whether all its nets are of these trials."""
        names = {record.name for record in records if record.state == "done"}
        return bool(self.trials) and names.issuperset(self.trials)


def judge_ensembles(
    study: Study,
    records: Sequence[TrialRecord],
    trials_dir: Path,
    load_labels: Callable[[Setting], np.ndarray],
) -> list[EnsembleScore]:
    """Judge the ensembles of every setting whose nets all held out the same rows.

    Args:
        study: whose parameters name a setting.
        records: of its trials, as it now reads: other trials may differ in what no setting tells.
        trials_dir: the trials' folders; a trial whose folder is not there is left out, and so is one whose folder is
            damaged, with a line that says so.
        load_labels: int (n,), of all training rows that the trials of a setting see.
    """
    scores: list[EnsembleScore] = []
    for setting, group in group_by_setting([record for record in records if record.state == "done"]):
        there = [record for record in group if (trials_dir / record.name).is_dir()]
        if len(there) < 2:
            continue
        labels = load_labels(setting)
        found_nets = {
            record.name: one for record in there if (one := _load_net(trials_dir, record, labels)) is not None
        }
        folds = [one[0] for one in found_nets.values()]
        if len(folds) < 2 or any(not np.array_equal(folds[0], other) for other in folds[1:]):
            continue
        held_out = folds[0] == 0
        probabilities = np.stack([one[1][held_out] for one in found_nets.values()])
        name, trials = describe_setting(study, setting), tuple(found_nets)
        for nets in range(1, len(folds) + 1):
            found = [
                float((probabilities[list(one)].mean(axis=0).argmax(axis=1) == labels[held_out]).mean())
                for one in _choose(len(folds), nets)
            ]
            scores.append(EnsembleScore(name, nets, len(found), float(np.mean(found)), min(found), max(found), trials))
    return scores


def merge_ensembles(
    study: Study, kept: Sequence[EnsembleScore], judged: Sequence[EnsembleScore], records: Sequence[TrialRecord]
) -> list[EnsembleScore]:
    """The scores of the study as it now reads, of each setting those of the most nets.

    Args:
        study: whose settings' order is taken.
        kept: from ensembles.csv: their trials' folders may be gone since then.
        judged: just now.
        records: of the study's trials; scores of other trials do not count.
    """
    named = {record.name: record for record in records}
    settings = {name: describe_setting(study, record.setting) for name, record in named.items()}
    found: dict[tuple[str, ...], dict[int, EnsembleScore]] = {}
    for score in (*judged, *kept):
        if score.is_of(records):
            found.setdefault(score.trials, {}).setdefault(score.nets, score)
    most: dict[str, tuple[str, ...]] = {}
    for trials, scores in found.items():
        if 1 not in scores or not _agree(scores[1].accuracy, *(named[name] for name in trials)):
            continue  # judged when the trials of these names were of other data, say
        setting = settings[trials[0]]  # as it is called now: when it was judged, less may have varied
        most[setting] = max(most.get(setting, ()), trials, key=len)
    return [
        replace(score, setting=setting)
        for setting in dict.fromkeys(settings.values())
        for score in found.get(most.get(setting, ()), {}).values()
    ]


def _choose(nets: int, of_them: int) -> list[tuple[int, ...]]:
    """All ways to take so many of the nets; of more than `MOST_CHOICES` as many drawn evenly, each once."""
    if of_them == 1 or math.comb(nets, of_them) <= MOST_CHOICES:
        return list(itertools.combinations(range(nets), of_them))
    random = np.random.default_rng(0)
    drawn: dict[tuple[int, ...], None] = {}
    while len(drawn) < MOST_CHOICES:
        drawn.setdefault(tuple(sorted(random.choice(nets, of_them, replace=False).tolist())))
    return list(drawn)


def _load_net(trials_dir: Path, record: TrialRecord, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
    """A trial's folds and out-of-fold probabilities; None, and a line that says so, if they cannot be used."""
    folder, rows = trials_dir / record.name, len(labels)
    try:
        folds, probabilities = load_npy(folder / "folds.npy"), load_npy(folder / "oof_probabilities.npy")
        if folds.shape != (rows,) or probabilities.shape != (rows, CLASSES):
            raise InputError(f"{folder} must hold folds and probabilities of {rows} rows, but holds others.")
        held_out = folds == 0
        right = (probabilities[held_out].argmax(axis=1) == labels[held_out]).mean() if held_out.any() else 0.0
        if not _agree(float(right), record):
            raise InputError(f"{folder} must hold the net that {record.accuracy} was measured of, but holds another.")
    except InputError as error:  # the trial's line in the table is whole: one damaged folder must not hide the page
        print_line(f"note: {error} The ensembles are judged without this net.")
        return None
    return folds, probabilities


def _agree(accuracy: float, *records: TrialRecord) -> bool:
    """Whether an accuracy is the mean of these trials', as far as the table's six decimals tell."""
    return abs(accuracy - float(np.mean([record.accuracy or 0.0 for record in records]))) < 1.5e-6


def describe_setting(study: Study, setting: object) -> str:
    """The values of what varies, as `net.dropout=0.3 batch_size=40`."""
    values = dict(setting) if isinstance(setting, dict) else {}
    return " ".join(f"{name}={values[name]}" for name in study.parameters if name in values)


def write_ensembles(path: Path, scores: Sequence[EnsembleScore]) -> None:
    """Write ensembles.csv, which is kept when the trials' folders are not."""
    with write_atomically(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["setting", *COLUMNS])
        for score in scores:
            numbers = [f"{value:.6f}" for value in (score.accuracy, score.lowest, score.highest)]
            writer.writerow([score.setting, score.nets, score.choices, *numbers, " ".join(score.trials)])


def load_ensembles(path: Path) -> list[EnsembleScore]:
    """Read ensembles.csv; empty where there is none.

    Raises:
        InputError: if it is damaged.
    """
    if not path.exists():
        return []
    try:
        with open_regular_file(path) as file:
            rows = list(csv.DictReader(io.StringIO(file.read(LIMIT_BYTES).decode(), newline="")))
        scores = [
            EnsembleScore(
                row["setting"],
                int(row["nets"]),
                int(row["choices"]),
                float(row["accuracy"]),
                float(row["lowest"]),
                float(row["highest"]),
                tuple(row["trials"].split()),
            )
            for row in rows
        ]
        for score in scores:
            if not (1 <= score.nets <= len(score.trials) and 0 <= score.lowest <= score.highest <= 1):
                raise ValueError(f"{score.setting}: a number is none that a score can have")
    except (AttributeError, KeyError, TypeError, ValueError, csv.Error) as error:
        raise InputError(f"{path} must be a table of ensembles, but is damaged ({error}): remove it.") from error
    return scores
