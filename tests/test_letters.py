"""`transfer` to letters: a tiny model that knows nothing, drawn letters, and the figures that it leaves."""

import csv
import json
import shutil
from unittest.mock import Mock

import keras
import numpy as np
import pytest
from conftest import expect_error
from drawn_letters import QUICK, write_place

from digit_recognizer.__main__ import import_command
from digit_recognizer.data.splits import assign_folds
from digit_recognizer.training.weights import load_fold_models
from digit_recognizer.transfer_learning import training as letter_transfer
from digit_recognizer.vision.class_folders import find_classes, load_pictures
from digit_recognizer.vision.segment import load_letter

transfer = import_command("transfer")  # the package has a function of that name
pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run, training letters and test letters; two of the test letters are training letters too."""
    place = write_place(tmp_path_factory.mktemp("letters"), 4)
    (place / "test" / "sources.csv").touch()
    shutil.copy(place / "train" / "ring" / "0.png", place / "test" / "ring" / "copy.png")
    shutil.copy(place / "train" / "ring" / "0.png", place / "test" / "hook" / "wrong.png")
    return place


def run(place, folder, *flags, test=True):
    arguments = [str(place / "run"), "--images", str(place / "train"), "--run-dir", str(folder), *QUICK]
    return transfer.main([*arguments, *(["--test", str(place / "test")] if test else []), *flags])


@pytest.fixture(scope="module")
def done(place):
    assert run(place, place / "done", "--seeds", "2") == 0
    return place / "done"


def read_metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def read_predictions(folder):
    with (folder / "predictions.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def list_weights(model):
    return {weight.path: np.asarray(weight) for weight in model.weights}


def read_weights(folder):
    return list_weights(keras.saving.load_model(folder / "models" / "transferred.keras"))


def read_base_weights(place):
    return list_weights(load_fold_models(place / "run", [0]).models[0])


def test_a_transfer_leaves_its_configuration_history_metrics_model_and_figures(done):
    names = {path.relative_to(done).as_posix() for path in done.rglob("*") if path.is_file()}
    assert names - {"misclassified.png"} == {
        *(".lock", "config.json", "history.csv", "log.txt", "metrics.json", "predictions.csv"),
        *("models/classes.json", "models/transferred.keras", "models/transferred.safetensors"),
        "models/neighbours.safetensors",
        *("confusion.png", "learning_curves.png"),
    }
    classes = ["cross", "hook", "ring"]
    assert json.loads((done / "models" / "classes.json").read_text()) == read_metrics(done)["classes"] == classes
    config = json.loads((done / "config.json").read_text())
    assert (config["subcommand"], config["copies"], config["seeds"]) == ("transfer", 8, 2)
    with (done / "history.csv").open() as file:
        epochs = [(row["seed"], row["part"], row["epoch"]) for row in csv.DictReader(file)]
    parts = [*(f"fold {fold} [{fold + 1}/3]" for fold in range(3)), "all"]
    assert epochs == [(seed, part, str(epoch)) for seed in "01" for part in parts for epoch in range(1, 5)]


def test_metrics_hold_accuracies_per_seed_and_class_with_intervals(done):
    metrics = read_metrics(done)
    assert metrics["parameters"] == {"trained": 153, "frozen": 21_330}
    assert metrics["training_pictures"] == {"cross": 4, "hook": 4, "ring": 4}
    assert (metrics["evaluated"], metrics["evaluated_pictures"], metrics["seeds"]) == ("test pictures", 15, [0, 1])
    accuracy = metrics["accuracy"]
    assert accuracy["mean"] == pytest.approx(np.mean(accuracy["per_seed"]))
    assert [accuracy["lowest"], accuracy["highest"]] == sorted(accuracy["per_seed"])
    for share, (low, high) in zip(accuracy["per_seed"], accuracy["intervals"], strict=True):
        assert low < share <= high
    assert min(accuracy["per_seed"]) > 0.6, "random filters tell a ring from a cross"
    per_class = np.array([metrics["accuracy_per_class"][name] for name in ("cross", "hook", "ring")])
    assert per_class.mean(axis=0) == pytest.approx(accuracy["per_seed"])  # five test pictures of each
    for other in ("nearest_class_mean", "nearest_neighbours"):
        assert len(metrics[other]["per_seed"]) == 2 and metrics[other]["mean"] > 0.6


def test_pictures_in_both_folders_are_left_out(done):
    metrics = read_metrics(done)
    assert metrics["shared_pictures"] == ["hook/wrong.png", "ring/copy.png"]
    assert not {row["file"] for row in read_predictions(done)} & set(metrics["shared_pictures"])


def test_the_log_notes_files_that_are_in_no_class(place, done):
    notes = [line for line in (done / "log.txt").read_text().splitlines() if line.startswith("note: ")]
    assert [str(place / "test" / "sources.csv") in note for note in notes] == [True, False]
    assert "2 test pictures are left out" in notes[1]


def test_the_saved_model_makes_the_predictions_that_are_written(place, done):
    found = find_classes(place / "test", "--test")
    images = load_pictures(found, load_letter, "pictures").images.astype(np.float32) / 255
    probabilities = keras.saving.load_model(done / "models" / "transferred.keras").predict(images, verbose=0)
    read = dict(zip(found.names, probabilities, strict=True))
    rows = read_predictions(done)
    assert len(rows) == 15
    for row in rows:
        assert row["label"] == row["file"].split("/")[0]
        assert row["predicted"] == found.classes[read[row["file"]].argmax()]
        assert float(row["probability"]) == pytest.approx(read[row["file"]].max(), abs=1e-5)


def test_frozen_weights_are_those_of_the_first_folds_model(place, done):
    before, after = read_base_weights(place), read_weights(done)
    assert before.keys() == after.keys()
    changed = [name for name in before if before[name].tobytes() != after[name].tobytes()]
    assert set(changed) == {"probabilities/kernel", "probabilities/bias"}


@pytest.mark.slow
def test_the_same_seed_gives_the_same_result(place, done, tmp_path):
    assert run(place, tmp_path / "again", "--seeds", "2") == 0
    assert (tmp_path / "again" / "predictions.csv").read_bytes() == (done / "predictions.csv").read_bytes()
    first, second = read_weights(done), read_weights(tmp_path / "again")
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_unfreezing_changes_what_it_names_and_all_after_it_and_nothing_before(place, tmp_path):
    flags = ["--unfreeze", "block2_conv", "--unfreeze-epochs", "2", "--unfreeze-learning-rate", "0.001"]
    assert run(place, tmp_path / "out", "--seeds", "1", *flags) == 0
    before, after = read_base_weights(place), read_weights(tmp_path / "out")
    changed = {name.split("/")[0] for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed == {"block2_conv", "embedding", "probabilities"}
    assert read_metrics(tmp_path / "out")["parameters"] == {"trained": 153 + 5_020 + 16_050, "frozen": 260}
    with (tmp_path / "out" / "history.csv").open() as file:
        rates = [float(row["lr"]) for row in csv.DictReader(file) if row["epoch"] == "5"]
    assert rates == pytest.approx([0.001] * 4)
    assert not (tmp_path / "out" / "models" / "neighbours.safetensors").exists(), "the embedding is another one"


def test_without_test_pictures_every_training_picture_is_held_out_once(place, tmp_path):
    assert run(place, tmp_path / "out", "--seeds", "1", test=False) == 0
    metrics = read_metrics(tmp_path / "out")
    assert metrics["evaluated"] == "training pictures, held out in 4 folds"
    files = [row["file"] for row in read_predictions(tmp_path / "out")]
    assert files == find_classes(place / "train", "--images").names
    with (tmp_path / "out" / "history.csv").open() as file:
        parts = dict.fromkeys(row["part"] for row in csv.DictReader(file))
    assert list(parts) == [*(f"fold {fold} [{fold + 1}/4]" for fold in range(4)), "all"]


def test_equal_pictures_are_held_out_together(place, tmp_path, monkeypatch):
    shutil.copytree(place / "train", tmp_path / "train")
    shutil.copy(tmp_path / "train" / "ring" / "0.png", tmp_path / "train" / "ring" / "again.png")
    found = []

    def stop(*arguments):
        found.append(assign_folds(*arguments))
        raise KeyboardInterrupt  # before anything is trained

    monkeypatch.setattr(letter_transfer, "assign_folds", stop)
    assert transfer.main([str(place / "run"), "--images", str(tmp_path / "train"), *QUICK, "--seeds", "1"]) == 130
    names = find_classes(tmp_path / "train", "--images").names
    assert found[0][names.index("ring/0.png")] == found[0][names.index("ring/again.png")]


def test_where_nothing_can_be_held_out_the_accuracy_is_unknown(place, tmp_path, capsys):
    shutil.copytree(place / "train" / "ring", tmp_path / "few" / "=1+1")
    (tmp_path / "few" / "hook").mkdir()
    shutil.copy(place / "train" / "hook" / "0.png", tmp_path / "few" / "hook")
    arguments = [str(place / "run"), "--images", str(tmp_path / "few"), *QUICK, "--seeds", "1"]
    assert transfer.main([*arguments, "--run-dir", str(tmp_path / "out")]) == 0
    assert "accuracy                unknown: without --test" in capsys.readouterr().out
    assert not (tmp_path / "out" / "predictions.csv").exists()
    shutil.copytree(place / "test" / "ring", tmp_path / "seen" / "=1+1")
    shutil.copytree(place / "test" / "hook", tmp_path / "seen" / "hook")
    assert transfer.main([*arguments, "--run-dir", str(tmp_path / "more"), "--test", str(tmp_path / "seen")]) == 0
    rows = read_predictions(tmp_path / "more")
    assert {row["label"] for row in rows} == {"'=1+1", "hook"}
    assert {row["file"][:2] for row in rows} == {"'=", "ho"}


def test_a_transfer_that_ends_early_leaves_no_folder_and_can_be_repeated(place, tmp_path, monkeypatch):
    for error, code in ((KeyboardInterrupt, 130), (OSError(28, "full"), 2)):
        with monkeypatch.context() as patch:
            patch.setattr(letter_transfer.TransferRun, "save", Mock(side_effect=error))
            assert run(place, tmp_path / "out", "--seeds", "1", test=False) == code
        assert not list(tmp_path.iterdir())
    assert run(place, tmp_path / "out", "--seeds", "1", test=False) == 0


def test_a_disk_without_room_for_figures_leaves_a_finished_transfer(place, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("digit_recognizer.transfer_learning.results.describe_results", Mock(side_effect=OSError(28)))
    assert run(place, tmp_path / "out", "--seeds", "1") == 2
    assert f"{read_metrics(tmp_path / 'out')['kept_accuracy']:.5f}" in capsys.readouterr().out
    assert f"{read_metrics(tmp_path / 'out')['kept_accuracy']:.5f}" in (tmp_path / "out" / "log.txt").read_text()


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["gone", "--images", "train"], "transfer.no_base_model"),
        (["train", "--images", "train"], "transfer.no_base_model"),
        (["run", "--images", "gone"], "io.not_folder"),
        (["run", "--images", "train", "--test", "train"], "transfer.all_shared"),
        (["run", "--images", "train", "--test", "other"], "photos.other_classes"),
        (["run", "--images", "spoilt"], "photos.damaged"),
        (["run", "--images", "blank"], "photos.no_ink"),
        (["run", "--images", "train", "--unfreeze", "gone"], None),
        (["run", "--images", "train", "--run-dir", "other"], "run.folder_not_empty"),
        (["run", "--images", "train", "--run-dir", "train/run"], "transfer.run_dir_in_images"),
        (["run", "--images", "train", "--weights", "none"], "transfer.photographs_only"),
        (["run", "--images", "train", "--seeds", "0"], "config.too_low"),
        (["run", "--images", "train", "--learning-rate", "2"], "config.not_between_0_and_1"),
    ],
)
def test_an_impossible_transfer_is_refused_before_it_begins(place, tmp_path, arguments, code):
    from PIL import Image

    for name in ("run", "train"):
        shutil.copytree(place / name, tmp_path / name)
    for name in ("other", "spoilt", "blank"):
        shutil.copytree(place / "train", tmp_path / name)
    shutil.rmtree(tmp_path / "other" / "hook")
    (tmp_path / "other" / "hooks").mkdir()
    for picture in (tmp_path / "spoilt" / "ring").iterdir():
        picture.write_bytes(b"\xff\xd8\xff")
    for picture in (tmp_path / "blank" / "ring").iterdir():
        Image.new("L", (64, 64), 255).save(picture)
    if code is None:
        assert transfer.main(arguments) == 2
    else:
        with expect_error(code):
            transfer.main([*arguments, "--debug"])
    assert not (tmp_path / "runs").exists()


def test_a_mistake_is_one_line_and_exit_code_2(capsys):
    assert transfer.main(["ready", "--images", "gone"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("transfer: ") and message.count("\n") == 1
