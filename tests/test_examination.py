import json
import shutil

import numpy as np
import pytest
from conftest import expect_error, write_run
from letter_pictures import STROKES, draw_sign
from matplotlib.figure import Figure

from digit_recognizer import examine as door
from digit_recognizer.data.augmentation import preprocess_images
from digit_recognizer.data.dataset import load_train, pixels_to_images
from digit_recognizer.reporting import examination as module
from digit_recognizer.reporting import model_report
from digit_recognizer.reporting.examination import examine_run
from digit_recognizer.reporting.html import Section
from digit_recognizer.reporting.model_report import ModelRequest, load_letters

TITLES = [
    "Score",
    "Calibration",
    "Learning curves",
    "Confusions",
    "Hardest rows and most confident errors",
    "Suspected label errors",
    "Predicted classes of the test set",
    "Least certain test digits",
    "Data",
    "One model",
]


@pytest.fixture
def run(examined, tmp_path):
    """A copy of the small run, not examined yet."""
    return shutil.copytree(examined / "run", tmp_path / "run", ignore=shutil.ignore_patterns("examination"))


@pytest.fixture(autouse=True)
def undrawn(examined, monkeypatch):
    """Figures are empty files here: drawing them would take seconds in each test."""
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: path.write_bytes(b"\x89PNG"))


@pytest.fixture
def shown(monkeypatch):
    """What a model was shown, in place of describing it."""
    calls = []

    def describe_network(network, examples, folder, layer, asked):
        calls.append((examples, layer, asked))
        return [Section("Shown")]

    def describe_embedding(letters, vectors, place, folder, *, new_classes):
        calls.append((letters, vectors, new_classes))
        return Section("Shown, too")

    monkeypatch.setattr(model_report, "describe_network", describe_network)
    monkeypatch.setattr(model_report, "describe_embedding", describe_embedding)
    return calls


def examine(examined, run, *arguments):
    return door.main([str(run), "--input-dir", str(examined / "data"), *map(str, arguments)])


def read_files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_examination_holds_every_part_and_every_figure_it_names(examined, examination):
    folder = examined / "run" / "examination"
    titles = [section.title for section in examination.sections]
    assert titles[: len(TITLES)] == TITLES and len(set(titles)) == len(titles) > len(TITLES) + 3
    figures = [figure for section in examination.sections for figure in section.figures]
    assert all(figure.caption and figure.path.read_bytes().startswith(b"\x89PNG") for figure in figures)
    assert len({figure.path for figure in figures}) == len(figures)
    assert set(folder.iterdir()) == {figure.path for figure in figures} | {folder / "label_errors.csv"}


def test_the_score_is_the_runs_own(examined, examination):
    metrics, score = json.loads((examined / "run" / "metrics.json").read_text()), examination.run.score
    assert score.oof_accuracy == metrics["oof_accuracy"]
    assert list(score.oof_accuracy_interval) == metrics["oof_accuracy_interval"]
    assert examination.run.held_out.sum() == 60


def find_section(found, title):
    (section,) = [section for section in found.sections if section.title == title]
    return section


def test_a_model_is_shown_preprocessed_images_of_its_held_out_rows(examined, run, shown):
    settings = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**settings, "preprocess": "deskew"}))
    held_out = np.flatnonzero(np.load(run / "folds.npy") == 1)
    train = load_train(examined / "data" / "train.csv")
    request = ModelRequest(1, "some", [int(held_out[4]) + 1, int(held_out[2]) + 1])
    found = examine_run(run, examined / "data", request=request)
    ((examples, layer, asked),) = shown
    assert np.array_equal(examples.images, preprocess_images(pixels_to_images(train.pixels[held_out]), "deskew"))
    assert np.array_equal(examples.labels, train.labels[held_out])
    rows = [f"row {held_out[place] + 1}" for place in (2, 4)]
    assert (layer, asked.names, len(examples.images)) == ("some", rows, len(held_out))
    text = find_section(found, "One model").paragraphs[0]
    assert "fold 1" in text and "30 held-out rows" in text and "deskew" in text


def test_rows_that_the_model_was_trained_on_are_marked(examined, run, shown):
    folds = np.load(run / "folds.npy")
    trained_on, held_out = np.flatnonzero(folds == 1)[0], np.flatnonzero(folds == 0)[3]
    found = examine_run(run, examined / "data", request=ModelRequest(row=[trained_on + 1, held_out + 1]))
    train = load_train(examined / "data" / "train.csv")
    ((examples, _, asked),) = shown
    assert set(asked.names) == {f"row {trained_on + 1}", f"row {held_out + 1}"} and len(examples.images) == 30
    image = asked.images[asked.names.index(f"row {trained_on + 1}")]
    assert np.array_equal(image.ravel(), train.pixels[trained_on])
    marked = f"WAS TRAINED on row {trained_on + 1}; fold 1 held it out"
    assert marked in find_section(found, "One model").paragraphs[0]


def test_letters_are_shown_by_file_and_folder(examined, run, shown):
    assert examine(examined, run, "--images", examined / "letters") == 0
    letters, vectors, new_classes = shown[1]
    assert letters.class_names == ("corner", "cross") and letters.labels.tolist() == [0] * 3 + [1] * 3
    assert (
        len(vectors) == 6 and new_classes and tuple(letters.names[:2]) == ("corner/corner0.png", "corner/corner1.png")
    )
    assert letters.images.shape == (6, 28, 28, 1) and letters.images.dtype == np.uint8


def test_pictures_alone_are_of_one_class(tmp_path):
    folder = tmp_path / "signs"
    folder.mkdir()
    (folder / ".hidden").write_text("no picture")
    draw_sign(folder / "b.png", STROKES["cross"])
    draw_sign(folder / "a.png", STROKES["corner"])
    letters = load_letters(folder)
    assert letters.names == ["a.png", "b.png"] and letters.class_names == ("signs",) and not letters.labels.any()
    assert letters.images.any(axis=(1, 2, 3)).all()


@pytest.mark.parametrize(
    ("code", "arguments"),
    [
        ("report.fold", ["--fold", "2"]),
        ("report.row", ["--row", "1", "61"]),
        ("report.row", ["--row", "0"]),
        ("report.no_pictures", ["--images", "nowhere"]),
        ("report.no_pictures", ["--images", "empty"]),
        ("report.same_predictions", ["--with", "run"]),
        ("report.layer", ["--layer", "deep breath"]),
        ("report.layer", ["--output", "new/folder", "--layer", "none"]),
        ("report.output_folder", ["--output", "run"]),  # which holds files, but no examination
    ],
)
def test_what_is_not_there_is_refused_and_leaves_nothing(examined, run, tmp_path, code, arguments):
    (tmp_path / "empty").mkdir()
    with expect_error(code):
        examine(examined, run, *arguments, "--debug")
    assert not (run / "examination").exists() and not (tmp_path / "new").exists()


def test_data_that_the_run_names_and_that_is_elsewhere_can_be_passed(run):
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "input_dir": "gone"}))
    for arguments, remedied in (([], True), (["--input-dir", "gone"], False)):
        with expect_error("data.missing", path="gone/train.csv") as caught:
            door.main([str(run), *arguments, "--debug"])
        assert ("--input-dir" in caught.value.remedy) == remedied


def test_a_run_without_models_shows_the_rest(examined, run):
    shutil.rmtree(run / "models")
    found = examine_run(run, examined / "data")
    assert "left out: " in str(found)
    sections = found.sections
    assert [section.title for section in sections] == TITLES and "left out" in sections[-1].paragraphs[0]
    assert examine(examined, run, "--layer", "embedding") == 2  # asked for, so not left out


def test_a_model_that_cannot_be_loaded_is_left_out_unless_asked_for(examined, run, capsys):
    (run / "models" / "fold0.safetensors").write_bytes(b"torn")
    assert examine(examined, run) == 0
    assert "left out: " in capsys.readouterr().out
    settings = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**settings, "preprocess": "unknown"}))
    assert examine(examined, run, "--fold", 1) == 2


def test_a_stopped_examination_leaves_the_one_before(examined, run, shown, monkeypatch):
    shutil.copytree(examined / "run" / "examination", run / "examination")
    before = read_files(run / "examination")

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(module, "describe_label_errors", stop)
        assert examine(examined, run) == 130
    assert read_files(run / "examination") == before
    (run / "examination" / "mine.png").write_bytes(b"a stranger's")
    assert examine(examined, run) == 0
    after = {path.name for path in (run / "examination").iterdir()}
    assert "mine.png" in after and "samples.png" in after
    assert after - {"mine.png"} < set(before)  # what showed the model has gone with its section


def test_further_runs_count_where_confusions_repeat(examined, run, tmp_path):
    labels = load_train(examined / "data" / "train.csv").labels
    others = []
    for number in range(2):
        oof = np.eye(10)[np.where(labels == 4, 9, labels)] * 0.9 + 0.01
        oof[number] = np.roll(oof[number], 1)
        others.append(write_run(tmp_path / f"version{number}" / "run", examined / "data", oof, np.full((20, 10), 0.1)))
    shutil.rmtree(run / "models")
    section = find_section(examine_run(others[0], examined / "data", others=[others[1], run]), "Confusions")
    words = section.paragraphs[0]
    assert "most of 4 models" in words
    assert f"4 in {others[0]}, fold 0; 4 in {others[1]}, fold 0" in words
    assert section.table[1][:2] == ("4", "9")
    fours = int((labels == 4).sum())
    assert f"4 as 9 ({fours} rows)" in section.figures[0].alt  # the matrix is of the first run,
    assert section.table[1][2] == str(2 * fours) and "all 3 runs" in words  # the table of all


def test_an_unforeseen_error_in_confusions_or_model_costs_that_section(examined, run, monkeypatch):
    def fail(*_):
        raise IndexError("nobody foresaw that")

    monkeypatch.setattr(module, "describe_confusions", fail)
    monkeypatch.setattr(module, "describe_model", fail)
    found = examine_run(run, examined / "data")
    left_out = [one.title for one in found.sections if one.paragraphs and "nobody foresaw" in one.paragraphs[0]]
    assert left_out == ["Confusions", "One model"] and (run / "examination" / "label_errors.csv").exists()
    assert str(found).count("left out") == 2
