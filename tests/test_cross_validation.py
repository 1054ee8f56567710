import csv
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import expect_error, write_tiny_data

from digit_recognizer import cv, train
from digit_recognizer.competition.submissions import load_submission
from digit_recognizer.config import RunConfig
from digit_recognizer.errors import DivergedError, InputError
from digit_recognizer.evaluation.calibration import apply_temperature, calibrate
from digit_recognizer.evaluation.metrics import compute_accuracy_interval
from digit_recognizer.io import hash_file
from digit_recognizer.training import cross_validation
from digit_recognizer.training.cross_validation import resume, run_cross_validation
from digit_recognizer.training.trainer import Trainer


def configure(folder, **changes):
    defaults = {
        "model": "dense", "model_args": ("layers=1", "units=64"), "learning_rate": 0.01, "epochs": 6, "folds": 3,
        "input_dir": folder, "batch_size": 40, "precision": "float32", "augmentation": "none",
    }  # fmt: skip
    return RunConfig(**{**defaults, **changes})


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """One run that every test below reads."""
    folder = tmp_path_factory.mktemp("cv")
    data = write_tiny_data(folder / "tiny")
    result = run_cross_validation(configure(data, run_dir=folder / "run", submission=folder / "mine.csv"))
    return data, result


def test_a_model_learns_and_its_score_is_that_of_the_held_out_rows(finished):
    _, result = finished
    labels = np.arange(60) % 10
    assert result.score.oof_accuracy == (result.oof_probabilities.argmax(1) == labels).mean() > 0.9
    assert result.oof_probabilities.shape == (60, 10) and result.oof_probabilities.dtype == np.float32
    assert result.oof_probabilities.sum(1) == pytest.approx(1, abs=1e-5)
    folds = np.load(result.run_dir / "folds.npy")
    right = result.oof_probabilities.argmax(1) == labels
    assert result.score.fold_accuracies == [right[folds == fold].mean() for fold in range(3)]


def test_out_of_fold_rows_are_predicted_by_the_model_that_did_not_see_them(finished):
    data, result = finished
    from digit_recognizer.data.dataset import load_test, load_train, pixels_to_images

    folds = np.load(result.run_dir / "folds.npy")
    images = pixels_to_images(load_train(data / "train.csv").pixels) / np.float32(255)
    test_images = pixels_to_images(load_test(data / "test.csv").pixels) / np.float32(255)
    oof, test = np.zeros((60, 10), np.float32), np.zeros((20, 10))
    for fold in range(3):
        model = keras.saving.load_model(result.run_dir / "models" / f"fold{fold}.keras")
        oof[folds == fold] = model.predict(images[folds == fold], verbose=0)
        test += model.predict(test_images, verbose=0) / 3
    oof, temperature = calibrate(oof, np.arange(60) % 10, folds >= 0)
    assert oof == pytest.approx(result.oof_probabilities, abs=1e-4)
    assert apply_temperature(test, temperature) == pytest.approx(result.test_probabilities, abs=1e-4)


def test_a_run_folder_holds_all_that_its_docstring_names(finished):
    data, result = finished
    from digit_recognizer.training import run as runs

    named = [line.split()[0] for line in runs.__doc__.split("<model>/\n")[1].split("\n\n")[0].splitlines()]
    for name in named:
        assert (result.run_dir / name.replace("<k>", "2")).exists(), name
    assert len({Path(name).parts[0] for name in named}) == len(list(result.run_dir.iterdir()))
    metrics = json.loads((result.run_dir / "metrics.json").read_text())
    assert metrics["oof_accuracy"] == result.score.oof_accuracy
    assert metrics["oof_accuracy_interval"] == list(
        compute_accuracy_interval(round(60 * result.score.oof_accuracy), 60)
    )
    assert len(metrics["fold_accuracies"]) == 3 and metrics["elapsed_seconds"] > metrics["training_seconds"] > 0
    assert metrics["train_sha256"] == hash_file(data / "train.csv")
    assert metrics["test_sha256"] == hash_file(data / "test.csv")
    with (result.run_dir / "history.csv").open() as file:
        history = list(csv.DictReader(file))
    assert [(row["fold"], row["epoch"]) for row in history] == [(str(f), str(e)) for f in range(3) for e in range(1, 7)]
    assert "out-of-fold accuracy" in (result.run_dir / "log.txt").read_text()


def test_the_submission_averages_the_models_and_knows_its_data(finished):
    data, result = finished
    submission = load_submission(result.submission_path)
    assert np.array_equal(submission.labels, result.test_probabilities.argmax(1))
    assert submission.provenance.train_sha256 == hash_file(data / "train.csv")
    assert submission.provenance.test_sha256 == hash_file(data / "test.csv")
    assert submission.provenance.oof_accuracy == result.score.oof_accuracy


def test_equal_seeds_repeat_a_run_and_other_seeds_do_not(tiny_dir, tmp_path):
    results = [
        run_cross_validation(
            configure(tiny_dir, epochs=2, folds=2, seed=seed, augmentation="affine", run_dir=tmp_path / name)
        )
        for seed, name in [(1, "a"), (1, "b"), (2, "c")]
    ]
    assert np.array_equal(results[0].oof_probabilities, results[1].oof_probabilities)
    assert np.array_equal(results[0].test_probabilities, results[1].test_probabilities)
    assert not np.array_equal(results[0].oof_probabilities, results[2].oof_probabilities)


def test_the_validation_set_is_taken_from_the_training_rows(tiny_dir, tmp_path, monkeypatch):
    validation_sets, training_sets = [], []
    plain = Trainer.fit

    def spy(self, batches, **keywords):
        training_sets.append(batches.rows)
        validation_sets.append(keywords["validation"].inputs)
        plain(self, batches, **keywords)

    monkeypatch.setattr(Trainer, "fit", spy)
    result = run_cross_validation(
        configure(
            tiny_dir, epochs=30, patience=1, learning_rate=0.1, folds=2, validation_fraction=0.4, batch_size=20,
            schedule="plateau", run_dir=tmp_path / "run",
        )
    )  # fmt: skip
    from digit_recognizer.data.dataset import load_train

    pixels = load_train(tiny_dir / "train.csv").pixels
    folds = np.load(result.run_dir / "folds.npy")
    for fold, (inputs, rows) in enumerate(zip(validation_sets, training_sets, strict=True)):
        validation_rows = [int(np.flatnonzero((pixels == image.reshape(784)).all(1))[0]) for image in inputs]
        assert len(validation_rows) == 12
        assert sorted([*validation_rows, *rows]) == np.flatnonzero(folds != fold).tolist()
    with (result.run_dir / "history.csv").open() as file:
        epochs = [row for row in csv.DictReader(file) if row["fold"] == "0"]
    assert "val_loss" in epochs[0] and len(epochs) < 30, "it stopped early"


def test_train_holds_out_one_fifth_once_and_draws_its_curve(tiny_dir, tmp_path, capsys):
    run = tmp_path / "run"
    arguments = ["--model", "dense", "--input-dir", str(tiny_dir), "--run-dir", str(run), "--epochs", "2"]
    assert train.main([*arguments, "--submission", str(tmp_path / "mine.csv"), "--precision", "float32"]) == 0
    folds, oof = np.load(run / "folds.npy"), np.load(run / "oof_probabilities.npy")
    assert np.bincount(folds + 1).tolist() == [48, 12]
    assert np.array_equal(np.isfinite(oof).all(1), folds == 0)
    metrics = json.loads((run / "metrics.json").read_text())
    right = oof[folds == 0].argmax(1) == (np.arange(60) % 10)[folds == 0]
    assert metrics["oof_accuracy"] == right.mean() and metrics["fold_accuracies"] == [right.mean()]
    assert np.load(run / "test_probabilities.npy").sum(1) == pytest.approx(1, abs=1e-5)
    assert (run / "learning_curves.png").read_bytes().startswith(b"\x89PNG")
    assert "val_accuracy" in (run / "history.csv").read_text().splitlines()[0]
    assert len(load_submission(tmp_path / "mine.csv").labels) == 20


def test_a_run_that_trained_on_test_rows_is_ineligible(tiny_dir, capsys):
    lines = (tiny_dir / "train.csv").read_text().splitlines()
    test = (tiny_dir / "test.csv").read_text().splitlines()
    (tiny_dir / "train.csv").write_text("\n".join([*lines, f"4,{test[3]}"]) + "\n")
    arguments = ["--model", "dense", "--input-dir", str(tiny_dir), "--smoke", "--run-dir", "run"]
    assert cv.main([*arguments, "--submission", "mine.csv"]) == 0
    printed = capsys.readouterr().out
    assert "INELIGIBLE FOR THE COMPETITION: 1 OF 20 TEST ROWS" in printed
    assert json.loads(Path("run/metrics.json").read_text())["shared_test_rows"] == 1
    assert "1 of 20 test rows" in load_submission(Path("mine.csv")).provenance.ineligible


def test_predictions_of_some_test_rows_are_no_submission(tiny_dir, tmp_path):
    result = run_cross_validation(configure(tiny_dir, epochs=1, folds=2, limit_test=5, run_dir=tmp_path / "run"))
    assert result.submission_path is None and result.test_probabilities.shape == (5, 10)
    with expect_error("run.submission_of_part", received=5, rows=20):
        run_cross_validation(configure(tiny_dir, limit_test=5, submission=tmp_path / "mine.csv"))
    (tmp_path / "run" / "metrics.json").unlink()  # as if it had been interrupted
    with expect_error("run.submission_of_part", received=5, rows=20):
        resume(tmp_path / "run", "cv", submission=tmp_path / "mine.csv")


def test_the_submission_of_part_of_the_rows_stays_in_the_run_folder(tiny_dir, tmp_path, capsys):
    arguments = ["--model", "dense", "--input-dir", str(tiny_dir), "--folds", "2", "--epochs", "1"]
    assert cv.main([*arguments, "--refit", "1", "--limit-train", "40", "--run-dir", "part"]) == 0
    assert Path("part/submission.csv").exists() and not Path("submissions").exists()
    assert capsys.readouterr().out.splitlines()[-1].endswith(f"cv --model dense --refit 1 --input-dir {tiny_dir}")
    assert cv.main([*arguments, "--seed", "3", "--run-dir", "whole"]) == 0
    (file,) = Path("submissions").glob("*.csv")
    assert file.name.startswith("tiny-dense-seed3-epochs1-0.")
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("next: ") and last.endswith(f"score {file} --input-dir {tiny_dir}")


def test_a_name_taken_during_training_costs_no_result(tiny_dir, tmp_path, monkeypatch):
    path = tmp_path / "mine.csv"
    plain = cross_validation.train_model

    def train_while_another_writes(*arguments):
        path.write_text("theirs")
        return plain(*arguments)

    monkeypatch.setattr(cross_validation, "train_model", train_while_another_writes)
    result = run_cross_validation(configure(tiny_dir, epochs=1, folds=2, run_dir=tmp_path / "run", submission=path))
    assert path.read_text() == "theirs"
    assert result.submission_path == tmp_path / "mine-2.csv" and result.submission_path.exists()


def test_layers_compute_in_the_precision_asked_for(tiny_dir, tmp_path):
    for precision in ("bfloat16", "float16"):
        run = tmp_path / precision
        run_cross_validation(configure(tiny_dir, epochs=1, folds=2, precision=precision, run_dir=run))
        model = keras.saving.load_model(run / "models" / "fold0.keras")
        assert model.get_layer("embedding").compute_dtype == precision
        assert json.loads((run / "environment.json").read_text())["fingerprint"]["precision"] == precision


def test_notes_about_a_table_are_logged(tiny_dir, tmp_path, capsys):
    table = tiny_dir / "train.csv"
    table.write_bytes(table.read_bytes().replace(b"\n", b"\r\n"))
    (tiny_dir / "train.csv").write_bytes(b"\xef\xbb\xbf" + table.read_bytes())
    run_cross_validation(configure(tiny_dir, epochs=1, folds=2, run_dir=tmp_path / "run"))
    assert "note: " in capsys.readouterr().out


def test_test_labels_are_never_opened(tiny_dir, tmp_path):
    (tiny_dir / "test_labels.csv").unlink()
    (tiny_dir / "test_labels.csv").mkdir()  # whoever opens it fails
    assert cv.main(["--model", "dense", "--input-dir", str(tiny_dir), "--smoke", "--run-dir", "run"]) == 0


@pytest.mark.parametrize(
    "policy", [*(pytest.param(one, marks=pytest.mark.slow) for one in ("elastic", "cutout")), "all"]
)
def test_every_augmentation_trains(tiny_dir, tmp_path, policy):
    arguments = ["--input-dir", str(tiny_dir), "--smoke", "--augmentation", policy, "--model", "dense"]
    assert cv.main([*arguments, "--run-dir", str(tmp_path / "run")]) == 0


@pytest.mark.parametrize(
    "break_it",
    [
        lambda data, run: run.mkdir() or (run / "old.txt").write_text(""),
        lambda data, run: run.write_text("a file"),
        lambda data, run: (run.parent / "mine.csv").write_text(""),
        lambda data, run: (data / "sample_submission.csv").unlink(),
        lambda data, run: shutil.copy(data / "test.csv", data / "train.csv"),
        lambda data, run: (data / "sample_submission.csv").write_text("ImageId,Label\n1,0\n"),
    ],
)
def test_errors_are_found_before_training_and_nothing_is_lost(tiny_dir, tmp_path, break_it, monkeypatch):
    run = tmp_path / "run"
    break_it(tiny_dir, run)
    monkeypatch.setattr("digit_recognizer.training.cross_validation.train_model", lambda *_: pytest.fail("trained"))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(InputError) as caught:
        run_cross_validation(configure(tiny_dir, run_dir=run, submission=tmp_path / "mine.csv"))
    assert "\n" not in str(caught.value)
    assert [path for path in sorted(tmp_path.rglob("*")) if ".cache" not in str(path)] == before


def test_a_folder_that_holds_a_run_says_how_it_is_resumed(finished, monkeypatch):
    data, result = finished
    last_first = sorted(result.run_dir.iterdir(), reverse=True)
    monkeypatch.setattr(Path, "iterdir", lambda _: iter(last_first))  # the system lists config.json anywhere
    with expect_error("run.exists", path=result.run_dir):
        run_cross_validation(configure(data, run_dir=result.run_dir, submission=result.run_dir / "again.csv"))


def predict_nan(self, inputs, tta=1):
    return np.full((len(inputs), 10), np.nan, np.float32)


def predict_by_weights_that_are_nan(self, inputs, tta=1):
    """As ReLU and pooling do, which turn NaN into 0."""
    self.model.set_weights([np.full_like(weight, np.nan) for weight in self.model.get_weights()])
    return np.full((len(inputs), 10), 0.1, np.float32)


@pytest.mark.parametrize("predict", [predict_nan, predict_by_weights_that_are_nan])
def test_diverged_training_never_becomes_a_submission(tiny_dir, tmp_path, monkeypatch, predict):
    monkeypatch.setattr(Trainer, "predict", predict)
    with expect_error("training.diverged", DivergedError, fold="fold 0 [1/3]"):
        run_cross_validation(configure(tiny_dir, epochs=1, run_dir=tmp_path / "run", submission=tmp_path / "mine.csv"))
    assert not (tmp_path / "mine.csv").exists() and not (tmp_path / "run" / "metrics.json").exists()
