"""`DigitClassifier` among scikit-learn's own tools."""

import pickle
import subprocess
import sys

import keras
import numpy as np
import pandas as pd
import pytest
from conftest import expect_error, write_tiny_data
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks

import digit_recognizer as dr
from digit_recognizer import DigitClassifier

pytestmark = pytest.mark.compiled  # a hundred steps take longer one by one

SETTINGS = {"epochs": 12, "batch_size": 10, "augmentation": "none", "precision": "float32"}
APPLICABLE = (  # of check_estimator: all that need no table of a few real-valued columns
    "check_no_attributes_set_in_init", "check_parameters_default_constructible", "check_estimator_repr",
    "check_do_not_raise_errors_in_init_or_set_param", "check_get_params_invariance", "check_mixin_order",
    "check_estimator_cloneable", "check_estimator_tags_renamed", "check_valid_tag_types",
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    train = dr.load_train(write_tiny_data(tmp_path_factory.mktemp("estimator") / "tiny") / "train.csv")
    return train.images, train.labels


@pytest.fixture(scope="module")
def fitted(data):
    return DigitClassifier("dense", seed=1, **SETTINGS).fit(*data)


def test_it_learns_and_predicts_by_scikit_learns_conventions(data, fitted):
    images, labels = data
    probabilities = fitted.predict_proba(images)
    assert probabilities.shape == (60, 10) and probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert fitted.score(images, labels) == (fitted.predict(images) == labels).mean() > 0.7
    frame = pd.DataFrame(images.reshape(60, 784), columns=[f"pixel{k}" for k in range(784)])
    assert np.array_equal(fitted.predict_proba(frame), probabilities)
    assert fitted.history_.epoch.tolist() == list(range(1, 13)) and fitted.n_features_in_ == 784
    again = clone(fitted).fit(images, labels)
    assert np.array_equal(again.predict_proba(images), probabilities)


def test_classes_are_those_of_y_whatever_their_number_and_type(data):
    images, labels = data
    few = labels < 3
    classifier = DigitClassifier("dense", **{**SETTINGS, "epochs": 1})
    classifier.fit(images[few], np.array(["zero", "one", "two"])[labels[few]])
    assert classifier.classes_.tolist() == ["one", "two", "zero"]
    assert classifier.predict_proba(images).shape == (60, 3)
    assert set(classifier.predict(images)) <= {"one", "two", "zero"}


def test_it_is_cross_validated_by_scikit_learn(data):
    scores = cross_val_score(DigitClassifier("dense", **SETTINGS), *data, cv=2)
    assert scores.shape == (2,) and scores.mean() > 0.4


@pytest.mark.slow
def test_it_is_searched_piped_and_voted(data):
    images, labels = data
    classifier = DigitClassifier("dense", **SETTINGS)
    pipeline = make_pipeline(FunctionTransformer(lambda X: X.reshape(-1, 784)), classifier)
    search = GridSearchCV(pipeline, {"digitclassifier__epochs": np.array([1, 12])}, cv=2).fit(images, labels)
    assert search.best_params_ == {"digitclassifier__epochs": 12}
    members = [(str(seed), DigitClassifier("dense", seed=seed, **{**SETTINGS, "epochs": 2})) for seed in (0, 1)]
    voting = VotingClassifier(members, voting="soft").fit(images, labels)
    each = [member.predict_proba(images) for member in voting.estimators_]
    assert voting.predict_proba(images) == pytest.approx(np.mean(each, axis=0), abs=1e-6)


def test_a_pickle_holds_the_weights(data, fitted):
    loaded = pickle.loads(pickle.dumps(fitted))
    assert np.array_equal(loaded.predict_proba(data[0]), fitted.predict_proba(data[0]))
    assert loaded.get_params() == fitted.get_params() and loaded.history_.equals(fitted.history_)


@pytest.mark.slow
def test_a_pickle_predicts_in_another_process(data, fitted, tmp_path):
    np.save(tmp_path / "images.npy", data[0])
    (tmp_path / "classifier.pickle").write_bytes(pickle.dumps(fitted))
    code = (
        "import pickle, numpy as np\n"
        "classifier = pickle.load(open('classifier.pickle', 'rb'))\n"
        "np.save('found.npy', classifier.predict_proba(np.load('images.npy')))"
    )
    assert subprocess.run([sys.executable, "-c", code], cwd=tmp_path, timeout=120).returncode == 0
    assert np.load(tmp_path / "found.npy") == pytest.approx(fitted.predict_proba(data[0]), abs=1e-6)


def test_parameters_are_the_recipes_but_for_those_passed():
    classifier = DigitClassifier("narrow", epochs=3)
    assert classifier.get_params() == {"model": "narrow", "epochs": 3}
    assert classifier.set_params(seed=5, model="dense").get_params() == {"model": "dense", "epochs": 3, "seed": 5}
    assert "epochs=3" in repr(classifier) and "DigitClassifier" in classifier._repr_html_()
    with expect_error("config.field_unknown", column="lr"):
        classifier.set_params(lr=3)
    with pytest.raises(NotFittedError):
        classifier.predict(np.zeros((1, 784)))


@pytest.mark.parametrize(
    ("code", "settings", "change"),
    [
        ("estimator.setting", {"folds": 3}, lambda X, y: (X, y)),
        ("config.field_unknown", {"epocs": 3}, lambda X, y: (X, y)),
        ("table.label_count", {}, lambda X, y: (X, y[1:])),
        ("data.one_class", {}, lambda X, y: (X, y * 0)),
        ("models.unknown", {"model": "lenet"}, lambda X, y: (X, y)),
    ],
)
def test_what_it_cannot_be_trained_on_is_named(code, settings, change, data):
    with expect_error(code):
        DigitClassifier(**{"model": "dense", **settings}).fit(*change(*data))


def test_a_frozen_backbone_needs_no_test_rows(data):
    images, labels = (each[:20] for each in data)
    classifier = DigitClassifier("vgg16", weights="none", augmentation="none", epochs=1).fit(images, labels)
    assert classifier.predict_proba(images[:2]).shape[0] == 2


def test_pixels_from_0_to_1_are_read_as_those_from_0_to_255(fitted, data):
    with pytest.warns(UserWarning, match="255") as warned:
        scaled = fitted.predict_proba(data[0] / 255)
    assert warned[0].filename == __file__  # the reader's own line
    np.testing.assert_array_equal(scaled, fitted.predict_proba(data[0]))


def test_keras_callbacks_and_ones_own_models_are_taken(data):
    def build(input_shape, classes):
        inputs = keras.Input(input_shape)
        return keras.Model(inputs, keras.layers.Dense(classes, "softmax")(keras.layers.Flatten()(inputs)))

    losses = []
    callback = keras.callbacks.LambdaCallback(on_epoch_end=lambda epoch, logs: losses.append(logs["loss"]))
    classifier = DigitClassifier(build, **{**SETTINGS, "epochs": 2}).fit(*data, callbacks=callback)
    assert losses == pytest.approx(classifier.history_.loss.tolist())


@pytest.mark.parametrize("name", APPLICABLE)
def test_scikit_learns_checks_that_apply_to_images_pass(name):
    check = getattr(estimator_checks, name, None)
    if check is None:
        pytest.skip("this version of scikit-learn has no such check")
    check("DigitClassifier", DigitClassifier("dense"))
