"""Models fitted on all rows after the folds: what is submitted, what is scored, and how such a run resumes."""

import json
import shutil

import keras
import numpy as np
import pytest
from conftest import expect_error, write_tiny_data

from digit_recognizer.competition.submissions import load_submission
from digit_recognizer.config import RunConfig
from digit_recognizer.data.augmentation import preprocess_images
from digit_recognizer.data.dataset import load_test, load_train, pixels_to_images
from digit_recognizer.evaluation.calibration import apply_temperature
from digit_recognizer.reporting.run_report import load_examined_run, load_history
from digit_recognizer.training.cross_validation import CVSetup, resume, run_cross_validation
from digit_recognizer.training.executors import Executor
from digit_recognizer.training.weights import load_fold_models, load_submitted_models, pack_weights

REFITS = {"refit": 2, "refit_preprocess": ("none", "deskew")}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return write_tiny_data(tmp_path_factory.mktemp("refit") / "tiny")


def run(data, path, callbacks=(), executor=None, **settings):
    config = RunConfig(
        model="dense", model_args=("layers=1", "units=16"), learning_rate=0.01, epochs=2, folds=2, batch_size=20,
        precision="float32", input_dir=data, run_dir=path, submission=path.with_suffix(".csv"), **settings,
    )  # fmt: skip
    return run_cross_validation(config, callbacks=callbacks, executor=executor)


class Count(keras.callbacks.Callback):
    """The batches of each epoch."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_begin(self, epoch, logs=None):
        self.seen.append(self.params["steps"])


@pytest.fixture(scope="module")
def counted(data, tmp_path_factory):
    count = Count()
    return run(data, tmp_path_factory.mktemp("refitted") / "run", [count], **REFITS), count.seen


@pytest.fixture(scope="module")
def refitted(counted):
    return counted[0]


def test_refits_predict_the_test_rows_and_leave_the_score_as_it_was(data, refitted, tmp_path):
    plain = run(data, tmp_path / "plain")
    assert np.array_equal(plain.oof_probabilities, refitted.oof_probabilities)
    assert not np.array_equal(plain.test_probabilities, refitted.test_probabilities)
    images = pixels_to_images(load_test(data / "test.csv").pixels)
    mean = np.zeros_like(refitted.test_probabilities)
    for number, preprocess in enumerate(REFITS["refit_preprocess"]):
        model = keras.saving.load_model(refitted.run_dir / "models" / f"refit{number}.keras")
        mean += model.predict(preprocess_images(images, preprocess) / np.float32(255), verbose=0) / 2
    temperature = json.loads((refitted.run_dir / "metrics.json").read_text())["temperature"]
    assert apply_temperature(mean, temperature) == pytest.approx(refitted.test_probabilities, abs=1e-5)


def test_other_tables_are_predicted_by_the_models_that_are_submitted(data, refitted):
    images = pixels_to_images(load_test(data / "test.csv").pixels)
    predicted = load_submitted_models(refitted.run_dir).predict(images)
    assert predicted == pytest.approx(refitted.test_probabilities, abs=1e-5)
    assert len(load_fold_models(refitted.run_dir).models) == 2


def test_a_refit_that_was_deleted_is_named_and_the_folds_models_still_open(refitted, tmp_path):
    copy = shutil.copytree(refitted.run_dir, tmp_path / "run")
    (copy / "models" / "refit1.safetensors").unlink()
    with expect_error("run.fold_model_missing", path=copy / "models" / "refit1.safetensors"):
        load_submitted_models(copy)
    assert len(load_fold_models(copy).models) == 2


def test_a_refit_sees_every_row(counted):
    assert counted[1] == ([2, 2] + [3, 3]) * 2  # batches of 20 of the 30 rows outside a fold, and of all 60


@pytest.fixture(scope="module")
def continued(data, tmp_path_factory):
    return run(data, tmp_path_factory.mktemp("continued") / "run", refit_epochs=1, **REFITS)


def test_a_refit_continues_the_model_of_a_fold(refitted, continued):
    assert continued.history.groupby("fold")["epoch"].max().to_dict() == {0: 2, 1: 2, 2: 1, 3: 1}
    assert np.array_equal(continued.oof_probabilities, refitted.oof_probabilities)
    assert not np.array_equal(continued.test_probabilities, refitted.test_probabilities)

    def load(result, name):
        return keras.saving.load_model(result.run_dir / "models" / f"{name}.keras").weights[0].numpy()

    for number in (0, 1):
        start, fresh = load(continued, f"fold{number}"), load(refitted, f"refit{number}")
        changes = np.abs(load(continued, f"refit{number}") - start)
        assert 0 < changes.max() < np.abs(fresh - start).max() / 4


@pytest.mark.parametrize("settings", [{"patience": 3}, {"schedule": "plateau"}, {"unfreeze": "block5"}])
def test_with_validation_rows_or_a_backbone_to_tune_a_refit_begins_from_scratch(settings):
    config = RunConfig(refit=1, refit_epochs=1, epochs=2, **settings)
    assert config.configure_fold(5) == config
    assert CVSetup(config, {}, np.zeros(5), np.arange(5), False, {}).find_continued(5) is None


def test_a_refit_has_no_more_epochs_than_a_fold():
    assert [RunConfig(epochs=epochs, refit_epochs=4).count_epochs(5) for epochs in (1, 4, 9)] == [1, 4, 4]


def test_a_refit_waits_for_the_model_that_it_continues(data, continued, tmp_path):
    taken = []

    class Greedy(Executor):
        """Takes every task that can start before it runs one."""

        def map_as_completed(self, function, tasks, shared, on_report=None):
            tasks, waiting, done = iter(tasks), [], 0
            while True:
                while (task := next(tasks, None)) is not None:
                    waiting.append(task)
                    taken.append((getattr(task, "fold", None), done))
                if not waiting:
                    return
                yield done, function(shared, waiting.pop(0))
                done += 1

    result = run(data, tmp_path / "run", executor=Greedy(), refit_epochs=1, **REFITS)
    assert taken[-4:] == [(0, 0), (1, 0), (2, 1), (3, 2)]  # the number of a model, and how many were finished
    assert np.array_equal(result.test_probabilities, continued.test_probabilities)


@pytest.mark.parametrize(
    "code", ["models.weights_damaged", "models.weights_of_another_model", "run.fold_model_missing"]
)
def test_a_refit_is_not_trained_where_the_model_that_it_continues_is_lost(data, code, tmp_path):
    path = tmp_path / "run" / "models" / "fold0.safetensors"

    class Lose(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if logs["fold"] == 1 and epoch == 0:
                path.unlink()
                if code.endswith("damaged"):
                    path.write_bytes(b"no weights")
                elif code.endswith("another_model"):
                    other = keras.Sequential([keras.Input((28, 28, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
                    path.write_bytes(pack_weights(other))

    with expect_error(code, path=path):
        run(data, tmp_path / "run", [Lose()], refit_epochs=1, **REFITS)


def test_what_the_accuracy_is_of_is_told_with_the_result_and_the_submission(refitted):
    assert json.loads((refitted.run_dir / "metrics.json").read_text())["refit"] == refitted.refit == 2
    assert "2 models fitted on all rows" in str(refitted)
    assert "2 fitted on all rows" in load_submission(refitted.submission_path).provenance.model


def test_learning_curves_are_those_of_the_folds(data, refitted):
    examined = load_examined_run(refitted.run_dir, load_train(data / "train.csv"))
    assert sorted(set(load_history(examined)["fold"])) == [0, 1]
    assert sorted(set(refitted.history["fold"])) == [0, 1, 2, 3]


@pytest.mark.parametrize(("whole", "settings"), [("refitted", {}), ("continued", {"refit_epochs": 1})])
def test_a_run_interrupted_in_its_second_refit_ends_with_the_same_bytes(data, whole, settings, request, tmp_path):
    whole = request.getfixturevalue(whole)

    class Interrupt(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if logs["fold"] == 3:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(data, tmp_path / "run", [Interrupt()], **settings, **REFITS)
    resumed = resume(tmp_path / "run", "cv")
    assert np.array_equal(resumed.test_probabilities, whole.test_probabilities)
    for file in ("refit0.safetensors", "refit1.safetensors", "fold1.safetensors"):
        assert (resumed.run_dir / "models" / file).read_bytes() == (whole.run_dir / "models" / file).read_bytes()
