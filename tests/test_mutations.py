"""Healthy files, mutated by Hypothesis: each loader gives a valid table or one line that names the file.

For a long run, with other examples every time and no test of another module:

    DIGIT_RECOGNIZER_FUZZ_EXAMPLES=20000 python -m pytest tests/test_mutations.py
"""

import gzip
import io
import os
import shutil
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from corpus import build_place, within_bounds
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mutations import mutated, near_valid_cells
from reference_reader import RefusedError, read_label_reference, read_reference

from digit_recognizer.competition.submissions import load_submission
from digit_recognizer.data.csv import load_labels
from digit_recognizer.data.dataset import load_test, load_train
from digit_recognizer.data.sources import download, load_idx
from digit_recognizer.errors import InputError
from digit_recognizer.evaluation.predictions import ensemble
from digit_recognizer.io import find_cache_dir, load_npz

LONGEST_MESSAGE = 500
EXAMPLES = "DIGIT_RECOGNIZER_FUZZ_EXAMPLES"
settings.register_profile(
    "ci",
    max_examples=int(os.environ.get(EXAMPLES, "300")),
    derandomize=EXAMPLES not in os.environ,
    deadline=None,  # other work on a machine must not fail a test; `within_bounds` ends an example that hangs
    database=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example],
)
ci = settings.get_profile("ci")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Duplicate name:UserWarning"),  # by the zipfile that packs the examples
]


def build_healthy() -> dict[str, bytes]:
    """The contents of a healthy place's files by path, its tables cut to four rows."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        build_place(folder)
        found = {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    for table in ("data/train.csv", "data/test.csv"):
        found[f"short {table}"] = b"".join(found[table].splitlines(keepends=True)[:5])
    return found


HEALTHY = build_healthy()
TRAIN, TEST = HEALTHY["short data/train.csv"], HEALTHY["short data/test.csv"]
LABELS, IMAGES = HEALTHY["data/test_labels.csv"], HEALTHY["idx/train-images-idx3-ubyte"]
SUBMISSION, NOTE = HEALTHY["mine.csv"], HEALTHY["mine.csv.json"]


def load_or_refuse(load, path, named=None):
    """What `load` gives, or None where it refuses as it should."""
    with within_bounds():
        try:
            return load(path)
        except InputError as error:
            message = str(error)
            assert message.isprintable() and len(message) < LONGEST_MESSAGE, message
            assert str(named or path) in message
            return None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("mutations")


def check_against_reference(path, content, with_labels):
    path.write_bytes(content)
    table = load_or_refuse(load_train if with_labels else load_test, path)
    try:
        pixels, labels = read_reference(content, with_labels)
    except RefusedError as error:
        assert table is None, f"accepted in spite of: {error}"
        return
    assert table is not None, "refused what the reference accepts"
    np.testing.assert_array_equal(table.pixels, pixels)
    assert table.pixels.dtype == np.uint8 and table.pixels.flags.c_contiguous
    if with_labels:
        np.testing.assert_array_equal(table.labels, labels)


@ci
@given(content=mutated(TRAIN, TEST, LABELS))
def test_a_mutated_train_table_is_read_as_the_reference_reads_it_or_refused(content, folder):
    check_against_reference(folder / "train.csv", content, with_labels=True)


@ci
@given(content=mutated(TEST, TRAIN, LABELS))
def test_a_mutated_test_table_is_read_as_the_reference_reads_it_or_refused(content, folder):
    check_against_reference(folder / "test.csv", content, with_labels=False)


@st.composite
def written_by_hand(draw):
    """A train table in which some cells, line ends and blank lines are as somebody might have typed them."""
    rows = [line.split(",") for line in TRAIN.decode().splitlines()]
    for _ in range(draw(st.integers(0, 3))):
        rows[draw(st.integers(0, 4))][draw(st.sampled_from([0, 1, 400, 784]))] = draw(near_valid_cells())
    ends = st.sampled_from(["\n", "\n", "\n", "\r\n", "\n\n", "\r\n\n", "\r", "", ",\n", " \n"])
    return draw(st.sampled_from(["", "\ufeff", "\n"])) + "".join(",".join(row) + draw(ends) for row in rows)


@ci
@given(text=written_by_hand())
def test_cells_written_by_hand_are_read_as_the_reference_reads_them_or_refused(text, folder):
    check_against_reference(folder / "train.csv", text.encode("utf-8", "surrogatepass"), with_labels=True)


@ci
@given(content=mutated(LABELS, TEST))
def test_a_mutated_label_table_is_read_as_the_reference_reads_it_or_refused(content, folder):
    path = folder / "labels.csv"
    path.write_bytes(content)
    table = load_or_refuse(load_labels, path)
    try:
        labels = read_label_reference(content)
    except RefusedError as error:
        assert table is None, f"accepted in spite of: {error}"
        return
    assert table is not None, "refused what the reference accepts"
    np.testing.assert_array_equal(table, labels)


@ci
@given(
    content=mutated(HEALTHY["idx/train-images-idx3-ubyte"], HEALTHY["idx/train-labels-idx1-ubyte"]),
    packed=st.booleans(),
)
def test_a_mutated_idx_file_is_read_whole_or_refused(content, packed, folder):
    path = folder / "images"
    path.write_bytes(gzip.compress(content, 1) if packed else content)
    images = load_or_refuse(load_idx, path)
    if images is not None:  # the labels' file is one of bytes too, with a number less in its header
        assert images.shape[1:] in ((), (28, 28)) and images.tobytes() == content[4 + 4 * images.ndim :]


@ci
@given(content=mutated(HEALTHY["npz/kmnist-train-imgs.npz"], HEALTHY["npz/kmnist-train-labels.npz"]))
def test_a_mutated_npz_file_is_numbers_or_refused(content, folder):
    path = folder / "images.npz"
    path.write_bytes(content)
    arrays = load_or_refuse(lambda path: load_npz(path, 1 << 24), path)
    assert arrays is None or all(array.dtype.kind in "biufc" for array in arrays.values())


def repack(member, content):
    packed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(HEALTHY["digits.zip"])) as old, zipfile.ZipFile(packed, "w") as new:
        for name in old.namelist():
            new.writestr(name, content if name == member else old.read(name))
    return packed.getvalue()


@ci
@given(
    content=mutated(HEALTHY["digits.zip"], HEALTHY["npz/kmnist-train-imgs.npz"])
    | mutated(TRAIN, TEST).map(lambda content: repack("train.csv", content))
)
def test_a_mutated_zip_becomes_valid_tables_or_nothing(content, folder):
    path, target = folder / "digits.zip", folder / "new"
    path.write_bytes(content)
    if load_or_refuse(lambda path: download(str(path), target), path) is None:
        assert not target.exists()
        return
    load_train(target / "train.csv")
    load_test(target / "test.csv")
    shutil.rmtree(target)


@ci
@given(
    content=mutated(HEALTHY["mine.csv"], LABELS),
    note=mutated(HEALTHY["mine.csv.json"], HEALTHY["one/metrics.json"]),
    which=st.booleans(),
)
def test_a_mutated_submission_or_note_is_believed_whole_or_refused(content, note, which, folder):
    path = folder / "mine.csv"
    path.write_bytes(content if which else HEALTHY["mine.csv"])
    (folder / "mine.csv.json").write_bytes(HEALTHY["mine.csv.json"] if which else note)
    submission = load_or_refuse(load_submission, path)
    assert submission is None or submission.labels.tolist() == list(range(6))


@ci
@given(data=st.data())
def test_a_mutated_cache_is_mended_from_the_table_itself(data, folder):
    path, cache_dir = folder / "cached.csv", find_cache_dir() / "tables"
    path.write_bytes(TRAIN)
    shutil.rmtree(cache_dir, ignore_errors=True)
    table = load_train(path, cache=True)
    (spoilt,) = cache_dir.iterdir()
    spoilt.write_bytes(data.draw(mutated(spoilt.read_bytes(), NOTE)))
    with within_bounds():
        again = load_train(path, cache=True)
    np.testing.assert_array_equal(again.pixels, table.pixels)
    np.testing.assert_array_equal(again.labels, table.labels)
    assert again.sha256 == table.sha256


RUN_FILES = ["one/metrics.json", "one/oof_probabilities.npy", "one/test_probabilities.npy", "one/config.json"]


@ci
@given(data=st.data(), name=st.sampled_from(RUN_FILES))
def test_a_run_with_a_mutated_file_gives_a_whole_submission_or_none(data, name, folder):
    place = folder / "place"
    if not place.exists():
        build_place_once(place)
    (place / name).write_bytes(data.draw(mutated(HEALTHY[name], HEALTHY["one/test_probabilities.npy"])))
    out = place / "out.csv"
    try:
        said = load_or_refuse(
            lambda one: ensemble([one, place / "two"], "mean", place / "data", out), place / "one", named=place / "one"
        )
        assert out.exists() == (said is not None)
        assert said is None or set(load_labels(out)) <= set(range(10))
    finally:
        (place / name).write_bytes(HEALTHY[name])
        for path in (out, place / "out.csv.json"):
            path.unlink(missing_ok=True)


def build_place_once(place):
    place.mkdir()
    build_place(place)
