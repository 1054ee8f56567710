"""What the figures of a sweep show, read from their axes."""

import dataclasses

import numpy as np
import pytest
from sweep_records import make_grid, make_record, make_records, make_study

from digit_recognizer.reporting.plots import plot_confusion_matrix, plot_learning_curves
from digit_recognizer.sweeps import figures as parameter_figures
from digit_recognizer.sweeps.report import describe_courses, describe_importance
from digit_recognizer.sweeps.statistics import (
    choose_courses,
    collect_points,
    find_confusions,
    list_curves,
    summarize,
    trace_courses,
)
from digit_recognizer.sweeps.study import Range, Reported


def draw(study, records, parameter):
    (axes,) = parameter_figures._draw_parameter(collect_points(study, records, parameter)).axes
    return axes


def read_dots(axes):
    return next(line for line in axes.lines if line.get_label() == "a run").get_xydata()


def trace(study, records):
    return trace_courses(study, choose_courses(summarize(study, records))[0])


def test_each_run_is_a_dot_near_its_value_and_the_mean_is_over_the_seeds():
    study = make_study(grids=({"batch_size": (40, 80)},), seeds=2)
    accuracies = {(40, 0): 0.9, (40, 1): 0.92, (80, 0): 0.94, (80, 1): 0.94}
    records = [make_record(study, {"batch_size": batch}, seed, value) for (batch, seed), value in accuracies.items()]
    axes = draw(study, records, "batch_size")
    dots = read_dots(axes)
    assert dots[:, 1].tolist() == list(accuracies.values())
    assert np.abs(dots[:, 0] - [40, 40, 80, 80]).max() < 2 and len(set(dots[:2, 0])) == 2
    (bars,) = axes.containers
    assert bars.lines[0].get_xydata() == pytest.approx(np.array([[40, 0.91], [80, 0.94]]))
    assert [segment[:, 1].tolist() for segment in bars.lines[2][0].get_segments()] == [
        [pytest.approx(0.9), pytest.approx(0.92)], [pytest.approx(0.94), pytest.approx(0.94)],
    ]  # fmt: skip
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("batch_size", "accuracy on held-out rows")
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["40", "80"]


def test_where_parameters_vary_one_at_a_time_the_others_turns_are_left_out():
    cross = (
        {"model_args.dropout": (0.3, 0.5), "batch_size": (40,)},
        {"model_args.dropout": (0.5,), "batch_size": (80, 150)},
    )
    study = make_study(grids=cross, seeds=1)
    points = collect_points(study, make_records(study, lambda one: 0.9), "model_args.dropout")
    assert [value for value, _ in points.runs] == [0.3, 0.5] and not points.all_settings


def test_the_documents_numbers_stand_beside_ours():
    study = make_grid(reported=(Reported({"model_args.dropout": 0.5, "batch_size": 40}, 0.5),))
    axes = draw(study, make_records(study, lambda one: 0.9), "model_args.dropout")
    line = next(line for line in axes.lines if line.get_label() == "the document")
    assert line.get_xydata().tolist() == [[0.5, 0.5]] and axes.get_ylim()[0] < 0.5


def test_runs_that_never_learned_are_told_below_the_panel():
    study = make_study(grids=({"batch_size": (40, 80)},), seeds=20)
    records = make_records(study, lambda one: 0.9)
    records[1] = make_record(study, {"batch_size": 80}, 0, 0.1)
    axes = draw(study, records, "batch_size")
    assert axes.get_ylim()[0] > 0.8 and len(read_dots(axes)) == 39
    assert [(text.get_text(), text.xy[0]) for text in axes.texts] == [("1 below\n(to 0.10)", 80)]


@pytest.mark.parametrize(("values", "scale"), [((10, 100, 400), "log"), ((50, 100, 400), "linear")])
def test_numbers_that_span_decades_have_a_logarithmic_axis(values, scale):
    study = make_study(grids=({"batch_size": values},), seeds=1)
    assert draw(study, make_records(study, lambda one: 0.9), "batch_size").get_xscale() == scale


def test_names_have_a_place_each_in_the_order_of_the_file():
    study = make_study(grids=({"optimizer": ("muon", "adam", "adagrad")},), seeds=2)
    axes = draw(study, make_records(study, lambda one: 0.9), "optimizer")
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["muon", "adam", "adagrad"]
    assert np.abs(read_dots(axes)[:, 0] - [0, 1, 2, 0, 1, 2]).max() < 0.1


def test_a_range_has_dots_and_no_means():
    study = make_study(method="random", trials=5, ranges={"learning_rate": Range(1e-4, 1e-1, log=True)}, seeds=1)
    records = [make_record(study, {"learning_rate": 10.0**-place}, 0, 0.9) for place in (1, 2, 3, 4)]
    axes = draw(study, records, "learning_rate")
    assert axes.get_xscale() == "log" and not axes.containers
    assert np.abs(np.log10(read_dots(axes)[:, 0]) - [-1, -2, -3, -4]).max() < 0.1
    assert axes.get_xlabel() == "learning_rate (logarithmic)"


def test_nothing_finished_gives_no_figure():
    study = make_grid(seeds=1)
    pruned = [dataclasses.replace(one, state="pruned") for one in make_records(study, lambda one: 0.9)]
    assert collect_points(study, pruned, "model_args.dropout") is None


def test_importance_has_a_bar_per_parameter_the_largest_on_top():
    (axes,) = parameter_figures._draw_importance({"model_args.dropout": 0.75, "batch_size": 0.25}).axes
    assert [bar.get_width() for bar in axes.patches] == [0.75, 0.25] and axes.yaxis_inverted()
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["dropout", "batch_size"]


def test_importance_is_drawn_of_twenty_settings_and_said_to_be_left_out_of_fewer(tmp_path):
    for batch_sizes, left_out in (((40, 80, 100, 150), False), ((40, 80, 100), True)):
        study = make_study(
            grids=({"model_args.dropout": (0.1, 0.2, 0.3, 0.4, 0.5), "batch_size": batch_sizes},), seeds=1
        )
        records = make_records(study, lambda one: 0.9 - one["model_args.dropout"] / 10)
        (section,) = describe_importance(study, summarize(study, records), tmp_path / str(left_out))
        assert section.paragraphs[0].startswith(
            "Left out: of 15 configurations" if left_out else "Drawn is each parameter's"
        )
        assert [figure.path.is_file() for figure in section.figures] == ([] if left_out else [True])


def test_learning_curves_have_a_line_per_seed_and_the_end_of_gains():
    study = make_study(grids=({"batch_size": (40,)},), seeds=3)
    curves = [(0.5, 0.8, 0.9 + seed / 1000, 0.9 + (seed + 1) % 3 / 1000) for seed in range(3)]
    records = [
        make_record(study, {"batch_size": 40}, seed, curve[-1], val_curve=curve, train_curve=(0.4, 0.7, 0.8, 0.9))
        for seed, curve in enumerate(curves)
    ]
    traced = trace(study, records)
    assert traced[0].plateau.epoch == 3
    (axes,) = plot_learning_curves(list_curves(traced), "", plateaus={traced[0].label: 3}).axes
    lines = [line.get_ydata() for line in axes.lines]
    assert [tuple(line) for line in lines if len(line) == 4] == [pytest.approx((0.4, 0.7, 0.8, 0.9)), *curves]
    assert axes.lines[-1].get_xdata() == [3, 3]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "accuracy")


def test_where_the_end_of_gains_is_undecided_no_line_is_drawn(tmp_path):
    study = make_study(grids=({"batch_size": (40,)},), seeds=2)
    curves = [(0.5, 0.7, 0.8), (0.7, 0.75, 0.8)]
    records = [
        make_record(study, {"batch_size": 40}, seed, 0.8, val_curve=curve, train_curve=())
        for seed, curve in enumerate(curves)
    ]
    (section,) = describe_courses(study, summarize(study, records), tmp_path)
    assert "band:" in section.figures[0].caption
    assert not {"dashed", "dotted"} & set(section.figures[0].caption.replace(":", "").split())
    words, gain, interval = section.table[1][1:4]
    assert words == "undecided: with 2 seeds a gain of up to 1.000 after epoch 1 is within noise"
    assert (gain, interval) == ("+0.2000", "-1.0000 to +1.0000")


def test_of_many_settings_six_have_their_courses_drawn():
    study = make_study(grids=({"batch_size": tuple(range(1, 10))},), seeds=2)
    records = make_records(study, lambda one: 0.8 + one["batch_size"] / 100, noise=0)
    figure = plot_learning_curves(list_curves(trace(study, records)), "")
    titles = [axes.get_title() for axes in figure.axes if axes.lines]
    assert titles == [f"batch_size {value}" for value in (9, 8, 7, 6, 5, 1)]


def test_the_confusion_is_the_mean_over_seeds_under_the_names_of_the_classes():
    study = make_study(grids=({"batch_size": (40,)},), seeds=2)
    records = [make_record(study, {"batch_size": 40}, seed, 0.98 + seed / 100) for seed in (0, 1)]
    found = find_confusions(records)
    names = ["a class of many letters", *"bcdefghi", "$j$"]
    (axes,) = plot_confusion_matrix(found.mean, names, unit="validation rows", note=", mean over 2 seeds").axes
    cells = {(text.get_position()[1], text.get_position()[0]): text.get_text() for text in axes.texts}
    assert (cells[0, 0], cells[0, 1], len(cells)) == ("197", "3.0", 20)
    assert axes.get_title() == "errors: 30.0 of 2,000 validation rows, mean over 2 seeds"
    assert [tick.get_text() for tick in axes.get_yticklabels()][::9] == ["a class of ma…", r"\$j\$"]


def test_pairs_misread_in_every_seed_are_told_from_those_of_some_and_of_one():
    study = make_study(grids=({"batch_size": (40,)},), seeds=3)
    blank = np.diag([100] * 10)
    last, second, first = blank.copy(), blank.copy(), blank.copy()
    for counts in (first, second, last):
        counts[4, 4], counts[4, 9] = 80, 20
    for counts in (first, second):
        counts[3, 3], counts[3, 5] = 75, 25
    first[7, 7], first[7, 1] = 70, 30
    records = [
        make_record(study, {"batch_size": 40}, seed, 0.9, confusion=tuple(map(tuple, counts.tolist())))
        for seed, counts in enumerate((first, second, last))
    ]
    found = find_confusions(records)
    assert [(pair.label, pair.prediction) for pair in found.in_every_seed] == [(4, 9)]
    assert [(pair.label, pair.prediction) for pair in found.in_some_seeds] == [(3, 5)]
    assert [(pair.label, pair.prediction) for pair in found.in_one_seed] == [(7, 1)]
    alone = find_confusions(records[:1])
    assert alone.in_every_seed == alone.in_some_seeds == alone.in_one_seed == ()


def test_why_the_end_of_gains_cannot_be_told_is_said_of_one_seed_and_of_curves_of_several_lengths(tmp_path):
    study = make_study(grids=({"batch_size": (40, 80)},), seeds=2)
    one, other, third, fourth = make_records(study, lambda one: 0.9)
    shorter = dataclasses.replace(third, val_curve=(0.5, 0.6))

    def tell(records):
        return describe_courses(study, summarize(study, records), tmp_path)[0]

    assert "one seed does not show" in tell([one, other]).paragraphs[0]
    assert "two seeds at least that end at the same epoch" in tell([one, shorter]).paragraphs[0]
    cells = {row[0]: row[1] for row in tell([one, shorter, other, fourth]).table[1:]}
    assert cells["batch_size 40"] == "seeds that end at different epochs cannot tell" != cells["batch_size 80"]
