"""From which epoch on further training gains nothing that the seeds can tell, and what the best epoch seems to gain."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from digit_recognizer.sweeps.effects import compute_interval

LEAST_SHARE = 0.1  # of the errors left: a gain that matters to whoever asks when to stop, at 0.98 as at 0.8
LAST_PART = 10  # the last tenth of the epochs stands for what training comes to


@dataclass(frozen=True)
class Plateau:
    """Where the gains of longer training end.

    Attributes:
        epoch: the first (from 1) from which on the gain is within the seeds' noise; None if there is none.
        epochs: that were run.
        window: epochs whose mean stands for each epoch, and for the end.
        gain, low, high: what training on from there still gained, with its interval; 0 if there is no such epoch.
        seeds: whose curves count.
        accuracy: at the end, the mean over the seeds.
        noise: what the draw of the held-out rows alone spreads one run's accuracy at the end by.
        excess: of the best epoch over the last, mean over the seeds; it flatters, being picked on the rows that judge.
    """

    epoch: int | None
    epochs: int
    window: int
    gain: float
    low: float
    high: float
    seeds: int
    accuracy: float
    noise: float
    excess: float

    @property
    def undecided(self) -> bool:
        """Whether the seeds are too few to say that gains end at `epoch`: much may still be gained within the interval.

        Much is what exceeds both a tenth of the errors at the end and twice `noise`. A smaller gain is either of no
        weight, or such that these rows would hardly show it in any one run.
        """
        return self.epoch is not None and self.high > max(LEAST_SHARE * (1 - self.accuracy), 2 * self.noise)


def find_plateau(curves: Sequence[Sequence[float]], resolution: float = 0.0) -> Plateau | None:
    """Find the epoch from which on a setting gains nothing that its seeds can tell.

    The gain at an epoch is, seed by seed, the mean accuracy of the last tenth of the epochs minus that of as many
    epochs from this one on. The epochs are tested in their order, each at 5 %, and the first whose interval holds 0, or
    lies below it, ends the search. In this order no test costs the others anything: the chance to go past the true
    plateau is 2.5 % at most, however many epochs there are (fixed-sequence tests; Westfall and Krishen 2001, "Optimally
    weighted, fixed sequence and gatekeeper multiple testing procedures"). To ask for an epoch after which no single
    interval ever leaves 0 out would lead to the end of any long curve: of a hundred epochs without a gain some five
    seem to have one. With few seeds intervals are wide and the epoch is early, so that
    `Plateau.undecided` tells where much may be left.

    Args:
        curves: held-out accuracy after each epoch, a curve per seed; shorter ones than the longest do not count.
        resolution: steps in which accuracies are counted, 1 / rows, as in `compute_interval`.

    Returns:
        None of fewer than two curves, or curves of fewer than two epochs.
    """
    epochs = max(map(len, curves), default=0)
    whole = [curve for curve in curves if len(curve) == epochs]
    if len(whole) < 2 or epochs < 2:
        return None
    window = max(1, epochs // LAST_PART)
    ends = [statistics.fmean(curve[-window:]) for curve in whole]
    accuracy = statistics.fmean(ends)
    noise = math.sqrt(accuracy * (1 - accuracy) * resolution)  # a binomial's, as resolution is 1 / rows
    excess = statistics.fmean(max(curve) - curve[-1] for curve in whole)
    for first in range(epochs - window):
        starts = [statistics.fmean(curve[first : first + window]) for curve in whole]
        gains = [end - start for end, start in zip(ends, starts, strict=True)]
        interval = compute_interval(gains, resolution=resolution / window**0.5)
        if interval is not None and interval[0] <= 0:
            gain = statistics.fmean(gains)
            return Plateau(first + 1, epochs, window, gain, *interval, len(whole), accuracy, noise, excess)
    return Plateau(None, epochs, window, 0.0, 0.0, 0.0, len(whole), accuracy, noise, excess)
