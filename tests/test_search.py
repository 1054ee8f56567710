import dataclasses
import math

import numpy as np
import pytest

from digit_recognizer.sweeps.statistics import select_records
from digit_recognizer.sweeps.study import Range, Study
from digit_recognizer.sweeps.trials import Trial, TrialRecord, find_next_trials, is_unpromising, list_earlier_curves

pytestmark = pytest.mark.fast

GRID = Study(name="g", title="G", grids=({"epochs": (1, 2, 3), "batch_size": (10, 20)},), seeds=2)
SEARCH = Study(
    name="s", title="S", method="tpe", ranges={"learning_rate": Range(1e-4, 0.1, log=True)}, trials=40, seeds=2
)


def end(trial, accuracy=0.5, state="done"):
    return TrialRecord(trial.name, trial.configuration, trial.seed, state, accuracy=accuracy, val_curve=(accuracy,))


def judge(trial):
    """A made-up accuracy that is best at a learning rate of 0.01."""
    return 0.9 - 0.1 * abs(math.log10(trial.configuration["learning_rate"]) + 2)


def run_all(study, judged=lambda trial: 0.5, stop_after=None, records=()):
    records = list(records)
    while wave := find_next_trials(study, records):
        for trial in wave:
            if stop_after is not None and len(records) >= stop_after:
                return records
            records.append(end(trial, judged(trial)))
    return records


def test_a_grid_is_run_whole_with_the_first_seed_before_any_other():
    wave = find_next_trials(GRID, [])
    assert [(trial.configuration["epochs"], trial.configuration["batch_size"], trial.seed) for trial in wave[:7]] == [
        (1, 10, 0), (1, 20, 0), (2, 10, 0), (2, 20, 0), (3, 10, 0), (3, 20, 0), (1, 10, 1),
    ]  # fmt: skip
    assert len(wave) == 12 and find_next_trials(GRID, [end(trial) for trial in wave]) == []


def test_trials_that_have_ended_do_not_come_again_if_the_grid_grows():
    records = [end(trial) for trial in find_next_trials(GRID, [])]
    grown = dataclasses.replace(GRID, grids=({"epochs": (1, 2, 3, 4), "batch_size": (10, 20)},), seeds=3)
    left = find_next_trials(grown, records)
    assert len(left) == 4 * 2 * 3 - 12
    assert not {record.name for record in records} & {trial.name for trial in left}


def test_a_budget_of_trials_ends_a_grid():
    assert len(find_next_trials(dataclasses.replace(GRID, trials=5), [])) == 5
    assert len(run_all(dataclasses.replace(GRID, trials=5))) == 5


@pytest.mark.parametrize("trials", [1, 4, 5, 7, 12])
def test_a_budget_of_trials_is_used_up_where_trials_may_be_pruned(trials):
    assert len(run_all(dataclasses.replace(GRID, trials=trials, prune="median", at_once=4))) == trials


@pytest.mark.parametrize("trials", [1, 2, 3, 40])
def test_a_search_makes_no_more_runs_than_it_may(trials):
    assert len(run_all(dataclasses.replace(SEARCH, trials=trials, seeds=3))) == min(trials, 39)


def test_a_study_plans_as_many_runs_as_it_makes():
    budget, search = dataclasses.replace(GRID, trials=5), dataclasses.replace(SEARCH, trials=10, seeds=3)
    for study, runs in ((GRID, 12), (budget, 5), (search, 9)):
        records = run_all(study)
        assert len(records) == study.planned == runs and find_next_trials(study, records[:-1])
    pruned = dataclasses.replace(GRID, prune="median")
    records = [end(trial, state="pruned") for trial in find_next_trials(GRID, [])[:6]]
    assert find_next_trials(pruned, records[:4]) and not find_next_trials(pruned, records)


@pytest.mark.parametrize("method", ["tpe", "random"])
@pytest.mark.parametrize("trials", [30, None])
def test_a_search_among_few_choices_tries_each_once_and_ends(method, trials):
    choices = {"optimizer": ("adam", "adagrad"), "epochs": (1, 2)}
    study = dataclasses.replace(SEARCH, method=method, ranges=choices, trials=trials, minutes=60.0, seeds=1)
    records = run_all(study)
    assert len({record.name for record in records}) == len(records) == 4


@pytest.mark.parametrize("method", ["tpe", "random"])
def test_a_search_that_was_stopped_suggests_the_same(method):
    study = dataclasses.replace(SEARCH, method=method)
    whole = run_all(study, judge)
    assert len(whole) == 40
    for stop_after in (1, 7, 8, 23):
        resumed = run_all(study, judge, records=run_all(study, judge, stop_after))
        assert [record.name for record in resumed] == [record.name for record in whole]


@pytest.mark.slow
def test_tpe_comes_nearer_to_the_best_value_than_chance_does():
    def miss(method):
        study = dataclasses.replace(SEARCH, method=method, trials=80)
        late = run_all(study, judge)[-40:]
        return np.median([abs(math.log10(record.configuration["learning_rate"]) + 2) for record in late])

    assert miss("tpe") < 0.6 * miss("random")


@pytest.mark.slow
def test_random_values_fill_the_range_evenly_in_their_logarithm():
    study = dataclasses.replace(SEARCH, method="random", seeds=1, trials=200)
    exponents = [math.log10(record.configuration["learning_rate"]) for record in run_all(study)]
    assert -4 <= min(exponents) < -3.9 and -1.1 < max(exponents) <= -1
    assert np.mean(exponents) == pytest.approx(-2.5, abs=0.2)


def test_what_was_pruned_with_the_first_seed_is_not_tried_with_others():
    study = dataclasses.replace(GRID, prune="median", at_once=2)
    first = find_next_trials(study, [])
    assert [trial.seed for trial in first] == [0, 0], "a group's first seed comes first"
    records = [end(first[0]), end(first[1], state="pruned")]
    second = find_next_trials(study, records)
    assert [(trial.configuration, trial.seed) for trial in second] == [(first[0].configuration, 1)]


def test_a_trial_is_compared_with_earlier_groups_of_its_seed_only():
    study = dataclasses.replace(GRID, prune="median", at_once=2, seeds=1)
    records = [end(trial, accuracy) for trial, accuracy in zip(find_next_trials(study, []), (0.3, 0.4), strict=True)]
    second = find_next_trials(study, records)
    records.append(end(second[0], 0.5))
    assert list_earlier_curves(study, second[1], records) == [(0.3,), (0.4,)]
    assert list_earlier_curves(study, records[0], records) == []
    seeds = dataclasses.replace(study, seeds=2)
    other = Trial.of(study, records[1].configuration, 1)
    assert list_earlier_curves(seeds, Trial.of(study, second[1].configuration, 1), [*records, end(other, 0.7)]) == [
        (0.7,)
    ]


@pytest.mark.parametrize(
    ("curve", "unpromising"), [((0.5,), False), ((0.3,), True), ((0.5, 0.55), True), ((0.5, 0.7), False)]
)
def test_a_trial_is_unpromising_below_the_median_of_earlier_ones_at_its_epoch(curve, unpromising):
    earlier = [(level, level + 0.2) for level in (0.2, 0.3, 0.4, 0.5, 0.6)]
    assert is_unpromising(curve, earlier) is unpromising


def test_nothing_is_unpromising_while_there_is_little_to_compare_with():
    assert not is_unpromising((0.1,), [(0.9,)] * 4) and is_unpromising((0.1,), [(0.9,)] * 5)


def test_a_trial_that_diverged_is_not_compared_with():
    study = dataclasses.replace(GRID, prune="median", at_once=2, seeds=1)
    first, second = find_next_trials(study, [])
    records = [end(first, 0.1, state="failed"), end(second, 0.4)]
    assert list_earlier_curves(study, find_next_trials(study, records)[0], records) == [(0.4,)]


@pytest.mark.parametrize("method", ["tpe", "random"])
@pytest.mark.parametrize(
    "change",
    [
        {"at_once": 3},
        {"ranges": {"learning_rate": Range(1e-4, 0.05, log=True)}},
        {"ranges": {**SEARCH.ranges, "epochs": Range(1, 9)}},
    ],
    ids=["at_once", "narrower", "a second parameter"],
)
def test_trials_of_a_search_that_drew_otherwise_are_of_another_version(method, change):
    study = dataclasses.replace(SEARCH, method=method, trials=8)
    records = run_all(study)
    assert select_records(study, records) == records
    assert select_records(dataclasses.replace(study, trials=20), records) == records, "more runs are no other search"
    assert select_records(dataclasses.replace(study, **change), records) == []
    both = dataclasses.replace(study, ranges={**SEARCH.ranges, "batch_size": Range(16, 64)})
    turned = dataclasses.replace(both, ranges=dict(reversed(both.ranges.items())))
    assert select_records(turned, run_all(both)) == [], "parameters are drawn in their order"
