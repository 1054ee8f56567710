import keras
import numpy as np
import pytest

from digit_recognizer.config import RunConfig
from digit_recognizer.training.batches import PredictionBatches, TrainingBatches
from digit_recognizer.training.reproducibility import derive_seed
from digit_recognizer.training.trainer import (
    PLATEAU_FACTOR,
    SHIFTS_PX,
    EpochCurve,
    compile_model,
    fit_compiled,
    predict_probabilities,
    shift_images,
)

LABELS = np.arange(40) % 10
TARGETS = np.eye(10, dtype=np.float32)[LABELS]
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 1), dtype=np.uint8)


def fit(config, epochs, learning_rate=1e-3, **keywords):
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")])
    batches = TrainingBatches(IMAGES[None], TARGETS, np.arange(40), batch_size=10, seed=0)
    reports = []
    compile_model(model, len(batches), config, epochs=epochs, learning_rate=learning_rate)
    fit_compiled(model, batches, config, epochs=epochs, on_epoch=reports.append, **keywords)
    return model, reports


def test_the_rate_reported_is_the_one_that_the_epoch_began_with():
    _, reports = fit(RunConfig(schedule="step"), epochs=6, learning_rate=0.064)
    assert [report["learning_rate"] for report in reports] == pytest.approx([0.064 / 2**n for n in range(6)])


def test_plateau_lowers_the_rate_when_the_watched_loss_does_not_fall():
    unlearnable = PredictionBatches(IMAGES, np.roll(TARGETS, 1, axis=0), batch_size=40)
    config = RunConfig(schedule="plateau")
    assert config.watches
    _, reports = fit(config, epochs=10, learning_rate=0.05, watched=unlearnable)
    rates = [report["learning_rate"] for report in reports]
    assert rates[0] == pytest.approx(0.05) and rates[-1] < 0.05 * PLATEAU_FACTOR * 1.01
    assert all("watched_loss" in report for report in reports)


def test_early_stopping_keeps_the_best_epochs_weights():
    watched = PredictionBatches(IMAGES, np.roll(TARGETS, 1, axis=0), batch_size=40)
    config = RunConfig(schedule="constant", patience=3)
    model, reports = fit(config, epochs=50, learning_rate=0.05, watched=watched)
    losses = [report["watched_loss"] for report in reports]
    assert len(losses) == int(np.argmin(losses)) + 4 < 50
    assert model.evaluate(watched, verbose=0, return_dict=True)["loss"] == pytest.approx(min(losses), rel=1e-5)


def test_a_curve_reports_cross_entropy_and_accuracy_of_its_rows():
    model, reports = fit(RunConfig(), epochs=1, curve=EpochCurve(IMAGES, TARGETS))
    probabilities = model.predict(IMAGES / np.float32(255), verbose=0)
    assert reports[0]["held_out_loss"] == pytest.approx(-np.log(probabilities[np.arange(40), LABELS]).mean(), rel=1e-5)
    assert reports[0]["held_out_accuracy"] == pytest.approx((probabilities.argmax(1) == LABELS).mean())


def test_a_smoothed_target_is_what_the_loss_is_measured_against():
    _, plain = fit(RunConfig(schedule="constant"), epochs=1, learning_rate=1e-7)
    _, smoothed = fit(RunConfig(schedule="constant", label_smoothing=0.5), epochs=1, learning_rate=1e-7)
    model, _ = fit(RunConfig(schedule="constant"), epochs=1, learning_rate=1e-7)
    logarithms = np.log(predict_probabilities(model, IMAGES))
    assert plain[0]["loss"] == pytest.approx(-(logarithms * TARGETS).sum(axis=1).mean(), rel=1e-3)
    assert smoothed[0]["loss"] == pytest.approx(-(logarithms * (0.5 * TARGETS + 0.05)).sum(axis=1).mean(), rel=1e-3)


@pytest.mark.parametrize("optimizer", ["adam", "muon"])
def test_decay_shrinks_kernels_and_leaves_the_rest(optimizer):
    # four epochs of four steps at rate 0.01 and decay 0.9, beside which the gradient does little
    sizes = {}
    for decay in (0.0, 0.9):
        config = RunConfig(schedule="constant", optimizer=optimizer, weight_decay=decay)
        model, _ = fit(config, epochs=4, learning_rate=0.01)
        kernel, bias = model.layers[-1].get_weights()
        sizes[decay] = np.square(kernel).mean() ** 0.5, np.square(bias).mean() ** 0.5
    assert sizes[0.9][0] / sizes[0.0][0] == pytest.approx((1 - 0.009) ** 16, rel=0.05)
    assert sizes[0.9][1] / sizes[0.0][1] == pytest.approx(1, rel=0.05)


def test_moved_images_lose_what_leaves_and_gain_paper():
    images = np.arange(1, 17, dtype=np.uint8).reshape(1, 4, 4, 1)
    moved = shift_images(images, 1, -1)
    assert moved.dtype == np.uint8 and moved.shape == images.shape
    assert np.array_equal(moved[0, 1:, :-1, 0], images[0, :-1, 1:, 0])
    assert not moved[0, 0].any() and not moved[0, :, -1].any()


@pytest.mark.parametrize("copies", [1, 5, 9])
def test_copies_are_judged_by_their_mean(copies):
    model, _ = fit(RunConfig(), epochs=1)
    expected = np.mean([predict_probabilities(model, shift_images(IMAGES, *by)) for by in SHIFTS_PX[:copies]], axis=0)
    assert predict_probabilities(model, IMAGES, copies) == pytest.approx(expected, rel=1e-5)
    assert predict_probabilities(model, IMAGES[:0], copies).shape == (0, 10)
    assert len(set(SHIFTS_PX)) == 9 and SHIFTS_PX[0] == (0, 0)
    assert all(abs(down) + abs(right) == 1 for down, right in SHIFTS_PX[1:5])


def test_a_later_phase_counts_on():
    _, reports = fit(RunConfig(), epochs=2, epochs_before=3)
    assert [(report["epoch"], report["epochs"]) for report in reports] == [(4, 5), (5, 5)]


def test_every_purpose_and_fold_has_a_seed_of_its_own():
    seeds = {
        derive_seed(seed, purpose, fold)
        for seed in (0, 1)
        for purpose in ("folds", "fit", "validation", "cached augmentations")
        for fold in (0, 1)
    }
    assert len(seeds) == 16
