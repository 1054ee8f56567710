import numpy as np
import pytest
from conftest import expect_error, write_run

from digit_recognizer.data.dataset import load_train
from digit_recognizer.reporting.run_report import (
    compare_class_shares,
    describe_score,
    describe_test,
    describe_training,
    find_least_certain,
    load_examined_run,
    load_history,
)

HISTORY = "fold,epoch,loss,accuracy,val_loss,val_accuracy\n"


@pytest.fixture
def train(tiny_dir):
    return load_train(tiny_dir / "train.csv")


@pytest.fixture
def path(tiny_dir, tmp_path, train):
    """A run of one fold, all of whose predictions are right; its data rows 51 to 60 were never held out."""
    oof = np.eye(10)[train.labels] * 0.9 + 0.01
    oof[50:] = np.nan
    return write_run(tmp_path / "run", tiny_dir, oof, np.full((20, 10), 0.1))


def test_rows_belong_to_the_fold_that_held_them_out(path, train):
    np.save(path / "folds.npy", np.where(np.arange(60) < 20, 3, 1).astype(np.int16))
    run = load_examined_run(path, train)
    assert run.folds == [1, 3] and (run.fold_of_row[50:] == -1).all()
    assert np.bincount(run.fold_of_row + 1).tolist() == [10, 0, 30, 0, 20]
    assert (run.predictions[run.held_out] == train.labels[:50]).all()


@pytest.mark.parametrize("folds", [np.zeros(59, np.int16), np.zeros(60), np.full(60, -1, np.int16)])
def test_folds_that_cannot_be_the_runs_are_refused(path, train, folds):
    np.save(path / "folds.npy", folds)
    with expect_error("run.folds", path=path / "folds.npy"):
        load_examined_run(path, train)


def test_a_config_that_is_no_object_is_refused(path, train):
    (path / "config.json").write_text("[]")
    with expect_error("run.entry", path=path / "config.json"):
        load_examined_run(path, train)


def test_the_score_lists_each_class(path, train, tmp_path):
    run = load_examined_run(path, train)
    section = describe_score(run, train.labels, tmp_path)
    assert run.score.oof_accuracy == 1 and run.held_out.sum() == 50
    assert section.table[1] == ("0", "5", "0", "1.0000", "1.0000", "–", "0") and len(section.table) == 11
    assert "10 rows were never held out" in section.paragraphs[0]


def test_recall_is_of_the_label_and_precision_of_the_prediction(path, train, tmp_path):
    oof = np.load(path / "oof_probabilities.npy")
    (four, *_) = np.flatnonzero(train.labels == 4)
    oof[four] = np.eye(10)[9] * 0.9 + 0.01  # a 4 read as a 9
    np.save(path / "oof_probabilities.npy", oof)
    table = describe_score(load_examined_run(path, train), train.labels, tmp_path).table
    assert table[5] == ("4", "5", "1", "0.8000", "1.0000", "9 (1)", "0")
    assert table[10] == ("9", "5", "0", "1.0000", f"{5 / 6:.4f}", "–", "1")


def test_shares_of_classes_are_compared_with_chance():
    training, same = np.repeat(np.arange(10), 60), np.repeat(np.arange(10), 20)
    found = compare_class_shares(training, same, 10)
    assert found["training"].tolist() == [60] * 10 and found["predicted_share"].tolist() == [0.1] * 10
    assert found.attrs["p_value"] == pytest.approx(1)
    assert compare_class_shares(training, np.zeros(200, int), 10).attrs["p_value"] < 1e-6
    assert compare_class_shares(np.zeros(5, int), np.zeros(3, int), 10).attrs["p_value"] == 1


def test_the_least_certain_rows_have_the_lowest_largest_probability():
    assert find_least_certain(np.array([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8], [0.5, 0.5]]), 3).tolist() == [1, 3, 2]


def test_the_test_set_is_described_by_image_id(path, train, tiny_dir, tmp_path):
    test = np.eye(10)[np.arange(20) % 10] * 0.8 + 0.02
    test[[6, 3]] = np.eye(10)[[5, 7]] * 0.4 + np.eye(10)[[2, 1]] * 0.3 + 0.03
    np.save(path / "test_probabilities.npy", test.astype(np.float32))
    run = load_examined_run(path, train)
    balance, certain = describe_test(run, train, tiny_dir, tmp_path)
    assert balance.table[6][:5] == ("5", "6", "10.00 %", "3", "15.00 %") and balance.table[6][5] == "+5.00 points"
    assert certain.table[1:3] == (("4", "7", "0.4300", "1", "0.3300"), ("7", "5", "0.4300", "2", "0.3300"))
    assert "2 of 20 " in certain.paragraphs[0] and len(certain.table) == 21
    (left_out,) = describe_test(run, train, tmp_path, tmp_path)
    assert "Left out: " in left_out.paragraphs[0]


def test_learning_curves_show_held_out_rows_where_they_were_measured(path, train, tmp_path):
    run = load_examined_run(path, train)
    assert "Left out: " in describe_training(run, train.labels, tmp_path).paragraphs[0]  # without a history.csv
    (path / "history.csv").write_text(HISTORY + "0,1,2.0,0.25,1.5,0.5\n0,2,1.0,0.75,0.5,0.875\n")
    assert load_history(run)["val_accuracy"].tolist() == [0.5, 0.875]
    section = describe_training(run, train.labels, tmp_path)
    assert "after every epoch" in section.figures[0].caption and section.figures[0].path.exists()
    assert section.table[1] == ("0", "2", "1.0000", "50", "0", "1.00000")
    (path / "history.csv").write_text(HISTORY + "0,1,2.0,0.25,,\n0,2,1.0,0.75,,\n")
    assert "after the last epoch" in describe_training(run, train.labels, tmp_path).figures[0].caption


@pytest.mark.parametrize(("columns", "when"), [("", "the last"), (",holdout_loss,holdout_accuracy", "every")])
def test_a_validation_set_that_steered_training_is_not_the_held_out_rows(path, train, tmp_path, columns, when):
    (path / "config.json").write_text('{"patience": 3}')
    more = ",0.7,0.8" if columns else ""
    (path / "history.csv").write_text(f"{HISTORY.strip()}{columns}\n0,1,2.0,0.25,1.5,0.5{more}\n")
    section = describe_training(load_examined_run(path, train), train.labels, tmp_path)
    assert f"after {when} epoch" in section.figures[0].caption


@pytest.mark.parametrize(
    "text",
    ["", "fold,epoch\n0,1\n", HISTORY, HISTORY + "0,1,nan,0.5,,\n", HISTORY + "0,1,two,0.5,,\n", HISTORY + "\xff"]
    + [HISTORY + "1,1,2.0,0.5,,\n"],
)
def test_a_damaged_history_is_refused(path, train, text):
    (path / "history.csv").write_bytes(text.encode("latin-1"))
    with expect_error("report.history", path=path / "history.csv"):
        load_history(load_examined_run(path, train))
