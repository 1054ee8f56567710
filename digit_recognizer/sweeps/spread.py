"""How far the runs of one setting lie apart, and how much of that the held-out rows alone would explain."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, replace

from digit_recognizer.sweeps.study import Setting, Study
from digit_recognizer.sweeps.trials import Trial, TrialRecord, group_by_setting


@dataclass(frozen=True)
class SettingSummary:
    """What the runs of one setting came to. Accuracies are from 0 to 1, on held-out rows, after the last epoch.

    Attributes:
        setting: values of what varies.
        done: its finished runs, by seed; empty if there are none yet.
        failed, pruned: how many of its runs ended otherwise.
    """

    setting: Setting
    done: tuple[TrialRecord, ...]
    failed: int = 0
    pruned: int = 0

    @property
    def accuracies(self) -> list[float]:
        """Of the finished runs, by seed."""
        return [record.accuracy for record in self.done if record.accuracy is not None]

    @property
    def mean(self) -> float | None:
        """Over the finished runs; None without any."""
        return statistics.fmean(self.accuracies) if self.done else None

    @property
    def deviation(self) -> float | None:
        """Standard deviation over the seeds (of the sample, n - 1); None of fewer than two."""
        return statistics.stdev(self.accuracies) if len(self.done) > 1 else None

    @property
    def untrained(self) -> float | None:
        """Mean accuracy before training; None if no finished run tells."""
        values = [record.untrained for record in self.done if record.untrained is not None]
        return statistics.fmean(values) if values else None

    @property
    def parameters(self) -> int | None:
        """Of the net; None without a finished run."""
        return self.done[0].parameters if self.done else None

    @property
    def seconds(self) -> float | None:
        """Mean of a finished run; None without any."""
        return statistics.fmean(record.seconds for record in self.done) if self.done else None

    @property
    def noise(self) -> float | None:
        """What the draw of the held-out rows alone would spread one run by: sqrt(p (1 - p) / rows), a binomial's."""
        if self.mean is None or not (rows := count_held_out(self.done)):
            return None
        return math.sqrt(self.mean * (1 - self.mean) / rows)

    def after(self, epochs: int) -> float | None:
        """Mean accuracy after so many epochs, read from the learning curves; None if they are shorter."""
        values = [record.held_out_curve[epochs - 1] for record in self.done if len(record.held_out_curve) >= epochs]
        return statistics.fmean(values) if values else None


def count_held_out(records: Sequence[TrialRecord]) -> int:
    """Held-out rows of a run, the fewest if runs differ; 0 if no record tells."""
    return min((sum(map(sum, record.confusion)) for record in records if record.confusion), default=0)


def select_records(study: Study, records: Sequence[TrialRecord]) -> list[TrialRecord]:
    """The records of trials that the study, as it now reads, would make; others are of an earlier wording.

    Of a grid each has the setting that the study now gives it: what stood among the fixed values may vary by now.
    """
    seeds = {record.seed for record in records if record.seed < study.seeds}
    if study.method != "grid":
        return [
            record
            for record in records
            if record.seed in seeds and Trial.of(study, record.setting, record.seed).name == record.name
        ]
    made = {Trial.of(study, setting, seed).name: setting for setting in study.list_settings() for seed in seeds}
    return [replace(record, setting=made[record.name]) for record in records if record.name in made]


def summarise_settings(study: Study, records: Sequence[TrialRecord]) -> list[SettingSummary]:
    """One summary for each setting: of grids in the order of the file, also before they are run; else as they came."""
    found = {tuple(sorted(setting.items())): runs for setting, runs in group_by_setting(records)}
    settings = study.list_settings() or [runs[0].setting for runs in found.values()]
    summaries = []
    for setting in settings:
        runs = found.get(tuple(sorted(setting.items())), [])
        states = [record.state for record in runs]
        done = tuple(record for record in runs if record.state == "done")
        summaries.append(SettingSummary(setting, done, states.count("failed"), states.count("pruned")))
    return summaries


def rank_settings(summaries: Sequence[SettingSummary]) -> list[SettingSummary]:
    """The settings with a finished run, the highest mean first; of equal ones the earlier first.

    Those of which another run was pruned or failed come last: a mean over the runs that went well flatters.
    """
    return sorted(
        (one for one in summaries if one.done), key=lambda one: (one.pruned + one.failed > 0, -(one.mean or 0))
    )


def find_best(study: Study, records: Sequence[TrialRecord]) -> Setting | None:
    """The first setting of `rank_settings`; None before any run has finished."""
    ranked = rank_settings(summarise_settings(study, select_records(study, records)))
    return ranked[0].setting if ranked else None
