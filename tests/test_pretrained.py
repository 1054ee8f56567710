"""The pretrained champion: what it predicts, and that no submission made with it counts."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from conftest import expect_error

from digit_recognizer import cv, load_pretrained
from digit_recognizer.competition.submissions import load_submission
from digit_recognizer.errors import InputError
from digit_recognizer.models import SEEN_TEST_ROWS, _packaged, build_model
from digit_recognizer.training.cross_validation import cross_validate
from digit_recognizer.training.inputs import has_seen_test_rows

CARD = _packaged.WEIGHTS.with_name("MODEL_CARD.md")


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
    facts, card = _packaged.read_facts(), CARD.read_text()
    assert _packaged.WEIGHTS.stat().st_size <= 2_000_000
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


def test_the_submission_of_a_run_with_its_layers_is_ineligible(tiny_dir, tmp_path):
    import keras

    inputs = keras.Input((28, 28, 1))
    assert has_seen_test_rows(keras.Model(inputs, keras.layers.Dense(3)(load_pretrained()(inputs))))
    assert not has_seen_test_rows(build_model(_packaged.ARCHITECTURE))

    def build(input_shape, classes):  # quicker to train
        model = build_model("dense", input_shape, classes)
        setattr(model.layers[-1], SEEN_TEST_ROWS, True)
        return model

    result = cross_validate(build, tiny_dir / "train.csv", tiny_dir / "test.csv", folds=2, epochs=1, run_dir="run")
    assert "has seen digits" in load_submission(result.submission_path).provenance.ineligible
    assert result.ineligible in (tmp_path / "run" / "log.txt").read_text()


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


def test_the_header_that_model_hubs_read_has_the_figures_of_the_weights():
    _, header, _ = CARD.read_text().split("---\n", 2)
    values = [float(value) for value in re.findall(r"type: accuracy, value: ([0-9.]+)", header)]
    facts = [_packaged.read_facts(path) for path in (_packaged.WEIGHTS, _packaged.CLASSIFIER_WEIGHTS)]
    assert values == [round(float(one["held_out_accuracy"]), 5) for one in facts]
    fields = [line.partition(":")[0] for line in header.splitlines() if not line.startswith(" ")]
    assert {"license", "library_name", "tags", "datasets", "metrics", "model-index"} <= set(fields)
