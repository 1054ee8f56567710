"""Whatever fails between the file and its score: one line, an exit code, and one submission in the end."""

from pathlib import Path

import pytest
from submitting import one_line, only_entry, submit_file

from digit_recognizer import submissions
from digit_recognizer.competition import client as kaggle_client
from digit_recognizer.competition.ledger import LEDGER, PATIENCE_ERRORS, load_ledger, record_entry

STEPS = ("GetSubmissionLimits", "ListSubmissions", "StartSubmissionUpload", "PUT", "CreateSubmission")
REFUSALS = {
    400: "look at the competition's page",
    401: "create a new token",
    403: "accept its rules",
    404: "update the kaggle package",
    429: "wait some minutes, then try again",
}


@pytest.mark.parametrize("step", [step for step in STEPS if step != "PUT"])
@pytest.mark.parametrize("status", REFUSALS)
def test_a_refusal_at_any_step_is_one_line_and_leaves_no_entry(kaggle, noted_file, capsys, step, status):
    kaggle.kept[step] = status
    assert submit_file(noted_file) == 2
    assert REFUSALS[status] in one_line(capsys)
    assert load_ledger() == []
    assert kaggle.submissions == []


@pytest.mark.parametrize("fault", [400, 403, 500, 503, "cut"])
def test_an_upload_that_fails_is_told_although_the_client_says_nothing(kaggle, noted_file, capsys, fault):
    kaggle.kept["PUT"] = fault
    assert submit_file(noted_file) == 2
    assert "its upload failed" in one_line(capsys)
    assert load_ledger() == []
    del kaggle.kept["PUT"]
    assert submit_file(noted_file) == 0
    assert len(kaggle.submissions) == 1


@pytest.mark.parametrize("fault", [500, 503, "cut", "stall", "cut after", "stall after", "500 after"])
@pytest.mark.parametrize("step", STEPS[1:])
def test_after_a_fault_at_any_step_the_repeated_command_hands_in_once(
    kaggle, noted_file, capsys, monkeypatch, step, fault
):
    kaggle.orders[step] = [fault]
    with monkeypatch.context() as patch:
        if fault in ("stall", "stall after"):
            patch.setattr(kaggle_client, "ANSWER_SECONDS", 0.5)
        patch.setattr(kaggle_client, "RETRIES", 0)
        assert submit_file(noted_file) == 2
    assert one_line(capsys)
    assert submit_file(noted_file) == 0
    assert len(kaggle.submissions) == 1
    assert only_entry().public_score == "0.90000"


def test_an_older_submission_of_the_same_name_and_message_is_not_taken_for_the_new_one(kaggle, noted_file):
    for _ in range(2):
        assert submit_file(noted_file) == 0
        LEDGER.unlink()  # the ledger knows nothing of it now
    kaggle.orders["CreateSubmission"] = ["cut"]
    assert submit_file(noted_file) == 2
    assert only_entry().ref == ">1007"
    assert submit_file(noted_file) == 0
    assert only_entry().ref == "1014"
    assert len(kaggle.submissions) == 3


def test_a_newer_submission_of_a_team_mate_is_not_taken_for_ours_nor_does_it_hide_ours(kaggle, noted_file):
    theirs = {"date": "2026-11-21T20:15:00Z", "content": b"", "score": "0.1", "error": None, "polls": 0}
    kaggle.orders["CreateSubmission"] = ["cut"]
    assert submit_file(noted_file) == 2
    kaggle.submissions.append({"ref": 2000, "description": "five models", "fileName": "champion.csv", **theirs})
    kaggle.submissions.append({"ref": 2001, "description": "theirs", "fileName": "champion.csv", **theirs})
    kaggle.orders["CreateSubmission"] = ["cut after"]
    assert submit_file(noted_file) == 2
    (ours,) = [made for made in kaggle.submissions if made["content"]]
    ours["ref"] = 2002
    kaggle.submissions.append({"ref": 2003, "description": "theirs", "fileName": "theirs.csv", **theirs})
    assert submit_file(noted_file, "--no-wait") == 0
    assert (only_entry().ref, only_entry().status) == ("2002", "pending")
    assert submit_file(noted_file) == 0
    assert only_entry().public_score == "0.90000"
    assert len(kaggle.submissions) == 4


@pytest.mark.parametrize("fault", [429, 500, "cut"])
def test_a_few_faults_while_waiting_are_lived_through(kaggle, noted_file, fault):
    kaggle.orders["GetSubmission"] = [fault] * 3
    assert submit_file(noted_file) == 0
    assert only_entry().public_score == "0.90000"


def test_only_faults_in_a_row_end_the_waiting(kaggle, noted_file):
    kaggle.orders["GetSubmission"] = [*[500] * 4, None, *[500] * 4]
    assert submit_file(noted_file) == 0


def test_many_faults_while_waiting_are_told_and_the_submission_stays_pending(kaggle, noted_file, capsys):
    kaggle.kept["GetSubmission"] = 500
    assert submit_file(noted_file) == 2
    assert "submissions --refresh" in one_line(capsys)
    assert only_entry().status == "pending"
    assert kaggle.names.count("GetSubmission") == PATIENCE_ERRORS
    kaggle.kept.clear()
    assert submit_file(noted_file) == 0
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


@pytest.mark.parametrize("step", [*STEPS, "GetSubmission"])
@pytest.mark.parametrize("answer", NONSENSE)
def test_an_answer_of_another_form_is_at_most_one_line_and_never_a_second_submission(
    kaggle, noted_file, capsys, step, answer
):
    kaggle.orders[step] = [answer] * PATIENCE_ERRORS
    code = submit_file(noted_file)
    lines = capsys.readouterr().err.splitlines()
    assert (code, len(lines)) in [(0, 0), (2, 1)]
    kaggle.orders.clear()
    assert submit_file(noted_file) == 0
    assert len(kaggle.submissions) == 1
    assert only_entry().public_score == "0.90000"


@pytest.mark.parametrize(
    ("faults", "codes"),
    [
        ({"StartSubmissionUpload": ["cut"]}, [2, 0]),
        ({"StartSubmissionUpload": ["cut"], "CreateSubmission": ["cut after"]}, [2, 2]),
        ({"CreateSubmission": ["cut after", "cut after"]}, [2, 2]),
    ],
)
def test_two_files_of_one_name_and_message_are_not_taken_for_each_other(kaggle, noted_file, faults, codes):
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


def test_a_list_that_has_lost_what_it_held_is_not_believed(kaggle, noted_file, capsys):
    LEDGER.parent.mkdir(exist_ok=True)
    theirs = {"date": "2026-11-21T20:15:00Z", "content": b"", "score": "0.1", "error": None, "polls": 0}
    kaggle.submissions.append({"ref": 900, "description": "theirs", "fileName": "theirs.csv", **theirs})
    kaggle.orders["CreateSubmission"] = ["cut after"]
    assert submit_file(noted_file) == 2
    capsys.readouterr()
    kaggle.orders["ListSubmissions"] = [b"{}"]
    assert submit_file(noted_file) == 2
    assert "nobody can tell" in one_line(capsys)
    assert submit_file(noted_file) == 0
    assert len(kaggle.submissions) == 2


@pytest.mark.parametrize("status", ["sending", "pending"])
def test_a_finished_entry_goes_before_a_stale_one_of_the_same_bytes(kaggle, noted_file, status):
    assert submit_file(noted_file) == 0
    ref = ">1000" if status == "sending" else "1000"
    record_entry(only_entry().replace(time="2099-01-01T00:00:00.000Z", status=status, ref=ref, public_score=""))
    assert submit_file(noted_file) == 0
    assert len(kaggle.submissions) == 1


def test_a_file_that_another_takes_the_place_of_meanwhile_is_not_sent(kaggle, noted_file, capsys, monkeypatch):
    def change(handler, body):
        noted_file.write_text(noted_file.read_text().replace("\n1,0\n", "\n1,9\n"))
        return {"numAllowedNow": 5}

    with monkeypatch.context() as patch:
        patch.setattr("kaggle_server.Handler.on_GetSubmissionLimits", change)
        assert submit_file(noted_file) == 2
    assert "was changed: try again" in one_line(capsys)
    assert (kaggle.submissions, load_ledger()) == ([], [])


@pytest.mark.parametrize("status", [408, 409, 425, 499])
def test_a_refusal_that_may_come_after_the_deed_is_found_out(kaggle, noted_file, monkeypatch, status):
    from kaggle_server import Handler

    def do_and_refuse(handler, body, do=Handler.on_CreateSubmission):
        do(handler, body)
        return {"code": status, "message": "too late"}

    with monkeypatch.context() as patch:
        patch.setattr(Handler, "on_CreateSubmission", do_and_refuse)
        assert submit_file(noted_file) == 2
    assert submit_file(noted_file) == 0
    assert len(kaggle.submissions) == 1


def test_a_dry_run_settles_nothing(kaggle, noted_file):
    kaggle.orders["CreateSubmission"] = ["cut after"]
    assert submit_file(noted_file) == 2
    assert submit_file(noted_file, "--dry-run") == 0
    assert only_entry().status == "sending"
    assert submit_file(noted_file) == 0
    assert len(kaggle.submissions) == 1


def test_a_message_with_spaces_around_it_is_recognised(kaggle, noted_file):
    kaggle.orders["CreateSubmission"] = ["cut after"]
    assert [submit_file(noted_file, message=" five models ") for _ in range(2)] == [2, 0]
    assert len(kaggle.submissions) == 1


def test_refreshing_keeps_what_another_process_found_and_goes_on_after_an_error(kaggle, noted_file, monkeypatch):
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
        record_entry(only_entry().replace(status="complete", public_score="0.90000"))
        return do(handler, body)

    monkeypatch.setattr(Handler, "on_GetSubmission", meanwhile)
    assert submissions.main(["--refresh"]) == 0
    assert only_entry().status == "complete"
