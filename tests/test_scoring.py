import numpy as np
import pytest
from conftest import write_labels

from digit_recognizer import score
from digit_recognizer.competition.submissions import Provenance, score_submission, write_submission
from digit_recognizer.errors import InputError


def test_score_counts_what_is_right(tiny_dir, capsys):
    labels = np.arange(60, 80) % 10
    labels[:3] = 9 - labels[:3]
    write_labels(tiny_dir.parent / "mine.csv", labels)
    assert score.main([str(tiny_dir.parent / "mine.csv"), "--input-dir", str(tiny_dir)]) == 0
    printed = capsys.readouterr().out
    assert "accuracy 0.85000 on 20 test rows" in printed and "3 wrong" in printed


def test_a_submission_for_other_test_rows_is_not_scored(tiny_dir):
    path = tiny_dir.parent / "mine.csv"
    note = Provenance(
        model="m", command="c", commit=None, train_sha256=None, test_sha256="f" * 64, oof_accuracy=None, ineligible=None
    )
    write_submission(path, np.zeros(20, int), 20, note)
    with pytest.raises(InputError, match=r"another test\.csv"):
        score_submission(path, tiny_dir)


def test_an_unfit_submission_is_scored_and_called_so(tiny_dir, tmp_path):
    path = tmp_path / "mine.csv"
    note = Provenance(
        model="m", command="c", commit=None, train_sha256=None, test_sha256=None, oof_accuracy=None, ineligible="leaks"
    )
    write_submission(path, np.arange(60, 80) % 10, 20, note)
    assert "INELIGIBLE FOR THE COMPETITION: leaks" in score_submission(path, tiny_dir)


def test_without_test_labels_the_answer_says_who_has_them(tiny_dir):
    (tiny_dir / "test_labels.csv").unlink()
    path = write_labels(tiny_dir.parent / "mine.csv", np.zeros(20, int))
    with pytest.raises(InputError, match="Kaggle keeps its own"):
        score_submission(path, tiny_dir)


def test_without_test_images_it_is_told_that_the_submission_may_be_for_others(tiny_dir):
    (tiny_dir / "test.csv").unlink()
    path = write_labels(tiny_dir.parent / "mine.csv", np.arange(60, 80) % 10)
    assert "test.csv is missing, so that nothing tells" in score_submission(path, tiny_dir)
