"""What a sweep leaves to be read: its page, its figures and its table."""

import csv
import dataclasses
import re
from html import unescape

import numpy as np
import pytest
from sweep_records import make_grid, make_record, make_records, make_study

from digit_recognizer.errors import InputError
from digit_recognizer.sweeps import figures as course_figures
from digit_recognizer.sweeps import figures as parameter_figures
from digit_recognizer.sweeps.report import check_results, write_results
from digit_recognizer.sweeps.statistics import build_setting_rows, summarize
from digit_recognizer.sweeps.study import Claim, Range, Reported

DIGITS = [str(digit) for digit in range(10)]
HOSTILE = '<script>alert("1")</script> & more'


def slope(configuration):
    return 0.97 - 0.05 * configuration["model_args.dropout"] - configuration["batch_size"] / 10_000


def write(study, records, folder, **changes):
    """The page's HTML."""
    arguments = {"command": "python -m sweep it", "class_names": DIGITS, "summary": "a layer\n  another", **changes}
    write_results(study, records, folder, **arguments)
    return (folder / "page.html").read_text(encoding="utf-8")


@pytest.fixture
def undrawn(monkeypatch):
    """Figures are made but not drawn, which takes most of a page's time: each is a picture of one pixel."""
    from PIL import Image

    def save(figure, path):
        path.parent.mkdir(exist_ok=True)
        Image.new("L", (1, 1)).save(path)

    for module in (parameter_figures, course_figures):
        monkeypatch.setattr(module, "save_figure", save)


def read_text(page):
    """What a page's reader sees, without its tags."""
    return unescape(re.sub(r"<[^>]*>", " ", re.sub(r"(?s)<style>.*?</style>", "", page))).replace("\xa0", " ")


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A study of all that a page can hold, its records and its page."""
    reported = (
        Reported({"model_args.dropout": 0.5, "batch_size": 40}, 0.9123, 0.0987, f"Note {HOSTILE}"),
        Reported({"model_args.dropout": 0.9}, 0.8765, note=f"Stray {HOSTILE}"),
    )
    study = make_grid(
        seeds=3,
        title=f"Title {HOSTILE}",
        hypothesis=f"Hypothesis one {HOSTILE}\n\nHypothesis two",
        method_text=f"Method {HOSTILE}",
        conclusion=f"Conclusion {HOSTILE}",
        document=f"Document {HOSTILE}",
        epochs_shown=(2,),
        reported=reported,
        claims=(Claim(f"Claim {HOSTILE}", "model_args.dropout", 0.3, 0.7, "lower"),),
    )
    records = make_records(study, slope, noise=0.001)
    lost = dataclasses.replace(records[5], state="failed", accuracy=None, reason=f"=Reason {HOSTILE}", confusion=())
    records = [lost if record is records[5] else record for record in records]
    folder = tmp_path_factory.mktemp("sweep")
    return study, records, folder, write(study, records, folder, summary=f"Layer {HOSTILE}", command=f"run {HOSTILE}")


def test_the_page_holds_every_number_of_the_table(whole):
    study, records, _, page = whole
    shown = set(re.findall(r"<td[^>]*>([^<]*)</td>", page))
    rows = build_setting_rows(study, summarize(study, records))
    assert len(rows) == 7 and {"trained", "doc. trained", "untrained", "after 2", "failed"} <= set(rows[0])
    assert {cell for row in rows[1:] for cell in row} <= {unescape(cell) for cell in shown}


def test_every_text_of_the_study_is_shown_and_escaped(whole):
    page = whole[3]
    assert "<script" not in page
    text = read_text(page)
    for word in (
        "Title",
        "Hypothesis one",
        "Method",
        "Conclusion",
        "Document",
        "Claim",
        "=Reason",
        "Layer",
        "run",
        "Note",
        "Stray",
    ):
        assert f"{word} {HOSTILE}" in text, word
    assert "<p>Hypothesis two</p>" in page


def test_the_page_says_what_its_numbers_cannot_bear(whole):
    text = read_text(whole[3])
    for words in (
        "There are 3 seeds",
        "so its accuracy flatters",
        "Runs that failed, 1 of 18",
        "Written by the authors of the study about the run that is kept",
        "Each seed holds out rows of its own",
    ):
        assert words in text


def test_a_claim_has_its_verdict_and_its_interval_on_the_page(whole):
    row = re.search(r"<tr><td[^>]*>Claim .*?</tr>", whole[3])[0]
    assert "supported" in row and re.search(r"-0\.02\d\d</td>.*-0\.0\d\d\d to -0\.0\d\d\d", row)


def test_every_figure_is_drawn_and_shown(whole):
    _, _, folder, page = whole
    names = {path.name for path in (folder / "figures").iterdir()}
    assert names == {
        "accuracy_net.dropout.png", "accuracy_batch_size.png", "learning_curves.png", "confusion.png",
    }  # fmt: skip
    assert page.count("<img ") == len(names)


def test_each_run_has_its_line_in_the_table_and_none_is_a_formula(whole):
    _, records, folder, _ = whole
    rows = list(csv.DictReader((folder / "results.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["trial"] for row in rows] == [record.name for record in records]
    assert {name: rows[0][name] for name in ("model_args.dropout", "batch_size", "seed", "state", "epochs_run")} == {
        "model_args.dropout": "0.3", "batch_size": "40", "seed": "0", "state": "done", "epochs_run": "5",
    }  # fmt: skip
    assert float(rows[0]["accuracy"]) == records[0].accuracy and float(rows[0]["untrained"]) == 0.1
    assert (rows[5]["accuracy"], rows[5]["reason"]) == ("", f"'=Reason {HOSTILE}")


def test_a_sweep_under_way_says_how_far_it_is(tmp_path, undrawn):
    study = make_grid(seeds=3)
    records = make_records(study, slope)
    assert "Under way: 7 of 18 runs have ended." in read_text(write(study, records[:7], tmp_path))
    assert "Under way: 0 of 18 runs have ended." in read_text(write(study, [], tmp_path))
    assert "Under way" not in read_text(write(study, records, tmp_path))


def test_one_seed_says_that_another_is_not_in_its_intervals(tmp_path, undrawn):
    study = make_grid(seeds=1)
    text = read_text(write(study, make_records(study, slope), tmp_path))
    assert "There is one seed: what another would change is not known" in text
    assert "what another seed would change is not in it" in text and "in one seed" in text
    assert "Where gains end cannot be told" in text


def test_a_study_without_texts_has_no_empty_parts(tmp_path, undrawn):
    study = make_study(grids=({"batch_size": (40,)},), seeds=2)
    page = write(study, [make_record(study, {"batch_size": 40}, seed, 0.9) for seed in (0, 1)], tmp_path, summary=None)
    titles = re.findall(r"<h2[^>]*>([^<]*)</h2>", page)
    assert titles == [
        "Contents", "What these runs say", "Method", "Settings", "Learning curves and diminishing returns",
        "What is read as what", "Limits", "How to repeat it",
    ]  # fmt: skip


def test_a_search_is_told_by_its_ranges_and_its_pruned_runs(tmp_path, undrawn):
    ranges = {"learning_rate": Range(1e-4, 1e-1, log=True), "optimizer": ("adam", "adagrad")}
    study = make_study(method="tpe", trials=6, prune="median", ranges=ranges, seeds=1)
    records = [
        make_record(study, {"learning_rate": 0.001 * (place + 1), "optimizer": ("adam", "adagrad")[place % 2]}, 0, 0.9)
        for place in range(6)
    ]
    records[3] = dataclasses.replace(records[3], state="pruned", confusion=())
    text = read_text(write(study, records, tmp_path))
    assert "0.0001 to 0.1, evenly in the logarithm" in text and "Runs that were pruned, 1 of 6" in text
    assert "undecided: no pairs" in text
    assert "python -m digit_recognizer.download FOLDER --input-dir input " in text


def test_differing_environment_are_named_among_the_limits(tmp_path, undrawn):
    study = make_grid(seeds=2)
    records = make_records(study, slope)
    records[3:] = [dataclasses.replace(one, environment={**one.environment, "commit": "fff"}) for one in records[3:]]
    text = read_text(write(study, records, tmp_path))
    assert "commit was abc1234 (3 runs), fff (9 runs)" in text and "precision was" not in text


def test_runs_of_an_earlier_wording_are_counted_and_left_out(tmp_path, undrawn):
    study = make_grid(seeds=2)
    other = dataclasses.replace(study, fixed={"model": "wide"})
    text = read_text(write(study, make_records(study, slope) + make_records(other, slope)[:5], tmp_path))
    assert "5 runs in trials.jsonl are of an earlier wording" in text and "12 of 12" in text


def test_of_many_settings_the_best_and_the_worst_are_in_the_table_and_all_in_the_file(tmp_path, undrawn):
    study = make_study(
        grids=({"batch_size": tuple(range(1, 41))},), seeds=1, reported=(Reported({"batch_size": 20}, 0.7),)
    )
    records = make_records(study, lambda one: one["batch_size"] / 50, noise=0)
    page = write(study, records, tmp_path)
    table = re.search(r'aria-label="Table: Settings".*?</table>', page)[0]
    shown = [int(found) for found in re.findall(r"<tr><td[^>]*>(\d+)</td>", table)]
    assert shown == [*range(40, 30, -1), 20, *range(5, 0, -1)]
    assert len((tmp_path / "results.csv").read_text().splitlines()) == 41


def test_runs_that_never_predicted_a_class_are_counted(tmp_path, undrawn):
    study = make_study(grids=({"batch_size": (40, 150)},), seeds=2)
    records = make_records(study, lambda one: 0.9)
    blind = np.array(records[0].confusion)
    blind[:, 8] += blind[:, 7]
    blind[:, 7] = 0
    records[0] = dataclasses.replace(records[0], confusion=tuple(map(tuple, blind.tolist())))
    names = [f"sign {digit}" for digit in range(10)]
    text = read_text(write(study, records, tmp_path, class_names=names))
    assert "Of 4 finished runs, 1 never predicted a class that their held-out rows have: sign 7 (in 1)." in text
    text = read_text(write(study, records[1:], tmp_path, class_names=names))
    assert "Every run predicted every class at least once." in text


def test_anothers_page_or_table_is_left_alone(tmp_path, undrawn):
    study = make_grid(seeds=1)
    for name in ("page.html", "results.csv"):
        (tmp_path / name).write_text("mine")
        with pytest.raises(InputError, match=name):
            check_results(tmp_path)
        with pytest.raises(InputError, match=name):
            write(study, make_records(study, slope), tmp_path)
        assert (tmp_path / name).read_text() == "mine"
        (tmp_path / name).unlink()


def test_our_own_page_is_replaced_and_equal_records_give_equal_files(tmp_path):
    study = make_study(grids=({"batch_size": (40, 150)},), seeds=2)
    first = write(study, make_records(study, lambda one: 0.9), tmp_path)
    check_results(tmp_path)
    assert write(study, make_records(study, lambda one: 0.9), tmp_path) == first


def test_class_names_must_be_as_many_as_classes(tmp_path, undrawn):
    study = make_grid(seeds=1)
    with pytest.raises(ValueError, match="10 classes, but 2 have names"):
        write(study, make_records(study, slope), tmp_path, class_names=["a", "b"])
