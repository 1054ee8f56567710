import numpy as np
import pytest
from conftest import write_run

from digit_recognizer.data.tables import load_train
from digit_recognizer.errors import InputError
from digit_recognizer.reporting.held_out import load_examined_run, load_history
from digit_recognizer.reporting.run_report import describe_course

HISTORY = "fold,epoch,loss,accuracy,held_out_loss,held_out_accuracy\n"


def test_rows_belong_to_the_fold_that_held_them_out(tiny_dir, tmp_path):
    train = load_train(tiny_dir / "train.csv")
    oof = np.eye(10)[(train.labels + 1) % 10]
    oof[50:] = np.nan
    path = write_run(tmp_path / "run", tiny_dir, oof, np.full((20, 10), 0.1))
    np.save(path / "folds.npy", np.where(np.arange(60) < 20, 3, 1).astype(np.int16))
    run = load_examined_run(path, train)
    assert run.folds == [1, 3] and (run.fold_of_row[50:] == -1).all()
    assert np.bincount(run.fold_of_row + 1).tolist() == [10, 0, 30, 0, 20]
    assert (run.predictions[:50] == (train.labels[:50] + 1) % 10).all()


@pytest.mark.parametrize("folds", [np.zeros(59, np.int16), np.zeros(60), np.full(60, -1, np.int16)])
def test_folds_that_cannot_be_the_runs_are_one_line(tiny_dir, tmp_path, folds):
    train = load_train(tiny_dir / "train.csv")
    path = write_run(tmp_path / "run", tiny_dir, np.eye(10)[train.labels], np.full((20, 10), 0.1))
    np.save(path / "folds.npy", folds)
    with pytest.raises(InputError, match=r"folds\.npy must tell the fold of each of 60 rows"):
        load_examined_run(path, train)


def test_curves_show_held_out_rows_where_the_run_measured_them(tiny_dir, tmp_path):
    train = load_train(tiny_dir / "train.csv")
    oof = np.eye(10)[train.labels] * 0.9 + 0.01
    oof[10:] = np.nan
    path = write_run(tmp_path / "split", tiny_dir, oof, np.full((20, 10), 0.1))
    run = load_examined_run(path, train)
    assert "No curves: " in describe_course(run, train.labels, tmp_path).paragraphs[0]  # without a history.csv
    (path / "history.csv").write_text(HISTORY + "0,1,2.0,0.25,1.5,0.5\n0,2,1.0,0.75,0.5,0.875\n")
    assert load_history(run)[1]["held_out_accuracy"] == 0.875
    told = describe_course(run, train.labels, tmp_path)
    assert "-0.1250" in told.paragraphs[0] and told.figures[0].path.exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("fold,epoch\n0,1\n", "'loss'"),
        (HISTORY, "not of the folds"),
        (HISTORY + "0,1,nan,0.5,,\n", "no numbers"),
        (HISTORY + "0,1,two,0.5,,\n", "could not convert"),
        (HISTORY + "1,1,2.0,0.5,,\n", "not of the folds"),
        (HISTORY + "\xff", "utf-8"),
    ],
)
def test_a_damaged_history_is_one_line(tiny_dir, tmp_path, text, words):
    train = load_train(tiny_dir / "train.csv")
    path = write_run(tmp_path / "run", tiny_dir, np.eye(10)[train.labels], np.full((20, 10), 0.1))
    (path / "history.csv").write_bytes(text.encode("latin-1"))
    with pytest.raises(InputError, match=words):
        load_history(load_examined_run(path, train))
