"""Cases of the corpus: paths that are given as flags, above all those to write to, and flags that mean nothing."""

import os
from collections.abc import Callable
from pathlib import Path

from corpus import CV, ENSEMBLE, SCORE, Case, Expected, expect, remove

from digit_recognizer.data.csv import DOWNLOAD

LONG = "x" * 300
NOTE_TOO_LONG = "x" * 248 + ".csv"  # a name of 252 characters; the note's has 257, two more than file systems take
IN_DATA = expect("submission.in_input_dir", column="--submission")
EXISTS = expect("submission.exists", column="--submission")
TOO_LONG = expect("submission.place", column="--submission")
SUFFIX = expect("submission.suffix", column="--submission")
NO_FOLDER = expect("io.unwritable_folder")


def nothing() -> None:
    pass


def link(name: str, target: str) -> Callable[[], None]:
    return lambda: Path(name).symlink_to(target)


SUBMISSIONS: dict[str, tuple[str, Callable[[], object], Expected]] = {
    "train.csv": ("data/train.csv", nothing, IN_DATA),
    "sample_submission.csv": ("data/sample_submission.csv", nothing, IN_DATA),
    "new file among the data": ("data/new.csv", nothing, IN_DATA),
    "roundabout among the data": ("data/../one/../data/new.csv", nothing, IN_DATA),
    "among the data through a linked folder": ("link/new.csv", link("link", "data"), IN_DATA),
    "among the data through a link": ("link.csv", link("link.csv", "data/new.csv"), IN_DATA),
    "linked to train.csv": ("link.csv", link("link.csv", "data/train.csv"), IN_DATA),
    "hard link to train.csv": ("hard.csv", lambda: os.link("data/train.csv", "hard.csv"), EXISTS),
    "existing file": ("mine.csv", nothing, EXISTS),
    "existing note": ("mine.csv", lambda: remove("mine.csv"), EXISTS),
    "link to a file": ("link.csv", link("link.csv", "mine.csv"), EXISTS),
    "link to nothing": ("link.csv", link("link.csv", "gone"), EXISTS),
    "looped link": ("link.csv", link("link.csv", "link.csv"), EXISTS),
    "folder": ("one.csv", lambda: Path("one.csv").mkdir(), EXISTS),
    "FIFO": ("pipe.csv", lambda: os.mkfifo("pipe.csv"), EXISTS),
    "/dev/full": ("/dev/full", nothing, SUFFIX),
    "nameless": ("", nothing, expect("cli.value")),
    "no .csv": ("new.txt", nothing, SUFFIX),
    "below a file": ("mine.csv/new.csv", nothing, NO_FOLDER),
    "far below a file": ("mine.csv/a/b/new.csv", nothing, NO_FOLDER),
    "below a link to nothing": ("link/new.csv", link("link", "gone"), NO_FOLDER),
    "below a looped link": ("link/new.csv", link("link", "link"), TOO_LONG),
    "name too long": (f"{LONG}.csv", nothing, TOO_LONG),
    "name too long for the note": (NOTE_TOO_LONG, nothing, TOO_LONG),
    "folder's name too long": (f"{LONG}/new.csv", nothing, TOO_LONG),
    "path too long": ("x/" * 3000 + "new.csv", nothing, TOO_LONG),
    "two lines": ("a\nb.txt", nothing, SUFFIX),
    "terminal's own characters": ("\x1b[2J\a", nothing, SUFFIX),
    "bytes that are no UTF-8": (os.fsdecode(b"\xff.txt"), nothing, SUFFIX),
    "NUL": ("a\0b.csv", nothing, expect("cli.nul_byte")),
}


def build_submission_cases() -> list[Case]:
    return [
        Case(f"--submission {name}, {command[0]}", (*command[:-1], path), spoil, line.format(path))
        for name, (path, spoil, line) in SUBMISSIONS.items()
        for command in (CV, ENSEMBLE)
    ]


def give(command: tuple[str, ...], flag: str, value: str) -> tuple[str, ...]:
    return tuple(value if before == flag else word for before, word in zip(("", *command), command, strict=False))


NO_RUN_DIR = expect("run.folder_unwritable", path="{}")
RUN_DIRS: dict[str, tuple[str, Callable[[], object], Expected]] = {
    "full folder": ("one", nothing, expect("run.exists", path="one")),
    "data": ("data", nothing, expect("run.folder_not_empty", path="data")),
    "file": ("mine.csv", nothing, expect("run.folder_is_a_file", path="mine.csv")),
    "below a file": ("mine.csv/run", nothing, NO_RUN_DIR),
    "FIFO": ("pipe", lambda: os.mkfifo("pipe"), expect("run.folder_is_a_file", path="pipe")),
    "looped link": ("link", link("link", "link"), expect("io.unwritable", path="link")),
    "link to nothing": ("link", link("link", "gone"), expect("io.unwritable", path="link")),
    "name too long": (LONG, nothing, NO_RUN_DIR),
    "two lines below a file": ("mine.csv/a\nb", nothing, NO_RUN_DIR),
    "NUL": ("a\0b", nothing, expect("cli.nul_byte")),
}
MISSING = expect("data.missing", path="{file}")
UNREADABLE = expect("io.unreadable", path="{file}")
INPUT_DIRS: dict[str, tuple[str, Callable[[], object], Expected]] = {
    "missing": ("gone", nothing, expect("data.missing", path="{file}", command=f"{DOWNLOAD} kaggle --input-dir gone")),
    "file": ("mine.csv", nothing, MISSING),
    "empty": ("idle", lambda: Path("idle").mkdir(), MISSING),
    "looped link": ("link", link("link", "link"), UNREADABLE),
    "name too long": (LONG, nothing, UNREADABLE),
    "two lines": ("a\nb", nothing, MISSING),
    "a shell's own characters": (
        "a; rm b",
        nothing,
        expect("data.missing", path="{file}", command=f"{DOWNLOAD} kaggle --input-dir 'a; rm b'"),
    ),
    "terminal's own characters": ("\x1b[2J", nothing, MISSING),
    "bytes that are no UTF-8": (os.fsdecode(b"\xff"), nothing, MISSING),
    "NUL": ("a\0b", nothing, expect("cli.nul_byte")),
}
VALUE, INCOMPLETE = expect("cli.value", column="{flag}"), expect("cli.incomplete", column="{flag}")
EXTRA, NO_FLAG = expect("cli.extra"), expect("cli.flag_unknown")
MODEL = expect("models.unknown", received="{value}")
UNKNOWN_OPTION = expect("models.option_unknown", received="{value}")
NOT_FINITE = expect("models.option_not_finite", received="{value}", option="dropout")
FLAG = {"column": "{flag}"}
TOO_LOW, BETWEEN = expect("config.too_low", **FLAG), expect("config.not_between_0_and_1", **FLAG)
OUT_OF_RANGE, NO_FRACTION = expect("config.out_of_range", **FLAG), expect("config.not_from_0_to_below_1", **FLAG)
FLAGS: dict[tuple[str, ...], Expected] = {
    **{("--epochs", value): VALUE for value in ("three", "2.5", "nan", "", "1e3", "٣x", "0x3", "9" * 5000)},
    **{(flag, "-1"): TOO_LOW for flag in ("--epochs", "--folds", "--batch-size", "--limit-train", "--limit-test")},
    **{(flag, "0"): TOO_LOW for flag in ("--epochs", "--folds", "--batch-size")},
    **{("--learning-rate", value): BETWEEN for value in ("nan", "inf", "0", "-0.1", "1e999", "1")},
    **{("--validation-fraction", value): BETWEEN for value in ("nan", "1", "0", "-0.5")},
    ("--validation-fraction", "-inf"): INCOMPLETE,
    **{("--model", value): MODEL for value in ("lenet", "../baseline", "", "a\nb", "__init__")},
    ("--model", "baseline.py"): expect("io.missing"),
    **{("--model", "narrow", "--model-args", value): UNKNOWN_OPTION for value in ("dropot=0.3", "a\nb", "")},
    **{
        ("--model", "narrow", "--model-args", value): NOT_FINITE
        for value in ("dropout", "dropout=", "dropout=nan", "dropout=1e999")
    },
    ("--model", "narrow", "--model-args", "kernel_px=4.0"): expect("models.option_not_whole", option="kernel_px"),
    ("--model", "narrow", "--model-args", "dropout=1"): expect("models.option_range", option="dropout"),
    ("--model", "narrow", "--model-args", "kernel_px=10"): expect("models.kernel_too_large", side=9),
    ("--model-args", "blocks=2"): UNKNOWN_OPTION,
    **{
        ("--model", "vgg16", "--weights", value): expect("training.weights", received=value)
        for value in ("gone.h5", "pipe", "data")
    },
    ("--weights", "gone.h5"): expect("training.needs_backbone", column="--weights", model="baseline"),
    **{(flag, value): OUT_OF_RANGE for flag in ("--seed", "--split-seed") for value in ("-1", "4294967296")},
    ("--seed", "1" + "0" * 400): OUT_OF_RANGE,
    ("--weight-decay", "1"): NO_FRACTION,
    ("--label-smoothing", "nan"): NO_FRACTION,
    ("--folds", "21"): expect("data.folds", received=21, label=0, rows=2),
    ("--limit-train", "3"): expect("data.folds", received=2, label=0, rows=1),
    ("--limit-test", "2"): expect("run.submission_of_part", received=2, rows=6),
    **dict.fromkeys(
        [
            ("--learning-rate", "0,001"),
            ("--schedule", "one cycle"),
            ("--schedule", ""),
            ("--precision", "float8"),
            ("--optimizer", "sgd"),
            ("--tta", "3"),
        ],
        VALUE,
    ),
    **dict.fromkeys([("--epochs",), ("--model",)], INCOMPLETE),
    **dict.fromkeys([("--no-such-flag",), ("-x",)], NO_FLAG),
    **dict.fromkeys(
        [("--epochs", "3", "4"), ("--smoke", "yes"), ("train.csv",), ("a\nb",), ("\x1b[2J",), ("\udcff",)], EXTRA
    ),
}


def build_flag_cases() -> list[Case]:
    return [
        Case(
            f"cv {' '.join(flags)[:40]!a}",
            (*CV, *flags),
            lambda: os.mkfifo("pipe"),
            line.format(flag=flags[0], value=flags[-1]),
        )
        for flags, line in FLAGS.items()
    ]


FIRST_READ = {"cv": "train.csv", "ensemble": "sample_submission.csv", "score": "test_labels.csv"}


def build_folder_cases() -> list[Case]:
    runs = [
        Case(f"--run-dir {name}", give(CV, "--run-dir", path), spoil, line.format(path))
        for name, (path, spoil, line) in RUN_DIRS.items()
    ]
    inputs = [
        Case(
            f"--input-dir {name}, {command[0]}",
            give(command, "--input-dir", path),
            spoil,
            line.format(file=f"{path}/{FIRST_READ[command[0]]}"),
        )
        for name, (path, spoil, line) in INPUT_DIRS.items()
        for command in (CV, ENSEMBLE)
    ]
    return runs + inputs


NO_TARGET = expect("io.not_folder", path="{}")
UNWRITABLE = expect("io.unwritable", path="{}")
TARGETS: dict[str, tuple[str, Callable[[], object], Expected]] = {
    "file": ("mine.csv", nothing, NO_TARGET),
    "below a file": ("mine.csv/new", nothing, UNWRITABLE),
    "FIFO": ("pipe", lambda: os.mkfifo("pipe"), NO_TARGET),
    "looped link": ("link", link("link", "link"), NO_TARGET),
    "link to nothing": ("link", link("link", "gone"), NO_TARGET),
    "name too long": (LONG, nothing, UNWRITABLE),
    "NUL": ("a\0b", nothing, expect("cli.nul_byte")),
    "other data": ("data", nothing, expect("data.would_overwrite", path="data")),
}
SOURCES = {"missing": "gone", "looped": "link", "an escape": "\x1b", "two lines": "a\nb", "a number": "-1"}
SCORED: dict[str, tuple[str, Expected]] = {
    "nameless": ("", expect("cli.value")),
    "a run": ("one", expect("io.folder", path="one")),
    "two lines": ("a\nb", expect("io.missing", path="a\nb")),
    "too long": (LONG, expect("io.unreadable", path=LONG)),
    "NUL": ("a\0b", expect("cli.nul_byte")),
}
CASES = [
    *build_submission_cases(),
    *build_folder_cases(),
    *(
        Case(f"download to {name}", ("download", "idx", "--input-dir", path), spoil, error.format(path))
        for name, (path, spoil, error) in TARGETS.items()
    ),
    *(
        Case(
            f"download {name}",
            ("download", source, "--input-dir", "new"),
            link("link", "link"),
            expect("data.no_source", received=source),
        )
        for name, source in SOURCES.items()
    ),
    Case(
        "download where train.csv is a folder",
        ("download", "idx", "--input-dir", "new", "--overwrite"),
        lambda: Path("new/train.csv").mkdir(parents=True),
        expect("data.in_the_way", path="new/train.csv"),
    ),
    *build_flag_cases(),
    *(
        Case(f"score {name}", give(SCORE, "score", path), link("link", "link"), error)
        for name, (path, error) in SCORED.items()
    ),
]
