"""From data whose classes have names to every table and figure that a person reads."""

import csv
import json
import shutil

import numpy as np
import pytest
from conftest import expect_error, write_labels, write_tiny_data
from PIL import Image
from resuming import configure

from digit_recognizer import cv, examine, score
from digit_recognizer.data.labels import FASHION
from digit_recognizer.evaluation.metrics import count_confusions
from digit_recognizer.io import hash_file
from digit_recognizer.predict import main as predict
from digit_recognizer.reporting import plots
from digit_recognizer.reporting.examination import examine_run
from digit_recognizer.training.cross_validation import run_cross_validation
from digit_recognizer.training.run import load_run

pytestmark = pytest.mark.usefixtures("undrawn")
LABELS = np.arange(40) % 10
IMAGES = np.random.default_rng(0).integers(0, 256, (40, 28, 28, 1), dtype=np.uint8)


def name_clothes(folder):
    (folder / "classes.json").write_text(json.dumps(FASHION.to_json()))


@pytest.fixture(scope="module")
def clothes(tmp_path_factory):
    """A folder with `data` that are called clothes, and a `run` on them that mirrored half."""
    folder = tmp_path_factory.mktemp("clothes")
    name_clothes(write_tiny_data(folder / "data"))
    answers = (folder / "data" / "test_labels.csv").read_bytes()
    (folder / "data" / "test_labels.csv").unlink()
    (folder / "data" / "test_labels.csv").mkdir()  # whoever opens it fails
    recipe = {"model": "narrow", "epochs": 1, "batch_size": 20, "augmentation": "flip"}
    run_cross_validation(configure(folder / "data", "run", recipe))
    (folder / "data" / "test_labels.csv").rmdir()
    (folder / "data" / "test_labels.csv").write_bytes(answers)
    return folder


@pytest.fixture(scope="module")
def examination(clothes):
    """Of that run, which knows where its data are."""
    return examine_run(clothes / "run")


def list_cells(examination, title):
    return next(section.table for section in examination.sections if section.title == title)


def test_a_run_keeps_the_class_names_and_shows_them_again(clothes, capsys):
    metrics = json.loads((clothes / "run" / "metrics.json").read_text())
    assert metrics["classes"] == FASHION.to_json()
    confusion = metrics["most_frequent_confusion"]
    assert set(confusion) == {"label", "prediction", "rows"} and load_run(clothes / "run").label_set == FASHION
    assert cv.main(["--resume", str(clothes / "run")]) == 0
    label, prediction = FASHION.names[confusion["label"]], FASHION.names[confusion["prediction"]]
    assert f"{label} read as {prediction}: {confusion['rows']} rows" in capsys.readouterr().out


def test_mirroring_digits_is_refused_before_anything_is_read(tiny_dir):
    (tiny_dir / "train.csv").write_text("nobody looks")
    with expect_error("data.mirrored", received="flip"):
        cv.main(["--input-dir", str(tiny_dir), "--augmentation", "flip", "--run-dir", "run", "--debug"])


def test_every_table_of_an_examination_has_the_names(examination):
    names = set(FASHION.names)
    for title, columns in (
        ("Confusions", ("label", "predicted as")),
        ("Hardest rows and most confident errors", ("label", "prediction")),
        ("One model", ("argmax", "label")),
        ("Saliency", ("prediction", "label")),
        ("Embedding", ("class",)),
    ):
        header, *rows = list_cells(examination, title)
        assert rows and {row[header.index(column)] for row in rows for column in columns} <= names, title
    assert list_cells(examination, "One model")[0][4:] == FASHION.names
    text = " ".join(p for s in examination.sections for p in s.paragraphs)
    assert "digit" not in text and "6 per class" in text


def test_files_for_machines_keep_numbers(clothes, examination):
    with (clothes / "run" / "examination" / "label_errors.csv").open(encoding="utf-8") as file:
        assert all(row[name] in "0123456789" for row in csv.DictReader(file) for name in ("label", "suggested"))
    assert (clothes / "run" / "submission.csv").read_text().splitlines()[1].split(",")[1] in "0123456789"


def test_a_report_on_clothes_speaks_of_images(examination):
    page = examination.build_page()
    assert "held-out images are right" in page
    assert "Kaggle" not in page and "digits" not in page


def test_score_names_the_most_frequent_confusion(clothes, capsys):
    labels = np.arange(60, 80) % 10
    labels[[6, 16]] = 0  # both of class 6
    write_labels(clothes / "mine.csv", labels)
    assert score.main([str(clothes / "mine.csv"), "--input-dir", str(clothes / "data")]) == 0
    assert "most frequent confusion Shirt read as T-shirt/top: 2 rows" in capsys.readouterr().out


def test_a_run_on_clothes_predicts_tables_but_no_pictures(clothes, tmp_path):
    picture = tmp_path / "page.png"
    Image.fromarray(IMAGES[0, ..., 0]).save(picture)
    with expect_error("predict.not_digits", path=clothes / "run"):
        predict([str(picture), "--run", str(clothes / "run"), "--debug"])
    table = ["--csv", str(clothes / "data" / "test.csv"), "--run", str(clothes / "run"), "--output", "again.csv"]
    assert predict(table) == 0


def test_class_names_of_another_data_set_are_refused(clothes, tmp_path):
    data = write_tiny_data(tmp_path / "data")
    content = {**FASHION.to_json(), "test_sha256": "f" * 64}
    (data / "classes.json").write_text(json.dumps(content))
    for command, arguments in ((score, [str(clothes / "run" / "submission.csv")]), (cv, ["--run-dir", "run"])):
        with expect_error("data.other_classes", path=data / "classes.json"):
            command.main([*arguments, "--input-dir", str(data), "--debug"])
    (data / "classes.json").write_text(json.dumps({**content, "test_sha256": hash_file(data / "test.csv")}))
    assert score.main([str(clothes / "run" / "submission.csv"), "--input-dir", str(data)]) == 0


def test_a_run_whose_class_names_are_damaged_is_refused(clothes, tmp_path):
    run = shutil.copytree(clothes / "run", tmp_path / "run")
    metrics = json.loads((run / "metrics.json").read_text())
    (run / "metrics.json").write_text(json.dumps({**metrics, "classes": {"label_set": "fashion", "names": ["<b>"]}}))
    with expect_error("data.label_set", path=run / "metrics.json"):
        examine.main([str(run), "--input-dir", str(clothes / "data"), "--output", "new", "--debug"])


@pytest.mark.parametrize("names", [FASHION.names, tuple(f"Wellingtons {n}b" for n in range(10))])
def test_names_stand_at_the_axes_and_none_is_cut_off(names):
    read = (LABELS + (LABELS > 5)) % 10
    for figure in (
        plots.plot_confusion_matrix(count_confusions(LABELS, read, 10), names),
        plots.plot_class_counts(LABELS, names),
        plots.plot_samples(IMAGES, LABELS, names),
    ):
        figure.draw_without_rendering()
        axes, whole = figure.axes[0], figure.bbox
        for axis in (axes.xaxis, axes.yaxis):
            labels = [label for label in axis.get_ticklabels() if label.get_text() in names]
            assert len(labels) in (0, 10)
            boxes = [label.get_window_extent() for label in labels]
            assert all(box.x0 >= 0 and box.y0 >= 0 and box.x1 <= whole.x1 and box.y1 <= whole.y1 for box in boxes)
        assert [label.get_text() for label in axes.get_xticklabels() + axes.get_yticklabels()].count(names[9]) >= 1
