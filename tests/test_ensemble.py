from pathlib import Path

import numpy as np
import pytest
from conftest import expect_error, write_labels, write_run
from submitting import make_provenance

from digit_recognizer import ensemble as command
from digit_recognizer.competition.submissions import load_submission, write_submission
from digit_recognizer.evaluation.predictions import combine, ensemble

pytestmark = pytest.mark.fast
TRAIN, TEST = np.arange(60) % 10, np.arange(60, 80) % 10
OUT = Path("out.csv")


def one_hot(labels, sure=0.9):
    return np.full((len(labels), 10), (1 - sure) / 9) + (sure - (1 - sure) / 9) * np.eye(10)[labels]


@pytest.fixture
def runs(tiny_dir):
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
def test_an_ensemble_is_right_where_most_members_are(runs, method, capsys):
    assert command.main([*map(str, runs), "--method", method, "--submission", str(OUT)]) == 0
    assert "ensemble, out-of-fold" in capsys.readouterr().out
    submission = load_submission(OUT)
    assert np.array_equal(submission.labels, TEST)
    assert submission.provenance.oof_accuracy == 1.0
    assert submission.provenance.model == "ensemble"


def test_a_mistake_is_one_line_and_exit_code_2(runs, capsys):
    assert command.main([str(runs[0])]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_submissions_of_others_join_by_vote_without_a_score(runs, tmp_path):
    theirs = write_labels(tmp_path / "theirs.csv", TEST)
    result = ensemble([theirs, *runs[:2]], "vote", None, OUT)
    assert result.score is None
    assert load_submission(OUT).provenance.oof_accuracy is None
    assert np.array_equal(load_submission(OUT).labels, TEST)
    with expect_error("evaluation.mean_of_labels", path=theirs):
        ensemble([runs[0], theirs], "mean", None, tmp_path / "other.csv")


def test_ties_go_to_confidence_then_to_the_first_member():
    sure, unsure = one_hot([4, 4], 0.9), one_hot([7, 7], 0.5)
    assert combine([unsure, sure], "vote").tolist() == [4, 4]
    assert combine([np.array([7]), np.array([4])], "vote").tolist() == [7]
    assert combine([sure, np.array([7, 7]), np.array([7, 4])], "vote").tolist() == [7, 4], "votes come first"
    assert combine([np.array([ballot]) for ballot in (7, 4, 4, 1, 2, 7)], "vote").tolist() == [7]
    close = [np.eye(10)[[4]] * 0.9, np.eye(10)[[7]] * 0.9001]
    assert combine(close, "vote").tolist() == [7]


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
def test_runs_of_other_data_are_refused(runs, write, name):
    other = write("other", **{name: "0" * 64})
    for members in ([runs[0], other], [other, runs[0]]):
        with expect_error("evaluation.other_data", path=other):
            ensemble(members, "mean", None, OUT)
    assert not OUT.exists()


def test_a_run_on_part_of_the_rows_is_refused(runs, write):
    for part, received in [
        (write("fewer", one_hot(TRAIN[:50])), 50),
        (write("untested", test=one_hot(TEST[:5])), 5),
    ]:
        for members in ([part, runs[0]], [runs[0], part]):
            with expect_error("evaluation.part_of_rows", path=part, received=received):
                ensemble(members, "vote", None, OUT)


def test_a_file_of_one_label_is_refused(runs, tiny_dir):
    with expect_error("submission.one_label", path=tiny_dir / "sample_submission.csv", received=0):
        ensemble([runs[0], tiny_dir / "sample_submission.csv"], "vote", None, OUT)


def test_an_ineligible_member_makes_the_ensemble_ineligible(runs, write):
    result = ensemble([runs[0], write("leaky", ineligible="leaks")], "mean", None, OUT)
    assert result.ineligible == "leaks" and "INELIGIBLE" in str(result)
    assert load_submission(OUT).provenance.ineligible == "leaks"


def test_a_run_beside_its_own_submission_is_refused(runs, tmp_path):
    own = write_labels(tmp_path / "own.csv", np.load(runs[0] / "test_probabilities.npy").argmax(1))
    with expect_error("evaluation.repeated_member", path=own, other=runs[0]):
        ensemble([runs[0], runs[1], own], "vote", None, OUT)


def test_the_note_of_a_file_is_heeded(runs, tmp_path):
    foreign, leaky = tmp_path / "foreign.csv", tmp_path / "leaky.csv"
    write_submission(foreign, TEST, 20, make_provenance(test_sha256="f" * 64))
    write_submission(leaky, TEST, 20, make_provenance(ineligible="leaks"))
    with expect_error("submission.other_test", path=foreign):
        ensemble([runs[0], foreign], "vote", None, OUT)
    assert ensemble([runs[0], leaky], "vote", None, OUT).ineligible == "leaks"
