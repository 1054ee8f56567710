"""Kernels pushed to a server that stands for Kaggle, their status, and their output."""

import json
from pathlib import Path

import pytest
from conftest import expect_error
from kaggle_commands import assert_no_credentials, finish
from kaggle_server import USER
from submitting import one_line

from digit_recognizer import kernel
from digit_recognizer.competition.client import TOLERATED_ERRORS

SLUG = "digit-recognizer-baseline"
FOLDER = "kernels/baseline"


def refuse(code, *arguments, **place):
    """`kernel ARGUMENTS` must raise this error."""
    with expect_error(code, **place):
        kernel.main([*arguments, "--debug"])


def edit_metadata(folder, **changes):
    metadata = {**json.loads((folder / "kernel-metadata.json").read_text()), **changes}
    (folder / "kernel-metadata.json").write_text(json.dumps({k: v for k, v in metadata.items() if v is not None}))


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
    assert kernel.main(["build", "baseline", "--resume", "--overwrite"]) == 0
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


def test_what_kaggle_has_against_a_kernel_is_an_error_here(kaggle, built):
    edit_metadata(built, title="Another title")
    refuse("kernel.refused", "push", FOLDER, received="the title does not resolve to the slug")
    edit_metadata(built, id="somebody-else/digit-recognizer-baseline")
    refuse("kernel.refused", "push", FOLDER, received="the owner is not you")


def test_an_answer_without_a_version_is_an_error_here(kaggle, built):
    kaggle.orders["SaveKernel"] = [b"{}"]
    refuse("kernel.no_version", "push", FOLDER, path=f"{USER}/{SLUG}")


def test_a_source_that_kaggle_does_not_know_is_an_error_here(kaggle, built):
    edit_metadata(built, dataset_sources=["nobody/weights"])
    refuse("kernel.source", "push", FOLDER, source="dataset", received="nobody/weights")
    edit_metadata(built, dataset_sources=[], kernel_sources=["nobody/kernel"])
    refuse("kernel.source", "push", FOLDER, source="kernel", received="nobody/kernel")


SPOILT = {
    "no id": ({"id": None}, "metadata_fields"),
    "an id without a slash": ({"id": "me"}, "metadata_fields"),
    "a code file elsewhere": ({"code_file": "../secret.py"}, "metadata"),
    "no code file": ({"code_file": "gone.py"}, "code_file"),
    "another language": ({"language": "cobol"}, "metadata"),
}


@pytest.mark.parametrize("kind", SPOILT)
def test_spoilt_metadata_are_an_error(kaggle, built, kind):
    changes, code = SPOILT[kind]
    built.with_name("secret.py").write_text("key")
    edit_metadata(built, **changes)
    refuse(f"kernel.{code}", "push", FOLDER)
    assert kaggle.kernels == {}


def test_a_link_is_not_followed(kaggle, built, tmp_path):
    (tmp_path / "secret").write_text("key")
    (built / "baseline.py").unlink()
    (built / "baseline.py").symlink_to(tmp_path / "secret")
    refuse("kernel.code_file", "push", FOLDER)
    assert kaggle.kernels == {}


FIELDS = ("title", "language", "kernel_type", "is_private", "enable_gpu", "competition_sources", "keywords")


@pytest.mark.slow
@pytest.mark.parametrize("field", FIELDS)
@pytest.mark.parametrize("value", [5, [5], {"a": 1}, None, "x", [None]])
def test_whatever_the_metadata_hold_there_is_no_traceback(kaggle, built, capsys, field, value):
    metadata = json.loads((built / "kernel-metadata.json").read_text())
    (built / "kernel-metadata.json").write_text(json.dumps({**metadata, field: value}))
    code = kernel.main(["push", FOLDER])
    assert (code, len(capsys.readouterr().err.splitlines())) in [(0, 0), (2, 1)]


@pytest.mark.parametrize("action", ["push", "status", "output"])
def test_a_folder_without_a_kernel_is_an_error(kaggle, tmp_path, action):
    refuse("kernel.none", action, str(tmp_path), path=tmp_path)


REQUESTS = {"push": "SaveKernel", "status": "GetKernelSessionStatus", "output": "ListKernelSessionOutput"}
FAULTS = {
    401: "kaggle.token_rejected",
    403: "kernel.not_found",
    404: "kernel.not_found",
    429: "kaggle.too_many_requests",
    500: "kaggle.error",
    "cut": "kaggle.unreachable",
}


@pytest.mark.parametrize("action", REQUESTS)
@pytest.mark.parametrize("fault", FAULTS)
def test_whatever_fails_is_one_line_and_no_success(kaggle, pushed, capsys, action, fault):
    kaggle.kept[REQUESTS[action]] = fault
    assert kernel.main([action, FOLDER]) == 2
    assert one_line(capsys)
    # of a status Kaggle's client does not distinguish 401 and 403
    refuse("kernel.not_found" if (action, fault) == ("status", 401) else FAULTS[fault], action, FOLDER)
    assert not Path("runs").exists() or not list(Path("runs").iterdir())


@pytest.mark.parametrize("action", ["push", "status", "output"])
@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"5", b'{"status": "STRANGE", "files": 5, "versionNumber": []}'])
def test_an_answer_of_another_form_is_one_line(kaggle, pushed, capsys, action, answer):
    kaggle.kept[REQUESTS[action]] = answer
    code = kernel.main([action, FOLDER])
    assert (code, len(capsys.readouterr().err.splitlines())) == (2, 1) or (action, answer) == ("status", b"[]")


# ---- status


def test_the_status_is_shown(kaggle, pushed, capsys):
    capsys.readouterr()
    kaggle.kernel_states = ["QUEUED", "RUNNING", "COMPLETE"]
    for state in ("queued", "running", "complete"):
        assert kernel.main(["status", FOLDER]) == 0
        assert f"{USER}/{SLUG} is {state}" in capsys.readouterr().out


def test_waiting_ends_with_the_kernel_and_tolerates_a_few_faults(kaggle, pushed, capsys):
    kaggle.kernel_states = ["QUEUED", "RUNNING", "RUNNING", "COMPLETE"]
    kaggle.orders["GetKernelSessionStatus"] = [500, None, "cut", 429]
    assert kernel.main(["status", FOLDER, "--wait"]) == 0
    assert "is complete" in capsys.readouterr().out


def test_waiting_ends_when_nothing_but_faults_come(kaggle, pushed):
    kaggle.kernel_states = ["RUNNING"]
    kaggle.orders["GetKernelSessionStatus"] = [*[500] * 4, None]
    kaggle.kept["GetKernelSessionStatus"] = 500
    refuse("kaggle.error", "status", FOLDER, "--wait", received=500)
    assert kaggle.names.count("GetKernelSessionStatus") == 5 + TOLERATED_ERRORS + 1


@pytest.mark.parametrize(("state", "reason"), [("ERROR", "ran out of memory"), ("CANCEL_ACKNOWLEDGED", "its log says")])
def test_a_kernel_that_failed_is_an_error_with_its_reason(kaggle, pushed, capsys, state, reason):
    kaggle.kernel_states = [state]
    assert kernel.main(["status", FOLDER, "--wait"]) == 2
    assert reason in one_line(capsys)


# ---- output


def test_the_output_comes_whole_into_a_new_folder(kaggle, pushed, capsys):
    kaggle.outputs = {f"run/models/fold{n}.keras": bytes([n]) * 3_000_000 for n in range(3)}
    kaggle.outputs |= {f"file{n}": b"x" for n in range(150)}  # more than a page
    kaggle.outputs["submission.csv"] = b"ImageId,Label\n1,3\n"
    kaggle.log = '[{"data":"out-of-fold accuracy"}]'
    assert kernel.main(["output", FOLDER]) == 0
    target = Path("runs/kaggle-baseline")
    assert (target / "run/models/fold2.keras").read_bytes() == b"\2" * 3_000_000
    assert len([path for path in target.rglob("*") if path.is_file()]) == 155
    assert (target / f"{SLUG}.log").read_text() == kaggle.log
    assert f"submit {target}/submission.csv -m MESSAGE" in capsys.readouterr().out
    refuse("kernel.output_exists", "output", FOLDER, "--output-dir", str(target), path=target)
    assert kernel.main(["output", FOLDER]) == 0
    assert Path("runs/kaggle-baseline-2/submission.csv").exists()


@pytest.mark.parametrize("fault", [404, 500, "cut", "part"])
def test_output_that_fails_in_between_leaves_nothing_behind(kaggle, pushed, capsys, fault):
    kaggle.outputs = {"one": b"1" * 10, "other": b"2" * 3_000_000}
    kaggle.orders["GET"] = [None, fault]
    assert kernel.main(["output", FOLDER]) == 2
    assert one_line(capsys)
    assert list(Path("runs").iterdir()) == []
    kaggle.orders.clear()
    assert kernel.main(["output", FOLDER]) == 0


@pytest.mark.parametrize("name", ["../escaped", "/tmp/escaped", "a/../../escaped", "..\\escaped", "a\nb"])
def test_a_file_that_would_leave_the_folder_is_refused(kaggle, pushed, name):
    kaggle.outputs = {name: b"x"}
    refuse("kernel.file_name", "output", FOLDER)
    assert list(Path("runs").iterdir()) == []
    assert not Path("escaped").exists()


def test_output_where_nothing_can_be_written_is_refused_at_once(kaggle, pushed):
    Path("file").write_text("mine")
    asked = len(kaggle.requests)
    refuse("io.unwritable_folder", "output", FOLDER, "--output-dir", "file/new")
    assert len(kaggle.requests) == asked


def test_a_kernel_without_output_is_an_error(kaggle, pushed):
    refuse("kernel.no_output", "output", FOLDER)
