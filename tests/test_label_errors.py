import csv

import numpy as np
import pytest
from conftest import expect_error, write_run

from digit_recognizer import examine as door
from digit_recognizer.data.dataset import load_train
from digit_recognizer.reporting.error_report import find_label_errors, plot_label_errors

pytestmark = pytest.mark.usefixtures("undrawn")
TRAIN, TEST = np.arange(60) % 10, np.full((20, 10), 0.1)


def draw_probabilities(truth, seed=0):
    """A good net's: the true class has 0.97 to 0.99, the others share the rest."""
    rng = np.random.default_rng(seed)
    probabilities = rng.random((len(truth), 10))
    probabilities[np.arange(len(truth)), truth] = 0
    sure = rng.uniform(0.97, 0.99, len(truth))
    probabilities *= ((1 - sure) / probabilities.sum(axis=1))[:, None]
    probabilities[np.arange(len(truth)), truth] = sure
    return probabilities.astype(np.float32)


def read_list(path):
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_planted_label_errors_are_found_with_the_true_class_as_suggestion():
    truth = np.arange(2000) % 10
    labels, planted = truth.copy(), np.arange(0, 2000, 41)
    labels[planted] = (labels[planted] + 3) % 10
    errors = find_label_errors(draw_probabilities(truth), labels)
    assert set(errors.row) <= set(planted) and len(errors.row) > 0.8 * len(planted)
    assert np.array_equal(errors.suggested, truth[errors.row])
    assert np.array_equal(errors.label, labels[errors.row])
    margins = (errors.label_probability - errors.suggested_probability).to_numpy()
    assert (np.diff(margins) >= 0).all() and margins[0] < 0


def test_thresholds_are_the_mean_confidence_of_each_class():
    # mean self-confidence: 0.6 for class 0, 0.7 for class 1; row 2 reaches 0.7 for class 1, row 5 misses 0.6 for 0
    zeros = [0.9, 0.8, 0.1]
    ones = [0.95, 0.7, 0.45]
    p = np.array([[z, 1 - z] for z in zeros] + [[1 - o, o] for o in ones], np.float32)
    errors = find_label_errors(p, np.array([0, 0, 0, 1, 1, 1]))
    assert errors.row.tolist() == [2]
    assert (errors.label.tolist(), errors.suggested.tolist()) == ([0], [1])
    assert errors.loc[0, ["label_probability", "suggested_probability"]].tolist() == pytest.approx([0.1, 0.9])


def test_a_row_counts_as_a_class_whose_threshold_it_reaches():
    # row 4 is most probably 2, but 2 is mostly surer than that; among the classes that reach theirs, 1 is left
    p = np.array([[0.9, 0.05, 0.05], [0.3, 0.4, 0.3], [0, 0, 1], [0, 0.02, 0.98], [0.05, 0.45, 0.5]], np.float32)
    errors = find_label_errors(p, np.array([0, 1, 2, 2, 0]))
    assert (errors.row.tolist(), errors.suggested.tolist()) == ([4], [2])
    assert (errors.suggested_probability > errors.label_probability).all()


def test_a_label_that_is_most_probable_is_never_suspected():
    p = np.array([[0.99, 0.01], [0.55, 0.45], [0.7, 0.3], [0.5, 0.5]], np.float32)
    errors = find_label_errors(p, np.array([0, 0, 1, 1]))  # row 1 misses 0.77 for class 0, and reaches 0.4 for class 1
    assert len(errors.row) == 0


def test_a_class_without_rows_is_never_suggested():
    p = np.array([[0.6, 0.1, 0.3], [0.1, 0.1, 0.8], [0.3, 0.6, 0.1]], np.float32)
    assert 2 not in find_label_errors(p, np.array([0, 0, 1])).suggested.tolist()


def test_rows_never_held_out_change_nothing():
    truth = np.arange(500) % 10
    labels = truth.copy()
    labels[::50] = (labels[::50] + 1) % 10
    oof = draw_probabilities(truth)
    apart = np.full((1000, 10), np.nan, np.float32)
    apart[::2] = oof
    whole, half = find_label_errors(oof, labels), find_label_errors(apart, np.repeat(labels, 2))
    assert len(whole) and np.array_equal(half.row, 2 * whole.row)


@pytest.fixture
def run(tiny_dir, tmp_path):
    """A run on 60 rows that reads data row 8, labelled 7, as a 2; rows 51 to 60 were never held out."""
    oof = draw_probabilities(np.where(np.arange(60) == 7, 2, TRAIN))
    oof[7] = np.where(np.arange(10) == 2, 0.999, 0.001 / 9)
    oof[50:] = np.nan
    return write_run(tmp_path / "run", tiny_dir, oof, TEST)


def test_examine_lists_and_draws_the_suspects(run, tiny_dir, capsys):
    for _ in range(2):  # derived data: written anew each time
        assert door.main([str(run), "--input-dir", str(tiny_dir)]) == 0
    out = capsys.readouterr().out
    assert "suspected label errors  1" in out
    (suspect,) = read_list(run / "examination" / "label_errors.csv")
    assert (suspect["data_row"], suspect["file_line"], suspect["label"], suspect["suggested"]) == ("8", "9", "7", "2")
    assert suspect["suggested_probability"] == "0.999000"
    line = (tiny_dir / "train.csv").read_text().splitlines()[int(suspect["file_line"]) - 1]
    pixels = load_train(tiny_dir / "train.csv").pixels[7]
    assert line == ",".join(map(str, [7, *pixels]))
    assert (run / "examination" / "label_errors.png").read_bytes().startswith(b"\x89PNG")


def test_examine_without_suspects_says_so_and_writes_an_empty_list(tiny_dir, tmp_path, capsys):
    run = write_run(tmp_path / "run", tiny_dir, draw_probabilities(TRAIN), TEST)
    assert door.main([str(run), "--input-dir", str(tiny_dir), "--output", "place"]) == 0
    assert "suspected label errors  0" in capsys.readouterr().out
    assert read_list(tmp_path / "place" / "label_errors.csv") == []
    assert not (run / "examination").exists()


def test_the_sheet_draws_forty_at_most():
    labels = np.arange(600) % 10
    errors = find_label_errors(draw_probabilities((labels + 1) % 10), labels)
    assert len(errors) > 40
    (axes,) = plot_label_errors(errors, np.zeros((600, 28, 28, 1), np.uint8)).axes
    first = errors.iloc[0]
    assert (
        len(axes.texts) == 40
        and axes.texts[0].get_text() == f"row {first.row + 1:.0f}\n{first.label:.0f} → {first.suggested:.0f}"
    )


@pytest.mark.parametrize(
    ("change", "note", "line"),
    [
        (lambda text: text.replace("\n", "\n\n", 3), "blank lines were skipped: 3", ""),
        (lambda text: text.partition("\n")[2].replace("\n", "\n\n", 1), "blank lines were skipped: 1", ""),
        (lambda text: text.partition("\n")[2], "it has no header", "8"),
    ],
    ids=["blank lines", "no header, and a blank line", "no header"],
)
def test_the_file_line_is_right_or_empty(run, tiny_dir, tmp_path, change, note, line):
    from digit_recognizer.io import hash_file

    data = tmp_path / "other_form"
    data.mkdir()
    (data / "train.csv").write_text(change((tiny_dir / "train.csv").read_text()))
    assert note in load_train(data / "train.csv").notes
    oof = np.load(run / "oof_probabilities.npy")
    other = write_run(tmp_path / "other", tiny_dir, oof, TEST, train_sha256=hash_file(data / "train.csv"))
    assert door.main([str(other), "--input-dir", str(data)]) == 0
    (suspect,) = read_list(other / "examination" / "label_errors.csv")
    assert (suspect["data_row"], suspect["file_line"]) == ("8", line)


def test_runs_that_cannot_be_examined_are_refused(run, tiny_dir, tmp_path, capsys):
    right, nothing = draw_probabilities(TRAIN), np.full((60, 10), np.nan)
    for code, path in (
        ("evaluation.part_of_rows", write_run(tmp_path / "few", tiny_dir, right[:50], TEST)),
        ("evaluation.other_data", write_run(tmp_path / "other", tiny_dir, right, TEST, train_sha256="0" * 64)),
        ("report.nothing_held_out", write_run(tmp_path / "nothing", tiny_dir, nothing, TEST)),
    ):
        with expect_error(code):
            door.main([str(path), "--input-dir", str(tiny_dir), "--debug"])
        assert not (path / "examination").exists()
    (tmp_path / "file").touch()
    with expect_error("io.unwritable_folder"):
        door.main([str(run), "--input-dir", str(tiny_dir), "--output", str(tmp_path / "file"), "--debug"])
    assert door.main([str(tmp_path / "nowhere")]) == 2
    assert (err := capsys.readouterr().err).count("\n") == 1 and err.startswith("examine: ")
