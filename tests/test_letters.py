"""Transfer to letters through the front door: a tiny net that knows nothing, and drawn signs."""

import csv
import json
import shutil

import keras
import numpy as np
import pytest
from signs import write_base_run, write_signs

from digit_recognizer import transfer
from digit_recognizer.data.splits import assign_folds
from digit_recognizer.models._weights import unpack_weights
from digit_recognizer.transfer_learning import letters as letter_fits
from digit_recognizer.transfer_learning.results import load_transferred
from digit_recognizer.vision.class_folders import find_classes, load_pictures
from digit_recognizer.vision.normalize import load_letter

QUICK = ["--copies", "8", "--epochs", "8", "--batch-size", "32"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run, training signs and test signs; two of the test signs are training signs too."""
    place = tmp_path_factory.mktemp("letters")
    write_base_run(place / "run")
    write_signs(place / "train", 4, seed=0)
    write_signs(place / "test", 5, seed=1)
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


def read_weights(path):
    return unpack_weights(path.read_bytes())


def test_a_transfer_leaves_its_configuration_course_metrics_net_and_figures(done):
    names = {path.relative_to(done).as_posix() for path in done.rglob("*") if path.is_file()}
    assert names - {"misread.png"} == {
        *(".lock", "config.json", "history.csv", "log.txt", "metrics.json", "predictions.csv"),
        *(f"models/transferred.{suffix}" for suffix in ("json", "keras", "safetensors")),
        *("class_counts.png", "confusion.png", "learning_curves.png"),
    }
    recipe = load_transferred(done)[1]
    assert (recipe.classes, recipe.model, recipe.preprocess) == (("cross", "hook", "ring"), "narrow", "none")
    config = json.loads((done / "config.json").read_text())
    assert (config["subcommand"], config["copies"], config["seeds"]) == ("transfer", 8, 2)
    with (done / "history.csv").open() as file:
        epochs = [(row["seed"], row["part"], row["epoch"]) for row in csv.DictReader(file)]
    assert epochs == [(seed, "all", str(epoch)) for seed in "01" for epoch in range(1, 9)]


def test_metrics_tell_accuracies_per_seed_and_class_with_intervals_and_the_counts(done):
    metrics = read_metrics(done)
    assert metrics["parameters"] == {"trained": 153, "frozen": 21_330}
    assert metrics["training_pictures"] == {"cross": 4, "hook": 4, "ring": 4}
    assert (metrics["judged"], metrics["judged_pictures"], metrics["seeds"]) == ("test pictures", 15, [0, 1])
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


def test_pictures_in_both_folders_are_told_and_left_out(done):
    metrics = read_metrics(done)
    assert metrics["shared_pictures"] == ["hook/wrong.png", "ring/copy.png"]
    assert not {row["file"] for row in read_predictions(done)} & set(metrics["shared_pictures"])
    assert "2 that are also among the training pictures: left out" in (done / "log.txt").read_text()


def test_the_saved_net_reads_the_test_pictures_as_predictions_say(place, done):
    found = find_classes(place / "test", "--test")
    images = load_pictures(found.files, load_letter, "pictures").images.astype(np.float32) / 255
    probabilities = load_transferred(done)[0].predict(images, verbose=0)
    exported = keras.saving.load_model(done / "models" / "transferred.keras").predict(images, verbose=0)
    np.testing.assert_allclose(exported, probabilities, atol=1e-6)
    read = dict(zip(found.names, probabilities, strict=True))
    rows = read_predictions(done)
    assert len(rows) == 15
    for row in rows:
        assert row["label"] == row["file"].split("/")[0]
        assert row["predicted"] == found.classes[read[row["file"]].argmax()]
        assert float(row["probability"]) == pytest.approx(read[row["file"]].max(), abs=1e-5)


def test_frozen_weights_are_byte_for_byte_those_of_the_first_folds_net(place, done):
    before, after = (
        read_weights(path) for path in (place / "run/models/fold0.safetensors", done / "models/transferred.safetensors")
    )
    assert before.keys() == after.keys()
    changed = [name for name in before if before[name].tobytes() != after[name].tobytes()]
    assert set(changed) == {"006.probabilities/kernel", "007.probabilities/bias"}


def test_the_same_seed_gives_the_same_result(place, done, tmp_path):
    assert run(place, tmp_path / "again", "--seeds", "1") == 0
    assert (tmp_path / "again" / "predictions.csv").read_bytes() == (done / "predictions.csv").read_bytes()
    first, second = (
        read_weights(folder / "models" / "transferred.safetensors") for folder in (done, tmp_path / "again")
    )
    assert all(first[name].tobytes() == second[name].tobytes() for name in first)


def test_unfreezing_changes_what_it_names_and_all_after_it_and_nothing_before(place, tmp_path):
    flags = ["--unfreeze", "block2_conv", "--unfreeze-epochs", "2", "--unfreeze-learning-rate", "0.001"]
    assert run(place, tmp_path / "out", "--seeds", "2", *flags) == 0
    before, after = (
        read_weights(path)
        for path in (place / "run/models/fold0.safetensors", tmp_path / "out/models/transferred.safetensors")
    )
    changed = {name[4:].split("/")[0] for name in before if before[name].tobytes() != after[name].tobytes()}
    assert changed == {"block2_conv", "embedding", "probabilities"}
    assert read_metrics(tmp_path / "out")["parameters"] == {"trained": 153 + 5_020 + 16_050, "frozen": 260}
    with (tmp_path / "out" / "history.csv").open() as file:
        rates = [float(row["lr"]) for row in csv.DictReader(file) if row["epoch"] == "9"]
    assert rates == pytest.approx([0.001] * 2)


def test_without_test_pictures_every_training_picture_is_held_out_once(place, tmp_path):
    assert run(place, tmp_path / "out", "--seeds", "1", test=False) == 0
    metrics = read_metrics(tmp_path / "out")
    assert metrics["judged"] == "training pictures, held out in 4 folds"
    files = [row["file"] for row in read_predictions(tmp_path / "out")]
    assert files == find_classes(place / "train", "--images").names
    with (tmp_path / "out" / "history.csv").open() as file:
        parts = dict.fromkeys(row["part"] for row in csv.DictReader(file))
    assert list(parts) == ["fold 1/4", "fold 2/4", "fold 3/4", "fold 4/4", "all"]


def test_equal_pictures_are_held_out_together(place, tmp_path, monkeypatch):
    shutil.copytree(place / "train", tmp_path / "train")
    shutil.copy(tmp_path / "train" / "ring" / "0.png", tmp_path / "train" / "ring" / "again.png")
    found = {}

    def spy(labels, folds, seed, groups):
        found["folds"] = assign_folds(labels, folds, seed, groups)
        return found["folds"]

    monkeypatch.setattr(letter_fits, "assign_folds", spy)
    assert transfer.main([str(place / "run"), "--images", str(tmp_path / "train"), *QUICK, "--seeds", "1"]) == 0
    names = find_classes(tmp_path / "train", "--images").names
    assert found["folds"][names.index("ring/0.png")] == found["folds"][names.index("ring/again.png")]


def test_where_nothing_can_be_held_out_the_accuracy_is_unknown_and_formulas_are_no_cells(place, tmp_path, capsys):
    shutil.copytree(place / "train" / "ring", tmp_path / "few" / "=1+1")
    (tmp_path / "few" / "hook").mkdir()
    shutil.copy(place / "train" / "hook" / "0.png", tmp_path / "few" / "hook")
    arguments = [str(place / "run"), "--images", str(tmp_path / "few"), *QUICK, "--seeds", "1"]
    assert transfer.main([*arguments, "--run-dir", str(tmp_path / "out")]) == 0
    assert "accuracy                    unknown: without --test" in capsys.readouterr().out
    assert not (tmp_path / "out" / "predictions.csv").exists()
    shutil.copytree(place / "test" / "ring", tmp_path / "seen" / "=1+1")
    shutil.copytree(place / "test" / "hook", tmp_path / "seen" / "hook")
    assert transfer.main([*arguments, "--run-dir", str(tmp_path / "more"), "--test", str(tmp_path / "seen")]) == 0
    rows = read_predictions(tmp_path / "more")
    assert {row["label"] for row in rows} == {"'=1+1", "hook"}
    assert {row["file"][:2] for row in rows} == {"'=", "ho"}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["gone", "--images", "train"], "gone has no config.json"),
        (["train", "--images", "train"], "train has no config.json"),
        (["run", "--images", "gone"], "gone is none"),
        (["run", "--images", "train", "--test", "train"], "all of train are also there"),
        (["run", "--images", "train", "--test", "other"], "lacks 'hook'"),
        (["run", "--images", "spoilt"], "spoilt/ring/0.png must be a PNG"),
        (["run", "--images", "blank"], "blank/ring/blank.png must show a sign"),
        (["run", "--images", "train", "--unfreeze", "gone"], "block1_conv, block2_conv, embedding"),
        (["run", "--images", "train", "--run-dir", "run"], "run holds"),
        (["run", "--images", "train", "--weights", "none"], "--weights is for resnet152v2"),
        (["run", "--images", "train", "--seeds", "0"], "--seeds takes a number of at least 1; received 0"),
        (["run", "--images", "train", "--learning-rate", "2"], "--learning-rate takes a number between 0 and 1"),
        (["empty", "--images", "train"], "empty holds a run that has not finished"),
    ],
)
def test_what_is_wrong_is_one_line_and_nothing_is_begun(place, tmp_path, arguments, words, monkeypatch, capsys):
    from PIL import Image

    for name in ("run", "train"):
        shutil.copytree(place / name, tmp_path / name)
    for name in ("other", "spoilt", "blank"):
        shutil.copytree(place / "train", tmp_path / name)
    shutil.rmtree(tmp_path / "other" / "hook")
    (tmp_path / "other" / "hooks").mkdir()
    (tmp_path / "spoilt" / "ring" / "0.png").write_text("no picture")
    Image.new("L", (64, 64), 255).save(tmp_path / "blank" / "ring" / "blank.png")
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text("{}")
    assert transfer.main(arguments) == 2
    message = capsys.readouterr().err
    assert message.startswith("transfer: ") and message.count("\n") == 1
    assert words in message
    assert not (tmp_path / "runs").exists()
