"""Submissions through Kaggle's own client, to a server that stands for Kaggle and fails on request."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from conftest import expect_error, write_labels
from submitting import ROWS, one_line, only_entry, submit_file, write

from digit_recognizer import submissions
from digit_recognizer.competition import client, submit
from digit_recognizer.competition.submissions import SMOKE_INELIGIBLE
from digit_recognizer.competition.submit import LEDGER, find_submission, load_ledger, record_entry
from digit_recognizer.io import hash_file

STEPS = ("GetSubmissionLimits", "ListSubmissions", "StartSubmissionUpload", "PUT", "CreateSubmission")
THEIRS = {"date": "2026-11-21T20:15:00Z", "content": b"", "score": "0.1", "error": None, "polls": 0}


def refuse(file, code, *flags, **place):
    """The command must raise this error; nothing is sent."""
    with expect_error(code, **place):
        submit_file(file, *flags, "--debug")


def test_the_score_is_in_the_ledger_beside_the_run_that_made_it(kaggle, noted_file, capsys):
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
    checked, ready, following = capsys.readouterr().out.splitlines()
    assert "2,800 rows" in checked and "made for this test.csv" in checked and "; eligible" in checked
    assert "10 submissions are left today; nothing was sent" in ready
    assert following.endswith(f"digit_recognizer.submit {noted_file} -m 'five models'")
    assert set(kaggle.names) == {"GetSubmissionLimits"}
    assert not LEDGER.exists()


def test_a_dry_run_checks_here_before_it_asks_kaggle(kaggle, noted_file, capsys):
    noted_file.with_name("champion.csv.json").unlink()
    kaggle.orders["GetSubmissionLimits"] = [500] * 9
    assert submit_file(noted_file, "--dry-run") == 2
    assert "Not known, because submissions/champion.csv.json is missing" in capsys.readouterr().out


def test_a_run_folder_stands_for_its_submission(kaggle, noted_file, tmp_path):
    run = tmp_path / "run"
    run.mkdir()
    refuse(run, "submission.not_of_a_run", path=run)
    (run / "config.json").write_text("{}")
    refuse(run, "run.unfinished", path=run)
    (run / "metrics.json").write_text('{"submission": null}')
    refuse(run, "submission.not_of_a_run", path=run)
    (run / "metrics.json").write_text(json.dumps({"submission": str(noted_file)}))
    assert submit_file(run) == 0
    assert only_entry().file == "submissions/champion.csv"
    (run / "metrics.json").write_text('{"submission": "/kaggle/working/mine.csv"}')
    assert find_submission(run) == Path("/kaggle/working/mine.csv")
    for place in (tmp_path / "mine.csv", run / "mine.csv"):  # beside the run, as a kernel leaves it; then within it
        place.touch()
        assert find_submission(run) == place


def test_a_dry_run_of_a_file_submitted_before_asks_nothing(kaggle, noted_file, capsys):
    assert submit_file(noted_file) == 0
    asked = len(kaggle.requests)
    assert submit_file(noted_file, "--dry-run") == 0
    assert "was submitted before, as 1000" in capsys.readouterr().out
    assert len(kaggle.requests) == asked


def test_a_dry_run_resolves_nothing(kaggle, noted_file):
    kaggle.orders["CreateSubmission"] = ["cut after"]
    assert submit_file(noted_file) == 2
    assert submit_file(noted_file, "--dry-run") == 0
    assert only_entry().status == "sending"
    assert submit_file(noted_file) == 0
    assert len(kaggle.submissions) == 1


def test_a_file_is_submitted_once_however_often_the_command_is_repeated(kaggle, noted_file, capsys):
    for _ in range(3):
        assert submit_file(noted_file) == 0
    assert len(kaggle.submissions) == 1
    assert only_entry().status == "complete"
    assert "not sent again" in capsys.readouterr().out


def test_without_waiting_the_score_is_asked_for_later(kaggle, noted_file, capsys):
    assert submit_file(noted_file, "--no-wait") == 0
    assert only_entry().status == "pending"
    assert "submissions --refresh" in capsys.readouterr().out
    kaggle.submissions[0]["polls"] = 1
    assert submissions.main(["--refresh"]) == 0
    assert only_entry().status == "pending"
    assert submissions.main(["--refresh"]) == 0
    assert only_entry().public_score == "0.90000"


# ---- what must not be sent


def test_what_is_wrong_at_home_is_found_before_kaggle_is_asked(kaggle, noted_file, tiny_dir):
    note = noted_file.with_name(noted_file.name + ".json")
    other = shutil.copyfile(noted_file, "other.csv")
    Path("other.csv.json").write_text(json.dumps({**json.loads(note.read_text()), "test_sha256": "f" * 64}))
    refuse(other, "submission.other_test", path=other)
    sample = Path("input/sample_submission.csv")
    refuse(sample, "submission.one_label", path=sample, received=0)
    small = write_labels(tiny_dir / "mine.csv", np.zeros(20, int))
    refuse(small, "submission.not_the_competition", "--input-dir", str(tiny_dir), path=tiny_dir, received=20)
    LEDGER.write_text("mine\n")
    refuse(noted_file, "submission.ledger_columns", path=LEDGER)
    assert LEDGER.read_text() == "mine\n"
    Path("input/test.csv").unlink()
    refuse(noted_file, "data.missing", path="input/test.csv")
    assert kaggle.requests == []


def test_a_folder_that_the_ledger_cannot_be_in_is_found_first(kaggle, noted_file):
    noted_file.rename("mine.csv")
    shutil.rmtree(noted_file.parent)
    noted_file.parent.write_text("a file")
    refuse("mine.csv", "io.unwritable_folder", path="submissions")
    assert kaggle.requests == []


def test_a_leaked_submission_is_refused_and_a_smoke_run_needs_its_flag(kaggle, noted_file):
    folder = noted_file.absolute().parents[1]
    leaked = write(folder, np.arange(ROWS) % 7, "24,000 of 28,000 test rows are among the training rows", "leaked.csv")
    refuse(leaked, "submission.ineligible", "--smoke", path=leaked)
    smoke = write(folder, np.arange(ROWS) % 3, SMOKE_INELIGIBLE, "smoke.csv")
    refuse(smoke, "submission.smoke", path=smoke)
    assert kaggle.requests == []
    assert submit_file(smoke, "--smoke") == 0


@pytest.mark.parametrize("name", ["a\nb.csv", "a\u00a0b.csv", "a\x1b[31m.csv"])
def test_a_name_that_cannot_be_shown_is_refused(kaggle, noted_file, capsys, name):
    shutil.copyfile(noted_file, name)
    assert submit_file(name) == 2
    assert one_line(capsys)
    assert kaggle.requests == []


@pytest.mark.parametrize("message", ["", "  ", "two\nlines", "x" * 501])
def test_a_message_is_one_line(kaggle, noted_file, message):
    with expect_error("submission.message"):
        submit_file(noted_file, "--debug", message=message)


def test_a_day_that_is_used_up_is_found_before_anything_is_sent(kaggle, noted_file):
    assert submit_file(noted_file) == 0
    kaggle.limit = 0
    other = write(noted_file.absolute().parents[1], np.arange(ROWS) % 7, name="other.csv")
    refuse(other, "submission.none_left", received=1)
    assert "StartSubmissionUpload" not in kaggle.names[kaggle.names.index("CreateSubmission") :]


def test_the_limits_of_a_newcomer_are_all_zero_and_no_obstacle(kaggle, noted_file, monkeypatch):
    monkeypatch.setattr("kaggle_server.Handler.on_GetSubmissionLimits", lambda handler, body: {"numAllowedNow": 0})
    assert submit_file(noted_file) == 0


def test_a_file_that_is_replaced_meanwhile_is_not_sent(kaggle, noted_file, monkeypatch):
    def change(handler, body):
        noted_file.write_text(noted_file.read_text().replace("\n1,0\n", "\n1,9\n"))
        return {"numAllowedNow": 5}

    with monkeypatch.context() as patch:
        patch.setattr("kaggle_server.Handler.on_GetSubmissionLimits", change)
        refuse(noted_file, "submission.changed_meanwhile", path=noted_file)
    assert (kaggle.submissions, load_ledger()) == ([], [])


# ---- what the ledger says of a file


def test_a_file_downloaded_with_its_run_is_recorded_with_it(kaggle, noted_file, tmp_path):
    downloaded = tmp_path / "runs" / "kaggle-champion"
    (downloaded / "run").mkdir(parents=True)
    (downloaded / "run" / "config.json").write_text("{}")
    for path in (noted_file, noted_file.with_name(noted_file.name + ".json")):
        text = path.read_text().replace("runs/champion-0", "/kaggle/working/run")
        (downloaded / path.name).write_text(text)
    assert submit_file(downloaded / noted_file.name) == 0
    assert (only_entry().file, only_entry().run) == ("runs/kaggle-champion/champion.csv", "runs/kaggle-champion/run")


def test_a_file_without_a_note_is_taken(kaggle, noted_file):
    foreign = write_labels(noted_file.with_name("foreign.csv"), np.arange(ROWS) // 280)
    assert submit_file(foreign) == 0
    entry = only_entry()
    assert (entry.run, entry.oof_accuracy, entry.public_score) == ("", "", "0.10000")


# ---- what Kaggle says of a file


def test_an_error_of_the_file_is_recorded_and_it_may_be_sent_again(kaggle, noted_file):
    kaggle.error = "Evaluation Exception: no such\nthing\x1b[31m"
    refuse(noted_file, "submission.scored_as_error", received="Evaluation Exception: no such thing[31m")
    assert only_entry().status == "error"
    kaggle.error = None
    assert submit_file(noted_file) == 0
    assert [entry.status for entry in load_ledger()] == ["error", "complete"]


def test_a_score_that_does_not_come_is_an_error(kaggle, noted_file, monkeypatch):
    monkeypatch.setattr(submit, "PATIENCE_MINUTES", 1e-4)
    kaggle.polls = 10**9
    refuse(noted_file, "submission.no_score", received="1000")


# ---- whatever fails between the file and its score: one line, an exit code, and one submission in the end


@pytest.mark.parametrize("step", [step for step in STEPS if step != "PUT"])
@pytest.mark.parametrize("status", client.STATUS_CODES)
def test_a_refusal_at_any_step_leaves_no_entry(kaggle, noted_file, step, status):
    kaggle.kept[step] = status
    refuse(noted_file, client.STATUS_CODES[status], received=status)
    assert load_ledger() == []
    assert kaggle.submissions == []


@pytest.mark.parametrize("fault", [400, 403, 500, 503, "cut"])
def test_an_upload_that_fails_is_an_error_although_the_client_hides_it(kaggle, noted_file, capsys, fault):
    kaggle.kept["PUT"] = fault
    assert submit_file(noted_file) == 2
    assert one_line(capsys)
    refuse(noted_file, "submission.upload_failed", path=noted_file)
    assert load_ledger() == []
    del kaggle.kept["PUT"]
    assert submit_file(noted_file) == 0
    assert len(kaggle.submissions) == 1


@pytest.mark.parametrize("fault", [500, 503, "cut", "stall", "cut after", "stall after", "500 after"])
@pytest.mark.parametrize("step", STEPS[1:])
def test_after_a_fault_at_any_step_the_repeated_command_submits_once(
    kaggle, noted_file, capsys, monkeypatch, step, fault
):
    kaggle.orders[step] = [fault]
    with monkeypatch.context() as patch:
        if fault in ("stall", "stall after"):
            patch.setattr(client, "ANSWER_SECONDS", 0.5)
        patch.setattr(client, "RETRIES", 0)
        assert submit_file(noted_file) == 2
    assert one_line(capsys)
    assert submit_file(noted_file) == 0
    assert len(kaggle.submissions) == 1
    assert only_entry().public_score == "0.90000"


@pytest.mark.parametrize("status", [408, 409, 425, 499])
def test_a_refusal_that_may_come_after_the_deed_is_resolved(kaggle, noted_file, monkeypatch, status):
    from kaggle_server import Handler

    def do_and_refuse(handler, body, do=Handler.on_CreateSubmission):
        do(handler, body)
        return {"code": status, "message": "too late"}

    with monkeypatch.context() as patch:
        patch.setattr(Handler, "on_CreateSubmission", do_and_refuse)
        assert submit_file(noted_file) == 2
    assert submit_file(noted_file) == 0
    assert len(kaggle.submissions) == 1


def test_a_message_with_spaces_around_it_is_recognised(kaggle, noted_file):
    kaggle.orders["CreateSubmission"] = ["cut after"]
    assert [submit_file(noted_file, message=" five models ") for _ in range(2)] == [2, 0]
    assert len(kaggle.submissions) == 1


NONSENSE = [
    b"<html>maintenance</html>",
    b"",
    b"[]",
    b"5",
    b"null",
    b'{"submissions": 5, "ref": "x", "status": 5, "numAllowedNow": "many", "token": [], "createUrl": 5}',
    b'{"submissions": [5], "ref": [], "status": "STRANGE", "numAllowedNow": [], "date": "yesterday"}',
]


@pytest.mark.slow
@pytest.mark.parametrize("step", [*STEPS, "GetSubmission"])
@pytest.mark.parametrize("answer", NONSENSE)
def test_an_unreadable_answer_is_never_a_second_submission(kaggle, noted_file, capsys, step, answer):
    kaggle.orders[step] = [answer] * (client.TOLERATED_ERRORS + 1)
    code = submit_file(noted_file)
    lines = capsys.readouterr().err.splitlines()
    assert (code, len(lines)) in [(0, 0), (2, 1)]
    kaggle.orders.clear()
    assert submit_file(noted_file) == 0
    assert len(kaggle.submissions) == 1
    assert only_entry().public_score == "0.90000"


@pytest.mark.parametrize("fault", [429, 500, "cut"])
def test_a_few_faults_while_waiting_are_tolerated(kaggle, noted_file, fault):
    kaggle.orders["GetSubmission"] = [fault] * 3
    assert submit_file(noted_file) == 0
    assert only_entry().public_score == "0.90000"


def test_only_faults_in_a_row_end_the_waiting(kaggle, noted_file):
    kaggle.orders["GetSubmission"] = [*[500] * 4, None, *[500] * 4]
    assert submit_file(noted_file) == 0


def test_many_faults_while_waiting_leave_the_submission_pending(kaggle, noted_file):
    kaggle.kept["GetSubmission"] = 500
    refuse(noted_file, "kaggle.error", received=500, remedy=submit.REFRESH)
    assert only_entry().status == "pending"
    assert kaggle.names.count("GetSubmission") == client.TOLERATED_ERRORS + 1
    kaggle.kept.clear()
    assert submit_file(noted_file) == 0
    assert len(kaggle.submissions) == 1


# ---- whose submission it is


def test_an_older_submission_of_the_same_name_is_not_taken_for_the_new_one(kaggle, noted_file):
    for _ in range(2):
        assert submit_file(noted_file) == 0
        LEDGER.unlink()
    kaggle.orders["CreateSubmission"] = ["cut"]
    assert submit_file(noted_file) == 2
    assert only_entry().ref == ">1007"
    assert submit_file(noted_file) == 0
    assert only_entry().ref == "1014"
    assert len(kaggle.submissions) == 3


def test_a_newer_submission_of_a_team_mate_is_not_taken_for_ours(kaggle, noted_file):
    kaggle.orders["CreateSubmission"] = ["cut"]
    assert submit_file(noted_file) == 2
    kaggle.submissions.append({"ref": 2000, "description": "five models", "fileName": "champion.csv", **THEIRS})
    kaggle.submissions.append({"ref": 2001, "description": "theirs", "fileName": "champion.csv", **THEIRS})
    kaggle.orders["CreateSubmission"] = ["cut after"]
    assert submit_file(noted_file) == 2
    (ours,) = [made for made in kaggle.submissions if made["content"]]
    ours["ref"] = 2002
    kaggle.submissions.append({"ref": 2003, "description": "theirs", "fileName": "theirs.csv", **THEIRS})
    assert submit_file(noted_file, "--no-wait") == 0
    assert (only_entry().ref, only_entry().status) == ("2002", "pending")
    assert submit_file(noted_file) == 0
    assert only_entry().public_score == "0.90000"
    assert len(kaggle.submissions) == 4


@pytest.mark.parametrize(
    ("faults", "codes"),
    [
        ({"StartSubmissionUpload": ["cut"]}, [2, 0]),
        ({"StartSubmissionUpload": ["cut"], "CreateSubmission": ["cut after"]}, [2, 2]),
        ({"CreateSubmission": ["cut after", "cut after"]}, [2, 2]),
    ],
)
def test_two_files_of_one_name_are_not_taken_for_each_other(kaggle, noted_file, faults, codes):
    paths = [Path(folder) / "submission.csv" for folder in "ab"]
    for number, path in enumerate(paths):
        path.parent.mkdir()
        path.write_text(noted_file.read_text().replace("\n1,0\n", f"\n1,{number + 1}\n"))
    for step, ordered in faults.items():
        kaggle.orders[step] = list(ordered)
    assert [submit_file(path) for path in paths] == codes
    assert [submit_file(path) for path in paths] == [0, 0]
    assert len(kaggle.submissions) == 2
    sent = {str(made["ref"]): made["content"] for made in kaggle.submissions}
    assert {entry.file: sent[entry.ref] for entry in load_ledger()} == {str(path): path.read_bytes() for path in paths}


def test_a_list_that_lacks_what_it_held_is_not_believed(kaggle, noted_file):
    LEDGER.parent.mkdir(exist_ok=True)
    kaggle.submissions.append({"ref": 900, "description": "theirs", "fileName": "theirs.csv", **THEIRS})
    kaggle.orders["CreateSubmission"] = ["cut after"]
    assert submit_file(noted_file) == 2
    kaggle.orders["ListSubmissions"] = [b"{}"]
    refuse(noted_file, "submission.incomplete_list", path=noted_file, received=900)
    assert submit_file(noted_file) == 0
    assert len(kaggle.submissions) == 2


@pytest.mark.parametrize("status", ["sending", "pending"])
def test_a_finished_entry_goes_before_a_stale_one_of_the_same_bytes(kaggle, noted_file, status):
    assert submit_file(noted_file) == 0
    ref = ">1000" if status == "sending" else "1000"
    record_entry(replace(only_entry(), time="2099-01-01T00:00:00.000Z", status=status, ref=ref, public_score=""))
    assert submit_file(noted_file) == 0
    assert len(kaggle.submissions) == 1


def test_refreshing_continues_after_an_error(kaggle, noted_file):
    first = noted_file.with_name("first.csv")
    first.write_text(noted_file.read_text().replace("\n1,0\n", "\n1,9\n"))
    assert [submit_file(path, "--no-wait") for path in (first, noted_file)] == [0, 0]
    kaggle.submissions[0]["ref"] = 1
    kaggle.submissions[1]["polls"] = 0
    assert submissions.main(["--refresh"]) == 2
    assert [entry.status for entry in load_ledger()] == ["pending", "complete"]


def test_a_stale_answer_does_not_undo_what_is_known(kaggle, noted_file, monkeypatch):
    from kaggle_server import Handler

    assert submit_file(noted_file, "--no-wait") == 0
    kaggle.submissions[0]["polls"] = 10

    def meanwhile(handler, body, do=Handler.on_GetSubmission):
        record_entry(replace(only_entry(), status="complete", public_score="0.90000"))
        return do(handler, body)

    monkeypatch.setattr(Handler, "on_GetSubmission", meanwhile)
    assert submissions.main(["--refresh"]) == 0
    assert only_entry().status == "complete"
