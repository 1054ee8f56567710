"""The transfer net through the front door. Its backbone is random here: weights are not what is tested."""

import csv
import json

import keras
import numpy as np
import pytest
from conftest import expect_error

from digit_recognizer import cv
from digit_recognizer.data.dataset import load_test, pixels_to_images
from digit_recognizer.evaluation.calibration import apply_temperature

BASE = ["--model", "vgg16", "--weights", "none", "--smoke", "--precision", "float32"]


def run(tiny_dir, folder, *flags):
    return cv.main([*BASE, "--input-dir", str(tiny_dir), "--run-dir", str(folder), *flags])


@pytest.mark.slow
def test_a_smoke_run_reuses_its_features_and_leaves_whole_nets(tiny_dir, tmp_path, monkeypatch):
    from digit_recognizer.training import inputs as features

    assert run(tiny_dir, tmp_path / "first") == 0

    def never(*_):
        pytest.fail("features were computed again")
        yield  # a generator, like what it stands for

    monkeypatch.setattr(features, "compute_features", never)
    assert run(tiny_dir, tmp_path / "again", "--epochs", "2", "--seed", "5") == 0
    images = pixels_to_images(load_test(tiny_dir / "test.csv").pixels) / np.float32(255)
    nets = [keras.saving.load_model(tmp_path / "first" / "models" / f"fold{fold}.keras") for fold in range(2)]
    mean = np.mean([net.predict(images, verbose=0) for net in nets], axis=0)
    mean = apply_temperature(mean, json.loads((tmp_path / "first" / "metrics.json").read_text())["temperature"])
    assert mean == pytest.approx(np.load(tmp_path / "first" / "test_probabilities.npy"), abs=1e-5)
    assert len((tmp_path / "first" / "submission.csv").read_text().splitlines()) == 21


@pytest.mark.slow
def test_unfreezing_adds_a_phase_that_changes_its_block_and_no_other(tiny_dir, tmp_path):
    flags = ["--unfreeze", "block5", "--unfreeze-learning-rate", "0.00002", "--limit-train", "20"]
    assert run(tiny_dir, tmp_path / "run", *flags, "--patience", "0", "--schedule", "constant") == 0
    with (tmp_path / "run" / "history.csv").open() as file:
        rates = [float(row["lr"]) for row in csv.DictReader(file)]
    assert rates == pytest.approx([1e-3, 2e-5] * 2), "two folds, an epoch of the head and one of the block"
    first, second = (
        keras.saving.load_model(tmp_path / "run" / "models" / f"fold{fold}.keras").get_layer("vgg16") for fold in (0, 1)
    )
    differs = {
        layer.name: not np.array_equal(layer.get_weights()[0], second.get_layer(layer.name).get_weights()[0])
        for layer in first.layers
        if layer.weights
    }
    assert {name for name, different in differs.items() if different} == {f"block5_conv{n}" for n in (1, 2, 3)}


@pytest.mark.usefixtures("thin_backbone")
def test_augmentation_needs_cached_augmentations(tiny_dir, tmp_path):
    with expect_error("training.cached_augmentations", received="affine", versions=1):
        run(tiny_dir, tmp_path / "refused", "--augmentation", "affine", "--debug")
    assert run(tiny_dir, tmp_path / "views", "--augmentation", "affine", "--cached-augmentations", "2") == 0


@pytest.mark.parametrize(
    ("flags", "code"),
    [(["--weights", "gone.h5"], "weights"), (["--unfreeze", "block9"], "unfreeze"), (["--tta", "5"], "needs_images")],
)
def test_what_a_backbone_cannot_do_is_refused_before_the_run_folder_is_made(tiny_dir, tmp_path, flags, code):
    with expect_error(f"training.{code}"):
        run(tiny_dir, tmp_path / "run", *flags, "--debug")
    assert not (tmp_path / "run").exists()


def test_backbone_flags_on_a_net_without_one_are_refused(tiny_dir, tmp_path, capsys):
    for flag in (["--unfreeze", "block5"], ["--cached-augmentations", "2"], ["--weights", "none"]):
        arguments = ["--model", "padded", "--smoke", "--input-dir", str(tiny_dir), "--run-dir", str(tmp_path / "run")]
        assert cv.main([*arguments, *flag]) == 2
        assert flag[0] in capsys.readouterr().err


@pytest.mark.usefixtures("thin_backbone")
def test_without_a_cache_folder_features_stay_in_memory(tiny_dir, tmp_path, monkeypatch):
    (tmp_path / "no folder").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "no folder"))
    assert run(tiny_dir, tmp_path / "run") == 0
    assert json.loads((tmp_path / "run" / "metrics.json").read_text())["model"] == "vgg16"
