"""`predict`: from pictures to digits, the files it leaves, and what it refuses."""

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import expect_error, write_table, write_tiny_data
from paper import CELL_PX, write_page
from PIL import Image

from digit_recognizer import cv
from digit_recognizer.competition.submissions import load_submission
from digit_recognizer.data.dataset import load_test
from digit_recognizer.data.labels import FASHION
from digit_recognizer.data.sources import build_sample
from digit_recognizer.io import read_json, write_json
from digit_recognizer.models import _packaged
from digit_recognizer.predict import main as predict_command
from digit_recognizer.vision import recognition
from digit_recognizer.vision.recognition import (
    Classifier,
    GlyphPrediction,
    PicturePrediction,
    draw_annotation,
    format_picture,
    load_classifier,
    predict,
    predict_pictures,
    write_annotation,
)
from digit_recognizer.vision.segment import Glyph

NO_DIGIT = 10  # the column after those of the digits


@pytest.fixture(scope="module")
def sample():
    return build_sample()


@pytest.fixture
def page(tmp_path, sample):
    return write_page(tmp_path / "page.png", sample.test_pixels[:12].reshape(-1, 28, 28))


@pytest.fixture(scope="module")
def classifier():
    return load_classifier(None)


def make_probabilities(digit: int, probability: float = 1.0) -> np.ndarray:
    """Probabilities of ten digits and no digit."""
    made = np.full(NO_DIGIT + 1, (1 - probability) / NO_DIGIT)
    made[digit] = probability
    return made


def run(*arguments) -> int:
    return predict_command([str(argument) for argument in arguments])


class FakeModel:
    """A model whose probabilities depend on nothing but the number of columns that hold ink."""

    def __init__(self, classify):
        self.classify = classify

    def predict_on_batch(self, images):
        widths = (images[..., 0] > 0.2).any(axis=1).sum(axis=1)
        return np.stack([self.classify(int(width)) for width in widths]).astype(np.float32)


def test_a_page_is_classified_line_by_line_from_left_to_right(page, classifier, sample):
    (picture,) = predict_pictures([page], classifier)
    digits = [glyph.digit for glyph in picture.glyphs]
    assert len(digits) == 12
    assert sum(one == other for one, other in zip(digits, sample.test_labels[:12].tolist(), strict=True)) >= 11


def test_the_packaged_model_separates_digits_from_what_is_none(classifier, sample):
    images = sample.test_pixels[:300].reshape(-1, 28, 28, 1)
    probabilities = classifier.predict(images)
    assert probabilities.dtype == np.float32 and probabilities.shape == (300, 11)
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (probabilities.argmax(axis=1) == sample.test_labels[:300]).mean() > 0.9
    bars = np.zeros((1, 28, 28, 1), np.uint8)
    bars[:, 13:16, 4:24] = 255  # a dash
    assert classifier.predict(bars).argmax() == NO_DIGIT


def test_its_file_is_small_and_matches_its_model_card():
    facts = _packaged.read_facts(_packaged.CLASSIFIER_WEIGHTS)
    card = _packaged.WEIGHTS.with_name("MODEL_CARD.md").read_text()
    assert _packaged.CLASSIFIER_WEIGHTS.stat().st_size <= 2_000_000
    assert facts["commit"] in card and facts["command"] in card
    assert f"{facts['held_out_accuracy']} on {int(facts['held_out_rows']):,} rows" in card
    assert facts["made_digits_accuracy"] in card and facts["others_accuracy"] in card


@pytest.mark.parametrize(
    ("probabilities", "verdict", "digit"),
    [
        (make_probabilities(7), "digit", 7),
        (make_probabilities(7, 0.59), "unsure", None),
        (make_probabilities(NO_DIGIT, 0.9), "no digit", None),
    ],
)
def test_a_digit_counts_only_where_it_is_sure(probabilities, verdict, digit):
    glyph = GlyphPrediction(Glyph(np.ones((2, 2), np.float32), 0, 0, 2, 2), probabilities)
    assert (glyph.verdict, glyph.digit) == (verdict, digit)


def test_a_glyph_that_is_no_digit_is_split_where_both_halves_are(tmp_path):
    """Two bars that a thin line ties together: whole they are wide, alone they are narrow."""
    page = np.full((200, 200), 255, np.uint8)
    page[40:160, 50:62] = page[40:160, 130:142] = page[98:102, 62:130] = 0
    Image.fromarray(page).save(tmp_path / "tied.png")
    model = FakeModel(lambda width: make_probabilities(1) if width < 14 else make_probabilities(NO_DIGIT))
    (picture,) = predict_pictures([tmp_path / "tied.png"], Classifier((model,)))
    assert [glyph.digit for glyph in picture.glyphs] == [1, 1]
    left, right = (glyph.glyph for glyph in picture.glyphs)
    assert left.x + left.width <= right.x + 1


def test_a_wide_glyph_is_split_in_three_where_two_are_no_digit(tmp_path):
    """Three bars on one line: two of them are as wide as a digit that the model does not know."""
    page = np.full((200, 400), 255, np.uint8)
    page[40:160, 50:62] = page[40:160, 137:149] = page[40:160, 224:236] = page[156:160, 62:224] = 0
    Image.fromarray(page).save(tmp_path / "tied.png")
    model = FakeModel(lambda width: make_probabilities(1) if width < 15 else make_probabilities(NO_DIGIT))
    (picture,) = predict_pictures([tmp_path / "tied.png"], Classifier((model,)))
    assert [glyph.digit for glyph in picture.glyphs] == [1, 1, 1]


def test_neighbours_that_are_no_digits_are_joined_where_they_make_one(tmp_path):
    page = np.full((200, 200), 255, np.uint8)
    page[40:160, 70:82] = page[40:160, 105:117] = 0
    Image.fromarray(page).save(tmp_path / "broken.png")
    model = FakeModel(lambda width: make_probabilities(0) if width > 6 else make_probabilities(NO_DIGIT))
    (picture,) = predict_pictures([tmp_path / "broken.png"], Classifier((model,)))
    assert [glyph.digit for glyph in picture.glyphs] == [0]
    assert picture.glyphs[0].glyph.width == pytest.approx(47, abs=4)


def test_halves_above_each_other_are_joined_on_the_line_of_their_neighbours(tmp_path):
    page = np.full((200, 260), 255, np.uint8)
    page[40:160, 60:72] = page[40:160, 180:192] = 0
    page[40:93, 120:132] = page[107:160, 120:132] = 0  # the second of three bars is broken
    Image.fromarray(page).save(tmp_path / "broken.png")
    model = FakeModel(lambda width: make_probabilities(1) if width < 5 else make_probabilities(NO_DIGIT))
    (picture,) = predict_pictures([tmp_path / "broken.png"], Classifier((model,)))
    assert [glyph.digit for glyph in picture.glyphs] == [1, 1, 1]
    assert [glyph.glyph.height for glyph in picture.glyphs] == pytest.approx([120] * 3, abs=4)


def test_an_underlined_digit_is_not_joined_with_the_line_below_it(tmp_path):
    page = np.full((240, 260), 255, np.uint8)
    page[40:160, 60:72] = page[40:160, 120:132] = page[40:160, 180:192] = page[185:195, 105:147] = 0
    Image.fromarray(page).save(tmp_path / "underlined.png")
    verdicts = {True: make_probabilities(1), False: make_probabilities(NO_DIGIT)}
    model = FakeModel(lambda width: make_probabilities(2) if 5 <= width < 15 else verdicts[width < 5])
    (picture,) = predict_pictures([tmp_path / "underlined.png"], Classifier((model,)))
    assert [glyph.digit for glyph in picture.glyphs] == [1, 1, 1, None]


def test_what_can_be_neither_split_nor_joined_stays_no_digit(tmp_path):
    page = np.full((200, 200), 255, np.uint8)
    page[90:110, 30:170] = 0
    Image.fromarray(page).save(tmp_path / "dash.png")
    (picture,) = predict_pictures(
        [tmp_path / "dash.png"], Classifier((FakeModel(lambda width: make_probabilities(NO_DIGIT)),))
    )
    assert [glyph.verdict for glyph in picture.glyphs] == ["no digit"]
    assert "no digit" in format_picture(picture)[0]


def test_several_models_are_averaged_and_images_preprocessed_as_in_their_run():
    images = np.zeros((1, 28, 28, 1), np.uint8)
    images[0, 4:24, 13:15] = 255  # a bar, which widening makes a block
    models = (FakeModel(lambda width: make_probabilities(1)), FakeModel(lambda width: make_probabilities(width % 10)))
    plain = Classifier(models, ("none", "none")).predict(images)
    widened = Classifier(models, ("widen", "widen")).predict(images)
    assert plain.sum() == pytest.approx(1) and plain[0, 1] == pytest.approx(0.5) and plain[0, 2] == pytest.approx(0.5)
    assert widened[0, 2] == pytest.approx(0, abs=1e-6) and widened[0, 1] >= 0.5


def test_only_the_first_glyphs_of_a_picture_are_classified(tmp_path, monkeypatch):
    monkeypatch.setattr(recognition, "MAX_GLYPHS", 3)
    page = np.full((200, 400), 255, np.uint8)
    for left in range(20, 380, 60):
        page[60:140, left : left + 10] = 0
    Image.fromarray(page).save(tmp_path / "bars.png")
    (found,) = predict_pictures([tmp_path / "bars.png"], Classifier((FakeModel(lambda width: make_probabilities(1)),)))
    assert len(found.glyphs) == 3
    assert found.notes == ("only the first 3 of its 6 glyphs are read",)


def test_small_glyphs_are_kept_only_where_they_are_digits(tmp_path):
    page = np.full((300, 300), 255, np.uint8)
    page[40:260, 100:120] = 0  # a large bar
    page[200:240, 200:204] = 0  # a small one
    page[225:245, 240:260] = 0  # and a blot
    Image.fromarray(page).save(tmp_path / "sizes.png")
    model = FakeModel(lambda width: make_probabilities(1) if width < 8 else make_probabilities(NO_DIGIT))
    (found,) = predict_pictures([tmp_path / "sizes.png"], Classifier((model,)))
    assert [glyph.digit for glyph in found.glyphs] == [1, 1]


def test_the_command_writes_a_row_per_glyph_and_a_picture_with_boxes(page, tmp_path, capsys):
    blank = tmp_path / "blank.png"
    Image.new("L", (60, 40), 255).save(blank)
    assert run(page, blank, "--output", "glyphs.csv", "--show", "shown.png") == 0
    with Path("glyphs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "digit", "probability", "x", "y", "width", "height"]
    assert [row["file"] for row in rows] == [str(page)] * 12 + [str(blank)]
    line, *_ = capsys.readouterr().out.partition("  (12 glyphs")
    marks = line.split(": ")[1].replace(" / ", " ").replace("?", "-").split()
    assert marks == [row["digit"] or "-" for row in rows[:12]]
    for number, row in enumerate(rows[:12]):
        assert abs(int(row["x"]) + int(row["width"]) / 2 - (number % 4 + 0.5) * CELL_PX) < CELL_PX / 2
        assert abs(int(row["y"]) + int(row["height"]) / 2 - (number // 4 + 0.5) * CELL_PX) < CELL_PX / 2
        assert 0 <= float(row["probability"]) <= 1 and int(row["width"]) > 3 and int(row["height"]) > 20
    assert list(rows[12].values())[1:] == [""] * 6
    with Image.open("shown.png") as shown:
        colours = {colour for _, colour in shown.convert("RGB").getcolors(1 << 24)}
    assert (0x0B, 0x5F, 0xA5) in colours


def test_from_python_digits_are_a_table(page, tmp_path, sample):
    Image.new("L", (60, 40), 255).save(tmp_path / "blank.png")
    table = predict([page, tmp_path / "blank.png"])
    assert list(table) == ["file", "digit", "probability", "x", "y", "width", "height"]
    right = [digit == str(label) for digit, label in zip(table["digit"], sample.test_labels[:12], strict=False)]
    assert len(table) == 13 and sum(right) >= 11
    assert table.iloc[12].isna().tolist() == [False] + [True] * 6


def test_a_note_stands_below_what_it_may_explain(tmp_path, capsys):
    white_ink = Image.new("RGBA", (60, 40), (255, 255, 255, 0))
    white_ink.paste("white", (10, 10, 14, 30))
    white_ink.save(tmp_path / "white.png")
    assert run(tmp_path / "white.png") == 0
    first, note = capsys.readouterr().out.splitlines()
    assert ": 1  (1 " in first and note == "    note: its transparent parts are taken as black"


@pytest.mark.parametrize("ending", ["png", "jpg", "webp"])
def test_a_box_is_drawn_around_its_glyph_with_its_digit(ending, tmp_path):
    glyph = Glyph(np.ones((2, 2), np.float32), x=300, y=20, width=50, height=60)
    found = (GlyphPrediction(glyph, make_probabilities(3)),)
    picture = PicturePrediction(tmp_path / "$3.png", found)
    Image.new("L", (400, 100), 255).save(picture.path)
    (axes,) = draw_annotation([picture]).axes
    assert axes.patches[0].get_bbox().bounds == (300, 20, 50, 60)
    assert [text.get_text() for text in axes.texts] == ["3"]
    assert write_annotation([picture], tmp_path / f"shown.{ending}") == 1
    with Image.open(tmp_path / f"shown.{ending}") as shown:
        assert min(shown.size) > 200


def test_a_picture_that_cannot_be_read_does_not_stop_others(page, tmp_path, capsys):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with expect_error("predict.unread", received=1):
        run(page, tmp_path / "bad.png", "--output", "glyphs.csv", "--debug")
    shown = capsys.readouterr().out
    assert "(12 glyphs" in shown and f"{tmp_path / 'bad.png'}: not read" in shown
    with Path("glyphs.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 12


def test_of_a_folder_everything_is_read_named_or_counted(page, tmp_path, capsys, monkeypatch):
    (tmp_path / "scans").mkdir()
    for number in range(2):
        shutil.copy(page, tmp_path / "scans" / f"{number}.png")
    (tmp_path / "scans" / "IMG_2.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    (tmp_path / "scans" / "film.mov").touch()
    (tmp_path / "scans" / "Thumbs.db").touch()
    find = recognition.find_glyphs
    failing = iter([False, True])

    def fail(ink):
        if next(failing):
            raise IndexError("nobody foresaw that")
        return find(ink)

    monkeypatch.setattr(recognition, "find_glyphs", fail)
    assert run(tmp_path / "scans", "--output", "glyphs.csv") == 1  # a defect
    shown = capsys.readouterr()
    assert "film.mov" in shown.out and "Thumbs.db" not in shown.out and "Traceback" not in shown.err
    assert "IMG_2.HEIC: not read" in shown.out and "IndexError: nobody foresaw that" in shown.out
    with Path("glyphs.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 12


def test_an_error_while_glyphs_are_classified_costs_its_picture(page, tmp_path, monkeypatch, classifier):
    shutil.copy(page, tmp_path / "second.png")
    mend = recognition._classify_and_mend

    def fail(pictures, one):
        if len(pictures) > 1 or not fail.called:
            fail.called = len(pictures) == 1
            raise IndexError("nobody foresaw that")
        return mend(pictures, one)

    fail.called = False
    monkeypatch.setattr(recognition, "_classify_and_mend", fail)
    first, second = predict_pictures([page, tmp_path / "second.png"], classifier)
    assert first.error.code == "cli.unforeseen" and first.error.path == page
    assert second.error is None and len(second.glyphs) == 12


def test_an_error_while_a_page_is_turned_costs_the_turning(page, tmp_path, monkeypatch, classifier):
    def fail(*_):
        raise IndexError("nobody foresaw that")

    monkeypatch.setattr(recognition, "_turn_page", fail)
    (found,) = predict_pictures([page], classifier)
    assert found.error is None and len(found.glyphs) == 12 and "IndexError" in found.notes[-1]


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        ((), "predict.nothing"),
        (("empty",), "predict.no_pictures"),
        (("page.png", "--output", "page.png"), "submission.exists"),
        (("page.png", "--show", "shown.gif"), "predict.show_suffix"),
        (("page.png", "--show", "page.png"), "submission.exists"),
        (("page.png", "--csv", "test.csv"), "predict.table_and_pictures"),
        (("--csv", "test.csv"), "predict.table_needs_run"),
        (("--csv", "test.csv", "--classifier", "model"), "predict.no_transfer"),
        (("--csv", "test.csv", "--run", "none"), "predict.table_needs_output"),
        (("page.png", "--output", "page.png/x.csv"), "io.unwritable_folder"),
        (("nothing.png",), "io.missing"),
    ],
)
def test_an_impossible_command_is_refused_and_nothing_is_written(arguments, code, page, tmp_path):
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.iterdir())
    with expect_error(code):
        run(*arguments, "--debug")
    assert sorted(tmp_path.iterdir()) == before


def test_a_mistake_is_one_line_and_exit_code_2(capsys):
    assert run("nothing.png") == 2
    assert capsys.readouterr().err.count("\n") == 1


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a small finished `run` and its `data`. Never write to it."""
    folder = tmp_path_factory.mktemp("trained")
    write_tiny_data(folder / "data")
    arguments = ["--model", "dense", "--input-dir", str(folder / "data"), "--folds", "2", "--epochs", "1"]
    files = ["--run-dir", str(folder / "run"), "--submission", str(folder / "submission.csv")]
    assert cv.main([*arguments, "--preprocess", "deskew", *files]) == 0
    return folder


def test_a_runs_models_classify_pictures_and_predict_its_test_csv(trained, page, capsys):
    finished = trained / "run"
    assert run("--csv", trained / "data" / "test.csv", "--run", finished, "--output", "again.csv") == 0
    probabilities = np.load(finished / "test_probabilities.npy")
    submission = load_submission(Path("again.csv"))
    assert submission.labels.tolist() == probabilities.argmax(axis=1).tolist()
    assert submission.provenance is not None and submission.provenance.ineligible is None
    assert submission.provenance.run == str(finished)
    assert submission.provenance.oof_accuracy == read_json(finished / "metrics.json")["oof_accuracy"]
    assert run(page, "--run", finished) == 0
    assert "(12 glyphs" in capsys.readouterr().out


def test_another_test_csv_is_predicted_and_its_submission_ineligible(trained, tmp_path, capsys):
    lines = (trained / "data" / "test.csv").read_text().splitlines()
    other = tmp_path / "other.csv"
    other.write_text("\n".join(lines[:11]) + "\n")
    (tmp_path / "out").mkdir()
    assert run("--csv", other, "--run", trained / "run", "--output", "out/other.csv") == 0
    submission = load_submission(tmp_path / "out" / "other.csv")
    assert len(submission.labels) == 10
    assert submission.provenance is not None and "were not compared" in submission.provenance.ineligible
    assert "INELIGIBLE" in capsys.readouterr().out


def test_a_table_unlike_the_runs_training_images_is_named(trained, tmp_path, capsys):
    plain = load_test(trained / "data" / "test.csv").pixels
    for name, inked in (("plain", 0), ("half", 392)):
        pixels = np.resize(plain, (60, 784))
        pixels[:, :inked] = 255
        table = write_table(tmp_path / f"{name}.csv", pixels)
        assert run("--csv", table, "--run", trained / "run", "--output", f"{name}-out.csv") == 0
        assert ("mean test image" in capsys.readouterr().out) == (inked > 0)


def test_models_that_predict_unlike_the_run_are_refused(trained, tmp_path):
    finished = shutil.copytree(trained / "run", tmp_path / "copy")
    kept = np.load(finished / "test_probabilities.npy")
    np.save(finished / "test_probabilities.npy", np.eye(10, dtype=np.float32)[np.zeros(len(kept), int)])
    with expect_error("predict.other_models", path=finished / "models"):
        run("--csv", trained / "data" / "test.csv", "--run", finished, "--output", "again.csv", "--debug")
    assert not Path("again.csv").exists()


def test_a_run_on_other_classes_than_digits_does_not_classify_pictures(trained, page, tmp_path):
    finished = shutil.copytree(trained / "run", tmp_path / "copy")
    metrics = read_json(finished / "metrics.json")
    write_json(finished / "metrics.json", metrics | {"classes": FASHION.to_json()})
    with expect_error("predict.not_digits", path=finished, received="fashion"):
        run(page, "--run", finished, "--debug")


def make_reading(*digits: tuple[int, float]) -> list[GlyphPrediction]:
    glyph = Glyph(np.ones((2, 2), np.float32), 0, 0, 2, 2)
    return [GlyphPrediction(glyph, make_probabilities(digit, sure)) for digit, sure in digits]


def test_of_two_readings_of_a_page_the_surer_is_the_likelier():
    """Where both are nearly sure, as of 6 and 9, the square root tells them apart; one bad glyph does not decide."""
    sure, nearly = make_reading(*[(9, 0.999)] * 8), make_reading(*[(6, 0.97)] * 8)
    assert recognition._measure_likelihood(sure) - recognition._measure_likelihood(nearly) > recognition.MIN_LEAD
    blotted = make_reading(*[(9, 0.999)] * 7, (NO_DIGIT, 1.0))
    assert recognition._measure_likelihood(blotted) > recognition._measure_likelihood(sure) + recognition.MIN_LOG - 0.1


@pytest.mark.parametrize("turns", [1, 3])
def test_a_page_on_its_side_is_read_and_its_boxes_are_those_of_the_picture(page, turns, tmp_path, classifier):
    pixels = np.asarray(Image.open(page).convert("L"))
    Image.fromarray(np.rot90(pixels, -turns).copy()).save(tmp_path / "turned.png")
    upright, turned = predict_pictures([page, tmp_path / "turned.png"], classifier)
    assert [one.digit for one in turned.glyphs] == [one.digit for one in upright.glyphs]
    assert len(turned.notes) == 1 and f"{90 * turns} degrees" in turned.notes[0]
    for one, other in zip(upright.glyphs, turned.glyphs, strict=True):
        box, moved = one.glyph, other.glyph
        mask = np.zeros(pixels.shape, bool)
        mask[box.y : box.y + box.height, box.x : box.x + box.width] = True
        ys, xs = np.nonzero(np.rot90(mask, -turns))
        assert (xs.min(), ys.min(), np.ptp(xs) + 1, np.ptp(ys) + 1) == pytest.approx(
            (moved.x, moved.y, moved.width, moved.height), abs=4
        )
