"""`predict`: pictures to digits, the files it leaves, and what it says of pictures that it cannot read."""

import csv
from pathlib import Path

import numpy as np
import pytest
from paper import Conditions, lay_out
from PIL import Image

from digit_recognizer import cv, predict
from digit_recognizer.competition import submissions
from digit_recognizer.competition.submissions import load_submission
from digit_recognizer.data.sample import build_sample
from digit_recognizer.data.signs import Sign
from digit_recognizer.models import _ready
from digit_recognizer.recognition.predicting import describe_reading, write_readings
from digit_recognizer.recognition.reader import NO_DIGIT, Reader, load_reader
from digit_recognizer.recognition.reading import Reading, ReadSign, read_pictures


@pytest.fixture(autouse=True)
def unbarred(monkeypatch):
    """The bar lasts as long as a process; these tests share theirs with others."""
    monkeypatch.setattr(submissions, "_bars", [])


@pytest.fixture(scope="module")
def reader():
    kept = list(submissions._bars)
    loaded = load_reader(None)
    submissions._bars[:] = kept
    return loaded


@pytest.fixture(scope="module")
def sample():
    return build_sample()


@pytest.fixture
def page(tmp_path, sample):
    """Twelve digits on squared paper, turned, under a shadow."""
    conditions = Conditions(rule=0.3, squared=True, turn_deg=2, shadow=0.3, grain=4)
    path = tmp_path / "page.png"
    Image.fromarray(lay_out(sample.test_pixels[:12].reshape(-1, 28, 28), 4, conditions)).save(path)
    return path


class Pretender:
    """In place of a net: what it says of an image depends on nothing but the number of columns that hold ink."""

    def __init__(self, say):
        self.say = say

    def predict_on_batch(self, images):
        widths = (images[..., 0] > 0.2).any(axis=1).sum(axis=1)
        return np.stack([self.say(int(width)) for width in widths]).astype(np.float32)


def tell(digit: int, probability: float = 1.0) -> np.ndarray:
    """Probabilities of ten digits and no digit."""
    told = np.full(NO_DIGIT + 1, (1 - probability) / NO_DIGIT)
    told[digit] = probability
    return told


def run(*arguments) -> int:
    return predict.main([str(argument) for argument in arguments])


def test_a_page_is_read_line_by_line_from_left_to_right(page, reader, sample):
    (reading,) = read_pictures([page], reader)
    told = [sign.digit for sign in reading.signs]
    assert len(told) == 12
    assert sum(one == other for one, other in zip(told, sample.test_labels[:12].tolist(), strict=True)) >= 11


def test_the_reader_tells_digits_from_what_is_none_and_says_how_sure_it_is(reader, sample):
    images = sample.test_pixels[:300].reshape(-1, 28, 28, 1)
    probabilities = reader.read(images)
    assert probabilities.dtype == np.float32 and probabilities.shape == (300, 11)
    assert probabilities.sum(axis=1) == pytest.approx(1, abs=1e-5)
    assert (probabilities.argmax(axis=1) == sample.test_labels[:300]).mean() > 0.9
    bars = np.zeros((1, 28, 28, 1), np.uint8)
    bars[:, 13:16, 4:24] = 255  # a dash
    assert reader.read(bars).argmax() == NO_DIGIT


def test_its_file_is_small_and_the_card_tells_what_the_file_says():
    facts, card = _ready.read_facts(_ready.READER_WEIGHTS), _ready.CARD.read_text()
    assert _ready.READER_WEIGHTS.stat().st_size <= 2_000_000
    assert facts["commit"] in card and facts["command"] in card
    assert f"{facts['held_out_accuracy']} on {int(facts['held_out_rows']):,} rows" in card
    assert facts["made_digits_accuracy"] in card and facts["others_accuracy"] in card


def test_what_reads_bars_submissions_as_the_ready_model_does(reader):
    load_reader(None)
    assert submissions._bars == [_ready.REASON]


@pytest.mark.parametrize(
    ("probabilities", "verdict", "digit"),
    [(tell(7), "digit", 7), (tell(7, 0.59), "unsure", None), (tell(NO_DIGIT, 0.9), "no digit", None)],
)
def test_a_digit_is_told_only_where_it_is_sure(probabilities, verdict, digit):
    sign = ReadSign(Sign(np.ones((2, 2), np.float32), 0, 0, 2, 2), probabilities)
    assert (sign.verdict, sign.digit) == (verdict, digit)


def test_a_sign_that_is_no_digit_is_cut_where_both_halves_are(tmp_path):
    """Two bars that a thin line ties together: whole they are wide, alone they are narrow."""
    page = np.full((200, 200), 255, np.uint8)
    page[40:160, 50:62] = page[40:160, 130:142] = page[98:102, 62:130] = 0
    Image.fromarray(page).save(tmp_path / "tied.png")
    pretender = Pretender(lambda width: tell(1) if width < 14 else tell(NO_DIGIT))
    (reading,) = read_pictures([tmp_path / "tied.png"], Reader((pretender,)))
    assert [sign.digit for sign in reading.signs] == [1, 1]
    left, right = (sign.sign for sign in reading.signs)
    assert left.x + left.width <= right.x + 1


def test_neighbours_that_are_no_digits_are_joined_where_they_make_one(tmp_path):
    page = np.full((200, 200), 255, np.uint8)
    page[40:160, 70:82] = page[40:160, 105:117] = 0
    Image.fromarray(page).save(tmp_path / "broken.png")
    pretender = Pretender(lambda width: tell(0) if width > 6 else tell(NO_DIGIT))
    (reading,) = read_pictures([tmp_path / "broken.png"], Reader((pretender,)))
    assert [sign.digit for sign in reading.signs] == [0]
    assert reading.signs[0].sign.width == pytest.approx(47, abs=4)


def test_what_can_be_neither_cut_nor_joined_stays_and_is_told_as_no_digit(tmp_path):
    page = np.full((200, 200), 255, np.uint8)
    page[90:110, 30:170] = 0
    Image.fromarray(page).save(tmp_path / "dash.png")
    (reading,) = read_pictures([tmp_path / "dash.png"], Reader((Pretender(lambda width: tell(NO_DIGIT)),)))
    assert [sign.verdict for sign in reading.signs] == ["no digit"]
    assert "no digit" in describe_reading(reading)[0]


def test_the_command_writes_a_row_per_sign_and_a_picture_with_boxes(page, tmp_path, capsys):
    blank = tmp_path / "blank.png"
    Image.new("L", (60, 40), 255).save(blank)
    assert run(page, blank, "--output", "signs.csv", "--show", "shown.png") == 0
    with Path("signs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "digit", "probability", "x", "y", "width", "height"]
    assert [row["file"] for row in rows] == [str(page)] * 12 + [str(blank)]
    for row in rows[:12]:
        assert 0 <= float(row["probability"]) <= 1 and int(row["width"]) > 3 and int(row["height"]) > 20
    assert list(rows[12].values())[1:] == [""] * 6
    with Image.open("shown.png") as shown:
        colours = {colour for _, colour in shown.convert("RGB").getcolors(1 << 24)}
    assert (0x0B, 0x5F, 0xA5) in colours
    told = capsys.readouterr().out
    assert f"{page}: " in told and "(12 signs" in told and f"{blank}: no digit" in told


def test_a_picture_that_cannot_be_read_does_not_keep_others_from_being_read(page, tmp_path, capsys):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert run(page, tmp_path / "bad.png", "--output", "signs.csv") == 2
    told = capsys.readouterr()
    assert "(12 signs" in told.out and f"{tmp_path / 'bad.png'}: not read" in told.out
    assert told.err == "predict: 1 of 2 pictures could not be read: their lines say why.\n"
    with Path("signs.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 12


def test_a_file_name_that_a_spreadsheet_would_take_for_a_formula_gets_an_apostrophe(tmp_path):
    write_readings([Reading(Path("=cmd.png"), None, ())], tmp_path / "signs.csv")
    assert (tmp_path / "signs.csv").read_text().splitlines()[1].startswith("'=cmd.png,")


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "predict takes pictures or folders of them"),
        (("empty",), "empty must hold pictures ("),
        (("page.png", "--output", "page.png"), "--output takes a new file, but page.png exists"),
        (("page.png", "--show", "shown.gif"), "--show takes a name that ends in .png"),
        (("page.png", "--show", "page.png"), "--show takes a new file, but page.png exists"),
        (("page.png", "--csv", "test.csv"), "--csv predicts a table: leave out the pictures"),
        (("--csv", "test.csv"), "--csv takes the nets of a run: add --run RUN"),
        (("--csv", "test.csv", "--run", "none"), "--csv writes ImageId,Label: add --output FILE"),
        (("page.png", "--run", "none"), "none must be a run folder"),
        (("page.png", "--output", "page.png/x.csv"), "page.png"),
        (("nothing.png",), "nothing.png"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_nothing_is_written(arguments, line, page, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    before = sorted(tmp_path.iterdir())
    assert run(*arguments) == 2
    told = capsys.readouterr().err
    assert line in told and told.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == before


@pytest.fixture
def finished(tiny_dir, tmp_path):
    arguments = ["--model", "padded", "--input-dir", str(tiny_dir), "--folds", "2", "--epochs", "1"]
    assert cv.main([*arguments, "--run-dir", str(tmp_path / "run"), "--preparation", "deskew"]) == 0
    return tmp_path / "run"


def test_a_runs_nets_read_pictures_and_predict_its_test_csv_as_the_run_did(finished, tiny_dir, page, capsys):
    assert run("--csv", tiny_dir / "test.csv", "--run", finished, "--output", "again.csv") == 0
    probabilities = np.load(finished / "test_probabilities.npy")
    submission = load_submission(Path("again.csv"))
    assert submission.labels.tolist() == probabilities.argmax(axis=1).tolist()
    assert submission.provenance is not None and submission.provenance.unfit is None
    assert submission.provenance.run == str(finished)
    assert run(page, "--run", finished) == 0
    assert "(12 signs" in capsys.readouterr().out


def test_another_test_csv_than_the_runs_own_is_predicted_and_marked_unfit(finished, tiny_dir, tmp_path, capsys):
    lines = (tiny_dir / "test.csv").read_text().splitlines()
    other = tmp_path / "other.csv"
    other.write_text("\n".join(lines[:11]) + "\n")
    (tmp_path / "out").mkdir()
    assert run("--csv", other, "--run", finished, "--output", "out/other.csv") == 0
    submission = load_submission(tmp_path / "out" / "other.csv")
    assert len(submission.labels) == 10
    assert submission.provenance is not None and "were not compared" in submission.provenance.unfit
    assert "UNFIT" in capsys.readouterr().out
