"""Archives of unknown origin: what a zip can do to its reader."""

import json
import os
import stat
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hostile_models import CONFIG, METADATA, WEIGHTS, read_parts, save_net, write_archive

from digit_recognizer.errors import InputError
from digit_recognizer.training.saved_models import load_saved_model


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_net(tmp_path_factory.mktemp("net") / "net.keras")


def refusal(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        load_saved_model(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def add(net: Path, path: Path, *members: str, **options: int) -> Path:
    """The net's archive with more members."""
    path.write_bytes(net.read_bytes())
    with zipfile.ZipFile(path, "a", **options) as archive:
        for member in members:
            archive.writestr(member, "payload")
    return path


@pytest.mark.parametrize(
    "name",
    [
        "../mark",
        "/tmp/mark",
        "assets/../../mark",
        "assets/vocabulary.txt",
        "CONFIG.JSON",
        "folder/",
        "model.weights.npz",
    ],
)
def test_a_member_that_is_none_of_the_three_is_refused_and_written_nowhere(
    net: Path, tmp_path: Path, name: str
) -> None:
    (tmp_path / "inner").mkdir()
    message = refusal(add(net, tmp_path / "inner" / "net.keras", name))
    assert "must hold config.json, metadata.json, model.weights.h5 once each" in message
    assert [path.name for path in tmp_path.rglob("*")] == ["inner", "net.keras"]


def test_a_traversal_in_place_of_a_member_is_refused(net: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.keras"
    path.write_bytes(net.read_bytes().replace(WEIGHTS.encode(), b"../escaped.weigh"))
    assert "but holds" in refusal(path)
    assert not list(tmp_path.parent.glob("escaped*"))


@pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning")  # the very thing that is tested
def test_a_member_that_stands_twice_is_refused(net: Path, tmp_path: Path) -> None:
    assert "once each" in refusal(add(net, tmp_path / "net.keras", CONFIG))


def write_members(net: Path, path: Path, edit: Callable[[zipfile.ZipInfo], object]) -> Path:
    """The net's archive, with an edit to what is written down of each member."""
    with zipfile.ZipFile(net) as source, zipfile.ZipFile(path, "w") as archive:
        for name in (METADATA, CONFIG, WEIGHTS):
            member = zipfile.ZipInfo(name)
            edit(member)
            archive.writestr(member, source.read(name))
    return path


@pytest.mark.parametrize("method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_packed_members_are_refused_unread(net: Path, tmp_path: Path, method: int) -> None:
    def pack(member: zipfile.ZipInfo) -> None:
        member.compress_type = method

    assert "but is packed" in refusal(write_members(net, tmp_path / "net.keras", pack))


def test_a_symbolic_link_is_refused(net: Path, tmp_path: Path) -> None:
    def link(member: zipfile.ZipInfo) -> None:
        member.create_system, member.external_attr = 3, (stat.S_IFLNK | 0o777) << 16

    assert "a symbolic link" in refusal(write_members(net, tmp_path / "net.keras", link))


@pytest.mark.parametrize(
    ("offset", "value", "expected"),
    [(8, 1, "encrypted"), (20, 99, "but is packed"), (24, 99, "but is packed"), (42, 7, "is damaged")],
    ids=["a password", "a stored size", "an unpacked size", "a place elsewhere"],
)
def test_what_the_list_of_members_says_wrongly_is_refused(
    net: Path, tmp_path: Path, offset: int, value: int, expected: str
) -> None:
    content = bytearray(net.read_bytes())
    content[content.find(b"PK\x01\x02") + offset] = value
    (tmp_path / "net.keras").write_bytes(content)
    assert expected in refusal(tmp_path / "net.keras")


def test_a_list_of_members_without_end_is_refused_before_it_is_read(net: Path, tmp_path: Path) -> None:
    path = add(net, tmp_path / "net.keras", *(f"member{number}" for number in range(100)))
    assert "its list of members has" in refusal(path)


@pytest.mark.parametrize(
    "write",
    [
        lambda path, net: None,
        lambda path, net: path.mkdir(),
        lambda path, net: path.touch(),
        lambda path, net: path.write_text("<!DOCTYPE html>"),
        lambda path, net: path.write_bytes(net[: len(net) // 2]),
        lambda path, net: path.write_bytes(net + b"more"),
        lambda path, net: path.write_bytes(net[-22:]),
        lambda path, net: os.mkfifo(path),
        lambda path, net: path.symlink_to("/dev/zero"),
        lambda path, net: path.write_bytes(net[:-22] + struct.pack("<4s16x", b"PK\x06\x07") + net[-22:]),
    ],
    ids=[
        "missing",
        "a folder",
        "empty",
        "a web page",
        "cut short",
        "longer",
        "an end alone",
        "a pipe",
        "a device",
        "zip64",
    ],
)
def test_what_is_no_archive_is_refused(write: Callable[[Path, bytes], object], net: Path, tmp_path: Path) -> None:
    write(tmp_path / "net.keras", net.read_bytes())
    refusal(tmp_path / "net.keras")


@pytest.mark.parametrize("content", [b"", b"[", b"[]", b"{}", b'{"keras_version": 3}'])
def test_metadata_that_is_not_keras_own_is_refused(net: Path, tmp_path: Path, content: bytes) -> None:
    config, weights = read_parts(net)
    path = tmp_path / "net.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for name, part in ((METADATA, content), (CONFIG, json.dumps(config).encode()), (WEIGHTS, weights)):
            archive.writestr(name, part)
    assert "must tell the version of Keras" in refusal(path)


BOUNDED = """
import resource, sys, time
resource.setrlimit(resource.RLIMIT_AS, (2 << 30, 2 << 30))
from pathlib import Path
from digit_recognizer.errors import InputError
from digit_recognizer.training.saved_models import read_archive
started = time.process_time()
for path in sys.argv[1:]:
    try:
        read_archive(Path(path))
    except InputError:
        continue
    sys.exit(f"{path} was not refused")
assert not {"keras", "tensorflow", "h5py"} & set(sys.modules)
highest = next(line for line in open("/proc/self/status") if line.startswith("VmHWM"))  # since exec, in kB
print(time.process_time() - started, int(highest.split()[1]) / 1024)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")
def test_bombs_are_refused_within_a_second_and_200_mib(net: Path, tmp_path: Path) -> None:
    config, weights = read_parts(net)
    zeros = bytes(1 << 26)
    with zipfile.ZipFile(tmp_path / "packed.keras", "w", zipfile.ZIP_DEFLATED) as archive:
        for name in (METADATA, CONFIG, WEIGHTS):
            archive.writestr(name, zeros)
    add(net, tmp_path / "members.keras", *(f"member{number}" for number in range(20_000)))
    write_archive(tmp_path / "deep.keras", b"[" * 1_000_000, weights)
    write_archive(tmp_path / "long.keras", b" " * (1 << 26), weights)
    with (tmp_path / "sparse.keras").open("wb") as file:
        file.truncate(1 << 40)
    for layer in config["config"]["layers"][1:]:
        layer["config"].update(units=1 << 16, filters=1 << 16, kernel_size=[1 << 16, 1 << 16])
    write_archive(tmp_path / "shapes.keras", config, weights)
    archives = sorted(map(str, tmp_path.glob("*.keras")))
    assert len(archives) == 6
    found = subprocess.run([sys.executable, "-c", BOUNDED, *archives], capture_output=True, text=True, timeout=60)
    assert found.returncode == 0, found.stderr
    seconds, mebibytes = map(float, found.stdout.split())
    assert seconds < 1
    assert mebibytes < 200
