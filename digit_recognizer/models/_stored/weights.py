"""Weights files (HDF5) of unknown origin: what they hold, and the same in a file that Keras may open."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from digit_recognizer.io import read_bytes
from digit_recognizer.models._stored.hdf5 import (
    ATTRIBUTE,
    DATASPACE,
    DATATYPE,
    IGNORED,
    LAYOUT,
    SYMBOL_TABLE,
    UNDEFINED,
    Hdf5Reader,
    Message,
    pad,
)

MOST_BYTES = 1 << 28  # VGG16 without its top has 59 MB
MOST_AXES = 8
NAME_LISTS = ("layer_names", "weight_names")
COMPACT, CONTIGUOUS = 0, 1
LAYOUTS = {2: "chunked data", 3: "virtual data, put together from other files"}
LITTLE_ENDIAN_FLOATS: dict[bytes, np.dtype] = {  # the datatype message of each (IV.A.2.d)
    bytes.fromhex("11200f0002000000000010000a05000a0f000000"): np.dtype("<f2"),
    bytes.fromhex("11201f000400000000002000170800177f000000"): np.dtype("<f4"),
    bytes.fromhex("11203f000800000000004000340b0034ff030000"): np.dtype("<f8"),
}
FIXED_STRING, VARIABLE = 3, 9  # classes of datatypes


@dataclass(frozen=True)
class Weights:
    """What a weights file holds.

    Attributes:
        arrays: float16, float32 or float64, by path ("layers/dense/vars/0"); views of the bytes that were read.
        groups: the paths of all groups, parents first, without the root.
        names: the lists of names that Keras' older files carry, by path of the group ("" for the root) and attribute.
    """

    arrays: dict[str, np.ndarray]
    groups: tuple[str, ...]
    names: dict[tuple[str, str], list[bytes]]

    @property
    def numbers(self) -> int:
        """How many numbers all arrays have together."""
        return sum(array.size for array in self.arrays.values())


def load_weights_file(path: Path) -> Weights:
    """Read a `.h5` or `.weights.h5` file of unknown origin.

    Raises:
        InputError: if it is no plain file, too large, damaged, or holds anything but groups and arrays of floats.
    """
    return parse_weights(read_bytes(path, MOST_BYTES), str(path))


def parse_weights(content: bytes, name: str) -> Weights:
    """Read a weights file from memory.

    Args:
        content: the whole file.
        name: what refusals call it.

    Raises:
        InputError: if it is damaged, or holds anything but groups and plainly stored arrays of floats.
    """
    return _WeightsReader(content, name).read()


def write_weights_file(path: Path, weights: Weights) -> None:
    """Write weights as a fresh HDF5 file, for Keras to load."""
    import h5py

    with h5py.File(path, "w") as file:
        for group in weights.groups:
            file.require_group(group)
        for name, array in weights.arrays.items():
            file.create_dataset(name, data=array)
        for (group, attribute), values in weights.names.items():
            file[group or "/"].attrs[attribute] = values


class _WeightsReader(Hdf5Reader):
    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content, name)
        self.array_bytes = 0
        self.arrays: dict[str, np.ndarray] = {}
        self.groups: list[str] = []
        self.names: dict[tuple[str, str], list[bytes]] = {}

    def read(self) -> Weights:
        waiting = [("", self.find_root())]
        while waiting:
            path, header = waiting.pop()
            waiting.extend(self.read_object(path, header))
        return Weights(self.arrays, tuple(sorted(self.groups)[1:]), self.names)

    def read_object(self, path: str, header: int) -> list[tuple[str, int]]:
        """Take in a group or an array; return a group's members."""
        if path in self.arrays or path in self.groups:
            self.refuse(f"holds {path!r} twice")
        messages: dict[int, Message] = {}
        for message in self.iterate_messages(path, header):
            if message.kind == ATTRIBUTE:
                self.read_attribute(path, message)
            elif message.kind not in IGNORED:
                if message.kind in messages:
                    self.refuse(f"is damaged: it describes {path!r} twice")
                messages[message.kind] = message
        if SYMBOL_TABLE in messages and len(messages) == 1:
            self.groups.append(path)
            return list(self.iterate_members(path, messages[SYMBOL_TABLE]))
        if path and set(messages) == {DATASPACE, DATATYPE, LAYOUT}:
            self.arrays[path] = self.read_array(path, messages)
            return []
        self.refuse(f"holds {path!r}, which is neither a group nor an array")

    def read_array(self, path: str, messages: dict[int, Message]) -> np.ndarray:
        shape = self.read_shape(path, messages[DATASPACE])
        at = messages[DATATYPE].at
        dtype = LITTLE_ENDIAN_FLOATS.get(self.content[at : at + 20])
        if dtype is None:
            self.refuse(f"holds {path!r}, whose values are no little-endian floats")
        at, size = self.find_data(path, messages[LAYOUT])
        declared = math.prod(shape) * dtype.itemsize
        self.array_bytes += declared
        if declared != size or size == 0:
            self.refuse(f"holds {path!r}, which claims {declared} bytes for its shape {shape} but keeps {size}")
        if at + size > len(self.content) or self.array_bytes > len(self.content):  # a sum: no bytes serve twice
            self.refuse(f"holds {path!r}, whose {size} bytes are not all in the file")
        return np.frombuffer(self.content, dtype, math.prod(shape), at).reshape(shape)

    def find_data(self, path: str, message: Message) -> tuple[int, int]:
        """Where an array's bytes are and how many (IV.A.2.i)."""
        version, layout = self.unpack("<BB", message.at)
        if version == 3 and layout == COMPACT:
            return message.at + 4, self.unpack("<H", message.at + 2)[0]
        if version == 3 and layout == CONTIGUOUS:
            at, size = self.unpack("<QQ", message.at + 2)
            return at, 0 if at == UNDEFINED else size
        self.refuse(f"holds {LAYOUTS.get(layout, 'data in an unknown layout')}, at {path!r}, where Keras writes none")

    def read_shape(self, path: str, message: Message) -> tuple[int, ...]:
        """The shape in a dataspace message, version 1 (IV.A.2.b)."""
        version, axes = self.unpack("<BB", message.at)
        if version != 1 or axes > MOST_AXES:
            self.refuse(f"holds {path!r}, whose shape is none that Keras writes")
        return self.unpack(f"<{axes}Q", message.at + 8)

    def read_attribute(self, path: str, message: Message) -> None:
        """Keep the attribute, version 1 (IV.A.2.m), if it is a list of names; no other is needed."""
        version, name_size, type_size, space_size = self.unpack("<BxHHH", message.at)
        name = self.content[message.at + 8 : message.at + 8 + name_size].rstrip(b"\0").decode("utf-8", "replace")
        if version != 1 or not name.startswith(NAME_LISTS):
            return
        type_at = message.at + 8 + pad(name_size)
        space_at = type_at + pad(type_size)
        values_at = space_at + pad(space_size)
        count = math.prod(self.read_shape(path, Message(DATASPACE, space_at, space_size)))
        kind, item_size = self.unpack("<B3xI", type_at)
        if count and (item_size == 0 or values_at + count * item_size > message.at + message.size):
            self.refuse(f"is damaged: {name[:40]!r} of {path!r} claims {count} names")
        places = [values_at + item_size * item for item in range(count)]
        if count and kind & 15 == FIXED_STRING:
            self.names[path, name] = [self.content[at : at + item_size].rstrip(b"\0") for at in places]
        elif count and kind & 15 == VARIABLE and item_size == 16:
            self.names[path, name] = [self.read_string(at) for at in places]
        elif count:
            self.refuse(f"holds {name[:40]!r} of {path!r}, which is no list of names")
        else:
            self.names[path, name] = []
