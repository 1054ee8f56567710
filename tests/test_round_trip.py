"""From nothing to a score, by the commands as they are typed, against a server that stands for Kaggle."""

import pytest
from kaggle_commands import assert_no_credentials, finish, finish_well

from digit_recognizer import cv
from digit_recognizer.competition.submit import load_ledger


def test_from_download_to_the_score_in_the_ledger(service, command, tmp_path):
    assert "42000 training rows, 28000 test rows" in finish_well(command("download", "kaggle"))
    assert cv.main(["--model", "dense", "--smoke", "--run-dir", "runs/try"]) == 0
    service.polls = 1
    out = finish_well(command("submit", "runs/try/submission.csv", "-m", "a try", "--smoke"))
    assert "public score 0." in out
    (entry,) = load_ledger()
    assert (entry.run, entry.status, entry.message) == ("runs/try", "complete", "a try")
    assert entry.public_score == service.score((tmp_path / "runs/try/submission.csv").read_bytes())[0]
    assert entry.public_score in finish_well(command("submissions"))
    assert_no_credentials(tmp_path, out)


STOPS = [
    ("GetSubmissionLimits", "stall"),
    ("ListSubmissions", "stall"),
    ("StartSubmissionUpload", "stall after"),
    ("PUT", "stall after"),
    ("CreateSubmission", "stall"),
    ("CreateSubmission", "stall after"),
    ("GetSubmission", "stall"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("step", "order"), STOPS)
def test_killed_at_any_step_and_repeated_it_submits_once(service, command, file, step, order):
    service.orders[step] = [order]
    killed = command("submit", file, "-m", "once")
    service.wait_for(step)
    killed.kill()
    killed.communicate()
    finish_well(command("submit", file, "-m", "once"))
    assert len(service.submissions) == 1
    (entry,) = load_ledger()
    assert (entry.ref, entry.public_score, entry.status) == ("1000", "1.00000", "complete")


@pytest.mark.slow
@pytest.mark.parametrize("step", ["CreateSubmission", "GetSubmission"])
def test_terminated_it_says_how_to_continue_and_submits_once(service, command, file, step):
    service.orders[step] = ["stall after" if step == "CreateSubmission" else "stall"]
    stopped = command("submit", file, "-m", "once")
    service.wait_for(step)
    stopped.terminate()  # as Ctrl-C, which a shell's background job may ignore
    code, _, err = finish(stopped)
    assert code == 143
    (line,) = err.splitlines()
    assert ("submitted once" if step == "CreateSubmission" else "1000 is submitted") in line
    finish_well(command("submit", file, "-m", "once"))
    assert len(service.submissions) == 1
    assert len(load_ledger()) == 1


def test_two_at_once_submit_once(service, command, file):
    for process in [command("submit", file, "-m", "once") for _ in range(2)]:
        finish_well(process)
    assert len(service.submissions) == 1
    assert len(load_ledger()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("tidily", [True, False])
def test_an_interrupted_download_resumes(service, command, tmp_path, tidily):
    service.orders["GET"] = ["part stall"]
    killed = command("download", "kaggle")
    partial = tmp_path / "input" / ".kaggle-download" / "digit-recognizer.zip"
    half = service.archive.stat().st_size // 2
    while not partial.exists() or partial.stat().st_size < half // (1 << 20) * (1 << 20):
        assert killed.poll() is None
    (killed.terminate if tidily else killed.kill)()
    _, err = killed.communicate()
    assert ("the same command resumes" in err) == tidily
    kept = partial.stat().st_size
    finish_well(command("download", "kaggle"))
    ranges = [body[1] for name, body in service.requests if name == "GET"]
    assert f"bytes={kept}-" in ranges
    assert sorted(path.name for path in (tmp_path / "input").iterdir()) == [
        "sample_submission.csv",
        "test.csv",
        "train.csv",
    ]


def test_plain_kaggle_competitions_submit_takes_our_file(service, command, file, tmp_path):
    finish_well(command("kaggle", "competitions", "submit", "digit-recognizer", "-f", file, "-m", "by hand"))
    assert service.submissions[0]["content"] == (tmp_path / file).read_bytes()
    assert service.submissions[0]["score"] == "1.00000"
