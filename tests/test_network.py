import keras
import numpy as np
import pytest
from keras import layers

from digit_recognizer.errors import InputError
from digit_recognizer.reporting import embedding
from digit_recognizer.reporting import model_report as network
from digit_recognizer.reporting.model_report import Saliency, examine_foreign_images, examine_network

RNG = np.random.default_rng(0)
LABELS = np.arange(40) % 4
IMAGES = RNG.integers(0, 60, (40, 28, 28, 1), dtype=np.uint8)
for image, label in zip(IMAGES, LABELS, strict=True):
    image[6 * label + 2 : 6 * label + 6] += 190
TITLES = [
    "First-layer filters",
    "What the filters do to an image",
    "Feature maps",
    "Output vectors",
    "Saliency",
    "Embedding",
]


def build_tiny(convolutions=2):
    """Reads the stripe of each class: right on all images but those whose label is changed."""
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


@pytest.fixture(scope="module")
def fitted():
    """A net without convolutions that has learned the stripes, and so is nearly always right."""
    model = build_tiny(convolutions=0)
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(IMAGES.astype(np.float32) / 255, LABELS, epochs=8, verbose=0)
    return model


@pytest.fixture(scope="module")
def examined(tmp_path_factory):
    folder = tmp_path_factory.mktemp("examined")
    return examine_network(build_tiny(), IMAGES, LABELS, folder), folder


def test_an_examination_has_its_sections_in_the_order_of_the_way_through_the_net(examined):
    sections, _ = examined
    assert [section.title for section in sections] == TITLES
    assert all(section.paragraphs and all(section.paragraphs) for section in sections)


def test_every_figure_is_in_the_folder_once_and_has_a_caption_and_nothing_else_is_there(examined):
    sections, folder = examined
    figures = [figure for section in sections for figure in section.figures]
    assert sorted(figure.path for figure in figures) == sorted(folder.iterdir()) and len(figures) == 8
    assert all(figure.path.read_bytes().startswith(b"\x89PNG") for figure in figures)
    assert all(figure.caption.endswith(".") and len(figure.caption) > 20 for figure in figures)


def test_tables_have_rows_as_long_as_their_headers(examined):
    tables = [section.table for section in examined[0] if section.table]
    assert len(tables) == 3
    for header, *rows in tables:
        assert rows and {len(row) for row in rows} == {len(header)}


def test_the_same_net_and_images_give_the_same_words_numbers_and_figures(examined, tmp_path):
    sections, folder = examined
    again = examine_network(build_tiny(), IMAGES, LABELS, tmp_path)
    assert [(s.title, s.paragraphs, s.table) for s in again] == [(s.title, s.paragraphs, s.table) for s in sections]
    for path in folder.iterdir():
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()


def test_opencv_and_the_net_are_said_to_agree(examined):
    (words,) = find(examined[0], "What the filters do to an image").paragraphs
    assert "with the bias added, relu applied, the border cropped" in words
    assert "that is rounding, the two are the same" in words


def test_feature_maps_are_those_of_the_first_and_the_last_convolution(examined):
    names = [figure.path.name for figure in find(examined[0], "Feature maps").figures]
    assert names == ["feature_maps_conv1.png", "feature_maps_conv2.png"]


def test_accuracy_is_that_of_the_net(fitted, tmp_path):
    wrong = LABELS.copy()
    wrong[[1, 20]] = (wrong[[1, 20]] + 1) % 4
    right = (fitted.predict(IMAGES.astype(np.float32) / 255, verbose=0).argmax(axis=1) == wrong).sum()
    sections = examine_network(fitted, IMAGES, wrong, tmp_path)
    readings = find(sections, "Output vectors")
    assert f"Of 40 images it reads {right} rightly ({100 * right / 40:.2f} %)" in readings.paragraphs[0]
    assert readings.table[2][3] == "wrong" and readings.table[1][3] == "" and 36 <= right <= 38
    assert {row[0] for row in find(sections, "Saliency").table[1:]} >= {"1", "3", "4", "2", "21"}


def test_a_net_without_convolutions_is_examined_too(fitted, tmp_path):
    sections = examine_network(fitted, IMAGES, LABELS, tmp_path, saliency_rows=[39])
    assert "has no convolution" in find(sections, "First-layer filters").paragraphs[0]
    assert [figure.path.name for figure in find(sections, "Feature maps").figures] == ["feature_maps_embedding.png"]
    assert [row[0] for row in find(sections, "Saliency").table[1:]] == ["40"]
    words = " ".join(find(sections, "Embedding").paragraphs)
    assert "k-means, which is told nothing of classes, was asked for 4 clusters" in words


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"layer": "conv3"}, "conv1, conv2.*; received 'conv3'"),
        ({"saliency_rows": [0, 40]}, "0 to 39; received 40"),
        ({"saliency_rows": [-1]}, "0 to 39; received -1"),
    ],
)
def test_what_there_is_not_is_refused_before_anything_is_drawn(tmp_path, settings, message):
    with pytest.raises(InputError, match=message):
        examine_network(build_tiny(), IMAGES, LABELS, tmp_path, **settings)
    assert list(tmp_path.iterdir()) == []


def test_a_layer_named_is_the_only_one_whose_maps_are_drawn(tmp_path):
    sections = examine_network(build_tiny(), IMAGES[:3], LABELS[:3], tmp_path, layer="embedding")
    (figure,) = find(sections, "Feature maps").figures
    assert figure.path.name == "feature_maps_embedding.png" and "6 units" in figure.caption


def test_one_image_can_be_examined(tmp_path):
    sections = examine_network(build_tiny(1), IMAGES[:1], LABELS[:1], tmp_path)
    assert [section.title for section in sections] == TITLES
    words = " ".join(find(sections, "Embedding").paragraphs)
    assert "t-SNE was left out" in words and "nothing to measure" in words and "k-means was left out" in words


def test_images_of_new_classes_are_sorted_by_the_embedding_and_prototypes_are_named(fitted, tmp_path):
    names = [f"letter{number}.png" for number in range(40)]
    classes = [("beta", "alpha", "delta", "gamma")[label] for label in LABELS]
    (section,) = examine_foreign_images(fitted, names, IMAGES, classes, tmp_path)
    header, *rows = section.table
    assert [row[0] for row in rows] == ["alpha", "beta", "delta", "gamma"] and header[2] == "prototype"
    for row in rows:
        assert classes[names.index(row[2])] == row[0] and row[1] == "10"
    assert {figure.path.name for figure in section.figures} == {path.name for path in tmp_path.iterdir()}
    assert "alpha, beta, delta, gamma" in section.figures[0].caption and "drawn small" in section.figures[0].caption


def test_digits_and_letters_go_into_one_folder_without_meeting(examined, fitted, tmp_path):
    (section,) = examine_foreign_images(fitted, ["a.png", "b.png"], IMAGES[:2], ["alpha", "alpha"], tmp_path)
    taken = {path.name for path in examined[1].iterdir()}
    assert not taken & {figure.path.name for figure in section.figures}
    assert section.title not in TITLES and "There is one class only" in " ".join(section.paragraphs)


def test_a_net_that_tells_no_image_from_another_can_be_examined(tmp_path):
    model = build_tiny(1)
    model.set_weights([np.zeros_like(weight) for weight in model.get_weights()])
    sections = examine_network(model, IMAGES[:12], LABELS[:12], tmp_path)
    words = " ".join(find(sections, "Embedding").paragraphs)
    assert "6 of these numbers are the same for every image" in words and "have a mean SSD of 0," in words
    assert "3 of 3 filters give nothing above 0" in sections[1].paragraphs[0]


def test_a_net_whose_training_went_astray_is_refused(tmp_path):
    model = build_tiny(1)
    model.set_weights([weight * np.nan for weight in model.get_weights()])
    with pytest.raises(InputError, match="tiny must answer with numbers"):
        examine_network(model, IMAGES[:2], LABELS[:2], tmp_path)
    with pytest.raises(InputError, match="tiny must answer with numbers"):
        examine_foreign_images(model, ["a.png"], IMAGES[:1], ["alpha"], tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_of_more_than_two_thousand_images_it_is_said_how_they_were_chosen(monkeypatch, tmp_path):
    monkeypatch.setattr(embedding, "MOST_IMAGES", 8)
    drawn, describe = [], network.describe_embedding

    def note(*given, **more):
        drawn.extend(given)
        return describe(*given, **more)

    monkeypatch.setattr(network, "describe_embedding", note)
    sections = examine_network(build_tiny(1), IMAGES, LABELS, tmp_path)
    assert "8 of 40 images, drawn by seed 0" in find(sections, "Embedding").paragraphs[0]
    assert "Of 40 images it reads" in find(sections, "Output vectors").paragraphs[0]
    assert sum(int(row[1]) for row in find(sections, "Embedding").table[1:]) == 8
    _, images, names, classes, *_ = drawn
    rows = [int(name.removeprefix("example ")) - 1 for name in names]
    assert np.array_equal(images, IMAGES[rows]) and np.array_equal(classes, LABELS[rows]) and rows != list(range(8))


def test_saliency_is_shown_of_the_first_right_examples_and_the_wrong_ones_that_the_net_is_surest_of():
    read, sure = np.array([1, 0, 1, 1, 0, 0, 1, 0]), [0.9, 0.6, 0.7, 0.9, 0.8, 0.9, 0.9, 0.55]
    probabilities = np.where(np.arange(2) == read[:, None], np.array(sure)[:, None], 1 - np.array(sure)[:, None])
    labels = np.array([1, 1, 0, 1, 1, 0, 1, 1])  # rows 1, 2, 4 and 7 are read wrongly
    assert network._choose_saliency_rows(probabilities, labels) == [0, 3, 5, 4, 2, 1]


def test_the_table_says_where_the_patch_takes_most():
    changes = np.full((14, 14), 0.02, np.float32)
    changes[2, 11] = -0.5
    _, row = network._tabulate_saliency([6], np.arange(9), (28, 28), [Saliency(3, 0.75, changes, 5)])
    assert row == ("7", "3", "0.750", "6", "0.500", "23 px from the left, 5 px from the top", "0.020")
