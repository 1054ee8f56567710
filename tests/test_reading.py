"""How signs are read: in which order, by whom, what is cut and joined, and what is told of them."""

import numpy as np
import pytest
from paper import write_page
from PIL import Image

from digit_recognizer.competition import submissions
from digit_recognizer.data.sources import build_sample
from digit_recognizer.models import _ready
from digit_recognizer.vision import recognition as reading
from digit_recognizer.vision.classifier import NO_DIGIT, Reader, load_reader
from digit_recognizer.vision.recognition import ReadSign, describe_reading, read_pictures
from digit_recognizer.vision.segment import Sign


@pytest.fixture(autouse=True)
def unbarred(monkeypatch):
    """The bar lasts as long as a process; these tests share theirs with others."""
    monkeypatch.setattr(submissions, "_blocks", [])


@pytest.fixture(scope="module")
def reader():
    kept = list(submissions._blocks)
    loaded = load_reader(None)
    submissions._blocks[:] = kept
    return loaded


@pytest.fixture(scope="module")
def sample():
    return build_sample()


@pytest.fixture
def page(tmp_path, sample):
    return write_page(tmp_path / "page.png", sample.test_pixels[:12].reshape(-1, 28, 28))


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
    assert [error.code for error in submissions._blocks] == [_ready.REASON]


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


def test_several_nets_are_averaged_and_images_prepared_as_their_run_did():
    images = np.zeros((1, 28, 28, 1), np.uint8)
    images[0, 4:24, 13:15] = 255  # a bar, which widening makes a block
    nets = (Pretender(lambda width: tell(1)), Pretender(lambda width: tell(width % 10)))
    plain = Reader(nets).read(images)
    widened = Reader(nets, preprocess="widen").read(images)
    assert plain.sum() == pytest.approx(1) and plain[0, 1] == pytest.approx(0.5) and plain[0, 2] == pytest.approx(0.5)
    assert widened[0, 2] == pytest.approx(0, abs=1e-6) and widened[0, 1] >= 0.5


def test_more_signs_than_are_read_is_told(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MOST_SIGNS", 3)
    page = np.full((200, 400), 255, np.uint8)
    for left in range(20, 380, 60):
        page[60:140, left : left + 10] = 0
    Image.fromarray(page).save(tmp_path / "bars.png")
    (found,) = read_pictures([tmp_path / "bars.png"], Reader((Pretender(lambda width: tell(1)),)))
    assert len(found.signs) == 3 and found.notes == ("it holds 6 signs: the first 3 were read",)


def test_small_signs_are_told_only_where_they_are_digits(tmp_path):
    page = np.full((300, 300), 255, np.uint8)
    page[40:260, 100:120] = 0  # a large bar
    page[200:240, 200:204] = 0  # a small one
    page[225:245, 240:260] = 0  # and a blot
    Image.fromarray(page).save(tmp_path / "sizes.png")
    pretender = Pretender(lambda width: tell(1) if width < 8 else tell(NO_DIGIT))
    (found,) = read_pictures([tmp_path / "sizes.png"], Reader((pretender,)))
    assert [sign.digit for sign in found.signs] == [1, 1]
