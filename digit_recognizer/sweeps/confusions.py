"""What the runs of one setting misread for what, over its seeds: habits of the net, and accidents of a seed."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from digit_recognizer.inspection.misreadings import HeldOutFold, Misreadings, Pair, find_misreadings
from digit_recognizer.sweeps.trials import TrialRecord


@dataclass(frozen=True)
class SeedConfusions:
    """The confusions of one setting.

    Attributes:
        seeds: of its runs.
        mean: float64 (classes, classes), rows by label and prediction, the mean over the runs.
        found: pairs that take more than their share of the errors, and in how many runs.
    """

    seeds: tuple[int, ...]
    mean: np.ndarray
    found: Misreadings

    @property
    def in_every_seed(self) -> tuple[Pair, ...]:
        """Pairs that exceed their share of the errors in all runs, of two at least."""
        return tuple(pair for pair in self.found.pairs if pair.exceeding == len(self.seeds) > 1)

    @property
    def in_some_seeds(self) -> tuple[Pair, ...]:
        """Pairs that exceed it in two runs or more, but not in all."""
        return tuple(pair for pair in self.found.pairs if 1 < pair.exceeding < len(self.seeds))

    @property
    def in_one_seed(self) -> tuple[Pair, ...]:
        """Pairs that exceed it in one run alone, of two at least."""
        return tuple(pair for pair in self.found.pairs if pair.exceeding == 1 < len(self.seeds))


def find_confusions(records: Sequence[TrialRecord]) -> SeedConfusions | None:
    """The confusions of finished runs of one setting; None if no record has any.

    Whether a pair takes more than its share in a run is settled by `find_misreadings`; a run stands for a fold there.
    """
    told = [record for record in records if record.confusion and sum(map(sum, record.confusion))]
    if not told:
        return None
    counts = np.array([record.confusion for record in told], np.int64)
    folds = [_list_rows(f"seed {record.seed}", count) for record, count in zip(told, counts, strict=True)]
    return SeedConfusions(
        tuple(record.seed for record in told), counts.mean(axis=0), find_misreadings(folds, counts.shape[1])
    )


def find_unread_classes(records: Sequence[TrialRecord]) -> list[tuple[TrialRecord, tuple[int, ...]]]:
    """The finished runs that never predicted some class which their held-out rows have, each with these classes."""
    found = []
    for record in records:
        if record.state != "done" or not record.confusion:
            continue
        counts = np.array(record.confusion)
        missing = np.flatnonzero((counts.sum(axis=0) == 0) & (counts.sum(axis=1) > 0))
        if len(missing):
            found.append((record, tuple(missing.tolist())))
    return found


def _list_rows(name: str, counts: np.ndarray) -> HeldOutFold:
    labels, predictions = np.nonzero(counts)
    times = counts[labels, predictions]
    return HeldOutFold(name, np.repeat(labels, times), np.repeat(predictions, times))
