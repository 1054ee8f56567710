"""`transfer resnet152v2` on colour photographs, with a small model in place of ResNet152V2."""

import csv
import json
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from conftest import expect_error
from PIL import Image
from test_resnet152v2 import build_small_backbone

from digit_recognizer.__main__ import import_command
from digit_recognizer.models import _resnet152v2

transfer, predict = map(import_command, ("transfer", "predict"))  # the package has functions of these names

COLOURS = {"blue": (40, 60, 220), "green": (40, 200, 60), "red": (220, 50, 40)}


def write_photographs(folder, count, seed):
    rng = np.random.default_rng(seed)
    for name, colour in COLOURS.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            pixels = np.clip(np.array(colour) + rng.normal(0, 40, (48, 64, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{number}.jpg", quality=95)
    return folder


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(_resnet152v2, "_build_backbone", build_small_backbone)


@pytest.fixture
def images(tmp_path):
    return write_photographs(tmp_path / "images", 5, seed=0)


def run(images, folder, *flags):
    arguments = ["resnet152v2", "--images", str(images), "--run-dir", str(folder), "--weights", "none"]
    return transfer.main([*arguments, "--epochs", "6", "--learning-rate", "0.01", *flags])


def read_metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def test_each_photograph_is_predicted_by_a_model_that_has_not_seen_it(images, tmp_path, capsys):
    assert run(images, tmp_path / "out") == 0
    metrics = read_metrics(tmp_path / "out")
    evaluated = "training pictures, held out in 5 folds"
    assert (metrics["evaluated"], metrics["evaluated_pictures"]) == (evaluated, 15)
    with (tmp_path / "out" / "predictions.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["label"] for row in rows] == ["blue"] * 5 + ["green"] * 5 + ["red"] * 5
    assert metrics["accuracy"]["lowest"] > 0.6, "any filter separates these colours"
    with (tmp_path / "out" / "history.csv").open() as file:
        parts = {row["part"] for row in csv.DictReader(file)}
    assert len(parts) == 5 + 1, "five folds, and all pictures"
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"learning_curves.png", "confusion.png"} <= names
    out = capsys.readouterr().out
    assert "WARNING: --WEIGHTS NONE: THE BACKBONE KNOWS NOTHING, AND THE ACCURACY MEANS NOTHING" in out
    assert "MEANINGLESS" in out and "MEANS NOTHING" in metrics["warning"]
    (tmp_path / "text.jpg").write_text("no picture")
    for classifier in ("model", "neighbours"):
        arguments = [str(images / "red"), "--run", str(tmp_path / "out"), "--classifier", classifier]
        assert predict.main([*arguments, "--output", f"{classifier}.csv"]) == 0
        with Path(f"{classifier}.csv").open(newline="") as file:
            assert [row["digit"] for row in csv.DictReader(file)].count("red") >= 3
    assert predict.main([str(tmp_path / "text.jpg"), "--run", str(tmp_path / "out")]) == 2


@pytest.mark.slow
def test_the_saved_head_is_all_that_was_trained(images, tmp_path):
    assert run(images, tmp_path / "out") == 0
    head = keras.saving.load_model(tmp_path / "out" / "models" / "transferred.keras")
    assert json.loads((tmp_path / "out" / "models" / "classes.json").read_text()) == ["blue", "green", "red"]
    assert (head.input_shape, head.output_shape) == ((None, 12), (None, 3))
    assert head.count_params() == read_metrics(tmp_path / "out")["parameters"]["trained"]


def test_test_pictures_are_evaluated_and_those_seen_in_training_left_out(images, tmp_path):
    other = write_photographs(tmp_path / "other", 2, seed=1)
    shutil.copy(images / "red" / "1.jpg", other / "red" / "again.jpg")
    assert run(images, tmp_path / "out", "--test", str(other)) == 0
    metrics = read_metrics(tmp_path / "out")
    assert (metrics["evaluated"], metrics["evaluated_pictures"]) == ("test pictures", 6)
    assert metrics["shared_pictures"] == ["red/again.jpg"]
    assert metrics["validation"]["pictures"] == 15, "each training picture chooses, predicted by its fold's model"


@pytest.mark.slow
def test_a_seed_repeats_the_result(images, tmp_path):
    for name in ("one", "two"):
        assert run(images, tmp_path / name, "--seed", "3") == 0
    one, two = ((tmp_path / name / "predictions.csv").read_text() for name in ("one", "two"))
    assert one == two


@pytest.mark.slow
def test_every_picture_passes_the_backbone_once(images, tmp_path, monkeypatch):
    from digit_recognizer.transfer_learning import training as photograph_transfer

    passed = []
    compute = photograph_transfer.compute_features
    monkeypatch.setattr(
        photograph_transfer,
        "compute_features",
        lambda lower, files: passed.extend(files) or compute(lower, files),
    )
    assert run(images, tmp_path / "out", "--seeds", "3") == 0
    assert len(passed) == len(set(passed)) == 15


@pytest.mark.parametrize(
    ("spoil", "flags", "code"),
    [
        (
            lambda images: [path.write_bytes(b"\xff\xd8\xff") for path in (images / "red").iterdir()],
            [],
            "photos.damaged",
        ),
        (lambda images: None, ["--weights", "gone.h5"], "training.weights"),
        (lambda images: None, ["--copies", "3"], "transfer.letters_only"),
        (lambda images: None, ["--unfreeze", "pooled"], "transfer.letters_only"),
        (lambda images: None, ["--test", "images"], "transfer.all_shared"),
        (lambda images: None, ["--run-dir", "images/out"], "transfer.run_dir_in_images"),
        (lambda images: shutil.rmtree(images / "red"), ["--test", "other"], "photos.other_classes"),
    ],
)
def test_an_impossible_transfer_is_refused_before_it_begins(images, tmp_path, spoil, flags, code):
    shutil.copytree(images, tmp_path / "other")
    spoil(images)
    with expect_error(code):
        run(images, tmp_path / "out", *flags, "--debug")
    assert not (tmp_path / "out").exists()
