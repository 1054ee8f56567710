import errno
import os
import stat
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import windows_rules
from conftest import expect_error

from digit_recognizer import io as files
from digit_recognizer.errors import WriteError
from digit_recognizer.io import (
    check_free_disk,
    check_writable_folder,
    find_free_path,
    hash_file,
    make_free_folder,
    open_regular_file,
    read_bytes,
    read_json,
    read_toml,
    sweep_temporaries,
    write_atomically,
    write_csv,
    write_json,
    write_npy,
    write_text,
)

pytestmark = pytest.mark.fast


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "kept.txt"
    write_text(path, "old")
    with pytest.raises(RuntimeError), write_atomically(path) as temporary:
        temporary.write_text("half of the new")
        raise RuntimeError
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_files_are_as_open_as_any_other(tmp_path):
    mask = os.umask(0o027)
    try:
        write_text(tmp_path / "file.txt", "")
    finally:
        os.umask(mask)
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == 0o640


def test_json_refuses_what_json_cannot_hold(tmp_path):
    with pytest.raises(ValueError):
        write_json(tmp_path / "file.json", {"loss": float("nan")})
    assert not list(tmp_path.iterdir())


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"epochs": 3}')
    (tmp_path / "a.toml").write_bytes(b"\xef\xbb\xbfepochs = 3\r\n")
    assert read_json(tmp_path / "a.json") == read_toml(tmp_path / "a.toml") == {"epochs": 3}


@pytest.mark.parametrize("content", [None, "{", b"\xff\xfe"])
def test_what_is_no_json_is_refused(content, tmp_path):
    path = tmp_path / "file.json"
    if content is not None:
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with expect_error("io.missing" if content is None else "io.not_json", path=path):
        read_json(path)


def test_an_unwritable_place_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with expect_error("io.unwritable", WriteError, path=tmp_path / "file" / "below.txt"):
        write_text(tmp_path / "file" / "below.txt", "")


def test_hash_is_the_published_one(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")  # the example in FIPS 180-4
    assert hash_file(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_of_two_writers_one_gets_the_name(tmp_path):
    path = tmp_path / "first.txt"
    with write_atomically(path, exclusive=True) as mine:
        mine.write_text("mine")
        path.write_text("theirs")
        with pytest.raises(FileExistsError) as caught, write_atomically(path, exclusive=True) as third:
            third.write_text("third")
        assert caught.value.filename == str(path)
        path.unlink()
    assert path.read_text() == "mine"
    assert list(tmp_path.iterdir()) == [path]


def test_without_links_a_name_is_still_given_once(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    write_text(tmp_path / "a.json", "1", exclusive=True)
    with pytest.raises(FileExistsError):
        write_text(tmp_path / "a.json", "2", exclusive=True)
    assert read_json(tmp_path / "a.json") == 1
    assert list(tmp_path.iterdir()) == [tmp_path / "a.json"]


def test_the_file_before_is_kept_under_its_other_name(tmp_path):
    path, previous = tmp_path / "state", tmp_path / "state-previous"
    for text in "abc":
        with write_atomically(path, previous=previous) as temporary:
            temporary.write_text(text)
    assert (path.read_text(), previous.read_text()) == ("c", "b")
    with pytest.raises(RuntimeError), write_atomically(path, previous=previous):
        raise RuntimeError
    assert (path.read_text(), previous.read_text()) == ("c", "b")


def test_bytes_reach_the_disk_before_the_name_and_the_name_before_the_return(tmp_path, monkeypatch):
    steps = []

    def spy(name, plain):
        def call(*arguments, **options):
            kind = "folder" if name == "fsync" and stat.S_ISDIR(os.fstat(arguments[0]).st_mode) else ""
            steps.append(f"{name} {kind}".strip())
            return plain(*arguments, **options)

        monkeypatch.setattr(os, name, call)

    spy("fsync", os.fsync)
    spy("replace", os.replace)
    write_text(tmp_path / "a.txt", "a")
    assert steps == ["fsync", "replace", "fsync folder"]


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_a_disk_that_fails_costs_nothing_that_was_there(step, code, tmp_path, monkeypatch):
    path = tmp_path / "kept.txt"
    write_text(path, "old")

    def fail(*_):
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patch:
        patch.setattr(os, step, fail)
        with expect_error("io.unwritable", WriteError, path=path, received=os.strerror(code)):
            write_text(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_full_disk_is_told_of_the_file_and_not_of_the_folder_where_it_waits(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch, files.open_staging_folder(tmp_path) as staging:
        patch.setattr(os, "fsync", fail)
        with expect_error("io.unwritable", WriteError, path=tmp_path / "figure.png"):
            write_text(staging / "figure.png", "")


def test_the_next_write_removes_what_a_killed_writer_left_and_nothing_else(tmp_path):
    script = (
        "import os, sys, pathlib\n"
        "from digit_recognizer.io import write_atomically\n"
        "with write_atomically(pathlib.Path(sys.argv[1])) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "theirs.txt")], timeout=60)
    assert [path.name.startswith(files.TEMPORARY) for path in tmp_path.iterdir()] == [True]
    with write_atomically(tmp_path / "slow.txt") as slow:
        write_text(tmp_path / "mine.txt", "mine")
        assert sorted(tmp_path.iterdir()) == sorted([slow, tmp_path / "mine.txt"])


def test_temporaries_of_another_machine_or_container_are_left_for_a_day(tmp_path, monkeypatch):
    fresh, old = tmp_path / f"{files.TEMPORARY}elsewhere-1-a", tmp_path / f"{files.TEMPORARY}elsewhere-1-b"
    for path in (fresh, old):
        path.write_text("")
    os.utime(old, (0, 0))
    sweep_temporaries(tmp_path)
    assert list(tmp_path.iterdir()) == [fresh]
    here = files._writer().rpartition("-")[0]
    monkeypatch.setattr("pathlib.Path.stat", lambda path, **_: os.stat_result((0, 7, *[0] * 8)))  # another namespace
    there = files._writer().rpartition("-")[0]
    monkeypatch.undo()
    assert here != there
    for writer in (here, there):  # no process has this number
        (tmp_path / f"{files.TEMPORARY}{writer}-{2**22 + 1}-a").write_text("")
    sweep_temporaries(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {fresh.name, f"{files.TEMPORARY}{there}-{2**22 + 1}-a"}


def test_places_are_checked_without_leaving_a_trace(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    check_writable_folder(tmp_path / "not" / "yet")
    with expect_error("io.unwritable_folder", path=tmp_path / "file" / "below", other=tmp_path / "file"):
        check_writable_folder(tmp_path / "file" / "below")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with expect_error("io.unwritable_folder", path=".", other=tmp_path):
        check_writable_folder(tmp_path.relative_to(tmp_path))
    check_free_disk(tmp_path / "not" / "yet", 1)
    with expect_error("io.disk_full", needed=1 << 60):
        check_free_disk(tmp_path / "not" / "yet", 1 << 60)
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_a_path_that_is_no_text_is_escaped(tmp_path):
    write_text(tmp_path / "log.txt", "run \udcff")
    assert (tmp_path / "log.txt").read_text() == "run \\udcff"


@pytest.mark.parametrize("array", [np.arange(6, dtype=np.int16).reshape(2, 3).T, np.zeros((0, 3)), np.float32(3)])
def test_an_array_comes_back_from_numpys_own_reader(array, tmp_path):
    write_npy(tmp_path / "a.npy", np.asarray(array))
    again = np.load(tmp_path / "a.npy", allow_pickle=False)
    assert again.dtype == array.dtype and np.array_equal(again, array)


@pytest.mark.skipif(sys.platform == "win32", reason="a FIFO is made here")
def test_only_regular_files_are_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for read in (open_regular_file, read_json, hash_file, files.load_npy):
        with expect_error("io.not_regular", path=tmp_path / "pipe"):
            read(tmp_path / "pipe")
        with expect_error("io.folder", path=tmp_path):
            read(tmp_path)
        with expect_error("io.missing", path=tmp_path / "gone"):
            read(tmp_path / "gone")


def test_a_file_is_read_up_to_its_limit(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    assert read_bytes(path, 3) == b"abc"
    with expect_error("io.too_long", path=path, limit=2):
        read_bytes(path, 2)


def test_a_free_name_is_free_with_all_of_its_suffixes(tmp_path):
    (tmp_path / "a.csv").write_text("")
    (tmp_path / "a-2.csv.json").symlink_to(tmp_path / "gone")
    assert find_free_path(tmp_path, "a", ".csv", ".csv.json") == tmp_path / "a-3.csv"
    assert find_free_path(tmp_path / "not yet", "b") == tmp_path / "not yet" / "b"
    assert [make_free_folder(tmp_path / "runs", "c").name for _ in range(3)] == ["c", "c-2", "c-3"]


def test_no_cell_of_a_written_table_is_a_formula(tmp_path):
    import pandas as pd

    write_csv(tmp_path / "a.csv", pd.DataFrame({"name": ["=1+1", "a,b", None], "share": [0.5, float("nan"), -1.0]}))
    assert (tmp_path / "a.csv").read_bytes() == b'name,share\n\'=1+1,0.5\n"a,b",\n,-1.0\n'


@pytest.mark.parametrize(("call", "code"), [("chmod", errno.EPERM), ("chmod", errno.ENOTSUP), ("fsync", errno.EINVAL)])
def test_what_a_file_system_cannot_do_costs_no_file(call, code, tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(files.os, call, refuse)
    write_text(tmp_path / "file.txt", "whole")
    assert (tmp_path / "file.txt").read_text() == "whole"


def test_a_new_file_whose_name_does_not_reach_the_disk_is_removed(tmp_path, monkeypatch):
    def refuse(folder):
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(files, "_sync_folder", refuse)
    with pytest.raises(WriteError):
        write_text(tmp_path / "a.json", "1", exclusive=True)
    assert list(tmp_path.iterdir()) == []


def test_where_the_system_has_no_locks_nothing_is_waited_for(tmp_path, monkeypatch):
    with files.lock_folder(tmp_path):
        assert list(tmp_path.iterdir()) == []
    monkeypatch.setitem(sys.modules, "fcntl", None)
    with files.lock_folder(tmp_path), files.lock_folder(tmp_path):
        assert list(tmp_path.iterdir()) == []


def test_a_zip_that_unpacks_to_too_much_is_damaged():
    members = [zipfile.ZipInfo("a"), zipfile.ZipInfo("b")]
    for member in members:
        member.file_size = 60
    assert files.check_members(members, 120) == 120
    with pytest.raises(ValueError, match="120"):
        files.check_members(members, 119)


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.ENOTSUP, errno.EINVAL])
def test_a_folder_that_cannot_be_locked_is_used_without_a_lock(code, tmp_path, monkeypatch):
    fcntl = pytest.importorskip("fcntl")

    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", refuse)
    lock = files.claim_folder(tmp_path)
    assert not lock.is_locked
    assert not files.is_claimed(tmp_path)
    lock.release()


def test_a_lock_that_nobody_may_write_is_named(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(files.FileLock, "acquire", refuse)
    with expect_error("io.unwritable", WriteError, path=tmp_path / ".lock"):
        files.claim_folder(tmp_path)
    (tmp_path / ".lock").touch()
    assert not files.is_claimed(tmp_path)


# ---- Windows


@pytest.fixture
def windows(monkeypatch):
    windows_rules.apply(monkeypatch)


def test_files_are_written_under_windows_rules(windows, tmp_path):
    path = tmp_path / "new" / "file.txt"
    for text in ("old\n", "new\n"):
        write_text(path, text)
    write_text(tmp_path / "once.txt", "", exclusive=True)
    with pytest.raises(FileExistsError):
        write_text(tmp_path / "once.txt", "", exclusive=True)
    with write_atomically(path, previous=path.with_suffix(".before")) as temporary:
        temporary.write_bytes(b"newest\n")
    write_npy(tmp_path / "array.npy", np.arange(3))
    assert path.read_bytes() == b"newest\n"
    assert path.with_suffix(".before").read_bytes() == b"new\n", "no CRLF: hashes are of bytes"
    with files.open_staging_folder(tmp_path) as staging:
        (staging / "staged").write_bytes(b"1")
        files.install_file(staging / "staged", tmp_path / "staged")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["array.npy", "new", "once.txt", "staged"]


def test_a_file_that_another_program_has_open_is_one_line_under_windows_rules(windows, tmp_path):
    write_text(tmp_path / "table.csv", "old")
    with (tmp_path / "table.csv").open(), expect_error("io.unwritable", WriteError, path=tmp_path / "table.csv"):
        write_text(tmp_path / "table.csv", "new")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("name", ["con", "aux.txt", "NUL.csv", "A.", "a:b", "what?"])
def test_a_name_that_windows_refuses_is_one_line(name, windows, tmp_path):
    with expect_error("io.unwritable", WriteError):
        write_text(tmp_path / name / "file.txt" if name == "A." else tmp_path / name, "")
    assert not list(tmp_path.iterdir())


def test_a_folder_is_locked_under_windows_rules(windows, tmp_path):
    with files.lock_folder(tmp_path):
        write_text(tmp_path / "file.txt", "")
    lock = files.claim_folder(tmp_path)
    write_text(tmp_path / "log.txt", "beside the open lock")
    with expect_error("io.in_use", path=tmp_path):
        files.claim_folder(tmp_path)
    lock.release()
    sweep_temporaries(tmp_path)


@pytest.mark.parametrize("busy", [2, 99])
def test_a_rename_that_a_scanner_holds_up_is_tried_again_on_windows(busy, tmp_path, monkeypatch):
    attempts = []

    def replace(*paths):
        attempts.append(paths)
        if len(attempts) <= busy:
            raise PermissionError(errno.EACCES, "another program uses the file")

    monkeypatch.setattr(files, "RENAME_ATTEMPTS", 5)  # as on Windows
    monkeypatch.setattr(files.os, "replace", replace)
    monkeypatch.setattr(files.time, "sleep", lambda _: None)
    if busy < 5:
        files.rename(tmp_path / "a", tmp_path / "b")
    else:
        with pytest.raises(PermissionError):
            files.rename(tmp_path / "a", tmp_path / "b")
    assert len(attempts) == min(busy + 1, 5)
