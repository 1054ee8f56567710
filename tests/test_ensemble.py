import importlib
import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from conftest import expect_error, write_labels, write_run
from submitting import make_provenance

from digit_recognizer import compare, ensemble, runs
from digit_recognizer.competition.submissions import load_submission, write_submission
from digit_recognizer.competition.submit import find_submission
from digit_recognizer.data.dataset import load_train
from digit_recognizer.data.labels import DIGITS, FASHION
from digit_recognizer.evaluation import predictions
from digit_recognizer.evaluation.predictions import choose_weights, combine, load_run_for, weigh_by_nested_folds
from digit_recognizer.reporting.examination import examine_run
from digit_recognizer.training.run import load_run

pytestmark = pytest.mark.fast
command = importlib.import_module("digit_recognizer.ensemble")
TRAIN, TEST = np.arange(60) % 10, np.arange(60, 80) % 10
OUT = Path("out.csv")


def one_hot(labels, sure=0.9):
    return np.full((len(labels), 10), (1 - sure) / 9) + (sure - (1 - sure) / 9) * np.eye(10)[labels]


@pytest.fixture
def members(tiny_dir):
    """Three runs; each errs on rows of its own, so that together they are right."""
    paths = []
    for number in range(3):
        oof_labels, test_labels = TRAIN.copy(), TEST.copy()
        oof_labels[number * 5 : number * 5 + 5] = 9 - oof_labels[number * 5 : number * 5 + 5]
        test_labels[number] = 9 - test_labels[number]
        paths.append(write_run(tiny_dir.parent / f"run{number}", tiny_dir, one_hot(oof_labels), one_hot(test_labels)))
    return paths


@pytest.fixture
def write(tiny_dir, tmp_path):
    """Writes a run folder of that name, right in every row unless other probabilities are given."""

    def write(name, oof=None, test=None, **metrics):
        oof = one_hot(TRAIN) if oof is None else oof
        return write_run(tmp_path / name, tiny_dir, oof, one_hot(TEST, 0.8) if test is None else test, **metrics)

    return write


@pytest.mark.parametrize("method", ["mean", "vote"])
def test_an_ensemble_is_right_where_most_members_are(members, method, capsys):
    assert command.main([*map(str, members), "--method", method, "--submission", str(OUT)]) == 0
    assert "ensemble, out-of-fold" in capsys.readouterr().out
    submission = load_submission(OUT)
    assert np.array_equal(submission.labels, TEST)
    assert submission.provenance.oof_accuracy == 1.0
    assert submission.provenance.model == "ensemble"


def test_runs_of_dataframes_take_these_in_place_of_files(members, tiny_dir):
    train, test = pd.read_csv(tiny_dir / "train.csv"), pd.read_csv(tiny_dir / "test.csv")
    for path in members:
        (path / "config.json").write_text(json.dumps({"input_dir": "input", "in_python": True}))
    for combine_them in (lambda: compare(*members[:2]), lambda: ensemble(members)):
        with expect_error("evaluation.tables", path=members[0]):
            combine_them()
    assert compare(*members[:2], train=train).rows == 60
    result = ensemble(members, train=train, test=test)
    assert result.score.accuracy == 1.0 and load_submission(result.submission).labels.tolist() == TEST.tolist()
    assert Path(result) == result.run_dir


def test_few_shared_rows_choose_no_weights(write):
    oof = one_hot(TRAIN)
    oof[8:] = np.nan  # less than one of each class
    with expect_error("evaluation.nothing_to_weigh"):
        ensemble([write("one", oof), write("two", 0.9 * oof + 0.01, one_hot(TEST, 0.7))], method="weighted")


def test_data_that_has_moved_is_named_by_a_flag(members, tiny_dir):
    shutil.move(tiny_dir, tiny_dir.with_name("moved"))
    for combine_them in (lambda: compare(*members[:2]), lambda: ensemble(members)):
        with expect_error("data.missing") as missing:
            combine_them()
        assert "--input-dir" in missing.value.remedy
    assert compare(*members[:2], input_dir=tiny_dir.with_name("moved")).rows == 60


def test_runs_of_dataframes_have_nothing_to_do_with_class_names_in_input(members, tiny_dir):
    Path("input").mkdir()
    Path("input/classes.json").write_text(json.dumps(FASHION.to_json()))
    for path in members:
        (path / "config.json").write_text(json.dumps({"input_dir": "input", "in_python": True}))
    result = ensemble(members, train=pd.read_csv(tiny_dir / "train.csv"), test=pd.read_csv(tiny_dir / "test.csv"))
    assert load_run(result.run_dir).label_set == DIGITS


def test_a_mistake_is_one_line_and_exit_code_2(members, capsys):
    assert command.main([str(members[0])]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_name_that_another_ensemble_took_meanwhile_is_left_to_it(members, monkeypatch):
    taken, free = Path("taken.csv"), Path("free.csv")
    taken.write_text("theirs")
    places = iter([taken, free])
    monkeypatch.setattr(predictions, "choose_submission_path", lambda *_: next(places))
    result = ensemble(members)
    assert result.submission == free and taken.read_text() == "theirs"
    assert load_submission(result.submission).provenance.model == "ensemble"
    assert json.loads((result.run_dir / "metrics.json").read_text())["submission"] == str(result.submission)


def test_submissions_of_others_join_by_vote_without_a_score(members, tmp_path):
    theirs = write_labels(tmp_path / "theirs.csv", TEST)
    result = ensemble([theirs, *members[:2]], "vote", None, OUT)
    assert result.score is None
    assert load_submission(OUT).provenance.oof_accuracy is None
    assert np.array_equal(load_submission(OUT).labels, TEST)
    with expect_error("evaluation.mean_of_labels", path=theirs):
        ensemble([members[0], theirs], "mean", None, tmp_path / "other.csv")


def vote(*ballots):
    return combine(ballots, "vote").argmax(axis=1).tolist()


def test_ties_go_to_confidence_then_to_the_first_member():
    sure, unsure = one_hot([4, 4], 0.9), one_hot([7, 7], 0.5)
    assert vote(unsure, sure) == [4, 4]
    assert vote(np.array([7]), np.array([4])) == [7]
    assert vote(sure, np.array([7, 7]), np.array([7, 4])) == [7, 4], "votes come first"
    assert vote(*(np.array([ballot]) for ballot in (7, 4, 4, 1, 2, 7))) == [7]
    assert vote(np.eye(10)[[4]] * 0.9, np.eye(10)[[7]] * 0.9001) == [7]
    assert combine([sure, unsure], "vote").sum(axis=1) == pytest.approx(1)


def test_only_rows_that_every_member_held_out_are_scored(write):
    half = one_hot(TRAIN)
    half[30:] = np.nan
    early = one_hot(np.where(np.arange(60) < 15, 9 - TRAIN, TRAIN), 0.99)
    late = one_hot(np.where(np.arange(60) < 30, TRAIN, 9 - TRAIN))
    part = write("part", half, one_hot(TEST))
    score = ensemble([part, write("early", early)], "mean", None, OUT).score
    assert (score.accuracy, score.rows, score.all_rows) == (0.5, 30, 60)
    assert load_submission(OUT).provenance.oof_accuracy == 0.5
    score = ensemble([part, write("late", late)], "mean", None, Path("late.csv")).score
    assert score.member_accuracies == [1.0, 1.0]


@pytest.mark.parametrize("name", ["train_sha256", "test_sha256"])
def test_runs_of_other_data_are_refused(members, write, name):
    other = write("other", **{name: "0" * 64})
    for pair in ([members[0], other], [other, members[0]]):
        with expect_error("evaluation.other_data", path=other):
            ensemble(pair, "mean", None, OUT)
    assert not OUT.exists()


def test_a_run_on_part_of_the_rows_is_refused(members, write):
    for part, received in [
        (write("fewer", one_hot(TRAIN[:50])), 50),
        (write("untested", test=one_hot(TEST[:5])), 5),
    ]:
        for pair in ([part, members[0]], [members[0], part]):
            with expect_error("evaluation.part_of_rows", path=part, received=received):
                ensemble(pair, "vote", None, OUT)


def test_a_file_of_one_label_is_refused(members, tiny_dir):
    with expect_error("submission.one_label", path=tiny_dir / "sample_submission.csv", received=0):
        ensemble([members[0], tiny_dir / "sample_submission.csv"], "vote", None, OUT)


def test_an_ineligible_member_makes_the_ensemble_ineligible(members, write):
    result = ensemble([members[0], write("leaky", ineligible="leaks")], "mean", None, OUT)
    assert result.ineligible == "leaks" and "INELIGIBLE" in str(result)
    assert load_submission(OUT).provenance.ineligible == "leaks"


def test_a_run_beside_its_own_submission_is_refused(members, tmp_path):
    own = write_labels(tmp_path / "own.csv", np.load(members[0] / "test_probabilities.npy").argmax(1))
    with expect_error("evaluation.repeated_member", path=own, other=members[0]):
        ensemble([members[0], members[1], own], "vote", None, OUT)


def test_the_note_of_a_file_is_heeded(members, tmp_path):
    foreign, leaky = tmp_path / "foreign.csv", tmp_path / "leaky.csv"
    write_submission(foreign, TEST, 20, make_provenance(test_sha256="f" * 64))
    write_submission(leaky, TEST, 20, make_provenance(ineligible="leaks"))
    with expect_error("submission.other_test", path=foreign):
        ensemble([members[0], foreign], "vote", None, OUT)
    assert ensemble([members[0], leaky], "vote", None, OUT).ineligible == "leaks"


# ---- the run that an ensemble leaves


@pytest.mark.parametrize("method", ["mean", "weighted", "vote"])
def test_an_ensemble_is_a_run_that_other_commands_take(members, tiny_dir, method):
    result = ensemble(list(map(str, members[:2])), method, submission="out.csv", run_dir="runs/mine")
    run = load_run_for(result.run_dir, load_train(tiny_dir / "train.csv"))
    assert np.array_equal(run.test_probabilities.argmax(axis=1), load_submission(OUT).labels)
    assert (
        run.metrics["oof_accuracy"] == result.score.accuracy == (run.oof_probabilities.argmax(axis=1) == TRAIN).mean()
    )
    found = compare(result.run_dir, result.score.against_best.run_other)
    assert found == result.score.against_best
    row = runs().iloc[0]
    assert (row["name"], row.model, row.rows, row.state) == ("mine", "ensemble", 60, "finished")
    assert find_submission(result.run_dir) == OUT
    config = json.loads((result.run_dir / "config.json").read_text())
    assert (config["members"], config["method"]) == ([str(member) for member in members[:2]], method)
    assert ensemble([result.run_dir, members[2]], run_dir="runs/again").score.rows == 60


def test_the_report_of_an_ensemble_has_its_members_in_place_of_a_model(members):
    result = ensemble(members, "weighted")
    found = examine_run(result.run_dir)
    titles = [section.title for section in found.sections]
    section, errors = (found.sections[titles.index(title)] for title in ("Members", "Who errs where"))
    assert [row[0] for row in section.table[1:]] == [str(member) for member in members]
    assert [row[3:] for row in section.table[1:]] == [("5", "5")] * 3  # each errs on rows of its own
    assert errors.paragraphs[0].startswith("0 rows are wrong in all members, and 15 in one alone; the ensemble has 15")
    assert "One model" not in [section.title for section in found.sections]
    Path("report.html").write_text(found.build_page())
    page = Path("report.html").read_text()
    assert str(members[0]) in page and "environment" not in page


def test_rows_that_all_members_have_wrong_are_listed(write):
    labels = np.where(np.arange(60) == 7, 9, TRAIN)
    runs_ = [
        write("one", one_hot(labels)),
        write("other", one_hot(np.where(np.arange(60) == 3, 5, labels), 0.7), one_hot(TEST, 0.6)),
    ]
    result = ensemble(runs_, submission=OUT)
    sections = {section.title: section for section in examine_run(result.run_dir).sections}
    assert [row[3:] for row in sections["Members"].table[1:]] == [("1", "0"), ("2", "1")]
    assert sections["Who errs where"].table[1:] == (("8", "7", "9", "9", "9"),)
    shutil.rmtree(runs_[0])
    (members, *_) = [one for one in examine_run(result.run_dir).sections if one.title == "Members"]
    assert "left out" in members.paragraphs[0] and members.table[0] == ("member", "weight")


def test_an_ensemble_of_submissions_alone_has_no_score(members, tmp_path):
    files = [write_labels(tmp_path / f"{n}.csv", (TEST + (np.arange(20) < n)) % 10) for n in range(3)]
    result = ensemble(files, "vote", members[0].parent / "tiny")
    assert result.score is None and "Not scored" in str(result)
    assert np.array_equal(load_submission(result.submission).labels, (TEST + (np.arange(20) < 1)) % 10)
    with expect_error("evaluation.not_scored", path=result.run_dir):
        compare(members[0], result.run_dir)


def test_an_ensemble_that_is_worse_than_its_member_says_so(write, capsys):
    good = write("good", one_hot(TRAIN, 0.5), one_hot(TEST, 0.5), submission="good.csv")
    bad = [write(f"bad{n}", one_hot((TRAIN + n) % 10, 0.9), one_hot((TEST + n) % 10, 0.9)) for n in (1, 2)]
    arguments = [*map(str, (good, *bad)), "--submission", str(OUT)]
    assert command.main(arguments) == 0
    printed = capsys.readouterr().out
    assert f"The ensemble is worse than its best member, {good}: 0 rows" in printed
    assert "good.csv" in printed.splitlines()[-1], "the next step takes the member"
    assert ensemble([good, *bad], run_dir="again").score.against_best.is_decided


def test_a_folder_that_holds_something_is_refused_and_kept(members):
    Path("mine").mkdir()
    Path("mine/notes.txt").write_text("mine")
    with expect_error("run.folder_not_empty", path="mine"):
        ensemble(members[:2], run_dir="mine")
    assert [path.name for path in Path("mine").iterdir()] == ["notes.txt"]
    Path("file").write_text("mine")
    with expect_error("run.folder_unwritable", path="file/run"):
        ensemble(members[:2], run_dir="file/run")


def test_an_unknown_method_is_refused(members):
    with expect_error("evaluation.method"):
        ensemble(members, "median")


# ---- weights


def test_weights_are_the_most_likely_ones():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 10, 400)
    one, other = (rng.dirichlet(np.ones(10), 400) + scale * np.eye(10)[labels] for scale in (0.3, 0.2))
    pair = np.stack([one / one.sum(1, keepdims=True), other / other.sum(1, keepdims=True)])
    grid = np.linspace(0, 1, 1001)
    truth = pair[:, np.arange(400), labels]
    likelihoods = [np.log(share * truth[0] + (1 - share) * truth[1]).sum() for share in grid]
    weights = choose_weights(pair, labels)
    assert weights.sum() == pytest.approx(1) and weights[0] == pytest.approx(grid[np.argmax(likelihoods)], abs=2e-3)


def test_no_row_takes_part_in_the_choice_of_its_own_weights(monkeypatch):
    rng = np.random.default_rng(0)
    members, labels, folds = rng.dirichlet(np.ones(10), (3, 100)), rng.integers(0, 10, 100), np.arange(100) % 5
    monkeypatch.setattr(predictions, "assign_folds", lambda *_: folds)
    before = weigh_by_nested_folds(members, labels, np.arange(100))
    after = weigh_by_nested_folds(members, np.where(folds == 0, 9 - labels, labels), np.arange(100))
    assert np.array_equal(before[folds == 0], after[folds == 0])
    assert not np.array_equal(before[folds == 1], after[folds == 1])


def test_a_useless_member_gets_no_weight(members, write):
    noise = write("noise", one_hot((TRAIN + 1) % 10), one_hot((TEST + 1) % 10))
    result = ensemble([members[0], noise], "weighted", submission=OUT)
    assert result.weights == pytest.approx([1, 0], abs=0.1) and "(weight " in str(result)
    assert result.score.accuracy == result.score.member_accuracies[0]


def test_weights_need_rows_that_all_members_held_out(write):
    halves = [one_hot(TRAIN), one_hot(TRAIN, 0.8)]
    halves[0][30:], halves[1][:30] = np.nan, np.nan
    early, late = (write(f"half{n}", half, one_hot(TEST, 0.5 + 0.1 * n)) for n, half in enumerate(halves))
    with expect_error("evaluation.nothing_to_weigh"):
        ensemble([early, late], "weighted", submission=OUT)


def test_one_folder_is_one_member_and_not_its_letters():
    with expect_error("evaluation.too_few_members", received=1):
        ensemble("runs/one")
