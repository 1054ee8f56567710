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
from corpus import ENSEMBLE, SCORE, THINGS, Case, lean_towards, make_sparse, remove, spoil_with, write

NUMBERS = {"oof": 20, "test": 6}  # rows of each array
NOT_JSON = "‹› must hold JSON, but ‹›: write it anew."
NOTE = "mine.csv.json must be the note of a submission, but "
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
        Case(f"{path} {name}, {command[0]}", command, write(path, text), NOT_JSON) for name, text in contents.items()
    ]
    for name in ("a folder", "a FIFO", "a socket", "/dev/zero"):
        line = f"{path} must ‹›: ‹›."
        cases.append(Case(f"{path} {name}, {command[0]}", command, spoil_with(THINGS[name][0], path), line))
    return [
        *cases,
        Case(
            f"{path} of a terabyte, {command[0]}", command, lambda: make_sparse(path), f"{path} must hold JSON, but ‹›"
        ),
    ]


def build_note_cases() -> list[Case]:
    path = "mine.csv.json"
    changes: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
        "a list": (lambda content: [content], "is a list"),
        "a number": (lambda content: 5, "is a int"),
        "without command": (lambda content: content.pop("command") and None, "lacks command"),
        "with a key more": (lambda content: content.update({"x\ny": 1}), "tells of 'x\\ny'"),
        "model a number": (lambda content: content.update(model=5), "its model is 5"),
        "command a list": (lambda content: content.update(command=["cv"]), "its command is ['cv']"),
        "ineligible true": (lambda content: content.update(ineligible=True), "its ineligible is True"),
        "ineligible with escapes": (
            lambda content: content.update(ineligible="\x1b[2J"),
            "its ineligible is '\\x1b[2J'",
        ),
        "ineligible of two lines": (lambda content: content.update(ineligible="a\nb"), "its ineligible is 'a\\nb'"),
        "score NaN": (lambda content: content.update(oof_accuracy=float("nan")), "its oof_accuracy is nan"),
        "score infinite": (lambda content: content.update(oof_accuracy=float("inf")), "its oof_accuracy is inf"),
        "score 99": (lambda content: content.update(oof_accuracy=99), "its oof_accuracy is 99"),
        "score true": (lambda content: content.update(oof_accuracy=True), "its oof_accuracy is True"),
        "score a huge number": (lambda content: content.update(oof_accuracy=10**4000), "its oof_accuracy is 1000‹›"),
    }
    cases = [
        Case(f"note {name}", SCORE, edit_json(path, change), f"{NOTE}{fault}: remove it.")
        for name, (change, fault) in changes.items()
    ]
    changed = "mine.csv was changed after its note mine.csv.json was written: make it anew or remove both."
    hashes = (None, "", "0" * 64)
    cases += [Case(f"note hash {h!r}", SCORE, set_key(path, "submission_sha256", h), changed) for h in hashes]
    other = "mine.csv was made for another test.csv (SHA-256 ‹› there, ‹› here): ‹›"
    cases += [
        Case(f"note of other data, {command[0]}", command, set_key(path, "test_sha256", "f" * 64), other)
        for command in (SCORE, VOTE)
    ]
    return [*cases, *build_json_cases(path, SCORE), *build_json_cases(path, VOTE)]


def build_metrics_cases() -> list[Case]:
    path = "one/metrics.json"
    lacks = "one/metrics.json must hold ‹›, but does not: it is no run's. Run it anew."
    cases = [
        Case(f"{path} {content}", ENSEMBLE, write(path, content), lacks)
        for content in ("[]", "null", "5", '"text"', "{}", "NaN", '{"oof_accuracy": 1}')
    ]
    for key in ("oof_accuracy", "train_sha256", "test_sha256", "ineligible"):
        cases.append(Case(f"{path} without {key}", ENSEMBLE, edit_json(path, lambda content, key=key: {
            name: value for name, value in content.items() if name != key}), lacks.replace("‹›", key)))  # fmt: skip
    for value in (5, None, [], "0" * 64, "ab\x1b[2J"):
        other = "one was made from another {} than that at hand: name the right --input-dir."
        cases.append(
            Case(
                f"{path} train_sha256 {value!r}",
                ENSEMBLE,
                set_key(path, "train_sha256", value),
                other.format("train.csv"),
            )
        )
        cases.append(
            Case(
                f"{path} test_sha256 {value!r}", ENSEMBLE, set_key(path, "test_sha256", value), other.format("test.csv")
            )
        )
    ineligible = "one/metrics.json must give its ineligible as a line or null, but gives ‹›: leave the run out."
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
    headers = {
        "of a petabyte": "{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 1000), }",
        "of a negative shape": "{'descr': '<f4', 'fortran_order': False, 'shape': (-1, -16), }",
        "of another shape": "{'descr': '<f4', 'fortran_order': False, 'shape': (3, 10), }",
        "of code": "{'descr': __import__('os').mkdir('hacked'), 'fortran_order': False, 'shape': (1, 10), }",
        "of a broken header": "{'descr': '<f4', 'fortran_order': (((",
        "of an open quote": "{'descr': '''<f4",
        "of deep nesting": "(" * 100,
        "of no such type": "{'descr': '<q9', 'fortran_order': False, 'shape': (1, 10), }",
    }
    contents = {
        "empty": b"",
        "text": b"0.1,0.9\n",
        "torn in the header": pack(good)[:60],
        "torn in the numbers": pack(good)[:-9],
        "with bytes more": pack(good) + b"\0",
        "an npz": npz.getvalue(),
        "objects": pack(np.array([[{}] * 10] * rows, object)),
        "strings": pack(np.full((rows, 10), "0.1")),
        "dates": pack(np.zeros((rows, 10), "datetime64[s]")),
        "structured": pack(np.zeros(rows, [("a", "<f4"), ("b", "<f4")])),
        "integers": pack(good.astype(np.int64)),
        "complex": pack(good.astype(np.complex64)),
        "truths": pack(good > 0.5),
        "flat": pack(good.ravel()),
        "a cube": pack(good[None]),
        "a scalar": pack(np.float32(1)),
        **{name: claim(header) for name, header in headers.items()},
    }
    cases = [
        Case(f"{path} {name}", ENSEMBLE, write(path, content), f"{path} must ‹›") for name, content in contents.items()
    ]

    def change(name: str, line: str, value: Callable[[np.ndarray], np.ndarray]) -> None:
        cases.append(Case(f"{path} {name}", ENSEMBLE, write(path, pack(value(good.copy()))), line))

    def set_cell(value: float) -> Callable[[np.ndarray], np.ndarray]:
        return lambda array: (array.__setitem__((2, 3), value), array)[1]

    numbers = f"{path} holds probabilities that are no numbers: its training failed; leave the run out."
    sums = f"{path}, row 3: probabilities must be 0 or more and sum to 1, but these sum to ‹›: leave the run out."
    for value in (np.nan, np.inf, -np.inf):
        change(f"with {value}", numbers, set_cell(value))
    for value in (-0.5, 1.5, 1e30):
        change(f"with {value}", sums, set_cell(value))
    columns = f"{path} must have 10 columns, one per class, but has {{}}: leave the run out."
    change("of nine classes", columns.format(9), lambda array: array[:, :9])
    change("of no class", columns.format(0), lambda array: array[:, :0])
    used = "one used ‹› of 20 training rows and ‹› of 6 test rows (--limit-train, ‹›): leave it out, or run it on all rows."
    change("of fewer rows", used, lambda array: array[:-1])
    change("of more rows", used, lambda array: np.vstack([array, array]))
    change("of no row", used, lambda array: array[:0])
    for name in ("a folder", "a FIFO", "a socket", "/dev/zero", "a looped link", "missing"):
        cases.append(Case(f"{path} {name}", ENSEMBLE, spoil_with(THINGS[name][0], path), f"{path} must ‹›: ‹›"))
    return [*cases, Case(f"{path} of a terabyte", ENSEMBLE, lambda: make_sparse(path), f"{path} must hold ‹›")]


TWICE = "‹› and ‹› hold the same predictions, which would count twice: name one."
NOTHING = "must be a run folder, with a config.json: name one that cv or train wrote."
DEVICE = "must be a plain file, but is a pipe or device: save it as a file first."
MEMBERS: dict[str, tuple[tuple[str, ...], Callable[[], object], str]] = {
    "no config.json": (("one", "two"), lambda: remove("one/config.json"), f"one {NOTHING}"),
    "no metrics.json": (
        ("one", "two"),
        lambda: remove("one/metrics.json"),
        "one holds a run that has not finished: ‹›",
    ),
    "an empty folder": (("idle", "two"), lambda: Path("idle").mkdir(), f"idle {NOTHING}"),
    "the data as a run": (("data", "two"), lambda: None, f"data {NOTHING}"),
    "no such member": (("gone", "two"), lambda: None, "gone must be a run folder or a submission file: ‹›"),
    "a FIFO as member": (("pipe", "two"), lambda: os.mkfifo("pipe"), f"pipe {DEVICE}"),
    "a device as member": (("/dev/zero", "two"), lambda: None, f"/dev/zero {DEVICE}"),
    "one member": (("one",), lambda: None, "an ensemble takes two or more runs or submissions; received 1."),
    "no member": ((), lambda: None, "an ensemble takes two or more runs or submissions; received 0."),
    "a member twice": (("one", "one"), lambda: None, TWICE),
    "a member and a link to it": (("one", "same"), lambda: Path("same").symlink_to("one"), TWICE),
    "a member and a copy": (("one", "same"), lambda: shutil.copytree("one", "same"), TWICE),
    "a run and its submission": (("one", "mine.csv", "--method", "vote"), lambda: None, TWICE),
    "a file by mean": (
        ("one", "mine.csv"),
        lambda: None,
        "--method mean takes runs, whose probabilities are saved; mine.csv holds labels only. Use vote.",
    ),
    "a file of one label": (
        ("one", "data/sample_submission.csv", "--method", "vote"),
        lambda: None,
        "data/sample_submission.csv gives every image the label 0: no prediction. Leave it out.",
    ),
}
CASES = [
    *build_note_cases(),
    *build_metrics_cases(),
    *(case for kind, rows in NUMBERS.items() for case in build_array_cases(kind, rows)),
    *(Case(name, ("ensemble", *m, *ENSEMBLE[3:]), spoil, line) for name, (m, spoil, line) in MEMBERS.items()),
]
