"""`cross_validate` and its result, as they are called from Python; a notebook's cells are in test_notebook.py."""

import asyncio
import json
import logging
import sys
import threading
from pathlib import Path

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import expect_error
from IPython.lib.pretty import pretty

import digit_recognizer as dr
from digit_recognizer import cv
from digit_recognizer.competition.submissions import load_submission
from digit_recognizer.data.frames import read_test_table
from digit_recognizer.io import hash_file
from digit_recognizer.models import load_preset

SETTINGS = {"folds": 2, "epochs": 2, "batch_size": 20, "precision": "float32"}


class Recorder(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append((logs["fold"], epoch, logs["loss"], self.model is not None))


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    from conftest import write_tiny_data

    folder = tmp_path_factory.mktemp("api")
    data = write_tiny_data(folder / "tiny")
    recorder = Recorder()
    train, test = pd.read_csv(data / "train.csv"), pd.read_csv(data / "test.csv")
    found = dr.cross_validate("dense", train, test, callbacks=recorder, run_dir=folder / "run", seed=3, **SETTINGS)
    return data, found, recorder


def test_dataframes_give_the_bytes_that_the_command_gives_from_files(result, tmp_path):
    data, found, _ = result
    flags = [f"--{name.replace('_', '-')}={value}" for name, value in {**SETTINGS, "seed": 3}.items()]
    arguments = ["--model", "dense", "--input-dir", str(data), "--run-dir", "run", "--submission", "mine.csv", *flags]
    assert cv.main([*arguments, "--debug"]) == 0
    for name in ("oof_probabilities.npy", "test_probabilities.npy", "folds.npy"):
        assert hash_file(Path("run") / name) == hash_file(found.run_dir / name)
    assert hash_file(Path("mine.csv")) == hash_file(found.submission_path)
    command, call = (json.loads((run / "config.json").read_text()) for run in (Path("run"), found.run_dir))
    differing = {name for name in command if command[name] != call[name]}
    assert differing == {"command", "input_dir", "run_dir", "submission"}
    assert call["command"].startswith("cross_validate('dense', train, test, seed=3, folds=2")


def test_a_call_starts_from_the_models_recipe(result):
    recipe = load_preset("dense")
    config = json.loads((result[1].run_dir / "config.json").read_text())
    assert {name: config[name] for name in recipe if name not in SETTINGS} == {
        name: value for name, value in recipe.items() if name not in SETTINGS
    }


def test_what_a_result_shows_are_dataframes(result):
    data, found, recorder = result
    labels = dr.load_train(data / "train.csv").labels
    oof = found.oof
    assert list(oof) == ["label", "prediction", *(f"p{k}" for k in range(10)), "fold"]
    assert oof.label.tolist() == labels.tolist() and oof.index.tolist() == list(range(60))
    assert (oof.label == oof.prediction).mean() == found.score.oof_accuracy
    assert np.array_equal(oof[[f"p{k}" for k in range(10)]].to_numpy(), found.oof_probabilities)
    history = found.history
    assert list(zip(history.fold, history.epoch, strict=True)) == [(0, 1), (0, 2), (1, 1), (1, 2)]
    assert [(fold, epoch) for fold, epoch, *_ in recorder.seen] == [(0, 0), (0, 1), (1, 0), (1, 1)]
    assert [loss for *_, loss, has_model in recorder.seen if has_model] == pytest.approx(history.loss.tolist())
    assert found.submission().equals(pd.read_csv(found.submission_path))
    assert "array" not in repr(found) and repr(dr.load_train(data / "train.csv")).startswith("TrainTable(60 rows, ")
    assert f"{found.score.oof_accuracy:.5f}" in str(found) and Path(found) == found.run_dir
    assert pretty(found) == str(found), "as a notebook shows it"
    assert len(dr.load_fold_models(found).models) == 2


def test_a_notebook_is_spared_tensorflows_advice_on_fresh_models():
    record = logging.LogRecord("tensorflow", logging.WARNING, "", 0, "5 calls triggered retracing", (), None)
    assert not logging.getLogger("tensorflow").filter(record)


def test_a_submission_is_written_with_its_provenance_and_replaced_on_request(result):
    data, found, _ = result
    written = load_submission(found.write_submission("mine.csv"))
    assert written.labels.tolist() == found.submission().Label.tolist()
    assert written.provenance.test_sha256 == hash_file(data / "test.csv")
    assert written.provenance.train_sha256 == hash_file(data / "train.csv")
    assert written.provenance.run == str(found.run_dir) and written.provenance.model == "dense"
    with expect_error("submission.exists", path="mine.csv"):
        found.write_submission("mine.csv")
    found.write_submission("mine.csv", overwrite=True)
    assert load_submission(Path("mine.csv")).labels.tolist() == written.labels.tolist()
    Path("notes.csv").write_text("a,b\n")
    with expect_error("csv.label_header", path="notes.csv"):
        found.write_submission("notes.csv", overwrite=True)


def test_without_a_test_table_nothing_is_predicted_and_nothing_submitted(tiny_dir):
    train = dr.load_train(tiny_dir / "train.csv")
    found = dr.cross_validate("dense", (train.images, train.labels), run_dir="run", single_split=True, **SETTINGS)
    assert found.test_probabilities.shape == (0, 10) and found.submission_path is None
    assert "no test table" in str(found)
    assert len(found.oof) == 30 and found.oof.fold.eq(0).all()
    assert not Path("submissions").exists() and not list(Path("run").glob("*.csv.json"))
    with expect_error("run.no_submission", path="run"):
        found.write_submission("mine.csv")
    with expect_error("run.submission_without_test", received="mine.csv"):
        dr.cross_validate("dense", train, submission="mine.csv")


@pytest.mark.parametrize(
    ("code", "arguments", "place"),
    [
        ("config.field_unknown", {"epocs": 3}, {"column": "epocs"}),
        ("config.field_unknown", {"input_dir": "input"}, {"column": "input_dir"}),
        ("config.field_type", {"epochs": "three"}, {"column": "epochs"}),
        ("config.too_low", {"folds": np.int64(1)}, {"column": "--folds", "received": 1}),
        ("run.callback", {"callbacks": [Recorder]}, {"received": "Recorder"}),
        ("run.callback", {"callbacks": [print]}, {"received": "print"}),
        ("models.unknown", {"model": "lenet"}, {"received": "lenet"}),
        ("models.option_unknown", {"model_args": {"width": 3}}, {"received": "width=3"}),
    ],
)
def test_a_call_that_cannot_be_is_refused_before_training(code, arguments, place, tiny_dir):
    arguments = {"model": "dense", **arguments}
    with expect_error(code, **place):
        dr.cross_validate(arguments.pop("model"), dr.load_train(tiny_dir / "train.csv"), **arguments)
    assert not Path("runs").exists()


def test_it_runs_in_another_thread_beside_an_event_loop(tiny_dir):
    table = dr.load_train(tiny_dir / "train.csv")
    found = []

    async def inside():
        found.append(dr.cross_validate("dense", table, **{**SETTINGS, "epochs": 1}))

    thread = threading.Thread(target=lambda: asyncio.run(inside()))
    thread.start()
    thread.join()
    assert len(found[0].oof) == 60


# ---- pieces for a training loop of one's own


def test_folds_made_alone_are_those_of_the_run(result):
    data, found, _ = result
    expected = np.load(found.run_dir / "folds.npy")
    for table in (dr.load_train(data / "train.csv"), pd.read_csv(data / "train.csv")):
        assert np.array_equal(dr.make_folds(table, folds=2, seed=3), expected)
    assert not np.array_equal(dr.make_folds(table, folds=2, seed=4), expected)


def test_a_score_made_alone_is_that_of_the_run(result):
    _, found, _ = result
    score = dr.evaluate(found.oof_probabilities, found.labels, np.load(found.run_dir / "folds.npy"))
    assert score == found.score
    assert f"{score.oof_accuracy:.5f}" in pretty(score) and "2 folds" in str(score)
    assert dr.evaluate(found.oof_probabilities, found.labels).fold_accuracies == [score.oof_accuracy]


def test_a_submission_of_a_loop_of_ones_own_is_the_runs_and_knows_its_data(result):
    data, found, _ = result
    train, test = dr.load_train(data / "train.csv"), dr.load_test(data / "test.csv")
    for predictions in (found.test_probabilities, found.test_probabilities.argmax(axis=1)):
        dr.save_submission("mine.csv", predictions, train, test, oof_accuracy=0.5, overwrite=True)
        assert Path("mine.csv").read_bytes() == found.submission_path.read_bytes()
    kept = load_submission(Path("mine.csv")).provenance
    assert (kept.train_sha256, kept.test_sha256, kept.oof_accuracy) == (train.sha256, test.sha256, 0.5)
    with expect_error("submission.exists", path="mine.csv"):
        dr.save_submission("mine.csv", predictions, train, test)
    with expect_error("submission.label_count", received=3):
        dr.save_submission("other.csv", predictions[:3], train, test)


def test_a_loop_of_ones_own_cannot_submit_what_it_was_trained_on(tiny_dir):
    train = dr.load_train(tiny_dir / "train.csv")
    test = read_test_table(train.pixels)
    dr.save_submission("mine.csv", train.labels, train, test)
    assert "are among the training rows" in load_submission(Path("mine.csv")).provenance.ineligible


def test_the_data_is_found_in_input_beside_it_or_made_of_the_sample(tiny_dir, monkeypatch, capsys):
    assert dr.find_data(tiny_dir) == tiny_dir
    Path("input").mkdir()
    for name in ("train.csv", "test.csv"):
        Path("input", name).write_bytes((tiny_dir / name).read_bytes())
    Path("examples").mkdir()
    monkeypatch.chdir("examples")
    assert dr.find_data() == Path("../input")
    Path("../input/test.csv").unlink()
    assert dr.find_data() == dr.find_data() == Path("input/sample")
    assert len(dr.load_train("input/sample/train.csv").labels) == 1300
    assert capsys.readouterr().out.count("sample") == 1


def test_on_kaggle_the_data_is_the_attached_competition(tiny_dir, tmp_path, monkeypatch):
    monkeypatch.setattr("digit_recognizer.data.dataset.ON_KAGGLE", tmp_path / "kaggle")
    (tmp_path / "kaggle").mkdir()
    assert dr.find_data() == Path("input/sample")
    with monkeypatch.context() as patch:  # a kernel carries no sample
        patch.setitem(sys.modules, "digit_recognizer.data.sources", None)
        with expect_error("kernel.no_competition", path=tmp_path / "kaggle"):
            dr.find_data("elsewhere")
    place = tmp_path / "kaggle" / "competitions" / "digit-recognizer"
    place.mkdir(parents=True)
    for name in ("train.csv", "test.csv", "sample_submission.csv"):
        (place / name).write_bytes((tiny_dir / name).read_bytes())
    assert dr.find_data() == place


def test_a_transfer_from_python_says_how_good_it_is_and_predicts(tmp_path):
    from letter_pictures import draw_letters

    draw_letters(tmp_path / "letters")
    quick = {"seeds": 1, "copies": 8, "epochs": 4}
    letters = dr.transfer("ready", tmp_path / "letters", run_dir="letters-run", **quick)
    assert len(letters.predictions) == 6 and 0 <= letters.accuracy <= 1
    assert f"{letters.accuracy:.5f}" in pretty(letters)
    picture = next((tmp_path / "letters" / "cross").glob("*.png"))
    assert dr.predict(picture, run=letters).digit.isin(["cross", "corner"]).all()
    with expect_error("config.field_unknown", column="copy"):
        dr.transfer("ready", tmp_path / "letters", copy=8)
