"""The pretrained champion: what it predicts, and what a process may do that has loaded it."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import expect_error

from digit_recognizer import cv, load_pretrained
from digit_recognizer.competition import submissions
from digit_recognizer.config import RunConfig
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.predictions import ensemble
from digit_recognizer.models import _packaged
from digit_recognizer.training.cross_validation import resume, run_cross_validation


@pytest.fixture(autouse=True)
def unblocked(monkeypatch):
    """A block lasts as long as a process; these tests share theirs with others."""
    monkeypatch.setattr(submissions, "_block_reasons", [])


def test_it_predicts_digits_that_it_has_never_seen():
    """Drawn from scikit-learn's, which other people wrote: far from MNIST's own accuracy, and as far from guessing."""
    from digit_recognizer.data.sources import build_sample

    sample = build_sample()
    images = sample.test_pixels[:200].reshape(-1, 28, 28, 1)
    predictions = load_pretrained().predict(images.astype(np.float32) / 255, verbose=0)
    assert predictions.dtype == np.float32 and predictions.shape == (200, 10)
    assert predictions.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (predictions.argmax(axis=1) == sample.test_labels[:200]).mean() > 0.9


def test_its_file_is_small_and_the_card_says_what_the_file_says():
    facts, card = _packaged.read_facts(), _packaged.CARD.read_text()
    assert _packaged.WEIGHTS.stat().st_size <= 2_000_000
    assert _packaged.CARD.parent == _packaged.WEIGHTS.parent
    assert f"| {facts['commit']} |" in card and f"`{facts['command']}`" in card
    assert f"| {int(facts['rows']):,} rows" in card
    assert f"{facts['held_out_accuracy']} on the {int(facts['held_out_rows']):,} rows" in card
    assert set(facts) == {"command", "commit", "fold", "rows", "held_out_rows", "held_out_accuracy"}


def test_it_is_the_same_model_under_any_precision_policy():
    import keras

    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = load_pretrained()
        assert keras.config.dtype_policy().name == "mixed_bfloat16", "the user's stays in force"
    finally:
        keras.config.set_dtype_policy(before)
    assert {layer.compute_dtype for layer in model.layers} == {"float32"}


def test_every_call_gives_a_new_model():
    first, second = load_pretrained(), load_pretrained()
    first.get_layer("probabilities").bias.assign(np.ones(10))
    assert not np.array_equal(first.get_weights()[-1], second.get_weights()[-1])


@pytest.mark.parametrize("damage", ["missing", "cut", "one bit", "other"])
def test_an_incomplete_installation_is_refused(damage, tmp_path, monkeypatch):
    from safetensors.numpy import save_file

    path = tmp_path / "champion.safetensors"
    if damage == "cut":
        path.write_bytes(_packaged.WEIGHTS.read_bytes()[:5000])
    elif damage == "one bit":
        path.write_bytes(_packaged.WEIGHTS.read_bytes()[:-1] + b"\x00")
    elif damage == "other":
        save_file({"stem_conv/kernel": np.zeros((5, 5, 1, 31), np.float32)}, path)
    monkeypatch.setattr(_packaged, "WEIGHTS", path)
    with expect_error("models.packaged_weights", path=path):
        load_pretrained()
    submissions.check_submissions_allowed()  # nothing has been loaded


def test_a_process_that_has_loaded_it_writes_no_submission(tiny_dir, tmp_path):
    config = RunConfig(input_dir=tiny_dir, run_dir=tmp_path / "run", smoke=True, epochs=1, folds=2)
    load_pretrained()
    for begin in (
        lambda: run_cross_validation(config),
        lambda: run_cross_validation(config, single_split=True),
        lambda: resume(tmp_path / "run", "cv"),
        lambda: ensemble([tmp_path, tmp_path], "mean", tiny_dir, None),
        lambda: submissions.write_submission(tmp_path / "mine.csv", np.zeros(3, int), 3, None),
    ):
        with expect_error("models.pretrained_has_seen_the_test_set"):
            begin()
    assert [path.name for path in tmp_path.iterdir()] == [tiny_dir.name], "nothing was begun"


@pytest.mark.parametrize(
    ("flags", "code"), [([], None), (["--model", "vgg16", "--augmentation", "none"], "models.official_weights")]
)
def test_its_file_is_not_taken_by_weights(flags, code, tiny_dir):
    """--weights is for backbones; this file is refused there like any that holds something else."""
    with pytest.raises(InputError) as caught:
        cv.main(["--input-dir", str(tiny_dir), "--weights", str(_packaged.WEIGHTS), *flags, "--debug"])
    assert code is None or caught.value.code == code
    assert not list(Path("runs").rglob("*.safetensors"))


def test_reading_the_facts_needs_no_keras():
    code = (
        "import sys; from digit_recognizer.models._packaged import read_facts; read_facts();"
        "sys.exit(any(name in sys.modules for name in ('keras', 'tensorflow', 'jax')))"
    )
    assert subprocess.run([sys.executable, "-c", code], timeout=60).returncode == 0
