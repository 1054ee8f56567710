"""Windows' rules about files, as far as another system can play them: `python tests/windows_rules.py cv --smoke …`.

Refused are: replacing, renaming or removing a file that this process has open; syncing a file that is open for reading
alone; opening a folder; changing a mode; names that Windows keeps for devices, forbids, or would shorten. Missing are
fcntl, resource, select.poll, sessions, the cores of a process and user ids. Line ends of text files are CRLF.
"""

import errno
import importlib
import io
import os
import re
import select
import shutil
import sys
import tempfile
from pathlib import Path

import pytest

RESERVED = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")
FORBIDDEN = re.compile(r'[<>:"|?*\x00-\x1f]|[. ]$')
SYSTEM = ("/proc/", "/dev/", "/sys/")
MISSING = ("getuid", "geteuid", "getgid", "sched_getaffinity", "sched_setaffinity", "fchmod", "chown", "mkfifo",
           "setsid")  # fmt: skip


def apply(patch: pytest.MonkeyPatch) -> None:
    """Let these rules hold until the patch is undone."""
    import fcntl

    importlib.import_module("platformdirs.unix")  # which would be platformdirs.windows there

    def list_open():
        for number in os.listdir("/proc/self/fd"):
            try:
                yield os.readlink(f"/proc/self/fd/{number}")
            except OSError:  # the listing's own
                continue

    def check_closed(*paths):
        opened = set(list_open())
        for path in paths:
            if not os.path.islink(path) and os.path.realpath(path) in opened:
                raise PermissionError(errno.EACCES, "another program uses the file", os.fspath(path))

    def check_name(path):
        if isinstance(path, int) or os.fspath(path).startswith(SYSTEM):
            return
        name = os.path.basename(os.fsdecode(path))
        if RESERVED.fullmatch(name) or FORBIDDEN.search(name):
            raise OSError(errno.EINVAL, "the name is invalid", os.fspath(path))

    def guard(module, name, check):
        original = getattr(module, name)

        def guarded(*arguments, **keywords):
            check(*arguments)
            return original(*arguments, **keywords)

        patch.setattr(module, name, guarded)

    def check_sync(number):
        number = number if isinstance(number, int) else number.fileno()
        if fcntl.fcntl(number, fcntl.F_GETFL) & os.O_ACCMODE == os.O_RDONLY:
            raise OSError(errno.EBADF, "Bad file descriptor")

    def check_opened(path, *_):
        check_name(path)
        if not isinstance(path, int) and os.path.isdir(path) and not os.fspath(path).startswith(SYSTEM):
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))

    def refuse_mode(path, *_):
        raise PermissionError(errno.EPERM, "Operation not permitted", path)

    for name in ("replace", "rename"):
        guard(os, name, lambda source, target, *_: (check_name(target), check_closed(source, target)))
    for name in ("unlink", "remove", "rmdir"):
        guard(os, name, lambda path, *_: check_closed(path))
    guard(os, "mkdir", lambda path, *_: check_name(path))
    guard(os, "fsync", check_sync)
    guard(os, "chmod", refuse_mode)
    guard(os, "open", check_opened)
    plain = io.open

    def open_text(file, mode="r", buffering=-1, encoding=None, errors=None, newline=None, closefd=True, opener=None):
        if opener is None:  # else tempfile's, which names the folder
            check_opened(file)
        if newline is None and "b" not in mode and set(mode) & set("wax+"):
            newline = "\r\n"
        return plain(file, mode, buffering, encoding, errors, newline, closefd, opener)

    patch.setattr(io, "open", open_text)
    patch.setattr("builtins.open", open_text)
    patch.setattr(shutil, "_use_fd_functions", False)  # those of folders, which are not opened
    patch.setattr(tempfile, "TemporaryFile", tempfile.NamedTemporaryFile)  # one without a name is Linux' own
    for name in ("fcntl", "resource"):
        patch.setitem(sys.modules, name, None)
    patch.delattr(select, "poll")
    for name in MISSING:
        patch.delattr(os, name, raising=False)


if __name__ == "__main__":
    from digit_recognizer.__main__ import import_command

    module = import_command(sys.argv[1])
    with pytest.MonkeyPatch.context() as rules:
        Path("prepared").touch()  # pathlib and tempfile are ready
        os.unlink("prepared")
        apply(rules)
        sys.exit(module.main(sys.argv[2:]))
