"""What a sweep leaves to be read: its page, its figures and its tables."""

import csv
import dataclasses
import re
from html import unescape

import numpy as np
import pytest
from conftest import expect_error
from sweep_records import make_grid, make_record, make_records, make_study

from digit_recognizer.sweeps import report
from digit_recognizer.sweeps.report import (
    Results,
    build_table,
    check_results,
    describe_claims,
    describe_confusions,
    describe_importance,
    describe_interactions,
    describe_learning_curves,
    describe_limits,
    describe_method,
    describe_parameters,
    describe_unfinished,
    format_table,
    list_cautions,
    show_interval,
    write_results,
)
from digit_recognizer.sweeps.statistics import select_records, summarize
from digit_recognizer.sweeps.study import Claim, Range, Reported, label_configuration

HOSTILE = '<script>alert("1")</script> & more'


def slope(configuration):
    return 0.97 - 0.05 * configuration["model_args.dropout"] - configuration["batch_size"] / 10_000


def write(study, records, folder):
    """The page's HTML."""
    write_results("it", study, records, folder)
    return (folder / "page.html").read_text(encoding="utf-8")


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are made but not drawn, which takes most of a page's time: each is a picture of one pixel."""
    from PIL import Image

    def save(figure, path):
        path.parent.mkdir(exist_ok=True, parents=True)
        Image.new("L", (1, 1)).save(path)

    monkeypatch.setattr(report, "save_figure", save)


def read_text(page):
    """What a page's reader sees, without its tags."""
    return unescape(re.sub(r"<[^>]*>", " ", re.sub(r"(?s)<style>.*?</style>", "", page))).replace("\xa0", " ")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A study with texts that try to become markup, its records, its folder and its page."""
    study = make_grid(
        title=f"Title {HOSTILE}",
        hypothesis=f"Hypothesis one {HOSTILE}\n\nHypothesis two",
        method_text=f"Method {HOSTILE}",
        conclusion=f"Conclusion {HOSTILE}",
        source=f"Source {HOSTILE}",
        epochs_shown=(2,),
        reported=(Reported({"model_args.dropout": 0.5, "batch_size": 40}, 0.9123, 0.0987, f"Note {HOSTILE}"),),
        claims=(Claim(f"Claim {HOSTILE}", "model_args.dropout", 0.3, 0.7, "lower"),),
    )
    records = make_records(study, slope, noise=0.001)
    records[5] = dataclasses.replace(
        records[5], state="failed", accuracy=None, reason=f"=Reason {HOSTILE}", confusion=()
    )
    folder = tmp_path_factory.mktemp("sweep")
    return study, records, folder, write(study, records, folder)


def test_the_page_holds_every_number_of_the_table(whole):
    study, records, _, page = whole
    shown = {unescape(cell) for cell in re.findall(r"<td[^>]*>([^<]*)</td>", page)}
    table = build_table(study, summarize(study, records))
    assert {"accuracy", "seed report", "untrained", "after 2", "failed"} <= set(table.columns)
    assert set(table.drop(columns="95 % interval").to_numpy().ravel()) - {""} <= shown


def test_every_text_of_the_study_is_shown_and_escaped(whole):
    page = whole[3]
    assert "<script" not in page and "<p>Hypothesis two</p>" in page
    text = read_text(page)
    for word in ("Title", "Hypothesis one", "Method", "Conclusion", "Source", "Claim", "=Reason", "Note"):
        assert f"{word} {HOSTILE}" in text, word


def test_every_figure_is_drawn_and_shown(whole):
    _, _, folder, page = whole
    names = {path.name for path in (folder / "figures").iterdir()}
    assert names == {
        "accuracy_model_args.dropout.png", "accuracy_batch_size.png", "learning_curves.png", "confusion.png",
    }  # fmt: skip
    assert page.count("<img ") == len(names)


def test_each_run_has_its_line_in_results_csv_and_none_is_a_formula(whole):
    _, records, folder, _ = whole
    rows = list(csv.DictReader((folder / "results.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["trial"] for row in rows] == [record.name for record in records]
    assert {name: rows[0][name] for name in ("model_args.dropout", "batch_size", "seed", "state", "epochs_run")} == {
        "model_args.dropout": "0.3", "batch_size": "40", "seed": "0", "state": "done", "epochs_run": "5",
    }  # fmt: skip
    assert float(rows[0]["accuracy"]) == records[0].accuracy and float(rows[0]["untrained"]) == 0.1
    assert (rows[5]["accuracy"], rows[5]["reason"]) == ("", f"'=Reason {HOSTILE}")


def test_equal_records_give_an_equal_page_which_replaces_an_earlier_one(tmp_path):
    study = make_study(grids=({"batch_size": (40, 150)},), seeds=2)
    first = write(study, make_records(study, lambda one: 0.9), tmp_path)
    assert write(study, make_records(study, lambda one: 0.9), tmp_path) == first


def test_anothers_page_or_table_is_left_alone(tmp_path, undrawn):
    study = make_grid(seeds=1)
    for name in ("page.html", "results.csv"):
        (tmp_path / name).write_text("mine")
        with expect_error("sweep.foreign_file", path=tmp_path / name):
            check_results(tmp_path)
        with expect_error("sweep.foreign_file", path=tmp_path / name):
            write(study, make_records(study, slope), tmp_path)
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).unlink()


def test_a_study_without_texts_has_no_empty_parts(tmp_path, undrawn):
    study = make_study(grids=({"batch_size": (40,)},), seeds=2)
    page = write(study, [make_record(study, {"batch_size": 40}, seed, 0.9) for seed in (0, 1)], tmp_path)
    assert re.findall(r"<h2[^>]*>([^<]*)</h2>", page) == [
        "Contents", "Results", "Learning curves", "Confusions", "Method", "Limits", "Command",
    ]  # fmt: skip


def test_a_page_without_a_finished_run_has_its_method(tmp_path, undrawn):
    study = make_grid(seeds=1)
    failed = [
        dataclasses.replace(one, state="failed", accuracy=None, confusion=()) for one in make_records(study, slope)
    ]
    text = read_text(write(study, failed, tmp_path))
    assert "Unfinished runs" in text and "Method" in text and "not tested" in text


def test_a_sweep_under_way_shows_how_far_it_is(tmp_path, undrawn):
    study = make_grid()
    records = make_records(study, slope)
    assert "Under way: 7 of 18 runs have ended." in read_text(write(study, records[:7], tmp_path))
    assert "Under way" not in read_text(write(study, records, tmp_path))


# The tables.


def test_the_table_of_results_has_our_numbers_beside_the_reports():
    study = make_study(grids=({"batch_size": (40, 150)},), seeds=2, reported=(Reported({"batch_size": 150}, 0.5),))
    records = [
        make_record(study, {"batch_size": 150}, seed, accuracy, untrained=0.05 + seed / 10, seconds=10.0)
        for seed, accuracy in enumerate((0.8, 0.9))
    ]
    full, empty = build_table(study, summarize(study, records)).to_dict("records")
    assert {name: text for name, text in full.items() if text} == {
        "batch_size": "150", "accuracy": "0.8500", "std. dev.": "0.0707", "95 % interval": "0.2147 to 1.0000",
        "seed report": "0.5000", "untrained": "0.1000", "seeds": "2", "weights": "21,840", "seconds": "10.0",
    }  # fmt: skip
    assert {name: text for name, text in empty.items() if text} == {"batch_size": "40", "seeds": "0"}


def test_the_terminal_has_the_best_and_the_worst_of_many_configurations():
    study = make_study(
        grids=({"batch_size": tuple(range(1, 41))},), seeds=1, reported=(Reported({"batch_size": 20}, 0.7),)
    )
    records = make_records(study, lambda one: one["batch_size"] / 50, noise=0)
    lines = format_table(study, records).splitlines()
    assert [int(line.split()[0]) for line in lines[1:17]] == [*range(40, 30, -1), 20, *range(5, 0, -1)]
    failed = [dataclasses.replace(records[0], state="failed", accuracy=None), *records[1:]]
    assert "1 runs failed" in format_table(study, failed) and format_table(study, []) == "  no run has ended yet"


def test_a_search_has_its_best_configuration_first_and_drawn_numbers_to_four_digits():
    ranges = {"learning_rate": Range(1e-4, 1e-1, log=True), "batch_size": (40, 1234)}
    study = make_study(method="tpe", trials=3, ranges=ranges, seeds=1)
    drawn = [(0.00123456, 40, 0.8), (0.0123456, 1234, 0.9)]
    records = [make_record(study, {"learning_rate": rate, "batch_size": size}, 0, found) for rate, size, found in drawn]
    assert [line.split()[:2] for line in format_table(study, records).splitlines()[1:]] == [
        ["0.01235", "1234"], ["0.001235", "40"],
    ]  # fmt: skip
    assert label_configuration(study, records[1].configuration) == "learning_rate 0.01235, batch_size 1234"


@pytest.mark.parametrize("state", ["pruned", "failed"])
def test_configurations_with_an_unfinished_run_rank_last(state):
    study = make_study(grids=({"batch_size": (40, 80, 150)},), seeds=2)
    accuracies = {40: (0.98, 0.97), 80: (0.99, 0.5), 150: (0.96, 0.97)}
    records = [
        make_record(study, {"batch_size": size}, seed, found, state="done" if found > 0.9 else state)
        for size, both in accuracies.items()
        for seed, found in enumerate(both)
    ]
    assert [one.configuration["batch_size"] for one in summarize(study, records)] == [40, 150, 80]


def test_a_trial_counts_wherever_its_values_are_in_the_study_now():
    fixed = make_study(fixed={"model": "narrow", "batch_size": 40}, grids=({"epochs": (1, 2)},), seeds=2)
    varied = make_study(grids=({"epochs": (1, 2), "batch_size": (40, 80)},), seeds=2)
    records = make_records(fixed, lambda one: 0.9)
    ours = select_records(varied, records)
    assert [record.configuration for record in ours] == [{**one.configuration, "batch_size": 40} for one in records]
    assert select_records(fixed, ours) == records


def test_an_interval_is_in_points_and_no_wider_than_accuracies_can_differ():
    assert show_interval(-6.08, 6.45) == "-100.00 to +100.00" and show_interval(None, None) == ""
    assert show_interval(-0.01, 0.02) == "-1.00 to +2.00"
    assert show_interval(0.00004, 0.0068) == "+0.004 to +0.68", "an end that is not 0 does not look like it"


@pytest.mark.parametrize(("value", "words"), [(True, "true"), (0.5, "0.5"), (1e-05, "1e-05"), (40, "40"), ("a", "a")])
def test_values_are_written_as_in_a_study_file(value, words):
    study = make_study(grids=({"model_args.option": (value, "other")},))
    assert label_configuration(study, {"model_args.option": value}) == f"option {words}"


def read_table(section):
    return section.table.to_dict("records")


def to_rows(section):
    return list(section.table.itertuples(index=False, name=None))


def results_of(study, records, folder="."):
    return Results.of(study, records, folder)


def test_effects_and_claims_have_a_verdict_and_an_interval(tmp_path, undrawn):
    claims = [Claim("More.", "model_args.dropout", 0.3, 0.7, expects) for expects in ("lower", "higher")]
    study = make_grid(seeds=5, claims=tuple(claims))
    records = make_records(study, lambda one: 0.95 - 0.05 * one["model_args.dropout"], noise=0.0005)
    results = results_of(study, records, tmp_path)
    sections = describe_parameters(results)
    effects = {row["change"]: row for section in sections for row in read_table(section)}
    assert [section.title for section in sections] == ["Effect of dropout", "Effect of batch_size"]
    assert sections[0].paragraphs[0].endswith("3 of 3 tested.") and len(sections[0].figures) == 1
    assert effects["0.3 → 0.7"]["verdict"] == "worse" and effects["0.3 → 0.7"]["effect (points)"].startswith("-2.0")
    assert effects["40 → 150"]["verdict"] == "no significant effect"
    assert [row["verdict"] for row in read_table(describe_claims(results))] == ["supported", "contradicted"]


def test_interactions_name_both_effects_and_the_table_stays_short():
    study = make_grid(seeds=5)
    turned = {40: -0.1, 150: 0.1}
    records = make_records(study, lambda one: 0.9 + turned[one["batch_size"]] * one["model_args.dropout"], noise=0.0)
    (row,) = read_table(describe_interactions(results_of(study, records)))
    assert (row["effect at the first"], row["at the second"], row["verdict"]) == ("-4.00", "+4.00", "interacts")
    wide = make_study(grids=({f"model_args.p{number}": (1, 2) for number in range(5)},), seeds=2)
    section = describe_interactions(results_of(wide, make_records(wide, lambda one: 0.9)))
    assert len(section.table) == 6 and "0 of 10 pairs" in section.paragraphs[0]


def test_importance_is_drawn_of_twenty_configurations(tmp_path, undrawn):
    for batch_sizes, drawn in (((40, 80, 100, 150), True), ((40, 80, 100), False)):
        study = make_study(
            grids=({"model_args.dropout": (0.1, 0.2, 0.3, 0.4, 0.5), "batch_size": batch_sizes},), seeds=1
        )
        records = make_records(study, lambda one: 0.9 - one["model_args.dropout"] / 10)
        section = describe_importance(results_of(study, records, tmp_path))
        assert (section is not None) == drawn
        if section is not None:
            assert len(section.figures) == 1 and list(section.table.parameter) == ["dropout", "batch_size"]


def test_learning_curves_have_a_verdict_on_their_plateau(tmp_path, undrawn):
    study = make_study(grids=({"batch_size": (40, 80, 150)},), seeds=3)
    curves = {40: (0.5, 0.8, 0.9, 0.9), 80: (0.5, 0.6, 0.7, 0.8), 150: (0.5,)}
    records = [
        make_record(study, {"batch_size": size}, seed, curve[-1], val_curve=tuple(one + seed / 1000 for one in curve))
        for size, curve in curves.items()
        for seed in range(3)
    ]
    section = describe_learning_curves(results_of(study, records, tmp_path))
    verdicts = {row["configuration"]: row["verdict"] for row in read_table(section)}
    assert verdicts == {
        "batch_size 40": "no significant gain from epoch 3 on", "batch_size 80": "still gains in the last epoch",
    }  # fmt: skip
    one_seed = describe_learning_curves(results_of(study, records[:1], tmp_path))
    assert read_table(one_seed)[0]["verdict"].startswith("not tested")


def test_confusions_of_every_seed_are_told_apart_and_lost_classes_counted(tmp_path, undrawn):
    study = make_study(grids=({"batch_size": (40,)},), seeds=3)
    counts = np.array([np.diag([100] * 10)] * 3)
    counts[:, 4, 4], counts[:, 4, 9] = 80, 20
    counts[0, 7, 7], counts[0, 7, 1] = 0, 100
    records = [
        make_record(study, {"batch_size": 40}, seed, 0.9, confusion=tuple(map(tuple, one.tolist())))
        for seed, one in enumerate(counts)
    ]
    section = describe_confusions(results_of(study, records, tmp_path))
    verdicts = {(row["label"], row["predicted as"]): row["verdict"] for row in read_table(section)}
    assert verdicts == {("4", "9"): "in every seed", ("7", "1"): "not in every seed"}
    lost = {row["of these runs"]: row for row in read_table(describe_limits(results_of(study, records)))}
    assert lost["runs that never predicted a class"]["value"] == "1 of 3"
    assert lost["runs that never predicted a class"]["limit"] == "among the classes 7"


def test_unfinished_runs_are_counted_with_their_reasons():
    study = make_study(grids=({"batch_size": (40, 150)},), seeds=2)
    records = make_records(study, lambda one: 0.9)
    records[0] = dataclasses.replace(records[0], state="failed", accuracy=None, reason="it diverged")
    section = describe_unfinished(results_of(study, records))
    assert read_table(section) == [{"reason": "it diverged", "runs": "1"}]
    assert describe_unfinished(results_of(study, records[1:])) is None


def test_the_method_has_every_field_and_who_chose_it():
    study = make_study(fixed={"model": "narrow", "epochs": 3}, grids=({"batch_size": (40, 80)},), seeds=1)
    records = [
        dataclasses.replace(
            one, training_rows=500, seconds=1.5, environment={"classes": ["a", "b"]}, confusion=((258,),)
        )
        for one in make_records(study, lambda one: 0.9)
    ]
    rows = {name: (value, source) for name, value, source in to_rows(describe_method(results_of(study, records)))}
    assert rows["epochs"] == ("3", "study") and rows["batch_size"] == ("40, 80", "varied by the study")
    assert rows["optimizer"] == ("muon", "model's preset") and rows["folds"] == ("5", "default")
    assert rows["held-out rows"][0] == "258" and rows["training rows"][0] == "500" and rows["classes"][0] == "a, b"
    assert "seed" not in rows and rows["computing time"][0] == "3 s"


def test_limits_depend_on_the_seeds_and_name_runs_of_another_version():
    study = make_grid(seeds=5)
    records = make_records(study, slope)
    one, two = (to_rows(describe_limits(results_of(study, records[: 6 * seeds]))) for seeds in (1, 2))
    assert one[0] == ("seeds", "1", "intervals do not include what another seed would change")
    assert two[0][:2] == ("seeds", "2") and two[1][:2] == ("held-out rows", "others for every seed")
    other = dataclasses.replace(study, fixed={"model": "wide"})
    limits = to_rows(describe_limits(results_of(study, records + make_records(other, slope)[:5])))
    assert limits[-1][:2] == ("other runs in trials.jsonl", "5")


def test_the_method_has_in_what_environments_differ():
    study = make_grid(seeds=5)
    records = make_records(study, slope)
    changed = [dataclasses.replace(one, environment={**one.environment, "commit": "fff"}) for one in records[3:]]
    rows = to_rows(describe_method(results_of(study, records[:3] + changed)))
    assert ("commit", "abc1234 (3 runs), fff (27 runs)", "recorded: runs differ") in rows
    assert ("precision", "float32", "recorded") in rows


def test_cautions_about_learning_rates_early_stopping_and_test_time_augmentation():
    optimizers = {"optimizer": ("adam", "muon")}
    shared = make_study(grids=(optimizers,))
    (caution,) = list_cautions(shared, shared.configurations)
    assert caution[:2] == ["learning_rate", "0.05"] and "adam, muon" in caution[2]
    named = make_study(fixed={"model": "narrow", "learning_rate": 0.01}, grids=(optimizers,))
    assert list_cautions(named, named.configurations) == []
    both = make_study(fixed={"model": "narrow", "patience": 3}, grids=({"tta": (1, 5)},))
    assert len(list_cautions(both, both.configurations)) == 2
