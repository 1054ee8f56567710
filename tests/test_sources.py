"""Where data comes from: the competition's zip, folders of CSV, idx or npz files, and the sample."""

import contextlib
import dataclasses
import functools
import gzip
import hashlib
import http.server
import os
import threading
import zipfile

import numpy as np
import pytest
from conftest import expect_error
from image_sets import draw_image_set, write_idx_folder, write_npz_folder, zip_folder

from digit_recognizer.config import RunConfig
from digit_recognizer.data import sources
from digit_recognizer.data.csv import load_labels
from digit_recognizer.data.dataset import load_dataset, load_test, load_train
from digit_recognizer.data.labels import MNIST_BEGINS, MNIST_COUNTS, is_mnist, load_label_set
from digit_recognizer.data.sources import build_sample, centre_by_mass, download, draw_digit, load_image_files
from digit_recognizer.errors import InputError, WriteError
from digit_recognizer.io import TEMPORARY, install_file

pytestmark = pytest.mark.fast

CSV_NAMES = ["sample_submission.csv", "test.csv", "train.csv"]


@pytest.fixture
def images():
    return draw_image_set()


@pytest.fixture
def idx_dir(tmp_path, images):
    return write_idx_folder(tmp_path / "idx", images)


@pytest.fixture
def npz_dir(tmp_path, images):
    return write_npz_folder(tmp_path / "npz", images)


@pytest.fixture
def csv_dir(tmp_path, idx_dir):
    download(str(idx_dir), tmp_path / "csv")
    (tmp_path / "csv" / "test_labels.csv").unlink()
    return tmp_path / "csv"


@pytest.fixture
def target(tmp_path):
    return tmp_path / "input"


def list_names(folder):
    return sorted(path.name for path in folder.iterdir()) if folder.exists() else []


@contextlib.contextmanager
def refused(target, code, **place):
    """Inside, a download must fail with this error, after which the target holds what it held before."""
    before = {path: path.read_bytes() for path in target.iterdir()} if target.exists() else None
    with expect_error(code, **place) as caught:
        yield
    assert TEMPORARY not in str(caught.value)
    assert before == ({path: path.read_bytes() for path in target.iterdir()} if target.exists() else None)


def assert_holds(target, images):
    train, test = load_train(target / "train.csv"), load_test(target / "test.csv")
    np.testing.assert_array_equal(train.pixels, images[0].reshape(-1, 784))
    np.testing.assert_array_equal(train.labels, images[1])
    np.testing.assert_array_equal(test.pixels, images[2].reshape(-1, 784))
    assert train.notes == test.notes == ()


@pytest.mark.parametrize("folder", ["idx_dir", "npz_dir"])
def test_an_image_set_becomes_kaggle_shaped_csv_files(folder, images, target, request):
    found = download(str(request.getfixturevalue(folder)), target)
    assert list_names(target) == [*CSV_NAMES[:2], "test_labels.csv", "train.csv"]
    assert_holds(target, images)
    assert load_labels(target / "test_labels.csv").tolist() == [3, 1, 4, 1, 5]
    assert (target / "sample_submission.csv").read_text() == "ImageId,Label\n1,0\n2,0\n3,0\n4,0\n5,0\n"
    assert "12 training rows, 5 test rows" in found


def test_written_csv_files_have_kaggles_form(idx_dir, images, target):
    download(str(idx_dir), target)
    header, first, *_ = (target / "train.csv").read_text().split("\n")
    assert header.startswith("label,pixel0,pixel1,") and header.endswith(",pixel783")
    assert first == ",".join(map(str, [0, *images[0][0].ravel()]))
    assert (target / "test.csv").read_bytes().startswith(b"pixel0,pixel1,")
    assert b'"' not in (target / "train.csv").read_bytes()


def test_what_is_noted_of_an_image_set_is_reported(npz_dir, target):
    for name in ("imgs", "labels"):
        (npz_dir / f"kmnist-train-{name}.npz").rename(npz_dir / f"kmnist-train-{name}-first12.npz")
    assert "holds only the first 12 rows" in download(str(npz_dir), target)


def test_an_image_set_without_test_labels_gives_three_files(idx_dir, target):
    (idx_dir / "t10k-labels-idx1-ubyte").unlink()
    download(str(idx_dir), target)
    assert list_names(target) == CSV_NAMES


def test_a_damaged_image_file_leaves_nothing_behind(idx_dir, target):
    (idx_dir / "t10k-labels-idx1-ubyte").write_bytes(b"")
    with refused(target, "data.damaged", path=idx_dir / "t10k-labels-idx1-ubyte"):
        download(str(idx_dir), target)


def test_a_folder_of_csv_files_is_copied(csv_dir, target, images):
    download(str(csv_dir), target)
    assert_holds(target, images)


def test_another_data_set_within_a_folder_is_left_alone(csv_dir, target):
    (csv_dir / "other").mkdir()
    (csv_dir / "other" / "test_labels.csv").write_text("ImageId,Label\n1,0\n")
    (csv_dir / "other" / "classes.json").write_text("{}")
    download(str(csv_dir), target)
    assert sorted(path.name for path in target.iterdir() if path.suffix) == CSV_NAMES


def test_a_folder_that_cannot_be_listed_is_named(idx_dir, target, monkeypatch):
    (idx_dir / "locked").mkdir()
    list_entries = type(idx_dir).iterdir

    def refuse(path):
        if path.name == "locked":
            raise PermissionError(13, "Permission denied", str(path))
        return list_entries(path)

    monkeypatch.setattr(type(idx_dir), "iterdir", refuse)
    with expect_error("io.unreadable", path=idx_dir / "locked"):
        download(str(idx_dir), target)


def test_a_folder_without_sample_submission_gets_one(csv_dir, target):
    (csv_dir / "sample_submission.csv").unlink()
    download(str(csv_dir), target)
    assert list_names(target) == CSV_NAMES


def test_csv_files_in_another_form_are_brought_into_kaggles(csv_dir, target, images):
    path = csv_dir / "train.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert "train.csv was brought into Kaggle's form" in download(str(csv_dir), target)
    assert_holds(target, images)


@pytest.mark.parametrize("name", ["sample_submission.csv", "test_labels.csv"])
def test_ids_that_do_not_match_the_test_images_are_refused(csv_dir, target, name):
    (csv_dir / name).write_text("ImageId,Label\n1,0\n2,0\n")
    with refused(target, "data.rows_differ", path=csv_dir / name, received=2, other="test.csv", expected=5):
        download(str(csv_dir), target)


@pytest.mark.parametrize("name", ["train.csv", "test.csv"])
def test_a_folder_with_half_of_the_files_is_refused(csv_dir, target, name):
    (csv_dir / name).unlink()
    with refused(target, "data.incomplete", path=csv_dir, received=name):
        download(str(csv_dir), target)


def test_a_folder_of_nothing_known_is_refused(tmp_path, target):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "a.txt").write_text("hello")
    with refused(target, "data.empty_source", path=tmp_path / "other"):
        download(str(tmp_path / "other"), target)


def test_a_source_that_is_not_there_leaves_no_folder_behind(tmp_path, target):
    for source in (str(tmp_path / "nowhere"), ""):  # "" is a shell's variable that is not set
        with refused(target, "data.no_source"):
            download(source, target)
    assert not target.exists()


def test_the_same_data_may_come_twice(idx_dir, target):
    download(str(idx_dir), target)
    assert "12 training rows" in download(str(idx_dir), target)


def test_different_files_are_kept_unless_overwriting_is_asked_for(idx_dir, target, images):
    download("sample", target)
    names = "train.csv, test.csv, sample_submission.csv, test_labels.csv"
    with refused(target, "data.would_overwrite", path=target, received=names):
        download(str(idx_dir), target)
    download(str(idx_dir), target, overwrite=True)
    assert_holds(target, images)


def test_labels_of_earlier_test_images_do_not_stay_behind(idx_dir, csv_dir, target):
    download("sample", target)
    names = "train.csv, test.csv, sample_submission.csv, test_labels.csv"
    with refused(target, "data.would_overwrite", path=target, received=names):
        download(str(csv_dir), target)
    download(str(csv_dir), target, overwrite=True)
    assert list_names(target) == CSV_NAMES


def test_labels_of_the_same_test_images_stay(idx_dir, csv_dir, target):
    download(str(idx_dir), target)
    download(str(csv_dir), target)
    assert "test_labels.csv" in list_names(target)


@pytest.mark.parametrize("reported_by", ["the system", "our writer"])
def test_a_failure_half_way_leaves_nothing_behind(idx_dir, target, monkeypatch, reported_by):
    def fail(path, labels):
        if reported_by == "our writer":
            raise WriteError("io.unwritable", path=path, received="No space left on device")
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(sources, "_write_label_csv", fail)
    place = target if reported_by == "the system" else target / "test_labels.csv"  # never the hidden folder
    with expect_error("io.unwritable", WriteError, path=place, received="No space left on device"):
        download(str(idx_dir), target)
    assert list_names(target) == []


def test_a_replacement_stopped_half_way_is_no_data_set_and_can_be_finished(idx_dir, target, images, monkeypatch):
    def stop_at_test(staged, path):
        if path.name == "test.csv":
            raise KeyboardInterrupt
        install_file(staged, path)

    download("sample", target)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(sources, "install_file", stop_at_test)
        download(str(idx_dir), target, overwrite=True)
    with expect_error("data.missing", path=target / "sample_submission.csv"):
        load_dataset(RunConfig(input_dir=target))
    download(str(idx_dir), target, overwrite=True)
    assert_holds(target, images)


def test_what_a_killed_download_left_goes_with_the_next(idx_dir, target):
    left = target / f"{TEMPORARY}elsewhere-1-x"
    left.mkdir(parents=True)
    (left / "train.csv").write_text("half")
    os.utime(left, (0, 0))
    download(str(idx_dir), target)
    assert not left.exists()


def test_an_input_folder_that_is_a_file_is_refused(idx_dir, target):
    target.write_text("a file")
    with expect_error("io.not_folder", path=target):
        download(str(idx_dir), target)


def test_a_source_may_have_a_name_and_a_wanted_number_of_rows(csv_dir, target, images):
    archive = zip_folder(csv_dir, csv_dir.parent / "digit-recognizer.zip")
    with expect_error("data.not_the_competition", path=archive, received=(12, 5), expected=(42_000, 28_000)):
        download(str(archive), target, name="Kaggle", rows=(42_000, 28_000))
    assert not target.exists()
    assert "from Kaggle" in download(str(archive), target, name="Kaggle", rows=(12, 5))
    assert_holds(target, images)
    assert list_names(target) == CSV_NAMES


def test_the_sample_arrives_with_its_test_labels(target):
    assert "1300 training rows, 497 test rows" in download("sample", target)
    assert len(load_labels(target / "test_labels.csv")) == 497


def test_the_summary_counts_classes_and_is_one_paragraph(idx_dir, target):
    text = download(str(idx_dir), target)
    assert "12 training rows, 5 test rows, 10 classes" in text
    assert "0: 2, 1: 2, 2: 1" in text
    assert "\n" not in text


@pytest.mark.parametrize("name", ["train.csv", "mnist_test.csv.gz", "digits.csv"])
def test_one_table_is_answered_with_the_folder_of_both(name, tmp_path, target):
    path = tmp_path / name
    path.write_bytes(b"label,pixel0\n")
    with refused(target, "data.one_table", path=path, folder=tmp_path):
        download(str(path), target)


# ---- the zip


def test_the_competitions_zip_is_unpacked_byte_for_byte(tmp_path, csv_dir, target):
    crlf = (csv_dir / "sample_submission.csv").read_bytes().replace(b"\n", b"\r\n")  # as Kaggle sends it
    (csv_dir / "sample_submission.csv").write_bytes(crlf)
    download(str(zip_folder(csv_dir, tmp_path / "digits.zip")), target)
    assert list_names(target) == CSV_NAMES
    for name in CSV_NAMES:
        assert (target / name).read_bytes() == (csv_dir / name).read_bytes()


def test_other_members_of_a_zip_stay_in_it(tmp_path, csv_dir, target):
    (csv_dir / "notes.txt").write_text("hello")
    path = zip_folder(csv_dir, tmp_path / "digits.zip", notes="../../escaped.txt")
    assert "other files in the zip were left there: 1" in download(str(path), target)
    assert list_names(target) == CSV_NAMES
    assert not list(tmp_path.parent.glob("escaped*"))


def test_a_zip_that_unpacks_to_too_much_is_refused(tmp_path, csv_dir, target, monkeypatch):
    monkeypatch.setattr(sources, "ZIP_LIMIT_BYTES", 1000)
    path = zip_folder(csv_dir, tmp_path / "digits.zip")
    with refused(target, "data.damaged", path=path):
        download(str(path), target)


def test_a_member_that_occurs_twice_is_refused(tmp_path, csv_dir, target):
    path = zip_folder(csv_dir, tmp_path / "digits.zip")
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("train.csv", "label\n")
    with refused(target, "data.duplicate", path=path, received="train.csv"):
        download(str(path), target)


def test_of_two_downloads_at_once_one_is_refused_and_the_sets_do_not_mix(tmp_path):
    folders = [tmp_path / "one", tmp_path / "other"]
    for seed, source in enumerate(folders):
        download(str(write_idx_folder(tmp_path / f"idx{seed}", draw_image_set(seed))), source)
    for turn in range(10):
        target, won = tmp_path / f"target{turn}", []

        def fetch(source, target=target, won=won):
            with contextlib.suppress(InputError):
                download(str(source), target)
                won.append(source)

        threads = [threading.Thread(target=fetch, args=(source,)) for source in folders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(won) == 1
        assert all((target / file.name).read_bytes() == file.read_bytes() for file in won[0].iterdir())


# ---- image files


def assert_loaded(loaded, images):
    np.testing.assert_array_equal(loaded.train_pixels, images[0].reshape(-1, 784))
    np.testing.assert_array_equal(loaded.train_labels, images[1])
    np.testing.assert_array_equal(loaded.test_pixels, images[2].reshape(-1, 784))
    np.testing.assert_array_equal(loaded.test_labels, images[3])


@pytest.mark.parametrize("folder", ["idx_dir", "npz_dir"])
def test_an_image_set_is_loaded_as_pixels_and_labels(folder, images, request):
    loaded = load_image_files(request.getfixturevalue(folder))
    assert_loaded(loaded, images)
    assert (loaded.train_pixels.dtype, loaded.train_labels.dtype) == (np.uint8, np.int64)
    assert loaded.notes == ()


def test_gzipped_idx_files_are_the_same(idx_dir, images):
    for path in list(idx_dir.iterdir()):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
    assert_loaded(load_image_files(idx_dir), images)


def test_test_labels_may_be_missing(idx_dir):
    (idx_dir / "t10k-labels-idx1-ubyte").unlink()
    assert load_image_files(idx_dir).test_labels is None


def test_an_excerpt_by_its_name_is_noted(npz_dir):
    for name in ("imgs", "labels"):
        (npz_dir / f"kmnist-train-{name}.npz").rename(npz_dir / f"kmnist-train-{name}-first12.npz")
    notes = load_image_files(npz_dir).notes
    assert notes == ("kmnist-train-imgs-first12.npz holds only the first 12 rows of its set",)


def test_an_npz_with_further_arrays_is_refused(npz_dir, images):
    np.savez(npz_dir / "kmnist-train-imgs.npz", images[0], images[1])
    with expect_error("data.damaged", path=npz_dir / "kmnist-train-imgs.npz"):
        load_image_files(npz_dir)


# ---- the sample


@pytest.fixture(scope="module")
def sample():
    return build_sample()


def test_the_sample_has_1300_training_and_497_test_rows(sample):
    assert sample.train_pixels.shape == (1300, 784)
    assert sample.test_pixels.shape == (497, 784)
    assert (len(sample.train_labels), len(sample.test_labels)) == (1300, 497)
    assert sample.train_pixels.dtype == np.uint8


def test_every_class_is_split_in_the_same_proportion(sample):
    train, test = np.bincount(sample.train_labels), np.bincount(sample.test_labels)
    assert len(train) == len(test) == 10
    np.testing.assert_allclose(test / (train + test), 497 / 1797, atol=0.01)


def test_every_call_draws_the_same_sample(sample):
    again = build_sample.__wrapped__()
    np.testing.assert_array_equal(again.train_pixels, sample.train_pixels)
    np.testing.assert_array_equal(again.test_labels, sample.test_labels)


def test_the_ink_of_every_digit_is_20_px_at_its_longer_side(sample):
    for image in np.concatenate([sample.train_pixels, sample.test_pixels]).reshape(-1, 28, 28):
        height, width = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
        longer = max(height[-1] - height[0], width[-1] - width[0]) + 1
        assert longer == 20


def test_the_mass_of_every_digit_lies_at_the_centre(sample):
    images = np.concatenate([sample.train_pixels, sample.test_pixels]).reshape(-1, 28, 28).astype(float)
    middle = np.arange(28) + 0.5
    for axis in (1, 2):
        mass = images.sum(axis=axis)
        centre = (mass * middle).sum(axis=1) / mass.sum(axis=1)
        assert np.abs(centre - 14).max() <= 0.51


def test_ink_is_white_on_black_with_grey_rims(sample):
    assert sample.train_pixels.max() == 255
    assert (sample.train_pixels[:, :28] == 0).all()
    grey = (sample.train_pixels > 0) & (sample.train_pixels < 255)
    assert grey.any(axis=1).mean() > 0.99


def test_a_nearest_neighbour_reads_the_sample(sample):
    """Digits that were mangled in drawing could not be told apart."""
    train, test = (pixels.astype(np.float32) for pixels in (sample.train_pixels, sample.test_pixels))
    distances = (train**2).sum(axis=1) - 2 * test @ train.T
    assert (sample.train_labels[distances.argmin(axis=1)] == sample.test_labels).mean() > 0.95


def test_an_upright_stroke_keeps_its_aspect():
    ink = np.zeros((8, 8))
    ink[:, 3:5] = 16
    image = draw_digit(ink)
    rows, columns = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
    assert rows[-1] - rows[0] + 1 == 20
    assert 3 <= columns[-1] - columns[0] + 1 <= 8


def test_lopsided_ink_stays_on_the_paper():
    ink = np.zeros((20, 20), np.float32)
    ink[0, :] = 1
    ink[:, 0] = 0.01
    paper = centre_by_mass(ink)
    assert paper.shape == (28, 28)
    assert paper.sum() == pytest.approx(ink.sum())


# ---- published sets, by name


@pytest.fixture
def served(tmp_path, images, monkeypatch):
    """A folder that a server on the loopback shows, with the files of a tiny set; `mnist` and `kmnist` are there."""
    folder = write_idx_folder(tmp_path / "served", images)
    for path in list(folder.iterdir()):
        (folder / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        path.unlink()
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=folder)
    monkeypatch.setattr(http.server.SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    hashes = tuple(hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in sources.IDX_FILES)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/"
        for name in ("mnist", "kmnist"):
            published = dataclasses.replace(sources.PUBLISHED[name], addresses=(address,), sha256=hashes)
            monkeypatch.setitem(sources.PUBLISHED, name, published)
        yield folder
        server.shutdown()


def test_a_published_set_is_downloaded_by_its_name(served, images, target):
    found = download("kmnist", target)
    assert_holds(target, images)
    assert "from kmnist: 12 training rows" in found and "tsu: " in found
    assert load_labels(target / "test_labels.csv").tolist() == [3, 1, 4, 1, 5]
    assert list_names(target) == ["classes.json", *CSV_NAMES[:2], "test_labels.csv", "train.csv"]


def test_mnist_is_marked_as_holding_the_test_rows_of_the_competition(served, target):
    assert "nothing trained on it may be submitted" in download("mnist", target)
    dataset = load_dataset(RunConfig(input_dir=target))
    assert dataset.class_names == tuple("0123456789") and "MNIST" in dataset.ineligible
    copy = target.with_name("copy")
    download(str(target), copy)
    assert load_dataset(RunConfig(input_dir=copy)).ineligible, "the mark travels with the files"


@pytest.mark.parametrize("fault", ["changed", "missing"])
def test_a_published_file_that_is_not_as_published_is_refused(served, target, fault):
    path = served / sources.IDX_FILES[2]
    if fault == "missing":
        path.unlink()
    else:
        path.write_bytes(path.read_bytes()[:-1] + b"!")
    with refused(target, "data.not_downloaded", received="mnist", file=path.name):
        download("mnist", target)


def test_a_server_that_does_not_answer_leads_to_the_next_or_to_one_line(served, target, monkeypatch):
    there = sources.PUBLISHED["mnist"]
    nowhere = "http://127.0.0.1:1/"
    monkeypatch.setitem(sources.PUBLISHED, "mnist", dataclasses.replace(there, addresses=(nowhere, *there.addresses)))
    download("mnist", target)
    monkeypatch.setitem(sources.PUBLISHED, "mnist", dataclasses.replace(there, addresses=(nowhere,)))
    with expect_error("data.not_downloaded", received="mnist", address=nowhere):
        download("mnist", target.with_name("other"))
    assert not target.with_name("other").exists()


# ---- files as people have them


@pytest.fixture
def plain(tmp_path, csv_dir):
    """The bytes that every form must become."""
    download(str(csv_dir), tmp_path / "plain")
    return {name: (tmp_path / "plain" / name).read_bytes() for name in ("train.csv", "test.csv")}


def pack_keras(folder, csv_dir, images):
    arrays = dict(zip(("x_train", "y_train", "x_test", "y_test"), images, strict=True))
    np.savez(folder / "mnist.npz", **arrays)
    return folder / "mnist.npz"


def pack_names(folder, csv_dir, images):
    for name in ("train.csv", "test.csv"):
        (folder / f"mnist_{name}").write_bytes((csv_dir / name).read_bytes())
    return folder


def pack_gzip(folder, csv_dir, images):
    for name in ("train.csv", "test.csv"):
        (folder / f"{name}.gz").write_bytes(gzip.compress((csv_dir / name).read_bytes()))
    return folder


def pack_each(folder, csv_dir, images):
    for name in ("train.csv", "test.csv"):
        with zipfile.ZipFile(folder / f"{name}.zip", "w") as archive:
            archive.write(csv_dir / name, name)
            archive.writestr(f"__MACOSX/._{name}", "x")
    return folder


def pack_subfolder(folder, csv_dir, images):
    with zipfile.ZipFile(folder / "digits.zip", "w") as archive:
        for name in ("train.csv", "test.csv"):
            archive.write(csv_dir / name, f"digit-recognizer/{name}")
            archive.writestr(f"__MACOSX/digit-recognizer/._{name}", "x")
            archive.writestr(f"__MACOSX/digit-recognizer/{name}", "x")
    return folder / "digits.zip"


def pack_packed_and_plain(folder, csv_dir, images):
    for name in ("train.csv", "test.csv"):
        (folder / name).write_bytes((csv_dir / name).read_bytes())
    return pack_gzip(folder, csv_dir, images)


def pack_raw(folder, csv_dir, images):
    (folder / "MNIST").mkdir()
    raw = write_idx_folder(folder / "MNIST" / "raw", images)
    for path in list(raw.iterdir()):
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(path.read_bytes()))
        (folder / path.name).mkdir()
        (folder / path.name / path.name).write_bytes(path.read_bytes())
    return folder


def pack_idx_zip(folder, csv_dir, images):
    raw = write_idx_folder(folder / "raw", images)
    with zipfile.ZipFile(folder / "raw.zip", "w") as archive:
        for path in raw.iterdir():
            archive.write(path, f"archive/{path.name}/{path.name}")
    return folder / "raw.zip"


PACKED = [
    *(pack_keras, pack_names, pack_gzip, pack_each, pack_subfolder, pack_packed_and_plain, pack_raw, pack_idx_zip),
]


@pytest.mark.parametrize("pack", PACKED)
def test_files_in_any_packing_become_the_same_tables(tmp_path, csv_dir, images, plain, target, pack):
    (tmp_path / "packed").mkdir()
    download(str(pack(tmp_path / "packed", csv_dir, images)), target)
    assert {name: (target / name).read_bytes() for name in plain} == plain
    assert not any("unpacked" in name or "other" in name for name in list_names(target))


def test_two_different_files_of_one_table_are_refused(tmp_path, csv_dir, images, target):
    folder = pack_gzip(tmp_path / "csv", csv_dir, images)
    (folder / "train.csv").unlink()
    (folder / "mnist_train.csv").write_bytes((csv_dir / "test.csv").read_bytes())
    with refused(target, "data.duplicate", path=folder):
        download(str(folder), target)


@pytest.mark.parametrize("name", ["mnist-original.mat", "mnist_784.arff", "mnist.parquet", "mnist.pkl"])
def test_other_formats_are_named(tmp_path, target, name):
    folder = tmp_path / "other"
    folder.mkdir()
    (folder / name).write_bytes(b"x" * 100)
    for source in (folder, folder / name):
        with refused(target, "data.other_format", path=folder / name):
            download(str(source), target)


def test_labels_in_the_test_table_become_test_labels(csv_dir, images, target):
    lines = (csv_dir / "test.csv").read_text().splitlines()
    labels = ["label", *map(str, images[3])]
    (csv_dir / "test.csv").write_text("".join(f"{one},{line}\n" for one, line in zip(labels, lines, strict=True)))
    assert "set aside" in download(str(csv_dir), target)
    assert_holds(target, images)
    assert load_labels(target / "test_labels.csv").tolist() == images[3].tolist()


def test_mnist_is_known_by_its_labels(tmp_path, target):
    images = draw_image_set()
    images = (np.resize(images[0], (20, 28, 28)), np.array(MNIST_BEGINS, np.uint8), *images[2:])
    download(str(write_idx_folder(tmp_path / "mnist", images)), target)
    assert load_label_set(target).holds_competition
    assert is_mnist(np.repeat(np.arange(10), MNIST_COUNTS)) and not is_mnist(np.arange(42_000) % 10)
