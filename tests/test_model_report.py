import keras
import numpy as np
import pytest
from conftest import expect_error
from keras import layers

from digit_recognizer.reporting import embedding
from digit_recognizer.reporting.embedding import Examples, describe_embedding
from digit_recognizer.reporting.model_report import (
    Saliency,
    choose_saliency_rows,
    compute_saliency,
    describe_network,
    plot_predictions,
    plot_saliency,
    tabulate_outputs,
)
from digit_recognizer.reporting.network import open_network

RNG = np.random.default_rng(0)
LABELS = np.arange(40) % 4
IMAGES = RNG.integers(0, 60, (40, 28, 28, 1), dtype=np.uint8)
for image, label in zip(IMAGES, LABELS, strict=True):
    image[6 * label + 2 : 6 * label + 6] += 190
TITLES = [
    "Output vectors",
    "First-layer filters",
    "Effect of the filters on an image",
    "Feature maps",
    "Saliency",
    "Embedding",
]
PROBABILITIES = np.eye(4)[(LABELS + (np.arange(40) == 4)) % 4] * 0.6 + 0.1  # example 5 alone is wrong


def build_tiny(convolutions=2):
    keras.utils.set_random_seed(0)
    inputs = outputs = keras.Input((28, 28, 1))
    for number in range(convolutions):
        outputs = layers.Conv2D(3, 4, activation="relu", name=f"conv{number + 1}")(outputs)
    flat = layers.Flatten()(outputs if convolutions else inputs)
    outputs = layers.Dense(6, name="embedding")(flat)
    return keras.Model(inputs, layers.Dense(4, activation="softmax", name="probabilities")(outputs), name="tiny")


def find(sections, title):
    (section,) = [section for section in sections if section.title == title]
    return section


def name_examples(images=IMAGES, labels=LABELS):
    return Examples(images, labels, [f"example {row + 1}" for row in range(len(images))], "0123456789")


def describe(model, folder, count=40, labels=LABELS, **arguments):
    return describe_network(open_network(model), name_examples(labels=labels).take(range(count)), folder, **arguments)


@pytest.fixture(scope="module")
def trained():
    """A model without convolutions that has learned the stripes, and so is nearly always right."""
    model = build_tiny(convolutions=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(IMAGES.astype(np.float32) / 255, LABELS, epochs=8, verbose=0)
    return model


@pytest.fixture(scope="module")
def described(tmp_path_factory):
    folder = tmp_path_factory.mktemp("described")
    return describe(build_tiny(), folder), folder


def test_a_model_is_described_in_the_order_of_its_layers(described):
    sections, folder = described
    assert [section.title for section in sections] == TITLES
    figures = [figure for section in sections for figure in section.figures]
    assert sorted(figure.path for figure in figures) == sorted(folder.iterdir()) and len(figures) == 8
    assert all(figure.path.read_bytes().startswith(b"\x89PNG") and figure.caption for figure in figures)
    for section in sections:
        assert all(section.paragraphs) and len({len(row) for row in section.table}) <= 1


def test_the_same_model_and_images_give_the_same_text_numbers_and_figures(described, tmp_path):
    sections, folder = described
    again = describe(build_tiny(), tmp_path)
    assert [(s.title, s.paragraphs, s.table) for s in again] == [(s.title, s.paragraphs, s.table) for s in sections]
    for path in folder.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_opencv_and_the_model_agree(described):
    (sentence,) = find(described[0], "Effect of the filters on an image").paragraphs
    assert "truncated model agree" in sentence


def test_feature_maps_are_those_of_the_first_and_the_last_convolution(described):
    section = find(described[0], "Feature maps")
    assert [figure.path.name for figure in section.figures] == ["feature_maps_conv1.png", "feature_maps_conv2.png"]
    assert section.table[1][:3] == ("conv1", "Conv2D", "3 maps of 25 × 25")


def test_accuracy_is_that_of_the_model(trained, tmp_path):
    wrong = LABELS.copy()
    wrong[[1, 20]] = (wrong[[1, 20]] + 1) % 4
    right = (trained.predict(IMAGES.astype(np.float32) / 255, verbose=0).argmax(axis=1) == wrong).sum()
    sections = describe(trained, tmp_path, labels=wrong)
    outputs = find(sections, "Output vectors")
    assert f"{right} of 40 images are right ({100 * right / 40:.2f} %)" in outputs.paragraphs[0]
    assert outputs.table[2][3] == "wrong" and outputs.table[1][3] == "" and 36 <= right <= 38
    saliency = {row[0] for row in find(sections, "Saliency").table[1:]}
    assert saliency >= {f"example {number}" for number in (1, 3, 4, 2, 21)}


def test_a_model_without_convolutions_is_described_too(trained, tmp_path):
    sections = describe(trained, tmp_path)
    assert "has no convolution" in find(sections, "First-layer filters").paragraphs[0]
    assert [figure.path.name for figure in find(sections, "Feature maps").figures] == ["feature_maps_embedding.png"]
    assert "k-means" in find(sections, "Embedding").paragraphs[0]


def test_images_that_are_asked_for_are_not_counted(trained, tmp_path):
    sections = describe(trained, tmp_path, 30, asked=name_examples().take([35]))
    assert " of 30 images " in find(sections, "Output vectors").paragraphs[0]
    assert sum(int(row[1]) for row in find(sections, "Embedding").table[1:]) == 30
    assert [row[0] for row in find(sections, "Saliency").table[1:]] == ["example 36"]


def test_an_unknown_layer_is_refused_before_anything_is_drawn(tmp_path):
    with expect_error("report.layer", received="conv3"):
        describe(build_tiny(), tmp_path, layer="conv3")
    assert list(tmp_path.iterdir()) == []


def test_of_a_named_layer_alone_maps_are_drawn(tmp_path):
    section = find(describe(build_tiny(), tmp_path, 3, layer="embedding"), "Feature maps")
    assert section.figures[0].path.name == "feature_maps_embedding.png" and section.table[1][2] == "6 units"


def test_one_image_can_be_described(tmp_path):
    sections = describe(build_tiny(1), tmp_path, 1)
    assert [section.title for section in sections] == TITLES
    assert "too few images" in find(sections, "Embedding").paragraphs[0]


def test_new_classes_are_sorted_by_the_embedding_and_prototypes_are_named(described, trained, tmp_path):
    classes, names = ("alpha", "beta", "empty", "delta", "gamma"), [f"letter{number}.png" for number in range(40)]
    labels = LABELS + (LABELS > 1)
    network = open_network(trained)
    place, words = network.find_embedding()
    (vectors,) = network.compute([place], IMAGES)
    letters = Examples(IMAGES, labels, names, classes)
    section = describe_embedding(letters, vectors, words, tmp_path, new_classes=True)
    header, *rows = section.table
    assert [row[0] for row in rows] == ["alpha", "beta", "delta", "gamma"] and header[2] == "prototype"
    for row in rows:
        assert classes[labels[names.index(row[2])]] == row[0] and row[1] == "10"
    figures = {figure.path.name for figure in section.figures}
    assert figures == {path.name for path in tmp_path.iterdir()}
    assert not figures & {path.name for path in described[1].iterdir()}
    assert section.title not in TITLES


def test_a_model_whose_training_diverged_is_refused(tmp_path):
    model = build_tiny(1)
    model.set_weights([weight * np.nan for weight in model.get_weights()])
    network = open_network(model)
    with expect_error("report.diverged", received="tiny"):
        describe_network(network, name_examples().take([0, 1]), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_of_many_images_some_are_embedded_and_their_rows_match(monkeypatch, tmp_path):
    monkeypatch.setattr(embedding, "MAX_IMAGES", 8)
    calls, plot_distances = [], embedding.plot_distances

    def record(embedded, distances):
        calls.append(embedded)
        return plot_distances(embedded, distances)

    monkeypatch.setattr(embedding, "plot_distances", record)
    sections = describe(build_tiny(1), tmp_path)
    assert "8 of 40 images" in find(sections, "Embedding").paragraphs[0]
    assert " of 40 images " in find(sections, "Output vectors").paragraphs[0]
    (embedded,) = calls
    rows = [int(name.removeprefix("example ")) - 1 for name in embedded.names]
    assert np.array_equal(embedded.images, IMAGES[rows]) and np.array_equal(embedded.labels, LABELS[rows])


def test_saliency_is_of_the_first_right_rows_and_the_most_confident_errors():
    predicted, sure = np.array([1, 0, 1, 1, 0, 0, 1, 0]), np.array([0.9, 0.6, 0.7, 0.9, 0.8, 0.9, 0.9, 0.55])
    probabilities = np.where(np.arange(2) == predicted[:, None], sure[:, None], 1 - sure[:, None])
    labels = np.array([1, 1, 0, 1, 1, 0, 1, 1])  # rows 1, 2, 4 and 7 are wrong
    assert choose_saliency_rows(probabilities, labels) == [0, 3, 5, 4, 2, 1]


@pytest.fixture(scope="module")
def sees_one_corner():
    """A model of two classes; ink around row 5, column 23 speaks for the second."""
    inputs = keras.Input((28, 28, 1))
    model = keras.Model(inputs, layers.Dense(2, activation="softmax")(layers.Flatten()(inputs)))
    weights = np.zeros((28, 28, 2), np.float32)
    weights[4:7, 22:25, 1] = 1
    model.set_weights([weights.reshape(784, 2), np.array([0, -2], np.float32)])
    return open_network(model)


def find_lowest(found):
    return np.unravel_index(found.changes.argmin(), found.changes.shape)


def test_the_probability_drops_most_where_the_patch_covers_what_counts(sees_one_corner):
    image = np.zeros((28, 28, 1), np.uint8)
    image[4:7, 22:25] = 255
    found = compute_saliency(sees_one_corner.predict, image)
    assert (found.predicted, found.changes.shape) == (1, (14, 14))
    assert found.probability == pytest.approx(1 / (1 + np.exp(-7)), abs=1e-5)  # nine pixels of ink, less 2
    assert find_lowest(found) == (2, 11)  # cell 2 is centred on pixel 5, cell 11 on pixel 23
    grey = 1 / (1 + np.exp(-(9 * 128 / 255 - 2)))
    assert found.changes[2, 11] == pytest.approx(grey - found.probability, abs=1e-5)
    assert found.changes[10, 3] == 0  # the model does not use this place


def test_the_class_that_is_measured_is_the_prediction_without_a_patch(sees_one_corner):
    found = compute_saliency(sees_one_corner.predict, np.zeros((28, 28, 1), np.uint8))
    assert found.predicted == 0 and find_lowest(found) == (2, 11)  # grey there draws the ink of the other class
    assert found.changes.min() < -0.5 and found.changes.max() == 0


def test_changes_are_drawn_on_one_scale_with_zero_in_its_middle():
    first, second = (Saliency(1, 0.9, np.full((14, 14), change, np.float32)) for change in (-0.4, 0.1))
    figure = plot_saliency(IMAGES[:2], ["one", "two"], [first, second])
    panels = [axes for axes in figure.axes if axes.get_title()]
    assert [axes.get_title() for axes in panels] == ["one", "two"]
    assert [axes.images[0].get_clim() for axes in panels] == [pytest.approx((-0.4, 0.4))] * 2
    assert figure.axes[-1].get_xlabel() == "change in the probability of the prediction"


def test_tiny_changes_are_not_blown_up():
    same = Saliency(1, 0.9, np.full((14, 14), 1e-7, np.float32))
    figure = plot_saliency(np.zeros((1, 28, 28, 1), np.uint8), ["blank"], [same])
    assert figure.axes[0].images[0].get_clim() == (-0.01, 0.01)


def test_the_table_says_where_the_patch_takes_most(sees_one_corner, tmp_path):
    image = np.zeros((1, 28, 28, 1), np.uint8)
    image[:, 4:7, 22:25] = 255
    sections = describe_network(sees_one_corner, name_examples(image, np.array([1])), tmp_path)
    row = find(sections, "Saliency").table[1]
    assert row[:4] == ("example 1", "1", "0.999", "1") and row[5] == "23 px from the left, 5 px from the top"


def test_the_table_has_vectors_argmax_and_label_and_marks_errors():
    header, *rows = tabulate_outputs(name_examples(), PROBABILITIES)
    assert header == ("example", "argmax", "label", "", "P(0)", "P(1)", "P(2)", "P(3)")
    assert len(rows) == 10 and len(tabulate_outputs(name_examples().take([0, 1]), PROBABILITIES)) == 3
    assert rows[0] == ("example 1", "0", "0", "", "0.7000", "0.1000", "0.1000", "0.1000")
    assert rows[4][:4] == ("example 5", "1", "0", "wrong")
    assert [row[3] for row in rows].count("wrong") == 1


def test_ten_predictions_are_drawn_and_the_wrong_one_has_its_label():
    (axes,) = plot_predictions(name_examples(), PROBABILITIES).axes
    words = [text.get_text() for text in axes.texts]
    assert len(words) == 10 and words[0] == "example 1\n0, 0.70" and words[4] == "example 5\n0 → 1, 0.70"
    assert [" → " in text for text in words].count(True) == 1
    (axes,) = plot_predictions(name_examples().take([0, 1]), PROBABILITIES[:2]).axes
    assert len(axes.texts) == 2
