"""Which trials come next: every configuration of the grids, or those that Optuna suggests from what has ended.

What comes next follows from the study and the table of trials alone, so that a sweep that was stopped resumes exactly.
Optuna (Akiba et al. 2019) is asked anew each time: its study is rebuilt from the table, and its sampler is seeded by
the number of the group for which it suggests. A group has as many configurations as the study's `at_once`, however
many machines there are. Its configurations know of earlier groups only, so one machine finds what a hundred find.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from digit_recognizer.sweeps.study import Configuration, Range, Study, Value
from digit_recognizer.sweeps.trials import Curve, Trial, TrialRecord

if TYPE_CHECKING:
    import optuna

# that have ended before one is pruned for being below their median (Golovin et al. 2017, section 3.2.2)
STARTUP_TRIALS = 5
MOST_GROUPS = 10_000  # a search whose only end is time ends here all the same
MOST_IDLE_GROUPS = 20  # in a row without a new configuration: of few choices all have been tried


def find_next_trials(study: Study, records: Sequence[TrialRecord]) -> list[Trial]:
    """The trials that can start now, in order; none if all that the study asks for have ended.

    Args:
        study: what is wanted.
        records: trials that have ended, in any order; those of other studies do not count.
    """
    ended = {record.name: record for record in records}
    left = math.inf if study.trials is None else study.trials
    for configurations in _iterate_groups(study, ended):
        first = [Trial.of(study, configuration, 0) for configuration in configurations]
        kept = [one.configuration for one in first if one.name not in ended or ended[one.name].state != "pruned"]
        rest = [Trial.of(study, configuration, seed) for seed in range(1, study.seeds) for configuration in kept]
        for wave in [[*first, *rest]] if study.prune == "none" else [first, rest]:
            wanted = wave[: int(min(left, len(wave)))]
            left -= len(wanted)
            if missing := [trial for trial in wanted if trial.name not in ended]:
                return missing
    return []


def list_earlier_curves(study: Study, trial: Trial, records: Sequence[TrialRecord]) -> list[Curve]:
    """The curves with which a trial is compared: of earlier groups, with the same seed, not failed."""
    ended = {record.name: record for record in records}
    curves: list[Curve] = []
    for configurations in _iterate_groups(study, ended):
        names = [Trial.of(study, configuration, trial.seed).name for configuration in configurations]
        if trial.name in names:
            return curves
        known = [ended[name] for name in names if name in ended and ended[name].state != "failed"]
        curves += [record.val_curve for record in known if record.val_curve]
    return curves


def is_unpromising(curve: Curve, earlier: Sequence[Curve]) -> bool:
    """Whether the best accuracy so far is below the median of earlier trials' at this epoch (Optuna's MedianPruner).

    Args:
        curve: accuracy after each epoch so far, at least one.
        earlier: whole curves, or as far as they went.
    """
    import optuna

    study = create_optuna_study(optuna.samplers.RandomSampler(), optuna.pruners.MedianPruner(STARTUP_TRIALS))
    for other in earlier:
        study.add_trial(optuna.trial.create_trial(value=other[-1], intermediate_values=dict(enumerate(other, 1))))
    trial = study.ask()
    for epoch, accuracy in enumerate(curve, 1):
        trial.report(accuracy, epoch)
    return bool(trial.should_prune())


def _iterate_groups(study: Study, ended: Mapping[str, TrialRecord]) -> Iterator[list[Configuration]]:
    """Groups of configurations, none twice; each may be asked for once all trials of those before it have ended."""
    if study.method == "grid":
        all_of_them = study.configurations
        size = study.at_once if study.prune != "none" else max(1, len(all_of_them))
        yield from (all_of_them[start : start + size] for start in range(0, len(all_of_them), size))
        return
    known: list[tuple[Configuration, list[TrialRecord]]] = []
    left = max(1, study.trials // study.seeds) if study.trials is not None else MOST_GROUPS * study.at_once
    idle = 0
    for number in range(MOST_GROUPS):
        suggested = _suggest(study, number, min(study.at_once, left), known)
        left -= len(suggested)
        new: list[Configuration] = []
        for configuration in suggested:  # where choices are few, they are drawn again
            if configuration not in new and all(configuration != other for other, _ in known):
                new.append(configuration)
        yield new
        idle = 0 if new else idle + 1
        for configuration in new:
            found = [Trial.of(study, configuration, seed).name for seed in range(study.seeds)]
            known.append((configuration, [ended[name] for name in found if name in ended]))
        if left <= 0 or idle == MOST_IDLE_GROUPS:
            return


def _suggest(
    study: Study, group: int, count: int, known: Sequence[tuple[Configuration, Sequence[TrialRecord]]]
) -> list[Configuration]:
    """Configurations for a group, from the mean accuracy of each earlier one."""
    import optuna

    distributions = {name: _describe_range(found) for name, found in study.ranges.items()}
    sampler: optuna.samplers.BaseSampler = (
        optuna.samplers.TPESampler(seed=group, constant_liar=True)
        if study.method == "tpe"
        else optuna.samplers.RandomSampler(seed=group)
    )
    search = create_optuna_study(sampler, optuna.pruners.NopPruner())
    states = optuna.trial.TrialState
    for configuration, records in known:
        accuracies = [record.accuracy for record in records if record.state == "done" and record.accuracy is not None]
        curve = next((record.val_curve for record in records if record.val_curve), ())
        search.add_trial(
            optuna.trial.create_trial(
                state=states.COMPLETE if accuracies else states.PRUNED if curve else states.FAIL,
                value=sum(accuracies) / len(accuracies) if accuracies else None,
                params=configuration,
                distributions=distributions,
                intermediate_values=dict(enumerate(curve, 1)),
            )
        )
    return [dict(search.ask(distributions).params) for _ in range(count)]


def _describe_range(found: Range | tuple[Value, ...]) -> "optuna.distributions.BaseDistribution":
    """A range, or choices, as Optuna knows them."""
    import optuna

    if isinstance(found, tuple):
        return optuna.distributions.CategoricalDistribution(found)
    if found.whole:
        return optuna.distributions.IntDistribution(int(found.low), int(found.high), log=found.log)
    return optuna.distributions.FloatDistribution(found.low, found.high, log=found.log)


def create_optuna_study(sampler: "optuna.samplers.BaseSampler", pruner: "optuna.pruners.BasePruner") -> "optuna.Study":
    """An Optuna study in memory; what must last is in the sweep's own table."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna.create_study(sampler=sampler, pruner=pruner, direction="maximize")
