"""What a study needs of its runs: accuracy before training, and the same held-out rows for several seeds."""

import json

import keras
import numpy as np
import pytest
from conftest import write_tiny_data
from resuming import StopAfterSaving, configure

from digit_recognizer import train
from digit_recognizer.data.dataset import load_train, pixels_to_images
from digit_recognizer.models import build_model
from digit_recognizer.training.cross_validation import resume, run_cross_validation
from digit_recognizer.training.reproducibility import derive_seed

RECIPE = {"model": "dense", "epochs": 6, "batch_size": 10, "learning_rate": 0.05, "augmentation": "none"}


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Single splits by seed and fold seed."""
    folder = tmp_path_factory.mktemp("study")
    data = write_tiny_data(folder / "data")
    results = {}
    for seed, split_seed in [(3, 7), (4, 7), (7, None)]:
        config = configure(data, f"run{seed}", RECIPE, seed=seed, split_seed=split_seed, optimizer="adagrad")
        results[seed] = config, run_cross_validation(config, single_split=True)
    return results


def read_json(result, name):
    return json.loads((result.run_dir / name).read_text())


@pytest.mark.parametrize("seed", [3, 4, 7])
def test_the_accuracy_before_training_is_that_of_a_fresh_net_of_the_same_seed(seed, runs):
    config, result = runs[seed]
    train_table = load_train(config.input_dir / "train.csv")
    held_out = np.load(result.run_dir / "folds.npy") == 0
    keras.utils.set_random_seed(derive_seed(seed, "fit"))
    images = pixels_to_images(train_table.pixels[held_out]) / np.float32(255)
    predictions = build_model("dense").predict(images, verbose=0).argmax(axis=1)
    expected = (predictions == train_table.labels[held_out]).mean()
    assert result.untrained_accuracy == expected < result.score.oof_accuracy
    assert read_json(result, "metrics.json")["untrained_accuracy"] == expected


def test_train_tells_it_again_when_its_run_is_shown_again(runs, capsys):
    _, result = runs[3]
    assert train.main(["--resume", str(result.run_dir)]) == 0
    assert f"before training             {result.untrained_accuracy:.5f}\n" in capsys.readouterr().out


def test_cross_validation_has_no_one_net_to_tell_it_of(tiny_dir, capsys):
    result = run_cross_validation(configure(tiny_dir, "cv", {**RECIPE, "epochs": 1}))
    assert result.untrained_accuracy is None and read_json(result, "metrics.json")["untrained_accuracy"] is None
    assert "before training" not in capsys.readouterr().out


def test_it_is_kept_when_the_run_is_stopped_and_resumed(runs, tiny_dir, monkeypatch):
    _, whole = runs[3]
    config = configure(tiny_dir, "stopped", RECIPE, seed=3, split_seed=7, optimizer="adagrad")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        StopAfterSaving(patch)
        run_cross_validation(config, single_split=True)
    result = resume(config.run_dir, "train")
    assert result.untrained_accuracy == whole.untrained_accuracy
    assert np.array_equal(result.oof_probabilities, whole.oof_probabilities, equal_nan=True)


def test_runs_of_several_seeds_hold_out_the_same_rows_and_start_from_other_nets(runs):
    folds = {seed: np.load(result.run_dir / "folds.npy") for seed, (_, result) in runs.items()}
    assert np.array_equal(folds[3], folds[4])
    assert np.array_equal(folds[3], folds[7]), "without a seed of their own, the folds follow the run's"
    oof = {seed: result.oof_probabilities for seed, (_, result) in runs.items()}
    assert not np.array_equal(oof[3], oof[4], equal_nan=True)


def test_the_seed_of_the_folds_is_part_of_what_resuming_compares(runs):
    told = [read_json(runs[seed][1], "environment.json")["fingerprint"]["--split-seed"] for seed in (3, 7)]
    assert told == [7, None]
