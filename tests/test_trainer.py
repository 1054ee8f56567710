import cv2
import keras
import numpy as np
import pytest

from digit_recognizer.config import RunConfig
from digit_recognizer.io import numpy_defaults
from digit_recognizer.training.batches import PredictionBatches, TrainingBatches
from digit_recognizer.training.hardware import precision_policy
from digit_recognizer.training.trainer import (
    PLATEAU_FACTOR,
    SHIFTS_PX,
    Trainer,
    TrainingSession,
    make_tta_versions,
    predict_probabilities,
    shift_images,
)

pytestmark = pytest.mark.compiled

LABELS = np.arange(40) % 10
TARGETS = np.eye(10, dtype=np.float32)[LABELS]
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 4, 4, 1), dtype=np.uint8)


def build():
    keras.utils.set_random_seed(0)
    return keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(10, "softmax")])


def make_batches():
    return TrainingBatches(IMAGES[None], TARGETS, np.arange(40), batch_size=10, seed=0)


def fit(config, epochs, learning_rate=1e-3, **keywords):
    model, batches = build(), make_batches()
    trainer = Trainer(model, config)
    trainer.fit(batches, epochs=epochs, learning_rate=learning_rate, **keywords)
    return model, trainer.history


def test_lr_is_the_learning_rate_at_the_start_of_the_epoch():
    _, reports = fit(RunConfig(schedule="step"), epochs=6, learning_rate=0.064)
    assert [report["lr"] for report in reports] == pytest.approx([0.064 / 2**n for n in range(6)])


def test_plateau_lowers_the_learning_rate_without_progress():
    unlearnable = PredictionBatches(IMAGES, np.roll(TARGETS, 1, axis=0), batch_size=40)
    config = RunConfig(schedule="plateau")
    assert config.needs_validation
    _, reports = fit(config, epochs=10, learning_rate=0.05, validation=unlearnable)
    rates = [report["lr"] for report in reports]
    assert rates[0] == pytest.approx(0.05) and rates[-1] < 0.05 * PLATEAU_FACTOR * 1.01
    assert all("val_loss" in report for report in reports)


def test_early_stopping_keeps_the_best_epochs_weights():
    validation = PredictionBatches(IMAGES, np.roll(TARGETS, 1, axis=0), batch_size=40)
    config = RunConfig(schedule="constant", patience=3)
    model, reports = fit(config, epochs=50, learning_rate=0.05, validation=validation)
    losses = [report["val_loss"] for report in reports]
    assert len(losses) == int(np.argmin(losses)) + 4 < 50
    assert model.evaluate(validation, verbose=0, return_dict=True)["loss"] == pytest.approx(min(losses), rel=1e-5)


def test_a_holdout_is_evaluated_by_cross_entropy_and_accuracy():
    model, reports = fit(RunConfig(), epochs=1, holdout=(IMAGES, TARGETS))
    probabilities = model.predict(IMAGES / np.float32(255), verbose=0)
    assert reports[0]["val_loss"] == pytest.approx(-np.log(probabilities[np.arange(40), LABELS]).mean(), rel=1e-5)
    assert reports[0]["val_accuracy"] == pytest.approx((probabilities.argmax(1) == LABELS).mean())


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


def test_shifted_images_gain_paper_where_they_were():
    images = np.arange(1, 17, dtype=np.uint8).reshape(1, 4, 4, 1)
    moved = shift_images(images, 1, -1)
    assert moved.dtype == np.uint8 and moved.shape == images.shape
    assert np.array_equal(moved[0, 1:, :-1, 0], images[0, :-1, 1:, 0])
    assert not moved[0, 0].any() and not moved[0, :, -1].any()


@pytest.mark.parametrize("copies", [1, 5, 9])
def test_test_time_augmentation_averages_shifted_versions(copies):
    model, _ = fit(RunConfig(), epochs=1)
    expected = np.mean([predict_probabilities(model, shift_images(IMAGES, *by)) for by in SHIFTS_PX[:copies]], axis=0)
    assert predict_probabilities(model, IMAGES, copies) == pytest.approx(expected, rel=1e-5)
    assert predict_probabilities(model, IMAGES[:0], copies).shape == (0, 10)
    assert len(set(SHIFTS_PX)) == 9 and SHIFTS_PX[0] == (0, 0)
    assert all(abs(down) + abs(right) == 1 for down, right in SHIFTS_PX[1:5])


def test_eleven_versions_are_shifted_turned_scaled_and_slanted():
    model, _ = fit(RunConfig(), epochs=1)
    versions = list(make_tta_versions(IMAGES, 11))
    expected = np.mean([predict_probabilities(model, version) for version in versions], axis=0)
    assert predict_probabilities(model, IMAGES, 11) == pytest.approx(expected, rel=1e-5)
    assert [version.dtype == np.uint8 and version.shape == IMAGES.shape for version in versions] == [True] * 11
    stroke = np.zeros((1, 28, 28, 1), np.uint8)
    stroke[0, 4:24, 13:15] = 255  # upright, 20 px by 2
    moments = [cv2.moments(version[0, ..., 0]) for version in make_tta_versions(stroke, 11)]
    heights = np.sqrt([one["mu02"] / one["m00"] for one in moments])
    slants = np.array([one["mu11"] / one["mu02"] for one in moments])
    tan = np.tan(np.deg2rad(7))
    assert slants[5:] == pytest.approx([tan, -tan, 0, 0, 0.12, -0.12], abs=0.01)
    assert heights[7:9] / heights[0] == pytest.approx([1.08, 1 / 1.08], abs=0.01)


@pytest.mark.parametrize("tta", [2, 10])
def test_mirror_images_double_the_versions(tta):
    plain, versions = list(make_tta_versions(IMAGES, tta // 2)), list(make_tta_versions(IMAGES, tta))
    assert np.array_equal(versions[::2], plain)
    assert np.array_equal(versions[1::2], [version[:, :, ::-1] for version in plain])
    model, _ = fit(RunConfig(), epochs=1)
    expected = np.mean([predict_probabilities(model, version) for version in versions], axis=0)
    assert predict_probabilities(model, IMAGES, tta) == pytest.approx(expected, rel=1e-5)


def test_a_second_phase_counts_on():
    model = build()
    trainer = Trainer(model, RunConfig())
    for epochs in (3, 2):
        trainer.fit(make_batches(), epochs=epochs, learning_rate=1e-3)
    assert [row["epoch"] for row in trainer.history] == [1, 2, 3, 4, 5]


def test_a_holdout_beside_a_validation_set_has_columns_of_its_own():
    validation = PredictionBatches(IMAGES, np.roll(TARGETS, 1, axis=0), batch_size=40)
    _, history = fit(RunConfig(patience=3), epochs=1, validation=validation, holdout=(IMAGES, TARGETS))
    assert {"val_loss", "val_accuracy", "holdout_loss", "holdout_accuracy"} <= set(history[0])
    assert history[0]["val_loss"] != history[0]["holdout_loss"]


class Spy(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.epochs = []

    def on_epoch_end(self, epoch, logs=None):
        self.epochs.append((epoch, dict(logs), self.model is not None))


def test_a_users_callback_gets_keras_logs_with_fold_lr_and_seconds():
    spy = Spy()
    trainer = Trainer(build(), RunConfig(), TrainingSession([spy], fold=2))
    trainer.fit(make_batches(), epochs=2, learning_rate=1e-3, holdout=(IMAGES, TARGETS))
    assert [epoch for epoch, *_ in spy.epochs] == [0, 1] and all(with_model for *_, with_model in spy.epochs)
    logs = spy.epochs[0][1]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "fold", "lr", "seconds"} <= set(logs)
    assert logs["fold"] == 2 and logs["val_accuracy"] == trainer.history[0]["val_accuracy"]


AMBIENT = {
    "floatx": "float16",
    "epsilon": 0.01,
    "image_data_format": "channels_first",
    "max_epochs": 1,
    "max_steps_per_epoch": 1,
}


def test_keras_settings_of_a_notebook_change_no_number_and_stay_as_they_are():
    def run():
        with precision_policy("float32"):
            model, history = fit(RunConfig(), epochs=2)
        return [row["loss"] for row in history], predict_probabilities(model, np.tile(IMAGES, (30, 1, 1, 1)))

    plain = run()
    before = {name: getattr(keras.config, name)() for name in AMBIENT}
    try:
        for name, value in AMBIENT.items():
            getattr(keras.config, f"set_{name}")(value)
        ambient = run()
        assert {name: getattr(keras.config, name)() for name in AMBIENT} == AMBIENT
    finally:
        for name, value in before.items():
            getattr(keras.config, f"set_{name}")(value)
    assert ambient[0] == plain[0]
    assert len(plain[0]) == 2
    np.testing.assert_array_equal(ambient[1], plain[1])


def test_numpys_settings_of_a_notebook_end_no_call_and_stay():
    @numpy_defaults
    def underflow():
        return np.float64(1e-200) * np.float64(1e-200)

    with np.errstate(all="raise"):
        assert underflow() == underflow() == 0
        assert np.geterr()["under"] == "raise"
