"""After `transfer`: what chose the kept model, and `predict`, `examine`, `report` and `compare` with its run."""

import csv
import json
import shutil
import sys

import numpy as np
import pytest
from conftest import expect_error
from drawn_letters import QUICK, draw_letter, write_letters, write_place

import digit_recognizer as dr
from digit_recognizer import examine, report
from digit_recognizer.__main__ import import_command
from digit_recognizer.compare import main as compare
from digit_recognizer.io import read_json, write_json
from digit_recognizer.predict import main as predict
from digit_recognizer.training.transfers import load_transfer
from digit_recognizer.training.weights import load_arrays, pack_arrays
from digit_recognizer.transfer_learning.heads import NeighbourClassifier
from digit_recognizer.transfer_learning.report import describe_results
from digit_recognizer.transfer_learning.results import Choice, choose
from digit_recognizer.transfer_learning.training import split_pictures
from digit_recognizer.vision.class_folders import ClassFolder

transfer = import_command("transfer")  # the package has a function of that name
pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A base run, letters, and its transfer `one`; `other` predicts two pictures otherwise. Never write to it."""
    place = write_place(tmp_path_factory.mktemp("transferred"), 2)
    arguments = [str(place / "run"), "--images", str(place / "train"), "--test", str(place / "test"), *QUICK]
    assert transfer.main([*arguments, "--seeds", "1", "--run-dir", str(place / "one")]) == 0
    shutil.copytree(place / "one", place / "other")
    rows = read_rows(place / "one" / "predictions.csv")
    lines = [f"{row['file']},{row['label']},{row['label']},0.900000,{row['sha256']}" for row in rows]
    wrong = [line.replace("cross,cross", "cross,ring") for line in lines[:2]]  # all others are right
    table = "\n".join(["file,label,predicted,probability,sha256", *wrong, *lines[2:]]) + "\n"
    (place / "other" / "predictions.csv").write_text(table)
    return place


@pytest.fixture
def copied(place, tmp_path):
    return shutil.copytree(place / "one", tmp_path / "copy")


def read_rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def make_prediction(labels, right, votes):
    """Two classes; `right` says with which probability each picture is right, `votes` the same of the neighbours."""
    shares = (right, np.zeros(len(labels)), votes)
    return np.stack([np.stack([np.where(labels == k, share, 1 - share) for k in (0, 1)], axis=1) for share in shares])


def test_the_seed_with_most_right_pictures_is_kept_and_of_equals_the_surer():
    labels = np.array([0, 1, 0, 1])
    seeds = [np.array([0.9, 0.9, 0.9, 0.4]), np.array([0.6, 0.6, 0.6, 0.6]), np.array([0.8, 0.8, 0.6, 0.6])]
    found = [make_prediction(labels, right, right) for right in seeds]
    assert choose(found, labels, has_neighbours=True) == Choice(2)


def test_neighbours_are_kept_only_where_they_are_better():
    labels, right = np.array([0, 1, 0, 1]), np.array([0.9, 0.9, 0.9, 0.4])
    same = make_prediction(labels, right, right)
    better = make_prediction(labels, right, np.ones(4))
    assert choose([same], labels, has_neighbours=True) == Choice(0)
    assert choose([better], labels, has_neighbours=True) == Choice(0, True, "neighbours")
    assert choose([better], labels, has_neighbours=False) == Choice(0, True, "model")
    lucky = make_prediction(labels, np.full(4, 0.9), np.full(4, 0.9))
    assert choose([same, lucky], labels, has_neighbours=True) == Choice(1), "both are right as often over all seeds"
    assert choose([better, lucky], labels, has_neighbours=True) == Choice(1, True, "neighbours")


@pytest.mark.parametrize(("each", "has_test", "parts"), [(9, True, 3), (9, False, 5), (2, False, 2), (1, True, 0)])
def test_no_picture_chooses_the_model_that_evaluates_it(tmp_path, each, has_test, parts):
    labels = np.repeat([0, 1, 2], each)
    digests = np.array([f"picture {row}" for row in range(len(labels))])
    if each > 4:
        digests[1] = digests[0]  # equal pictures stay together
    found = split_pictures(ClassFolder(tmp_path, ("a", "b", "c"), (), labels, digests=digests), 0, has_test=has_test)
    assert len(found) == parts
    for part in found:
        uses = np.stack([part.trained, part.validated, part.evaluated])
        assert (uses.sum(axis=0) == 1).all(), "each picture has one use"
        assert set(labels[part.trained]) == {0, 1, 2}
        if each > 4:
            assert (uses[:, 0] == uses[:, 1]).all()
    if parts:
        evaluated = sum(part.evaluated.astype(int) for part in found)
        assert (evaluated == (0 if has_test else 1)).all()
        assert all(part.validated.any() == (has_test or parts > 2) for part in found)


def test_metrics_say_what_was_chosen_and_by_which_pictures(place):
    metrics = read_json(place / "one" / "metrics.json")
    validation = metrics["validation"]
    assert validation["pictures"] == 6 and len(validation["accuracy"]["per_seed"]) == 1
    assert metrics["kept_seed"] == 0 and metrics["evaluated"] == "test pictures"
    rows = read_rows(place / "one" / "predictions.csv")
    right = np.mean([row["label"] == row["predicted"] for row in rows])
    assert metrics["kept_accuracy"] == pytest.approx(right)
    low, high = metrics["kept_accuracy_interval"]
    assert low <= right <= high


def test_predict_reads_letters_by_their_names(place, tmp_path, capsys):
    classifier = read_json(place / "one" / "metrics.json")["recommended"]  # whose predictions the transfer keeps
    flags = ["--classifier", classifier, "--run", str(place / "one"), "--output", str(tmp_path / "letters.csv")]
    assert predict([str(place / "test"), *flags, "--show", str(tmp_path / "shown.png")]) == 0
    rows = read_rows(tmp_path / "letters.csv")
    assert list(rows[0]) == ["file", "digit", "probability", "x", "y", "width", "height"]
    read = {row["file"]: row for row in rows}
    found = {row["file"]: row for row in read_rows(place / "one" / "predictions.csv")}
    assert len(rows) == len(found) == 15, "one letter on each picture"
    for name, row in found.items():
        probability = float(row["probability"])
        assert float(read[str(place / "test" / name)]["probability"]) == pytest.approx(probability, abs=1e-3)
        assert read[str(place / "test" / name)]["digit"] == (row["predicted"] if probability >= 0.6 else "")
    shown = capsys.readouterr().out
    assert "ring " in shown and "no digit" not in shown and (tmp_path / "shown.png").exists()


def test_predict_takes_the_recommended_classifier(copied, place):
    metrics = read_json(copied / "metrics.json")
    write_json(copied / "metrics.json", metrics | {"recommended": "neighbours"})
    arrays = load_arrays(copied / "models" / "neighbours.safetensors", 1 << 24)
    assert arrays["embeddings"].shape == (6 * 9, 50) and arrays["labels"].shape == (6 * 9,)
    table = dr.predict(place / "train", copied)
    assert set(np.round(table["probability"].to_numpy(), 4)) == {1.0}, "the pictures vote for themselves and copies"
    assert [file.split("/")[-2] for file in table["file"]] == table["digit"].tolist()
    voters = NeighbourClassifier(arrays["embeddings"], arrays["labels"], 3)
    assert voters.predict(arrays["embeddings"][:6]).argmax(axis=1).tolist() == arrays["labels"][:6].tolist()


def test_from_python_letters_are_a_table_and_a_bad_picture_a_warning(place, tmp_path):
    picture = tmp_path / "letter.png"
    draw_letter("ring", np.random.default_rng(3)).save(picture)
    table = dr.predict(str(picture), str(place / "one"))
    assert list(table) == ["file", "digit", "probability", "x", "y", "width", "height"]
    assert table["width"].dtype == "Int64" and table["probability"].between(0, 1).all()
    (tmp_path / "bad.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.warns(UserWarning, match="bad.png"):
        both = dr.predict([picture, tmp_path / "bad.png"], place / "one")
    assert both["file"].tolist() == [str(picture), str(tmp_path / "bad.png")] and both["digit"].isna().iloc[1]
    with expect_error("photos.damaged"):
        dr.predict(tmp_path / "bad.png")
    with pytest.raises(TypeError, match="ndarray"):
        dr.predict(np.zeros((28, 28)))


def test_compare_takes_two_transfers_picture_by_picture(place, capsys):
    assert compare([str(place / "one"), str(place / "other")]) == 0
    shown = capsys.readouterr().out
    assert f"{13 / 15:.5f}" in shown and "15 of 15" in shown
    with expect_error("evaluation.same_predictions"):
        compare([str(place / "one"), str(place / "one"), "--debug"])
    with expect_error("run.other_command", path=place / "run", received="cv"):
        compare([str(place / "one"), str(place / "run"), "--debug"])


def test_report_has_its_score_its_choice_and_what_the_model_learned(copied, capsys):
    assert report.main([str(copied)]) == 0
    page, shown = (copied / "report.html").read_text(), capsys.readouterr().out
    for title in ("Score", "What was chosen", "Learning curves", "Wrong pictures", "The model", "Saliency"):
        assert f">{title}</h2>" in page
    assert "model                   shown" in shown
    for figure in ("confusion", "learning_curves", "saliency"):
        assert (copied / "examination" / f"{figure}.png").exists()


def test_wrong_pictures_are_shown_the_most_confident_first(copied, tmp_path):
    head, *lines = (copied / "predictions.csv").read_text().splitlines()
    cells = [line.split(",") for line in lines]
    for row, (label, share) in enumerate(zip(("ring", "hook", "hook"), (0.7, 0.9, 0.8), strict=True)):
        cells[row][2:4] = label, str(share)
    for other in cells[3:]:
        other[2] = other[1]
    (copied / "predictions.csv").write_text("\n".join([head, *map(",".join, cells)]) + "\n")
    (wrong,) = [one for one in describe_results(load_transfer(copied), tmp_path) if one.title == "Wrong pictures"]
    assert [row[2:] for row in wrong.table[1:]] == [("hook", "0.9000"), ("hook", "0.8000"), ("ring", "0.7000")]
    assert [figure.path for figure in wrong.figures] == [tmp_path / "misclassified.png"]


def test_examine_leaves_out_what_is_gone_and_refuses_what_does_not_apply(copied, capsys):
    config = read_json(copied / "config.json")
    write_json(copied / "config.json", config | {"test": "gone"})
    assert examine.main([str(copied)]) == 0
    assert "left out: gone is not a folder" in capsys.readouterr().out
    for flags in (["--input-dir", "x"], ["--with", "x"], ["--fold", "1"], ["--row", "3"]):
        with expect_error("transfer.not_of_transfers", column=flags[0]):
            examine.main([str(copied), *flags, "--debug"])
    with expect_error("io.not_folder"):
        examine.main([str(copied), "--layer", "block1_conv", "--debug"])


@pytest.mark.parametrize(
    ("entry", "value", "code"),
    [
        ("base", {"model": "/tmp/evil.py", "model_args": [], "precision": "float32"}, "transfer.foreign_model"),
        ("base", {"model": "narrow", "model_args": ["x"], "precision": "float32"}, "models.option_unknown"),
        ("base", {"model": "dense", "model_args": [], "precision": "float32"}, "io.too_long"),
        ("base", {"model": "narrow", "model_args": [], "precision": "int8"}, "run.entry"),
        ("base", None, "run.entry"),
        ("classes", ["a", "a", "b"], "run.entry"),
        ("classes", ["a", "b"], "models.weights_of_another_model"),
        ("classes", ["a", "b\n", "c"], "run.entry"),
        ("neighbours", True, "run.entry"),
        ("recommended", "os.system", "run.entry"),
    ],
)
def test_nothing_that_a_run_says_becomes_code(copied, place, entry, value, code):
    write_json(copied / "metrics.json", {**read_json(copied / "metrics.json"), entry: value})
    with expect_error(code):
        predict([str(place / "test"), "--run", str(copied), "--classifier", "model", "--debug"])


def test_damaged_weights_neighbours_and_predictions_are_refused(copied, place):
    models = copied / "models"
    (models / "transferred.keras").write_bytes(b"never opened")
    arguments = [str(place / "test"), "--run", str(copied), "--classifier", "neighbours", "--debug"]
    assert predict(arguments[:-1]) == 0
    arrays = load_arrays(models / "neighbours.safetensors", 1 << 24)
    (models / "neighbours.safetensors").write_bytes(pack_arrays({**arrays, "labels": arrays["labels"] + 1}))
    with expect_error("models.weights_damaged"):
        predict(arguments)
    (models / "neighbours.safetensors").unlink()
    with expect_error("transfer.no_neighbours"):
        predict(arguments)
    (copied / "predictions.csv").write_text("file,label\na,b\n")
    with expect_error("transfer.damaged"):
        compare([str(copied), str(place / "one"), "--debug"])
    (copied / "metrics.json").unlink()
    with expect_error("transfer.unfinished"):
        load_transfer(copied)


def test_a_transfer_predicts_no_table_and_other_runs_have_no_classifier(place, tmp_path):
    (tmp_path / "test.csv").write_text("pixel0\n")
    output = ["--output", str(tmp_path / "out.csv")]
    with expect_error("run.other_command", received="transfer"):
        predict(["--csv", str(tmp_path / "test.csv"), "--run", str(place / "one"), *output, "--debug"])
    with expect_error("predict.no_transfer", column="--classifier"):
        predict([str(place / "test"), "--classifier", "model", "--debug"])


def test_a_mistyped_base_run_is_refused_before_keras_is_imported(place, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "keras", None)
    own = shutil.copytree(place / "run", tmp_path / "own")
    config = json.loads((own / "config.json").read_text())
    (own / "config.json").write_text(json.dumps({**config, "model": "mine.py"}))
    cases = [("gone", "transfer.no_base_model"), (str(place / "one"), "run.other_command")]
    for name, code in (*cases, (str(own), "transfer.foreign_model")):
        with expect_error(code):
            transfer.main([name, "--images", str(place / "train"), "--debug"])
    unfinished = shutil.copytree(place / "run", tmp_path / "unfinished")
    (unfinished / "metrics.json").unlink()
    with expect_error("run.unfinished"):
        transfer.main([str(unfinished), "--images", str(place / "train"), "--debug"])


@pytest.mark.slow
def test_without_test_pictures_the_accuracy_is_of_what_other_pictures_chose(place, tmp_path):
    images = write_letters(tmp_path / "three", 3, seed=2)
    arguments = [str(place / "run"), "--images", str(images), *QUICK, "--seeds", "2"]
    assert transfer.main([*arguments, "--run-dir", str(tmp_path / "out")]) == 0
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert metrics["evaluated_pictures"] == metrics["validation"]["pictures"] == 9
    rows = read_rows(tmp_path / "out" / "predictions.csv")
    assert metrics["kept_accuracy"] == pytest.approx(np.mean([row["label"] == row["predicted"] for row in rows]))
    assert examine.main([str(tmp_path / "out")]) == 0
