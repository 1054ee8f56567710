"""What the figures of a sweep show, read from their axes."""

import dataclasses

import numpy as np
import pytest
from sweep_records import make_grid, make_record, make_records, make_study

from digit_recognizer.sweeps.report import plot_importance, plot_parameter
from digit_recognizer.sweeps.study import Range, Reported


def draw(study, records, parameter):
    (axes,) = plot_parameter(study, records, parameter).axes
    return axes


def read_dots(axes):
    return next(line for line in axes.lines if line.get_label() == "a run").get_xydata()


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


def test_runs_of_other_parameters_turns_are_left_out():
    cross = (
        {"model_args.dropout": (0.3, 0.5), "batch_size": (40,)},
        {"model_args.dropout": (0.5,), "batch_size": (80, 150)},
    )
    study = make_study(grids=cross, seeds=1)
    dots = read_dots(draw(study, make_records(study, lambda one: 0.9), "model_args.dropout"))
    assert dots[:, 0] == pytest.approx([0.3, 0.5], abs=0.01)


def test_the_reports_numbers_are_beside_ours():
    study = make_grid(reported=(Reported({"model_args.dropout": 0.5, "batch_size": 40}, 0.5),))
    axes = draw(study, make_records(study, lambda one: 0.9), "model_args.dropout")
    line = next(line for line in axes.lines if line.get_label() == "the seed report")
    assert line.get_xydata().tolist() == [[0.5, 0.5]] and axes.get_ylim()[0] < 0.5


@pytest.mark.parametrize(("values", "scale"), [((10, 100, 400), "log"), ((50, 100, 400), "linear")])
def test_numbers_that_span_decades_have_a_logarithmic_axis(values, scale):
    study = make_study(grids=({"batch_size": values},), seeds=1)
    assert draw(study, make_records(study, lambda one: 0.9), "batch_size").get_xscale() == scale


def test_names_have_a_place_each_in_the_order_of_the_file():
    study = make_study(grids=({"optimizer": ("muon", "adam", "adagrad")},), seeds=2)
    axes = draw(study, make_records(study, lambda one: 0.9), "optimizer")
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["muon", "adam", "adagrad"]
    assert np.abs(read_dots(axes)[:, 0] - [0, 1, 2, 0, 1, 2]).max() < 0.1


def test_a_value_whose_runs_differ_in_more_says_why_its_place_is_empty():
    grids = ({"optimizer": ("muon", "adam")}, {"optimizer": ("adagrad",), "batch_size": (80,)})
    study = make_study(grids=grids, seeds=2)
    axes = draw(study, make_records(study, lambda one: 0.9), "optimizer")
    assert [(text.get_text(), text.get_position()[0]) for text in axes.texts] == [("no comparable\nrun", 2)]


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
    assert plot_parameter(study, pruned, "model_args.dropout") is None


def test_importance_has_a_bar_per_parameter_the_largest_on_top():
    (axes,) = plot_importance({"model_args.dropout": 0.75, "batch_size": 0.25}).axes
    assert [bar.get_width() for bar in axes.patches] == [0.75, 0.25] and axes.yaxis_inverted()
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["dropout", "batch_size"]
