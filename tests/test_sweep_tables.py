"""A sweep's configurations as rows of text."""

import dataclasses

import pytest
from sweep_records import make_grid, make_record, make_records, make_study

from digit_recognizer.sweeps.statistics import (
    build_setting_rows,
    choose_rows,
    format_table,
    label_setting,
    list_unmatched,
    rank,
    select_records,
    show_interval,
    summarize,
)
from digit_recognizer.sweeps.study import Range, Reported


def test_the_table_says_what_the_runs_came_to():
    study = make_study(grids=({"batch_size": (40, 150)},), seeds=2, reported=(Reported({"batch_size": 150}, 0.5),))
    records = [
        make_record(study, {"batch_size": 150}, seed, accuracy, untrained=0.05 + seed / 10, seconds=10.0)
        for seed, accuracy in enumerate((0.8, 0.9))
    ]
    head, empty, full = build_setting_rows(study, summarize(study, records))
    told = dict(zip(head, full, strict=True))
    assert told == {
        "batch_size": "150", "trained": "0.8500", "doc. trained": "0.5000", "untrained": "0.1000", "spread": "0.0707",
        "seeds": "2", "weights": "21,840", "seconds": "10.0",
    }  # fmt: skip
    assert dict(zip(head, empty, strict=True)) | {"batch_size": "40", "seeds": "0"} == {
        **dict.fromkeys(head, ""), "batch_size": "40", "seeds": "0",
    }  # fmt: skip


def test_the_terminal_has_each_setting_with_its_mean_spread_and_seeds():
    study = make_grid(seeds=2)
    records = make_records(study, lambda one: 0.9)
    lines = format_table(study, records).splitlines()
    assert lines[0].split() == ["dropout", "batch_size", "trained", "untrained", "spread", "seeds", "seconds"]
    assert len(lines) == 7 and lines[1].split()[-2:] == ["2", "36.0"]
    failed = [dataclasses.replace(records[0], state="failed", accuracy=None), *records[1:]]
    assert "1 runs failed" in format_table(study, failed) and format_table(study, []) == "  no run has ended yet"


def test_of_many_settings_the_terminal_has_the_best_and_the_worst():
    study = make_study(grids=({"batch_size": tuple(range(1, 41))},), seeds=1)
    lines = format_table(study, make_records(study, lambda one: one["batch_size"] / 50, noise=0)).splitlines()
    assert [int(line.split()[0]) for line in lines[1:16]] == [*range(40, 30, -1), *range(5, 0, -1)]
    assert lines[16] == "  15 of 40 configurations, the best first; all of them stand in results.csv."


def test_an_interval_is_shown_no_wider_than_accuracies_can_differ():
    assert show_interval(-6.08, 6.45) == "-1.0000 to +1.0000" and show_interval(None, None) == ""
    assert show_interval(-0.01, 0.02) == "-0.0100 to +0.0200"
    assert show_interval(0.00004, 0.0068) == "+0.00004 to +0.0068", "an end that is not 0 does not look like it"
    assert show_interval(-1e-12, 0.0) == "-0.0000 to +0.0000", "what rounding leaves is not told"


def test_a_search_has_its_best_setting_first_and_its_drawn_numbers_to_three_digits():
    ranges = {"learning_rate": Range(1e-4, 1e-1, log=True), "batch_size": (40, 1234)}
    study = make_study(method="tpe", trials=3, ranges=ranges, seeds=1)
    drawn = [(0.00123456, 40, 0.8), (0.0123456, 1234, 0.9), (0.05, 40, None)]
    records = [
        make_record(study, {"learning_rate": rate, "batch_size": batch}, 0, accuracy or 0.1)
        for rate, batch, accuracy in drawn
    ]
    records[2] = dataclasses.replace(records[2], state="failed", accuracy=None)
    rows = build_setting_rows(study, choose_rows(study, summarize(study, records)))
    assert [row[:2] for row in rows[1:]] == [("0.0123", "1234"), ("0.00123", "40"), ("0.05", "40")]
    assert label_setting(study, records[1].configuration) == "learning_rate 0.0123, batch_size 1234"


def test_a_documents_number_belongs_to_the_settings_that_have_all_its_values():
    reported = (Reported({"model_args.dropout": 0.3}, 0.8), Reported({"model": "narrow", "batch_size": 150}, 0.7))
    unheard = Reported({"batch_size": 999}, 0.6)
    study = make_grid(reported=(*reported, unheard))
    summaries = summarize(study, [])
    head, *rows = build_setting_rows(study, summaries)
    found = {row[:2]: row[head.index("doc. trained")] for row in rows}
    assert (found["0.3", "40"], found["0.3", "150"]) == ("0.8000", "0.8000, 0.7000")
    assert (found["0.5", "40"], found["0.5", "150"]) == ("", "0.7000")
    assert list_unmatched(study, summaries) == [unheard]


@pytest.mark.parametrize(("value", "words"), [(True, "true"), (0.5, "0.5"), (1e-05, "1e-05"), (40, "40"), ("a", "a")])
def test_values_are_written_as_in_a_study_file(value, words):
    study = make_study(grids=({"model_args.option": (value, "other")},))
    assert label_setting(study, {"model_args.option": value}) == f"option {words}"


def test_a_trial_counts_wherever_its_values_stand_in_the_study_by_now():
    fixed = make_study(fixed={"model": "narrow", "batch_size": 40}, grids=({"epochs": (1, 2)},), seeds=2)
    varied = make_study(grids=({"epochs": (1, 2), "batch_size": (40, 80)},), seeds=2)
    records = make_records(fixed, lambda one: 0.9)
    ours = select_records(varied, records)
    assert [record.configuration for record in ours] == [
        {**record.configuration, "batch_size": 40} for record in records
    ]
    assert [one.accuracies for one in summarize(varied, ours)].count([]) == 2
    assert select_records(fixed, ours) == records


@pytest.mark.parametrize("state", ["pruned", "failed"])
def test_a_setting_of_which_a_run_went_wrong_stands_behind_those_that_went_well(state):
    study = make_study(grids=({"batch_size": (40, 80, 150)},), seeds=2)
    accuracies = {40: (0.98, 0.97), 80: (0.99, 0.5), 150: (0.96, 0.97)}
    records = [
        make_record(study, {"batch_size": size}, seed, found, state="done" if found > 0.9 else state)
        for size, both in accuracies.items()
        for seed, found in enumerate(both)
    ]
    ranked = rank(summarize(study, records))
    assert [one.configuration["batch_size"] for one in ranked] == [40, 150, 80]
