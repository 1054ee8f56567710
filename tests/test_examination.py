import json
import shutil

import numpy as np
import pytest
from conftest import write_run
from letter_pictures import STROKES, draw_sign
from matplotlib.figure import Figure

from digit_recognizer import examine as door
from digit_recognizer.data.augmentation import preprocess_images
from digit_recognizer.data.tables import load_train, pixels_to_images
from digit_recognizer.reporting import examination
from digit_recognizer.reporting import model_report as network
from digit_recognizer.reporting.held_out import read_examination
from digit_recognizer.reporting.html import Section
from digit_recognizer.reporting.model_report import load_letters

TITLES = [
    "How well it reads what it has not seen",
    "The data at a glance",
    "Loss and accuracy over the epochs",
    "Confusions",
    "Hardest rows and most confident errors",
    "Suspected label errors",
    "One net, looked into",
]


@pytest.fixture
def run(examined, tmp_path):
    """A copy of the small run, not examined yet."""
    return shutil.copytree(examined / "run", tmp_path / "run", ignore=shutil.ignore_patterns("examination"))


@pytest.fixture(autouse=True)
def undrawn(examined, monkeypatch):
    """Figures are files here, and no more: the small run's own are drawn, and each examination would take seconds."""
    monkeypatch.setattr(Figure, "savefig", lambda figure, path, **_: path.write_bytes(b"\x89PNG"))


@pytest.fixture
def shown(monkeypatch):
    """What the inside of a net was asked to show, in place of showing it."""
    calls = []

    def examine_network(model, images, labels, folder, **wanted):
        calls.append({"images": images, "labels": labels, **wanted})
        return [Section("Shown")]

    def examine_foreign_images(model, names, images, classes, folder):
        calls.append({"names": names, "images": images, "classes": classes})
        return [Section("Shown, too")]

    monkeypatch.setattr(network, "examine_network", examine_network)
    monkeypatch.setattr(network, "examine_foreign_images", examine_foreign_images)
    return calls


def examine(examined, run, *arguments):
    return door.main([str(run), "--input-dir", str(examined / "data"), *map(str, arguments)])


def read_files(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_examination_holds_every_part_and_every_figure_it_names(examined):
    folder = examined / "run" / "examination"
    found = read_examination(folder)
    titles = [section.title for section in found.sections]
    assert titles[: len(TITLES)] == TITLES and len(set(titles)) == len(titles) > len(TITLES) + 3
    figures = [figure for section in found.sections for figure in section.figures]
    assert all(figure.caption and figure.path.read_bytes().startswith(b"\x89PNG") for figure in figures)
    assert len({figure.path for figure in figures}) == len(figures)
    extra = {"examination.json", "label_errors.csv"}
    assert {path.name for path in folder.iterdir()} == {figure.path.name for figure in figures} | extra


def test_the_score_is_the_runs_own(examined):
    metrics = json.loads((examined / "run" / "metrics.json").read_text())
    score = read_examination(examined / "run" / "examination").score
    assert (score.accuracy, [score.low, score.high]) == (metrics["oof_accuracy"], metrics["oof_accuracy_interval"])
    assert (score.rows, score.all_rows) == (60, 60)


def test_a_net_is_shown_prepared_images_of_the_rows_that_it_never_saw(examined, run, shown):
    settings = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**settings, "preprocess": "deskew"}))
    held_out = np.flatnonzero(np.load(run / "folds.npy") == 1)
    train = load_train(examined / "data" / "train.csv")
    wanted = [held_out[4] + 1, held_out[2] + 1]
    assert examine(examined, run, "--fold", 2, "--layer", "some", "--row", *wanted) == 0
    (call,) = shown
    assert np.array_equal(call["images"], preprocess_images(pixels_to_images(train.pixels[held_out]), "deskew"))
    assert np.array_equal(call["labels"], train.labels[held_out])
    assert (call["layer"], call["saliency_rows"]) == ("some", [2, 4])
    (told,) = [s for s in read_examination(run / "examination").sections if s.title == "One net, looked into"]
    assert "fold1.safetensors of fold 2" in told.paragraphs[0] and "30 rows" in told.paragraphs[0]
    assert str(held_out[0] + 1) in told.paragraphs[1] and "deskew" in told.paragraphs[2]
    assert f"{wanted[1]} (example 3), {wanted[0]} (example 5)" in told.paragraphs[3]


def test_rows_that_the_net_was_fitted_on_come_last_and_are_told_of(examined, run, shown):
    folds = np.load(run / "folds.npy")
    fitted, unseen = np.flatnonzero(folds == 1)[0], np.flatnonzero(folds == 0)[3]
    assert examine(examined, run, "--row", fitted + 1, unseen + 1) == 0
    train = load_train(examined / "data" / "train.csv")
    (call,) = shown
    assert sorted(call["saliency_rows"]) == [3, 30]
    assert np.array_equal(call["images"][30].ravel(), train.pixels[fitted])
    told = " ".join(paragraph for s in read_examination(run / "examination").sections for paragraph in s.paragraphs)
    assert f"The net WAS FITTED on {fitted + 1}, which" in told
    assert f"Held out were {fitted + 1} in fold 2: --fold" in told


def test_letters_are_shown_by_file_and_folder(examined, run, shown):
    assert examine(examined, run, "--images", examined / "letters") == 0
    assert shown[1]["classes"] == ("corner",) * 3 + ("cross",) * 3
    assert shown[1]["names"][:2] == ("corner/corner0.png", "corner/corner1.png")
    assert shown[1]["images"].shape == (6, 28, 28, 1) and shown[1]["images"].dtype == np.uint8
    told = [paragraph for s in read_examination(run / "examination").sections for paragraph in s.paragraphs]
    assert any("sources.csv" in paragraph for paragraph in told)


def test_pictures_alone_are_of_one_class(tmp_path):
    folder = tmp_path / "signs"
    folder.mkdir()
    (folder / ".hidden").write_text("no picture")
    draw_sign(folder / "b.png", STROKES["cross"])
    draw_sign(folder / "a.png", STROKES["corner"])
    letters = load_letters(folder)
    assert (letters.names, letters.classes, letters.notes) == (("a.png", "b.png"), ("signs", "signs"), ())
    assert letters.images.any(axis=(1, 2, 3)).all()


def spoil(run, tmp_path, examined):
    """Command lines that ask for what is not there, by the words that say so."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "note.txt").write_text("no picture")
    return {
        "one of the folds": ["--fold", "3"],
        "1 to 60; received 61": ["--row", "1", "61"],
        "received 0": ["--row", "0"],
        "takes a folder of pictures": ["--images", str(tmp_path / "nowhere")],
        "holds none": ["--images", str(tmp_path / "empty")],
        "must be a PNG": ["--images", str(tmp_path / "broken")],
        "hold the same": ["--with", str(run)],
        "must be a run folder": ["--with", str(tmp_path / "empty")],
        "no_such_layer": ["--layer", "no_such_layer"],
        "deep breath": ["--layer", "deep breath"],
    }


def test_what_is_not_there_is_refused_in_one_line_and_leaves_nothing(examined, run, tmp_path, capsys):
    for words, arguments in spoil(run, tmp_path, examined).items():
        assert examine(examined, run, *arguments) == 2
        err = capsys.readouterr().err
        assert words in err and err.count("\n") == 1 and err.startswith("examine: ")
        assert not (run / "examination").exists()


def test_a_run_without_nets_says_so_and_shows_the_rest(examined, run, capsys):
    shutil.rmtree(run / "models")
    assert examine(examined, run) == 0
    assert "inside the net" in (out := capsys.readouterr().out) and "fold0.safetensors is missing" in out
    sections = read_examination(run / "examination").sections
    assert [section.title for section in sections] == TITLES and "Left out" in sections[-1].paragraphs[0]
    assert examine(examined, run, "--layer", "embedding") == 2
    assert "fold0.safetensors is missing" in capsys.readouterr().err


def test_a_model_that_cannot_be_loaded_is_reported(examined, run, capsys):
    (run / "models" / "fold0.safetensors").write_bytes(b"torn")
    assert examine(examined, run) == 0
    assert "left out: " in capsys.readouterr().out
    settings = json.loads((run / "config.json").read_text())
    del settings["preprocess"]
    (run / "config.json").write_text(json.dumps(settings))
    assert examine(examined, run, "--fold", 2) == 2
    assert "--preprocess" in capsys.readouterr().err


def test_a_stopped_examination_leaves_the_one_before(examined, run, shown, monkeypatch):
    shutil.copytree(examined / "run" / "examination", run / "examination")
    before = read_files(run / "examination")

    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(examination, "describe_label_errors", stop)
        assert examine(examined, run) == 130
    assert read_files(run / "examination") == before
    (run / "examination" / "mine.png").write_bytes(b"a stranger's")
    assert examine(examined, run) == 0
    after = {path.name for path in (run / "examination").iterdir()}
    assert "mine.png" in after and "samples.png" in after
    assert after - {"mine.png"} < set(before)  # what showed the inside of the net has gone with its section


def test_further_runs_are_heard_on_what_repeats(examined, run, tmp_path):
    labels = load_train(examined / "data" / "train.csv").labels
    others = []
    for number in range(2):
        oof = np.eye(10)[np.where(labels == 4, 9, labels)] * 0.9 + 0.01
        oof[number] = np.roll(oof[number], 1)
        others.append(write_run(tmp_path / f"other{number}", examined / "data", oof, np.full((20, 10), 0.1)))
    shutil.rmtree(run / "models")
    assert examine(examined, others[0], "--with", others[1], run, "--output", tmp_path / "out") == 0
    (told,) = [s for s in read_examination(tmp_path / "out").sections if s.title == "Confusions"]
    words = " ".join(told.paragraphs)
    assert "most of 4 models" in words and "all 3 runs" in words
    assert "4 in other0, fold 1; 4 in other1, fold 1" in words
    assert told.table[1][:2] == ("4", "9")
