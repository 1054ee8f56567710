"""Which trials come next: every setting of the grids, or those that Optuna suggests from what has ended.

What comes next follows from the study and the table of trials alone, so that a sweep that was stopped goes on as it
would have. Optuna (Akiba et al. 2019) is asked anew each time: its study is rebuilt from the table, and its sampler is
seeded by the number of the group for which it suggests. A group has as many settings as the study's `at_once`, however
many machines there are; its settings know of earlier groups only, so one machine finds what a hundred find.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from digit_recognizer.sweeps.study import Range, Setting, Study
from digit_recognizer.sweeps.trials import Trial, TrialRecord

if TYPE_CHECKING:
    import optuna

# that have ended before one is given up for being below their median (Golovin et al. 2017, section 3.2.2)
STARTUP_SETTINGS = 5
MOST_GROUPS = 10_000  # a search whose only end is time ends here all the same
MOST_IDLE_GROUPS = 20  # in a row without a new setting: of few choices all have been tried
Curve = tuple[float, ...]


def find_next_trials(study: Study, records: Sequence[TrialRecord]) -> list[Trial]:
    """The trials that can begin now, in order; none if all that the study asks for have ended.

    Args:
        study: what is wanted.
        records: trials that have ended, in any order; those of other studies do not count.
    """
    ended = {record.name: record for record in records}
    left = math.inf if study.trials is None else study.trials
    for settings in _iterate_groups(study, ended):
        first, rest = _list_trials(study, settings, ended)
        for wave in [[*first, *rest]] if study.prune == "none" else [first, rest]:
            wanted = wave[: int(min(left, len(wave)))]
            left -= len(wanted)
            if missing := [trial for trial in wanted if trial.name not in ended]:
                return missing
    return []


def list_earlier_curves(study: Study, trial: Trial, records: Sequence[TrialRecord]) -> list[Curve]:
    """The held-out curves with which a trial is compared: of earlier groups, with the same seed, not failed."""
    ended = {record.name: record for record in records}
    curves: list[Curve] = []
    for settings in _iterate_groups(study, ended):
        names = [Trial.of(study, setting, trial.seed).name for setting in settings]
        if trial.name in names:
            return curves
        known = [ended[name] for name in names if name in ended and ended[name].state != "failed"]
        curves += [record.held_out_curve for record in known if record.held_out_curve]
    return curves


def is_hopeless(curve: Curve, earlier: Sequence[Curve]) -> bool:
    """Whether the best accuracy so far is below the median of earlier trials' at this epoch (Optuna's MedianPruner).

    Args:
        curve: accuracy after each epoch so far, at least one.
        earlier: whole curves, or as far as they went.
    """
    import optuna

    judge = _open_study(optuna.samplers.RandomSampler(), optuna.pruners.MedianPruner(STARTUP_SETTINGS))
    for other in earlier:
        judge.add_trial(optuna.trial.create_trial(value=other[-1], intermediate_values=dict(enumerate(other, 1))))
    trial = judge.ask()
    for epoch, accuracy in enumerate(curve, 1):
        trial.report(accuracy, epoch)
    return bool(trial.should_prune())


def _iterate_groups(study: Study, ended: Mapping[str, TrialRecord]) -> Any:
    """Groups of settings, no setting twice; each may be looked at once all trials of those before it have ended."""
    if study.method == "grid":
        settings = study.list_settings()
        size = study.at_once if study.prune != "none" else max(1, len(settings))
        yield from (settings[start : start + size] for start in range(0, len(settings), size))
        return
    known: list[tuple[Setting, list[TrialRecord]]] = []
    left = max(1, study.trials // study.seeds) if study.trials is not None else MOST_GROUPS * study.at_once
    idle = 0
    for number in range(MOST_GROUPS):
        suggested = _suggest(study, number, min(study.at_once, left), known)
        left -= len(suggested)
        new: list[Setting] = []
        for setting in suggested:  # where choices are few, they are drawn again
            if setting not in new and all(setting != other for other, _ in known):
                new.append(setting)
        yield new
        idle = 0 if new else idle + 1
        for setting in new:
            found = [Trial.of(study, setting, seed).name for seed in range(study.seeds)]
            known.append((setting, [ended[name] for name in found if name in ended]))
        if left <= 0 or idle == MOST_IDLE_GROUPS:
            return


def _list_trials(
    study: Study, settings: Sequence[Setting], ended: Mapping[str, TrialRecord]
) -> tuple[list[Trial], list[Trial]]:
    """The first seed's trials of a group, and those of the other seeds of settings that were not given up."""
    first = [Trial.of(study, setting, 0) for setting in settings]
    kept = [trial.setting for trial in first if trial.name not in ended or ended[trial.name].state != "pruned"]
    return first, [Trial.of(study, setting, seed) for seed in range(1, study.seeds) for setting in kept]


def _suggest(
    study: Study, group: int, count: int, known: Sequence[tuple[Setting, Sequence[TrialRecord]]]
) -> list[Setting]:
    """Settings for a group, from the mean accuracy of each earlier one."""
    import optuna

    distributions = {name: _describe_range(found) for name, found in study.ranges.items()}
    sampler: optuna.samplers.BaseSampler = (
        optuna.samplers.TPESampler(seed=group, constant_liar=True)
        if study.method == "tpe"
        else optuna.samplers.RandomSampler(seed=group)
    )
    search = _open_study(sampler, optuna.pruners.NopPruner())
    states = optuna.trial.TrialState
    for setting, records in known:
        accuracies = [record.accuracy for record in records if record.state == "done" and record.accuracy is not None]
        curve = next((record.held_out_curve for record in records if record.held_out_curve), ())
        search.add_trial(
            optuna.trial.create_trial(
                state=states.COMPLETE if accuracies else states.PRUNED if curve else states.FAIL,
                value=sum(accuracies) / len(accuracies) if accuracies else None,
                params=setting,
                distributions=distributions,
                intermediate_values=dict(enumerate(curve, 1)),
            )
        )
    return [dict(search.ask(distributions).params) for _ in range(count)]


def _describe_range(found: Range | tuple[Any, ...]) -> "optuna.distributions.BaseDistribution":
    import optuna

    if isinstance(found, tuple):
        return optuna.distributions.CategoricalDistribution(found)
    if found.whole:
        return optuna.distributions.IntDistribution(int(found.low), int(found.high), log=found.log)
    return optuna.distributions.FloatDistribution(found.low, found.high, log=found.log)


def _open_study(sampler: "optuna.samplers.BaseSampler", pruner: "optuna.pruners.BasePruner") -> "optuna.Study":
    """An Optuna study in memory; what must last is in the sweep's own table."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(sampler=sampler, pruner=pruner, direction="maximize")
