"""How much of the spread of the settings' accuracies each parameter explains."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from digit_recognizer.sweeps.comparisons import are_numbers
from digit_recognizer.sweeps.spread import SettingSummary
from digit_recognizer.sweeps.study import Range, Study, Value

if TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

LEAST_SETTINGS = 20  # a forest over fewer mostly learns their noise
FOREST_SEED = 0


@dataclass(frozen=True)
class Importance:
    """Each parameter's part of what the parameters explain one by one in the accuracies of the settings.

    Attributes:
        shares: by parameter, the largest first; they sum to 1. Empty if they cannot be had.
        gap: why they cannot; empty if they can.
        settings: from which they were taken.
    """

    shares: dict[str, float]
    gap: str
    settings: int


def measure_importance(study: Study, summaries: Sequence[SettingSummary]) -> Importance:
    """Share out the variance of the settings' mean accuracies among the parameters that all of them have.

    By functional analysis of variance over a random forest (fANOVA; Hutter, Hoos and Leyton-Brown 2014, "An efficient
    approach for assessing hyperparameter importance"), as Optuna has it: a parameter's share is what it explains
    by itself, over the whole space; shares of parameters together are left out, and the rest scaled to 1.

    Args:
        study: says what varies.
        summaries: of its settings; those without a finished run do not count.
    """
    done = [one for one in summaries if one.mean is not None]
    names = [name for name in study.parameters if all(name in one.setting for one in done)]
    names = [name for name in names if len({one.setting[name] for one in done}) > 1]
    if len(done) < LEAST_SETTINGS:
        gap = f"of {len(done)} settings noise cannot be told from what a parameter explains; it takes {LEAST_SETTINGS}"
        return Importance({}, gap, 0)
    if study.method != "grid" and all(len(one.done) == 1 for one in done):
        gap = "the search ran each setting with one seed, so that noise cannot be told from what a parameter explains"
        return Importance({}, gap, 0)
    if len(names) < 2:
        return Importance({}, "fewer than two parameters vary in all settings that have finished", 0)
    if len({one.mean for one in done}) == 1:
        return Importance({}, "all settings are equally accurate", 0)
    return Importance(_ask_optuna(study, done, names), "", len(done))


def _ask_optuna(study: Study, done: Sequence[SettingSummary], names: Sequence[str]) -> dict[str, float]:
    import optuna

    kinds = {name: _describe_values(study, name, [one.setting[name] for one in done]) for name in names}
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)  # it announces every study that it makes
    try:
        table = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=FOREST_SEED))
        table.add_trials([
            optuna.trial.create_trial(
                params={name: _read_value(one.setting[name], kinds[name]) for name in names},
                distributions=kinds,
                value=one.mean,
            )
            for one in done
        ])  # fmt: skip
        evaluator = optuna.importance.FanovaImportanceEvaluator(seed=FOREST_SEED)
        return dict(optuna.importance.get_param_importances(table, evaluator=evaluator, params=list(names)))
    finally:
        optuna.logging.set_verbosity(level)


def _describe_values(study: Study, name: str, values: Sequence[Value]) -> "BaseDistribution":
    """What Optuna is to know of a parameter: an interval if it is a number, else its choices."""
    from optuna.distributions import CategoricalDistribution, FloatDistribution

    if not are_numbers(values):
        return CategoricalDistribution(sorted({json.dumps(value) for value in values}))
    found = study.ranges.get(name)
    # a forest splits at the values there are: whole numbers need no interval of their own
    return FloatDistribution(
        float(min(values)),
        float(max(values)),
        log=isinstance(found, Range) and found.log,
    )


def _read_value(value: Value, kind: "BaseDistribution") -> float | str:
    from optuna.distributions import CategoricalDistribution

    return json.dumps(value) if isinstance(kind, CategoricalDistribution) else float(value)
