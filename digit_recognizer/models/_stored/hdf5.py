"""The structure of an HDF5 file of unknown origin, read without the HDF5 library.

The library is no judge of hostile files: it opens what a file points to and makes room for what it claims, and a
process that reads a few hundred damaged ones from memory, as Keras reads, ends in a segmentation fault (HDF5 1.14.6),
from which no exception comes back. So the part of the format that Keras writes is read here, in Python, where a wrong
byte can at worst be refused. All else (links, data kept elsewhere, compression) is refused unread.

The format: The HDF Group, "HDF5 File Format Specification Version 3.0"; its section numbers stand where they apply.
"""

import struct
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

from digit_recognizer.errors import InputError

SIGNATURE = b"\x89HDF\r\n\x1a\n"
UNDEFINED = 0xFFFF_FFFF_FFFF_FFFF  # the address of what is not there
MOST_STEPS = 200_000  # the transfer net's file takes some 1,000
DEEPEST = 16
LONGEST_NAME_BYTES = 256

# Messages in an object's header (IV.A.2). One that stands in none of these tables is refused by its number.
DATASPACE, DATATYPE, LAYOUT, ATTRIBUTE, CONTINUATION, SYMBOL_TABLE = 0x01, 0x03, 0x08, 0x0C, 0x10, 0x11
NEEDED = (DATASPACE, DATATYPE, LAYOUT, ATTRIBUTE, CONTINUATION, SYMBOL_TABLE)
IGNORED = (0x00, 0x04, 0x05, 0x0D, 0x0E, 0x12, 0x16)  # padding, fill values, comments, times, reference counts
REFUSED = {
    0x02: "a group in the newer layout, which can hold links to other files,",
    0x06: "a link in the newer layout, which can lead to other files,",
    0x07: "data kept in another file",
    0x0B: "compressed or otherwise filtered data",
}


class Message(NamedTuple):
    """A part of an object's header: what kind, at which byte its content begins, and how many bytes it has."""

    kind: int
    at: int
    size: int


class Hdf5Reader:
    """Reads what a file is made of. Every method raises InputError where the file is damaged or ineligible.

    Attributes:
        content: the whole file.
        name: what refusals call it.
    """

    def __init__(self, content: bytes, name: str) -> None:
        self.content, self.name = content, name
        self._steps = 0
        self._visited: set[int] = set()
        self._heaps: dict[int, dict[int, tuple[int, int]]] = {}

    def find_root(self) -> int:
        """The root group's header, from the superblock (II.A)."""
        if not self.content.startswith(SIGNATURE):
            start = self.content[: len(SIGNATURE)].hex(" ") or "nothing"
            self.refuse(f"begins with {start}, where HDF5 begins with {SIGNATURE.hex(' ')}")
        version, offset_size, length_size = self.unpack("<8xB4xBB", 0)
        if (version, offset_size, length_size) != (0, 8, 8):
            self.refuse("is written in a layout of HDF5 that Keras does not use")
        base, end, driver, root = self.unpack("<24xQ8xQQ8xQ", 0)
        if end > len(self.content):
            self.refuse(f"is cut short: {len(self.content)} bytes of {end}")
        if base != 0 or driver != UNDEFINED:
            self.refuse("is spread over several files")
        header: int = root
        return header

    def iterate_messages(self, path: str, header: int) -> Iterator[Message]:
        """The messages of an object header, version 1 (IV.A.1.a)."""
        self._visit(header, path)
        version, count, size = self.unpack("<BxH4xI", header)
        if version != 1:
            self.refuse("is damaged, or written in a layout of HDF5 that Keras does not use")
        blocks = [(header + 16, size)]
        for at, size in blocks:
            end = at + size
            while at + 8 <= end and count:
                kind, length, flags = self.unpack("<HHB", at)
                if at + 8 + length > end or end > len(self.content) or flags & 2:  # 2: kept in another place
                    self.refuse(f"is damaged at byte {at}")
                if kind in REFUSED:
                    self.refuse(f"holds {REFUSED[kind]}, at {path!r}")
                if kind not in NEEDED + IGNORED:
                    self.refuse(f"holds a part of unknown kind {kind}, at {path!r}")
                if kind == CONTINUATION:
                    block: tuple[int, int] = self.unpack("<QQ", at + 8)
                    self._visit(block[0], path)
                    blocks.append(block)
                else:
                    yield Message(kind, at + 8, length)
                at, count = at + 8 + length, count - 1

    def iterate_members(self, path: str, message: Message) -> Iterator[tuple[str, int]]:
        """Paths and headers of a group's members, from its tree and symbol tables (III.A.1, III.B, III.D)."""
        tree, heap = self.unpack("<QQ", message.at)
        signature, segment = self.unpack("<4s20xQ", heap)
        if signature != b"HEAP":
            self.refuse(f"is damaged at byte {heap}")
        trees = [tree]
        while trees:
            node = trees.pop()
            self._visit(node, path)
            signature, level, used = self.unpack("<4sxBH", node)
            children = [self.unpack("<Q", node + 32 + 16 * child)[0] for child in range(used)]
            if signature != b"TREE":
                self.refuse(f"is damaged at byte {node}")
            if level:
                trees.extend(children)
                continue
            for table in children:
                self._visit(table, path)
                signature, used = self.unpack("<4s2xH", table)
                if signature != b"SNOD":
                    self.refuse(f"is damaged at byte {table}")
                for entry in range(table + 8, table + 8 + 40 * used, 40):
                    name_at, header, cache = self.unpack("<QQI", entry)
                    member = self._join(path, segment + name_at)
                    if cache == 2:
                        self.refuse(f"holds a soft link, {member!r}, where Keras writes none")
                    yield member, header

    def read_string(self, at: int) -> bytes:
        """A string of variable length, from a global heap (III.E)."""
        length, heap, wanted = self.unpack("<IQI", at)
        if heap not in self._heaps:
            self._heaps[heap] = dict(self._iterate_heap(heap))
        data, size = self._heaps[heap].get(wanted, (0, 0))
        if length > size:
            self.refuse(f"is damaged at byte {at}")
        return self.content[data : data + length].rstrip(b"\0")

    def unpack(self, layout: str, at: int) -> tuple[Any, ...]:
        """The numbers at byte `at`, as `struct` lays them out."""
        self._steps += 1
        if self._steps > MOST_STEPS:
            self.refuse("holds more parts than any net of ours")
        try:
            return struct.unpack_from(layout, self.content, at)
        except (struct.error, OverflowError):
            self.refuse(f"is damaged: it points to byte {at}, beyond its end")

    def refuse(self, what: str) -> NoReturn:
        """Raise the one line that says why this file is not read."""
        raise InputError(
            f"{self.name} must hold weights as Keras saves them (HDF5), but {what}: save it anew with Keras."
        )

    def _join(self, path: str, at: int) -> str:
        """A member's path; its name is none that could lead elsewhere."""
        end = self.content.find(b"\0", at, at + LONGEST_NAME_BYTES)
        name = self.content[at:end].decode("utf-8", "replace")
        if end <= at or "/" in name or name in (".", "..") or not name.isprintable() or path.count("/") >= DEEPEST:
            self.refuse(f"holds an ineligible name, {name[:40]!r}, in {path!r}")
        return f"{path}/{name}" if path else name

    def _iterate_heap(self, heap: int) -> Iterator[tuple[int, tuple[int, int]]]:
        signature, size = self.unpack("<4s4xQ", heap)
        at, end = heap + 16, heap + size
        if signature != b"GCOL" or end > len(self.content):
            self.refuse(f"is damaged at byte {heap}")
        while at + 16 <= end:
            index, item_size = self.unpack("<H6xQ", at)
            if index == 0:  # the free space at the end
                return
            yield index, (at + 16, item_size if at + 16 + item_size <= end else -1)
            at += 16 + pad(item_size)

    def _visit(self, address: int, path: str) -> None:
        """No part of the file belongs to two others: that would be a ring, or one array under many names."""
        if address in self._visited:
            self.refuse(f"leads from {path!r} to a part of itself a second time")
        self._visited.add(address)


def pad(size: int) -> int:
    """Bytes that `size` bytes take, filled up to a multiple of eight."""
    return (size + 7) // 8 * 8
