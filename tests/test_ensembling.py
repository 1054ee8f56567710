from pathlib import Path

import numpy as np
import pytest
from conftest import write_labels, write_run

from digit_recognizer import ensemble as door
from digit_recognizer.competition.submissions import Provenance, load_submission, write_submission
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.ensemble import combine, ensemble


def one_hot(labels, sure=0.9):
    return np.full((len(labels), 10), (1 - sure) / 9) + (sure - (1 - sure) / 9) * np.eye(10)[labels]


@pytest.fixture
def runs(tiny_dir):
    """Three runs; each errs on rows of its own, so that together they are right."""
    train, test = np.arange(60) % 10, np.arange(60, 80) % 10
    paths = []
    for number in range(3):
        oof_labels, test_labels = train.copy(), test.copy()
        oof_labels[number * 5 : number * 5 + 5] = 9 - oof_labels[number * 5 : number * 5 + 5]
        test_labels[number] = 9 - test_labels[number]
        paths.append(write_run(tiny_dir.parent / f"run{number}", tiny_dir, one_hot(oof_labels), one_hot(test_labels)))
    return paths


@pytest.mark.parametrize("method", ["mean", "vote"])
def test_an_ensemble_is_right_where_most_members_are(runs, tiny_dir, method, capsys):
    arguments = [*map(str, runs), "--input-dir", str(tiny_dir), "--method", method, "--submission", "out.csv"]
    assert door.main(arguments) == 0
    assert "ensemble, out-of-fold" in capsys.readouterr().out
    submission = load_submission(Path("out.csv"))
    assert np.array_equal(submission.labels, np.arange(60, 80) % 10)
    assert submission.provenance.oof_accuracy == 1.0
    assert submission.provenance.model == "ensemble"


def test_members_know_where_their_rows_are(runs, tiny_dir, tmp_path):
    theirs = write_labels(tmp_path / "theirs.csv", np.arange(60, 80) % 10)
    assert door.main(["--method", "vote", str(theirs), *map(str, runs[:2]), "--submission", "out.csv"]) == 0
    assert np.array_equal(load_submission(Path("out.csv")).labels, np.arange(60, 80) % 10)


def test_submissions_of_others_join_by_vote_and_leave_no_out_of_fold_score(runs, tiny_dir, tmp_path):
    theirs = write_labels(tmp_path / "theirs.csv", np.arange(60, 80) % 10)
    out = tmp_path / "out.csv"
    table = ensemble([runs[0], runs[1], theirs], "vote", tiny_dir, out)
    assert "no score" in table
    assert load_submission(out).provenance.oof_accuracy is None
    with pytest.raises(InputError, match="labels only"):
        ensemble([runs[0], theirs], "mean", tiny_dir, tmp_path / "other.csv")


def test_ties_go_to_confidence_then_to_the_first_member():
    sure, unsure = one_hot([4, 4], 0.9), one_hot([7, 7], 0.5)
    assert combine([unsure, sure], "vote").tolist() == [4, 4]
    assert combine([np.array([7]), np.array([4])], "vote").tolist() == [7]
    assert combine([sure, np.array([7, 7]), np.array([7, 4])], "vote").tolist() == [7, 4], "votes come first"
    assert combine([np.array([ballot]) for ballot in (7, 4, 4, 1, 2, 7)], "vote").tolist() == [7]
    close = [np.eye(10)[[4]] * 0.9, np.eye(10)[[7]] * 0.9001]
    assert combine(close, "vote").tolist() == [7]


def test_out_of_fold_score_uses_only_rows_that_every_member_held_out(tiny_dir, tmp_path):
    train = np.arange(60) % 10
    half = one_hot(train)
    half[30:] = np.nan
    wrong_early = one_hot(np.where(np.arange(60) < 15, 9 - train, train), 0.99)
    test = one_hot(np.arange(60, 80) % 10)
    paths = [
        write_run(tmp_path / "a", tiny_dir, half, test),
        write_run(tmp_path / "b", tiny_dir, wrong_early, one_hot(np.arange(60, 80) % 10, 0.8)),
    ]
    out = tmp_path / "out.csv"
    ensemble(paths, "mean", tiny_dir, out)
    assert load_submission(out).provenance.oof_accuracy == 0.5


def test_runs_of_other_data_are_refused(runs, tiny_dir, tmp_path):
    test = one_hot(np.arange(60, 80) % 10, 0.8)
    for name in ("train_sha256", "test_sha256"):
        other = write_run(tmp_path / name, tiny_dir, one_hot(np.arange(60) % 10), test, **{name: "0" * 64})
        for members in ([runs[0], other], [other, runs[0]]):
            with pytest.raises(InputError, match=r"different data|another test\.csv|another train\.csv"):
                ensemble(members, "mean", tiny_dir, tmp_path / "out.csv")
    assert not (tmp_path / "out.csv").exists()


def test_a_run_on_part_of_the_rows_is_left_out_by_name(runs, tiny_dir, tmp_path):
    all_train, all_test = one_hot(np.arange(60) % 10, 0.8), one_hot(np.arange(60, 80) % 10, 0.8)
    for name, oof, test in [("fewer", all_train[:50], all_test), ("untested", all_train, all_test[:5])]:
        part = write_run(tmp_path / name, tiny_dir, oof, test)
        for members in (
            [part, runs[0]],
            [runs[0], part],
            [part, write_run(tmp_path / f"{name}2", tiny_dir, oof, test[::-1])],
        ):
            with pytest.raises(InputError, match=f"{name}2? used .* of 60 training rows"):
                ensemble(members, "vote", tiny_dir, tmp_path / "out.csv")


def test_a_file_of_one_label_only_is_no_prediction(runs, tiny_dir, tmp_path):
    with pytest.raises(InputError, match="gives every image the label 0"):
        ensemble([runs[0], tiny_dir / "sample_submission.csv"], "vote", tiny_dir, tmp_path / "out.csv")


def test_members_are_scored_on_the_rows_that_all_of_them_held_out(tiny_dir, tmp_path):
    train, test = np.arange(60) % 10, one_hot(np.arange(60, 80) % 10)
    half = one_hot(train)
    half[30:] = np.nan
    wrong_late = one_hot(np.where(np.arange(60) < 30, train, 9 - train))
    members = [
        write_run(tmp_path / "a", tiny_dir, half, test),
        write_run(tmp_path / "b", tiny_dir, wrong_late, one_hot(np.arange(60, 80) % 10, 0.8)),
    ]
    table = ensemble(members, "mean", tiny_dir, tmp_path / "out.csv")
    assert [line.split()[1] for line in table.splitlines()[:2]] == ["1.00000", "1.00000"]
    assert "30 of 60" in table


def test_an_unfit_member_makes_the_ensemble_unfit(runs, tiny_dir, tmp_path):
    test = one_hot(np.arange(60, 80) % 10, 0.8)
    leaky = write_run(tmp_path / "leaky", tiny_dir, one_hot(np.arange(60) % 10), test, ineligible="leaks")
    table = ensemble([runs[0], leaky], "mean", tiny_dir, tmp_path / "out.csv")
    assert "INELIGIBLE" in table
    assert load_submission(tmp_path / "out.csv").provenance.ineligible == "leaks"


def test_a_run_and_its_own_submission_count_once(runs, tiny_dir, tmp_path):
    own = write_labels(tmp_path / "own.csv", np.load(runs[0] / "test_probabilities.npy").argmax(1))
    with pytest.raises(InputError, match="count twice"):
        ensemble([runs[0], runs[1], own], "vote", tiny_dir, tmp_path / "out.csv")


def test_a_file_made_for_other_rows_or_unfit_stays_so(runs, tiny_dir, tmp_path):
    note = {"model": "m", "command": "c", "commit": None, "train_sha256": None, "oof_accuracy": None}
    labels = np.arange(60, 80) % 10
    foreign, leaky = tmp_path / "foreign.csv", tmp_path / "leaky.csv"
    write_submission(foreign, labels, 20, Provenance(**note, test_sha256="f" * 64, ineligible=None))
    write_submission(leaky, labels, 20, Provenance(**note, test_sha256=None, ineligible="leaks"))
    with pytest.raises(InputError, match=r"another test\.csv"):
        ensemble([runs[0], foreign], "vote", tiny_dir, tmp_path / "out.csv")
    assert "INELIGIBLE" in ensemble([runs[0], leaky], "vote", tiny_dir, tmp_path / "out.csv")
