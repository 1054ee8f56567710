"""Cases of the corpus: run folders, the members of an ensemble, and the notes beside submissions."""

import io
import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from corpus import (
    ENSEMBLE,
    PIPE,
    SCORE,
    THINGS,
    Case,
    Expected,
    expect,
    lean_towards,
    make_sparse,
    remove,
    spoil_with,
    write,
)

LINK = expect("io.link", path="{file}")  # whatever it leads to
NUMBERS = {"oof": 20, "test": 6}  # rows of each array
VOTE = ("ensemble", "one", "mine.csv", "--method", "vote", "--input-dir", "data", "--submission", "out/new.csv")


def edit_json(path: str, change: Callable[[dict[str, Any]], object]) -> Callable[[], None]:
    """A spoiler of a JSON file; `change` gets its content and returns another, or edits what it got."""

    def spoil() -> None:
        content = json.loads(Path(path).read_text())
        other = change(content)
        Path(path).write_text(json.dumps(content if other is None else other))

    return spoil


def set_key(path: str, key: str, value: object) -> Callable[[], None]:
    return edit_json(path, lambda content: content.__setitem__(key, value))


def build_json_cases(path: str, command: tuple[str, ...]) -> list[Case]:
    """What no JSON file may be, whatever it should hold."""
    contents = {
        "empty": b"",
        "torn": b'{"oof_accuracy": 0.5, "train_',
        "UTF-16": '{"a": 1}'.encode("utf-16"),
        "bytes": bytes(range(256)),
        "zeros": bytes(1000),
        "nested deep": b"[" * 200_000,
        "nested deep in keys": b'{"a":' * 200_000,
        "a number of ten thousand digits": b'{"oof_accuracy": ' + b"9" * 10_000 + b"}",
    }
    cases = [
        Case(f"{path} {name}, {command[0]}", command, write(path, text), expect("io.not_json", path=path))
        for name, text in contents.items()
    ]
    for name in ("a folder", "a FIFO", "a socket", "/dev/zero"):
        thing, expected = THINGS[name]
        if "/" in path and name.startswith("/dev"):
            expected = LINK
        spoil = spoil_with(thing, path)
        cases.append(Case(f"{path} {name}, {command[0]}", command, spoil, expected.format(file=path)))
    return [
        *cases,
        Case(
            f"{path} of a terabyte, {command[0]}", command, lambda: make_sparse(path), expect("io.too_long", path=path)
        ),
    ]


def build_note_cases() -> list[Case]:
    path = "mine.csv.json"
    fields = expect("submission.provenance_fields", path=path)
    others: dict[str, Callable[[dict[str, Any]], object]] = {
        "a list": lambda content: [content],
        "a number": lambda content: 5,
        "without command": lambda content: content.pop("command") and None,
        "with a key more": lambda content: content.update({"x\ny": 1}),
    }
    values: dict[str, tuple[str, object]] = {
        "model a number": ("model", 5),
        "command a list": ("command", ["cv"]),
        "ineligible true": ("ineligible", True),
        "ineligible with escapes": ("ineligible", "\x1b[2J"),
        "ineligible of two lines": ("ineligible", "a\nb"),
        "score NaN": ("oof_accuracy", float("nan")),
        "score infinite": ("oof_accuracy", float("inf")),
        "score 99": ("oof_accuracy", 99),
        "score true": ("oof_accuracy", True),
        "score a huge number": ("oof_accuracy", 10**4000),
    }
    cases = [Case(f"note {name}", SCORE, edit_json(path, change), fields) for name, change in others.items()]
    for name, (key, value) in values.items():
        expected = expect("submission.provenance_value", path=path, column=key)
        cases.append(Case(f"note {name}", SCORE, set_key(path, key, value), expected))
    changed = expect("submission.changed", path="mine.csv")
    hashes = (None, "", "0" * 64)
    cases += [Case(f"note hash {h!r}", SCORE, set_key(path, "submission_sha256", h), changed) for h in hashes]
    other = expect("submission.other_test", path="mine.csv")
    cases += [
        Case(f"note of other data, {command[0]}", command, set_key(path, "test_sha256", "f" * 64), other)
        for command in (SCORE, VOTE)
    ]
    return [*cases, *build_json_cases(path, SCORE), *build_json_cases(path, VOTE)]


def build_metrics_cases() -> list[Case]:
    path = "one/metrics.json"
    lacks, wrong = expect("run.metric_missing", path=path), expect("run.entry", path=path)
    contents = {**dict.fromkeys(("[]", "null", "5", '"text"', "NaN"), wrong), "{}": lacks, '{"oof_accuracy": 1}': lacks}
    cases = [Case(f"{path} {text}", ENSEMBLE, write(path, text), expected) for text, expected in contents.items()]
    for key in ("oof_accuracy", "train_sha256", "test_sha256", "ineligible"):
        cases.append(Case(f"{path} without {key}", ENSEMBLE, edit_json(path, lambda content, key=key: {
            name: value for name, value in content.items() if name != key}), lacks))  # fmt: skip
    for name in ("train", "test"):
        other = expect("evaluation.other_data", path="one", received=f"{name}.csv")
        for value in (5, None, [], "0" * 64, "ab\x1b[2J"):
            spoil = set_key(path, f"{name}_sha256", value)
            expected = other if value is None or isinstance(value, str) else wrong
            cases.append(Case(f"{path} {name}_sha256 {value!r}", ENSEMBLE, spoil, expected))
    ineligible = expect("run.entry", path=path, column="ineligible")
    for value in (5, {}, [], True, "a\nb", "\x1b[2J"):
        cases.append(Case(f"{path} ineligible {value!r}", ENSEMBLE, set_key(path, "ineligible", value), ineligible))
    return [*cases, *build_json_cases(path, ENSEMBLE)]


def pack(array: np.ndarray) -> bytes:
    content = io.BytesIO()
    np.save(content, array, allow_pickle=True)
    return content.getvalue()


def claim(header: str) -> bytes:
    """An .npy whose header says what it likes, before 64 bytes."""
    text = header.encode("latin1").ljust(118) + b"\n"
    return b"\x93NUMPY\x01\0" + struct.pack("<H", len(text)) + text + bytes(64)


def build_array_cases(kind: str, rows: int) -> list[Case]:
    path = f"one/{kind}_probabilities.npy"
    good = lean_towards(np.arange(rows) % 10, 0.9)
    npz = io.BytesIO()
    np.savez(npz, good)
    shapes = {
        "of a petabyte": "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 1000), }",
        "of a negative shape": "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -16), }",
        "of another shape": "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 10), }",
    }
    headers = {
        "of code": "{'descr': __import__('os').mkdir('hacked'), 'fortran_order': False, 'shape': (1, 10), }",
        "of a broken header": "{'descr': '<f4', 'fortran_order': (((",
        "of an open quote": "{'descr': '''<f4",
        "of deep nesting": "(" * 100,
        "of no such type": "{'descr': '<q9', 'fortran_order': False, 'shape': (1, 10), }",
    }
    contents = {
        "header": {
            "empty": b"",
            "text": b"0.1,0.9\n",
            "torn in the header": pack(good)[:60],
            "an npz": npz.getvalue(),
            **{name: claim(header) for name, header in headers.items()},
        },
        "dtype": {
            "objects": pack(np.array([[{}] * 10] * rows, object)),
            "strings": pack(np.full((rows, 10), "0.1")),
            "dates": pack(np.zeros((rows, 10), "datetime64[s]")),
            "structured": pack(np.zeros(rows, [("a", "<f4"), ("b", "<f4")])),
        },
        "size": {
            "torn in the numbers": pack(good)[:-9],
            "with bytes more": pack(good) + b"\0",
            **{name: claim(header) for name, header in shapes.items()},
        },
    }
    not_probabilities = {
        "integers": pack(good.astype(np.int64)),
        "complex": pack(good.astype(np.complex64)),
        "truths": pack(good > 0.5),
        "flat": pack(good.ravel()),
        "a cube": pack(good[None]),
        "a scalar": pack(np.float32(1)),
    }
    cases = [
        Case(f"{path} {name}", ENSEMBLE, write(path, content), expect(f"io.npy_{code}", path=path))
        for code, group in contents.items()
        for name, content in group.items()
    ]
    for name, content in not_probabilities.items():
        cases.append(Case(f"{path} {name}", ENSEMBLE, write(path, content), expect("run.no_probabilities", path=path)))

    def change(name: str, code: str, value: Callable[[np.ndarray], np.ndarray], **place: object) -> None:
        expected = expect(f"evaluation.{code}", **{"path": path, **place})
        cases.append(Case(f"{path} {name}", ENSEMBLE, write(path, pack(value(good.copy()))), expected))

    def set_cell(value: float) -> Callable[[np.ndarray], np.ndarray]:
        return lambda array: (array.__setitem__((2, 3), value), array)[1]

    for value in (np.nan, np.inf, -np.inf):
        change(f"with {value}", "nan", set_cell(value))
    for value in (-0.5, 1.5, 1e30):
        change(f"with {value}", "probability_sum", set_cell(value), line=3)
    change("of nine classes", "class_count", lambda array: array[:, :9], received=9)
    change("of no class", "class_count", lambda array: array[:, :0], received=0)
    for name, other in {
        "fewer rows": lambda array: array[:-1],
        "more rows": lambda array: np.vstack([array, array]),
        "no row": lambda array: array[:0],
    }.items():
        received = len(other(good))
        expected = expect("evaluation.part_of_rows", path="one", received=received)
        if kind == "oof":  # and the run's folds are of other rows
            expected = expect("run.folds", path="one/folds.npy", rows=received)
        cases.append(Case(f"{path} of {name}", ENSEMBLE, write(path, pack(other(good.copy()))), expected))
    for name in ("a folder", "a FIFO", "a socket", "/dev/zero", "a looped link"):
        thing, expected = THINGS[name]
        expected = LINK if name in ("/dev/zero", "a looped link") else expected
        cases.append(Case(f"{path} {name}", ENSEMBLE, spoil_with(thing, path), expected.format(file=path)))
    missing = spoil_with(THINGS["missing"][0], path)
    cases.append(Case(f"{path} missing", ENSEMBLE, missing, expect("io.missing", path=path)))
    return [
        *cases,
        Case(f"{path} of a terabyte", ENSEMBLE, lambda: make_sparse(path), expect("io.too_long", path=path)),
    ]


MEMBERS: dict[str, tuple[tuple[str, ...], Callable[[], object], Expected]] = {
    "no config.json": (("one", "two"), lambda: remove("one/config.json"), expect("run.no_run", path="one")),
    "no metrics.json": (
        ("one", "two"),
        lambda: remove("one/metrics.json"),
        expect("run.unfinished", path="one"),
    ),
    "an empty folder": (("idle", "two"), lambda: Path("idle").mkdir(), expect("run.no_run", path="idle")),
    "the data as a run": (("data", "two"), lambda: None, expect("run.no_run", path="data")),
    "no such member": (("gone", "two"), lambda: None, expect("evaluation.no_member", path="gone")),
    "a FIFO as member": (("pipe", "two"), lambda: os.mkfifo("pipe"), PIPE.format(file="pipe")),
    "a device as member": (("/dev/zero", "two"), lambda: None, PIPE.format(file="/dev/zero")),
    "one member": (("one",), lambda: None, expect("evaluation.too_few_members", received=1)),
    "no member": ((), lambda: None, expect("cli.required")),
    "a member twice": (("one", "one"), lambda: None, expect("evaluation.repeated_member")),
    "a member and a link to it": (
        ("one", "same"),
        lambda: Path("same").symlink_to("one"),
        expect("evaluation.repeated_member"),
    ),
    "a member and a copy": (
        ("one", "same"),
        lambda: shutil.copytree("one", "same"),
        expect("evaluation.repeated_member"),
    ),
    "a run and its submission": (
        ("one", "mine.csv", "--method", "vote"),
        lambda: None,
        expect("evaluation.repeated_member"),
    ),
    "a file by mean": (
        ("one", "mine.csv"),
        lambda: None,
        expect("evaluation.mean_of_labels", path="mine.csv"),
    ),
    "a file of one label": (
        ("one", "data/sample_submission.csv", "--method", "vote"),
        lambda: None,
        expect("submission.one_label", received=0),
    ),
}
CASES = [
    *build_note_cases(),
    *build_metrics_cases(),
    *(case for kind, rows in NUMBERS.items() for case in build_array_cases(kind, rows)),
    *(Case(name, ("ensemble", *m, *ENSEMBLE[3:]), spoil, line) for name, (m, spoil, line) in MEMBERS.items()),
]
