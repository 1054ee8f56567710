"""`predict`: pictures to digits, the files it leaves, and what it says of pictures that it cannot read."""

import csv
from pathlib import Path

import numpy as np
import pytest
from paper import CELL_PX, write_page
from PIL import Image

from digit_recognizer import cv, predict
from digit_recognizer.competition import submissions
from digit_recognizer.competition.submissions import load_submission
from digit_recognizer.data.sources import build_sample
from digit_recognizer.io import read_json
from digit_recognizer.models import build_model
from digit_recognizer.models._weights import pack_weights
from digit_recognizer.vision.classifier import NO_DIGIT
from digit_recognizer.vision.recognition import MARGIN_PX, Reading, ReadSign, write_annotation, write_readings
from digit_recognizer.vision.segment import Sign


@pytest.fixture(autouse=True)
def unbarred(monkeypatch):
    """The bar lasts as long as a process; these tests share theirs with others."""
    monkeypatch.setattr(submissions, "_blocks", [])


@pytest.fixture(scope="module")
def sample():
    return build_sample()


@pytest.fixture
def page(tmp_path, sample):
    return write_page(tmp_path / "page.png", sample.test_pixels[:12].reshape(-1, 28, 28))


def tell(digit: int, probability: float = 1.0) -> np.ndarray:
    """Probabilities of ten digits and no digit."""
    told = np.full(NO_DIGIT + 1, (1 - probability) / NO_DIGIT)
    told[digit] = probability
    return told


def run(*arguments) -> int:
    return predict.main([str(argument) for argument in arguments])


def test_the_command_writes_a_row_per_sign_and_a_picture_with_boxes(page, tmp_path, capsys):
    blank = tmp_path / "blank.png"
    Image.new("L", (60, 40), 255).save(blank)
    assert run(page, blank, "--output", "signs.csv", "--show", "shown.png") == 0
    with Path("signs.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["file", "digit", "probability", "x", "y", "width", "height"]
    assert [row["file"] for row in rows] == [str(page)] * 12 + [str(blank)]
    told, *_ = capsys.readouterr().out.partition("(12 signs")
    marks = told.split(": ")[1].replace(" / ", " ").replace("?", "-").split()
    assert marks == [row["digit"] or "-" for row in rows[:12]]
    for number, row in enumerate(rows[:12]):
        assert abs(int(row["x"]) + int(row["width"]) / 2 - (number % 4 + 0.5) * CELL_PX) < CELL_PX / 2
        assert abs(int(row["y"]) + int(row["height"]) / 2 - (number // 4 + 0.5) * CELL_PX) < CELL_PX / 2
        assert 0 <= float(row["probability"]) <= 1 and int(row["width"]) > 3 and int(row["height"]) > 20
    assert list(rows[12].values())[1:] == [""] * 6
    with Image.open("shown.png") as shown:
        colours = {colour for _, colour in shown.convert("RGB").getcolors(1 << 24)}
    assert (0x0B, 0x5F, 0xA5) in colours


def test_a_box_is_drawn_around_its_sign_and_names_what_was_read(tmp_path):
    pixels = np.full((100, 400), 255, np.uint8)
    sign = Sign(np.ones((2, 2), np.float32), x=300, y=20, width=50, height=60)
    drawn = {}
    for digit in (3, 8):
        reading = Reading(Path("seven.png"), pixels, (ReadSign(sign, tell(digit)),))
        assert write_annotation([reading], tmp_path / f"{digit}.png") == 1
        with Image.open(tmp_path / f"{digit}.png") as shown:
            drawn[digit] = np.asarray(shown.convert("RGB")).astype(int)
    blue = np.abs(drawn[3] - (0x0B, 0x5F, 0xA5)).sum(axis=2) < 30
    scale = 1400 / 400
    left, right = np.flatnonzero(blue[MARGIN_PX + 160])[[0, -1]]
    assert (left, right) == pytest.approx((300 * scale, 350 * scale), abs=4)
    below = np.flatnonzero(blue[:, round(325 * scale)])[-1]
    assert below == pytest.approx(80 * scale + MARGIN_PX, abs=4)
    assert (drawn[3] != drawn[8]).any()


def test_a_picture_that_cannot_be_read_does_not_keep_others_from_being_read(page, tmp_path, capsys):
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert run(page, tmp_path / "bad.png", "--output", "signs.csv") == 2
    told = capsys.readouterr()
    assert "(12 signs" in told.out and f"{tmp_path / 'bad.png'}: not read" in told.out
    assert told.err == "predict: 1 of 2 pictures could not be read: their lines say why.\n"
    with Path("signs.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 12


def test_what_is_written_is_what_was_read(tmp_path):
    sign = Sign(np.ones((2, 2), np.float32), x=11, y=22, width=33, height=44)
    write_readings([Reading(Path("a.png"), None, (ReadSign(sign, tell(6, 0.75)),))], tmp_path / "signs.csv")
    assert (tmp_path / "signs.csv").read_text().splitlines()[1] == "a.png,6,0.7500,11,22,33,44"


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
        (("page.png", "--show", "x.png", "--output", "x.png"), "--output and --show take two files"),
        (("page.png", "--show", "page.png"), "--show takes a new file, but page.png exists"),
        (("page.png", "--csv", "test.csv"), "--csv predicts a table: leave out the pictures"),
        (("--csv", "test.csv"), "--csv takes the nets of a run: add --run RUN"),
        (("--csv", "test.csv", "--run", "none"), "--csv writes ImageId,Label: add --output FILE"),
        (("page.png", "--run", "none"), "none is not a run folder"),
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
    assert cv.main([*arguments, "--run-dir", str(tmp_path / "run"), "--preprocess", "deskew"]) == 0
    return tmp_path / "run"


def test_a_runs_nets_read_pictures_and_predict_its_test_csv_as_the_run_did(finished, tiny_dir, page, capsys):
    assert run("--csv", tiny_dir / "test.csv", "--run", finished, "--output", "again.csv") == 0
    probabilities = np.load(finished / "test_probabilities.npy")
    submission = load_submission(Path("again.csv"))
    assert submission.labels.tolist() == probabilities.argmax(axis=1).tolist()
    assert submission.provenance is not None and submission.provenance.ineligible is None
    assert submission.provenance.run == str(finished)
    assert submission.provenance.oof_accuracy == read_json(finished / "metrics.json")["oof_accuracy"]
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
    assert submission.provenance is not None and "were not compared" in submission.provenance.ineligible
    assert "INELIGIBLE" in capsys.readouterr().out


def test_nets_that_are_not_the_runs_are_refused(finished, page, tiny_dir, capsys):
    second = finished / "models" / "fold1.safetensors"
    content = second.read_bytes()
    second.unlink()
    assert run(page, "--run", finished) == 2
    assert "fold1.safetensors is missing" in capsys.readouterr().err
    second.write_bytes(pack_weights(build_model("dense")))
    assert run(page, "--run", finished) == 2
    assert "does not hold the weights" in capsys.readouterr().err
    second.write_bytes(content)
    kept = np.load(finished / "test_probabilities.npy")
    np.save(finished / "test_probabilities.npy", np.eye(10, dtype=np.float32)[np.zeros(len(kept), int)])
    assert run("--csv", tiny_dir / "test.csv", "--run", finished, "--output", "again.csv") == 2
    assert "predict its test.csv otherwise" in capsys.readouterr().err
    assert not Path("again.csv").exists()
