"""Handing in, by Kaggle's own client, to a server that stands for Kaggle and fails to order."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from conftest import write_labels
from submitting import one_line, only_entry, submit_file, write

from digit_recognizer import submissions
from digit_recognizer.competition.ledger import LEDGER, load_ledger
from digit_recognizer.io import hash_file


def test_the_score_stands_in_the_ledger_beside_the_run_that_made_it(kaggle, noted_file, capsys):
    assert submit_file(noted_file) == 0
    entry = only_entry()
    assert (entry.public_score, entry.oof_accuracy, entry.status, entry.ref) == (
        "0.90000",
        "0.9125",
        "complete",
        "1000",
    )
    assert (entry.run, entry.commit, entry.message) == ("runs/champion-0", "c215e6c", "five models")
    assert (entry.file, entry.sha256) == ("submissions/champion.csv", hash_file(noted_file))
    assert entry.command == "python -m digit_recognizer.cv --model champion"
    assert kaggle.submissions[0]["content"] == noted_file.read_bytes()
    assert kaggle.submissions[0]["description"] == "five models"
    assert "public score 0.90000, out of fold 0.91250" in capsys.readouterr().out
    assert submissions.main([]) == 0
    assert "-0.01250" in capsys.readouterr().out


def test_a_dry_run_sends_nothing_and_writes_nothing(kaggle, noted_file, capsys):
    assert submit_file(noted_file, "--dry-run") == 0
    assert "10 submissions are left today; nothing was sent" in capsys.readouterr().out
    assert set(kaggle.names) == {"GetSubmissionLimits"}
    assert not LEDGER.exists()


def test_a_dry_run_of_what_was_handed_in_says_so(kaggle, noted_file, capsys):
    assert submit_file(noted_file) == 0
    asked = len(kaggle.requests)
    assert submit_file(noted_file, "--dry-run") == 0
    assert "nothing was sent, and nothing would be" in capsys.readouterr().out
    assert len(kaggle.requests) == asked


def test_a_folder_that_the_ledger_cannot_be_in_is_told_before_anything_is_sent(kaggle, noted_file, capsys):
    noted_file.rename("mine.csv")
    shutil.rmtree(noted_file.parent)
    noted_file.parent.write_text("a file")
    assert submit_file("mine.csv") == 2
    assert "must be a folder that can be written to" in one_line(capsys)
    assert kaggle.requests == []


def test_without_the_test_csv_nothing_is_sent(kaggle, noted_file, capsys):
    Path("input/test.csv").unlink()
    assert submit_file(noted_file) == 2
    assert "download it, or name --input-dir" in one_line(capsys)
    assert kaggle.requests == []


def test_a_file_is_handed_in_once_however_often_the_command_is_repeated(kaggle, noted_file, capsys):
    for _ in range(3):
        assert submit_file(noted_file) == 0
    assert len(kaggle.submissions) == 1
    assert only_entry().status == "complete"
    assert "not sent again" in capsys.readouterr().out


def test_without_waiting_the_score_is_fetched_later(kaggle, noted_file, capsys):
    assert submit_file(noted_file, "--no-wait") == 0
    assert only_entry().status == "pending"
    assert "submissions --refresh" in capsys.readouterr().out
    kaggle.submissions[0]["polls"] = 1
    assert submissions.main(["--refresh"]) == 0
    assert only_entry().status == "pending"
    assert submissions.main(["--refresh"]) == 0
    assert only_entry().public_score == "0.90000"


def test_what_kaggle_finds_wrong_is_shown_and_recorded_and_the_file_may_be_sent_again(kaggle, noted_file, capsys):
    kaggle.error = "Evaluation Exception: no such\nthing\x1b[31m"
    assert submit_file(noted_file) == 2
    assert "says of 1000: Evaluation Exception: no such thing" in one_line(capsys)
    assert only_entry().status == "error"
    kaggle.error = None
    assert submit_file(noted_file) == 0
    assert [entry.status for entry in load_ledger()] == ["error", "complete"]


def test_a_score_that_does_not_come_is_told(kaggle, noted_file, capsys, monkeypatch):
    monkeypatch.setattr("digit_recognizer.competition.ledger.PATIENCE_MINUTES", 1e-4)
    kaggle.polls = 10**9
    assert submit_file(noted_file) == 2
    assert "must be scored, but is not" in one_line(capsys)


def test_a_day_that_is_used_up_is_told_before_anything_is_sent(kaggle, noted_file, capsys):
    assert submit_file(noted_file) == 0
    kaggle.limit = 0
    other = write(noted_file.absolute().parents[1], np.arange(28_000) % 7, name="other.csv")
    capsys.readouterr()
    assert submit_file(other) == 2
    assert "1 today and allows no more now: the day ends at midnight UTC" in one_line(capsys)
    assert "StartSubmissionUpload" not in kaggle.names[kaggle.names.index("CreateSubmission") :]


def test_a_newcomers_limits_are_all_zero_and_no_hindrance(kaggle, noted_file, monkeypatch):
    monkeypatch.setattr("kaggle_server.Handler.on_GetSubmissionLimits", lambda handler, body: {"numAllowedNow": 0})
    assert submit_file(noted_file) == 0


def test_a_leaked_submission_is_refused_and_a_smoke_runs_needs_a_word(kaggle, noted_file, capsys):
    folder = noted_file.absolute().parents[1]
    leaked = write(
        folder, np.arange(28_000) % 7, "24,000 of 28,000 test rows are among the training rows", "leaked.csv"
    )
    assert submit_file(leaked, "--smoke") == 2
    assert "must not enter the competition: 24,000" in one_line(capsys)
    smoke = write(folder, np.arange(28_000) % 3, "it is of a smoke run", "smoke.csv")
    assert submit_file(smoke) == 2
    assert "pass --smoke" in one_line(capsys)
    assert kaggle.requests == []
    assert submit_file(smoke, "--smoke") == 0


@pytest.mark.parametrize("name", ["a\nb.csv", "a\u00a0b.csv", "a\x1b[31m.csv"])
def test_a_name_that_cannot_be_shown_is_refused(kaggle, noted_file, capsys, name):
    shutil.copyfile(noted_file, name)
    assert submit_file(name) == 2
    assert "rename it" in one_line(capsys)
    assert kaggle.requests == []


def test_a_file_that_says_one_digit_of_all_images_is_refused(kaggle, noted_file, capsys):
    assert submit_file(Path("input/sample_submission.csv")) == 2
    assert "is it sample_submission.csv?" in one_line(capsys)


def test_a_file_fetched_with_its_run_is_recorded_with_it(kaggle, noted_file, tmp_path):
    fetched = tmp_path / "runs" / "kaggle-champion"
    (fetched / "run").mkdir(parents=True)
    (fetched / "run" / "config.json").write_text("{}")
    for path in (noted_file, noted_file.with_name(noted_file.name + ".json")):
        text = path.read_text().replace("runs/champion-0", "/kaggle/working/run")
        (fetched / path.name).write_text(text)
    assert submit_file(fetched / noted_file.name) == 0
    assert (only_entry().file, only_entry().run) == ("runs/kaggle-champion/champion.csv", "runs/kaggle-champion/run")


def test_a_file_made_for_another_test_csv_is_refused(kaggle, noted_file, capsys):
    note = noted_file.with_name(noted_file.name + ".json")
    note.write_text(json.dumps({**json.loads(note.read_text()), "test_sha256": "f" * 64}))
    assert submit_file(noted_file) == 2
    assert "made for another test.csv" in one_line(capsys)
    assert kaggle.requests == []


def test_a_strangers_file_without_a_note_is_taken(kaggle, noted_file):
    stranger = write_labels(noted_file.with_name("stranger.csv"), np.arange(28_000) // 2800)
    assert submit_file(stranger) == 0
    entry = only_entry()
    assert (entry.run, entry.oof_accuracy, entry.public_score) == ("", "", "0.10000")


def test_files_of_another_size_than_the_competitions_are_refused(kaggle, tiny_dir, capsys):
    small = write_labels(tiny_dir / "mine.csv", np.zeros(20, int))
    assert submit_file(small, "--input-dir", str(tiny_dir)) == 2
    assert "has 28,000 test rows" in one_line(capsys)
    assert kaggle.requests == []


@pytest.mark.parametrize("message", ["", "  ", "two\nlines", "x" * 501])
def test_a_message_is_one_line(kaggle, noted_file, capsys, message):
    assert submit_file(noted_file, message=message) == 2
    assert "--message takes one line" in one_line(capsys)


def test_a_damaged_ledger_is_told_before_anything_is_sent(kaggle, noted_file, capsys):
    LEDGER.write_text("mine\n")
    assert submit_file(noted_file) == 2
    assert "restore or move it" in one_line(capsys)
    assert LEDGER.read_text() == "mine\n"
    assert kaggle.requests == []
