"""Kernels to a server that stands for Kaggle and back, by our commands and by Kaggle's own."""

import json
from pathlib import Path

import pytest
from kaggle_commands import assert_no_credentials, finish
from kaggle_server import USER
from submitting import one_line

from digit_recognizer import kernel
from digit_recognizer.competition import kernels as pushing

SLUG = "digit-recognizer-baseline"
FOLDER = "kernels/baseline"


def test_a_push_fills_the_owner_in_and_changes_no_file(kaggle, built, capsys):
    before = {path: path.read_bytes() for path in built.iterdir()}
    assert kernel.main(["push", FOLDER]) == 0
    (version,) = kaggle.kernels[f"{USER}/{SLUG}"]
    assert version["text"] == (built / "baseline.py").read_text()
    assert (version["isPrivate"], version["enableInternet"], version["kernelType"]) == (True, False, "script")
    assert version["competitionDataSources"] == ["digit-recognizer"]
    assert {path: path.read_bytes() for path in built.iterdir()} == before
    assert "version 1 and runs: https://www.kaggle.com/code/" in capsys.readouterr().out
    assert kernel.main(["push", FOLDER]) == 0
    assert "version 2" in capsys.readouterr().out


def test_a_notebook_arrives_with_its_cells(kaggle):
    assert kernel.main(["notebook"]) == 0
    assert kernel.main(["push", "kernels/notebook-champion"]) == 0
    (version,) = kaggle.kernels[f"{USER}/digit-recognizer-notebook-champion"]
    sent, kept = (
        json.loads(text)["cells"]
        for text in (version["text"], Path("kernels/notebook-champion/notebook.ipynb").read_text())
    )
    assert [cell["source"] for cell in sent] == ["".join(cell["source"]) for cell in kept]


def test_a_resumed_kernel_names_its_owner_there_too(kaggle):
    assert kernel.main(["build", "baseline", "--resume"]) == 0
    assert kernel.main(["push", FOLDER]) == 0
    assert kaggle.kernels[f"{USER}/{SLUG}"][0]["kernelDataSources"] == [f"{USER}/{SLUG}"]


def test_the_plain_client_pushes_the_very_file(service, command, tmp_path):
    assert finish(command("kernel", "build", "baseline", "--owner", USER))[0] == 0
    code, out, err = finish(command("kaggle", "kernels", "push", "-p", FOLDER))
    assert code == 0, err
    assert "Kernel version 1 successfully pushed" in out
    (version,) = service.kernels[f"{USER}/{SLUG}"]
    assert version["text"] == (tmp_path / FOLDER / "baseline.py").read_text()


def test_our_push_in_a_process_of_its_own_shows_no_credentials(service, command, tmp_path):
    assert finish(command("kernel", "build", "baseline"))[0] == 0
    service.orders["SaveKernel"] = [403]
    shown = [
        *finish(command("kernel", "push", FOLDER, VERBOSE="1"))[1:],
        *finish(command("kernel", "push", FOLDER))[2:],
    ]
    assert f"{USER}/{SLUG}" in service.kernels
    assert_no_credentials(tmp_path, *shown)


def test_what_kaggle_has_against_a_kernel_is_an_error_here(kaggle, built, capsys):
    assert kernel.main(["push", FOLDER, "--owner", "somebody-else"]) == 2
    assert "it refuses: the owner is not you" in one_line(capsys)
    metadata = json.loads((built / "kernel-metadata.json").read_text())
    (built / "kernel-metadata.json").write_text(json.dumps({**metadata, "title": "Another title"}))
    assert kernel.main(["push", FOLDER]) == 2
    assert "the title does not resolve to the slug" in one_line(capsys)


def test_a_source_that_kaggle_does_not_know_is_an_error_here(kaggle, capsys):
    assert kernel.main(["build", "vgg16", "--weights-source", "nobody/weights"]) == 0
    assert kernel.main(["push", "kernels/vgg16"]) == 2
    assert "version 1, but without the data set nobody/weights" in one_line(capsys)


def test_an_earlier_version_that_kaggle_does_not_know_is_an_error_here(kaggle, built, capsys):
    spoil(built, kernel_sources=["nobody/kernel"])
    assert kernel.main(["push", FOLDER]) == 2
    assert "without the kernel nobody/kernel" in one_line(capsys)


def spoil(folder, **changes):
    metadata = {**json.loads((folder / "kernel-metadata.json").read_text()), **changes}
    (folder / "kernel-metadata.json").write_text(json.dumps({k: v for k, v in metadata.items() if v is not None}))


SPOILT = {
    "no id": ({"id": None}, "must tell id and code_file"),
    "an id without a slash": ({"id": "me"}, "must tell id and code_file"),
    "a code file elsewhere": ({"code_file": "../secret.py"}, "must tell id and code_file"),
    "its own metadata as code": ({"code_file": "kernel-metadata.json"}, "must tell id and code_file"),
    "no code file": ({"code_file": "gone.py"}, "build the kernel anew"),
    "another language": ({"language": "cobol"}, "takes it, but is not (ValueError)"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_a_spoilt_kernel_is_one_line(kaggle, built, capsys, kind):
    changes, complaint = SPOILT[kind]
    spoil(built, **changes)
    assert kernel.main(["push", FOLDER]) == 2
    assert complaint in one_line(capsys)
    assert kaggle.kernels == {}


FIELDS = (
    "title",
    "language",
    "kernel_type",
    "is_private",
    "enable_gpu",
    "competition_sources",
    "dataset_sources",
    "keywords",
)


@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", [5, [5], {"a": 1}, None, "x", [None]])
def test_whatever_stands_in_the_metadata_there_is_no_traceback(kaggle, built, capsys, field, value):
    metadata = json.loads((built / "kernel-metadata.json").read_text())
    (built / "kernel-metadata.json").write_text(json.dumps({**metadata, field: value}))
    code = kernel.main(["push", FOLDER])
    assert (code, len(capsys.readouterr().err.splitlines())) in [(0, 0), (2, 1)]


@pytest.mark.parametrize("action", ["push", "status", "output"])
@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"5", b'{"status": "STRANGE", "files": 5, "versionNumber": []}'])
def test_an_answer_of_another_form_is_one_line(kaggle, pushed, capsys, action, answer):
    kaggle.kept[REQUESTS[action]] = answer
    code = kernel.main([action, FOLDER])
    assert (code, len(capsys.readouterr().err.splitlines())) == (2, 1) or (action, answer) == ("status", b"[]")


@pytest.mark.parametrize("action", ["push", "status", "output"])
def test_a_folder_without_a_kernel_is_one_line(kaggle, tmp_path, capsys, action):
    assert kernel.main([action, str(tmp_path)]) == 2
    assert "must hold a kernel" in one_line(capsys)


REQUESTS = {"push": "SaveKernel", "status": "GetKernelSessionStatus", "output": "ListKernelSessionOutput"}
STATUSES = {
    401: "create a new token",
    403: "push it first",
    404: "push it first",
    429: "wait some minutes",
    500: "(500)",
}


@pytest.mark.parametrize("action", REQUESTS)
@pytest.mark.parametrize("status", [*STATUSES, "cut"])
def test_whatever_fails_is_one_line_and_no_success(kaggle, pushed, capsys, action, status):
    kaggle.kept[REQUESTS[action]] = status
    assert kernel.main([action, FOLDER]) == 2
    advice = STATUSES.get(status, "must be reachable")
    if status == 401 and action == "status":
        advice = "push it first"  # the client tells 401 and 403 apart no longer
    assert advice in one_line(capsys)
    assert not Path("runs").exists() or not list(Path("runs").iterdir())


def test_the_status_is_told(kaggle, pushed, capsys):
    capsys.readouterr()
    kaggle.kernel_states = ["QUEUED", "RUNNING", "COMPLETE"]
    for state in ("queued", "running", "complete"):
        assert kernel.main(["status", FOLDER]) == 0
        assert f"{USER}/{SLUG} is {state}" in capsys.readouterr().out


def test_waiting_ends_when_the_kernel_does_and_outlives_a_few_faults(kaggle, pushed, capsys):
    kaggle.kernel_states = ["QUEUED", "RUNNING", "RUNNING", "COMPLETE"]
    kaggle.orders["GetKernelSessionStatus"] = [500, None, "cut", 429]
    assert kernel.main(["status", FOLDER, "--wait"]) == 0
    assert "is complete" in capsys.readouterr().out


def test_waiting_ends_when_nothing_but_faults_come(kaggle, pushed, capsys):
    kaggle.kernel_states = ["RUNNING"]
    kaggle.orders["GetKernelSessionStatus"] = [*[500] * 4, None]
    kaggle.kept["GetKernelSessionStatus"] = 500
    assert kernel.main(["status", FOLDER, "--wait"]) == 2
    assert "(500)" in one_line(capsys)
    assert kaggle.names.count("GetKernelSessionStatus") == 5 + pushing.PATIENCE_ERRORS


@pytest.mark.parametrize(("state", "reason"), [("ERROR", "ran out of memory"), ("CANCEL_ACKNOWLEDGED", "its log says")])
def test_a_kernel_that_failed_is_an_error_with_its_reason(kaggle, pushed, capsys, state, reason):
    kaggle.kernel_states = [state]
    assert kernel.main(["status", FOLDER, "--wait"]) == 2
    assert reason in one_line(capsys)


def test_a_link_is_not_followed(kaggle, built, tmp_path, capsys):
    (tmp_path / "secret").write_text("key")
    (built / "baseline.py").unlink()
    (built / "baseline.py").symlink_to(tmp_path / "secret")
    assert kernel.main(["push", FOLDER]) == 2
    assert "or a link" in one_line(capsys)
    assert kaggle.kernels == {}
