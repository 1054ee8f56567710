"""What every test shares: quiet libraries and small data sets in the competition's form."""

import base64
import contextlib
import functools
import gc
import json
import os
import shutil
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

from pathlib import Path

import numpy as np
import pytest

from digit_recognizer.data import sources
from digit_recognizer.errors import InputError
from digit_recognizer.io import hash_file
from digit_recognizer.training.run import Run

# Files that take longest come first, in this order, so that both processes end at about the same time.
LONGEST = (
    "test_process_executor", "test_letters", "test_sweeping", "test_resume", "test_cross_validation", "test_ray",
    "test_models", "test_round_trip", "test_kernel_bundle", "test_sources",
)  # fmt: skip


PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP4DwABAQEAsTj2FAAAAABJRU5ErkJggg=="
)  # as PNG


FAST = "fast and not slow"


@functools.cache
def build_sample_once(build=sources.build_sample):
    """The bundled sample is always the same, and takes a second or two to draw; no test may change it."""
    sample = build()
    for array in (sample.train_pixels, sample.train_labels, sample.test_pixels, sample.test_labels):
        array.flags.writeable = False
    return sample


sources.build_sample = build_sample_once


def pytest_configure(config):
    """`pytest -m fast` leaves out what is slow, as the default tier does, whose -m it replaces."""
    if config.option.markexpr == "fast":
        config.option.markexpr = FAST


def pytest_ignore_collect(collection_path, config):
    """`pytest -m fast` imports only the files that need no Keras, whose import takes five seconds."""
    if config.option.markexpr == FAST and collection_path.suffix == ".py":
        return "mark.fast" not in collection_path.read_text(encoding="utf-8") or None
    return None


def pytest_collection_modifyitems(items):
    """Long files come first, then those that import Keras, then those that do not."""
    ranks = {name: rank for rank, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (ranks.get(item.path.stem, len(LONGEST)), item.get_closest_marker("fast") is not None))


def pytest_collection_finish(session):
    """The fast tier stays without Keras. What is imported now stays: the garbage collector need not look at it."""
    gc.collect()
    gc.freeze()
    if session.config.option.markexpr == FAST:
        assert "keras" not in sys.modules, "a file of the fast tier imports Keras"


@pytest.hookimpl(tryfirst=True)  # before the fixtures of any scope
def pytest_runtest_setup(item):
    """In the default tier TensorFlow takes each step as it comes: to compile it takes a second, for tiny models too.

    What is marked `compiled`, and every test of `make test-all`, compiles as users' runs do.
    """
    if (keras := sys.modules.get("keras")) is None or keras.config.backend() != "tensorflow":
        return
    eager = item.config.option.markexpr == "not slow" and item.get_closest_marker("compiled") is None
    if eager:
        keras.Model.run_eagerly = property(lambda model: True, lambda model, value: None)
    elif "run_eagerly" in vars(keras.Model):
        del keras.Model.run_eagerly


@pytest.fixture(scope="module")
def undrawn(request):
    """But for `make test-all`, figures are built and written as one pixel: to draw one takes a quarter of a second."""
    from matplotlib.figure import Figure

    with pytest.MonkeyPatch.context() as patch:
        if request.config.option.markexpr in ("not slow", FAST):
            patch.setattr(Figure, "savefig", lambda figure, path, **_: path.write_bytes(PIXEL))
        yield


@contextlib.contextmanager
def expect_error(code, kind=InputError, **place):
    """Inside, an InputError with this code and these attributes or details must be raised. Wording is not compared.

    A command's `main([..., "--debug"])` raises its error in place of printing it.
    """
    with pytest.raises(kind) as caught:
        yield caught
    error = caught.value
    assert error.code == code, f"{error.code}: {error}"
    # a path or a value may hold line breaks, which a command escapes
    assert str(error) and ("\n" in f"{error.path}{error.received}" or "\n" not in str(error))
    for name, value in place.items():
        found = error.details[name] if name in error.details else getattr(error, name)
        assert found == value or str(found) == str(value), f"{name}: {found!r}, not {value!r}"


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory):
    """Nothing is read from, or left in, the cache folder of whoever tests; matplotlib's fonts are looked up there."""
    fonts = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "matplotlib")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MPLCONFIGDIR", os.environ.get("MPLCONFIGDIR", str(fonts)))  # a new list takes seconds
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path, monkeypatch):
    """Relative paths (runs/, submissions/) must land nowhere in the project, and nothing at anybody's MLflow."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # whoever tests has a server of their own


@pytest.fixture(scope="session")
def sample_dir(tmp_path_factory) -> Path:
    """The embedded sample as the three CSV files and test_labels.csv. Read it; never write to it."""
    from digit_recognizer.data.sources import download

    folder = tmp_path_factory.mktemp("sample")
    download("sample", folder)
    return folder


def write_table(path: Path, pixels: np.ndarray, labels: np.ndarray | None = None) -> Path:
    """Write a Kaggle-shaped table, slowly and plainly."""
    names = [f"pixel{n}" for n in range(pixels.shape[1])]
    rows = pixels if labels is None else np.column_stack([labels, pixels])
    header = ",".join(names if labels is None else ["label", *names])
    np.savetxt(path, rows, fmt="%d", delimiter=",", header=header, comments="")
    return path


@pytest.fixture
def tiny_dir(tmp_path) -> Path:
    """60 training and 20 test rows of stripes that a model can tell apart, as the three CSV files."""
    return write_tiny_data(tmp_path / "tiny")


def write_tiny_data(folder: Path) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(1)
    labels = np.arange(80) % 10
    images = rng.integers(0, 60, (80, 28, 28))  # so far apart that no two are near-duplicates
    for image, label in zip(images, labels, strict=True):
        image[2 * label + 2 : 2 * label + 6] += 190
    pixels = images.reshape(80, 784)
    write_table(folder / "train.csv", pixels[:60], labels[:60])
    write_table(folder / "test.csv", pixels[60:])
    write_labels(folder / "sample_submission.csv", np.zeros(20, int))
    write_labels(folder / "test_labels.csv", labels[60:])
    return folder


def write_labels(path: Path, labels: np.ndarray) -> Path:
    path.write_text("ImageId,Label\n" + "".join(f"{n},{label}\n" for n, label in enumerate(labels, 1)))
    return path


def write_run(folder: Path, data_dir: Path, oof: np.ndarray, test: np.ndarray, **metrics: object) -> Path:
    """A finished run folder with given probabilities, without a model."""
    run = Run(folder)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"input_dir": str(data_dir)}))
    run.write_array("folds", np.zeros(len(oof), np.int8))
    run.write_array("oof_probabilities", oof.astype(np.float32))
    run.write_array("test_probabilities", test.astype(np.float32))
    from digit_recognizer.io import write_json

    write_json(
        folder / "metrics.json",
        {
            "oof_accuracy": 0.5,
            "train_sha256": hash_file(data_dir / "train.csv"),
            "test_sha256": hash_file(data_dir / "test.csv"),
            "ineligible": None,
            "submission": "somewhere.csv",
            **metrics,
        },
    )
    return folder


@pytest.fixture
def thin_backbone(monkeypatch):
    """VGG16's blocks with two filters each: a tenth of a second instead of ten."""
    import keras

    from digit_recognizer.models import vgg16

    def build(shape, weights):
        inputs = outputs = keras.Input(shape)
        for block in vgg16.BLOCKS:
            same_each_time = keras.initializers.GlorotUniform(seed=0)
            outputs = keras.layers.Conv2D(
                2, 3, padding="same", kernel_initializer=same_each_time, name=f"{block}_conv1"
            )(outputs)
            outputs = keras.layers.MaxPooling2D(name=f"{block}_pool")(outputs)
        return keras.Model(inputs, outputs, name="vgg16")

    monkeypatch.setattr(vgg16, "_build_backbone", build)


@pytest.fixture(scope="session")
def run_templates(tmp_path_factory):
    """A run stopped after its second epoch of two, in the first fold, and the same run, never stopped.

    Trained once per process: each test gets a copy, with its own paths.
    """
    from resuming import RECIPES, StopAfterSaving, configure

    from digit_recognizer.training.cross_validation import run_cross_validation

    folder = tmp_path_factory.mktemp("templates")
    data = write_tiny_data(folder / "tiny")
    stopped, whole = (configure(data, name, RECIPES["dropout, augmentation, one cycle"]) for name in ("run", "whole"))
    with pytest.MonkeyPatch.context() as patch:
        StopAfterSaving(patch, saves=2)
        with pytest.raises(KeyboardInterrupt):
            run_cross_validation(stopped)
    run_cross_validation(whole)
    return folder


def copy_template(templates: Path, folder: Path, name: str):
    """Copy a run and its submission, rewrite the paths in its files, and return its configuration."""
    from resuming import RECIPES, configure

    shutil.copytree(templates / name, folder / name)
    for path in (*(folder / name).glob("*.json"), *(folder / name).glob("*.txt")):
        path.write_text(path.read_text().replace(str(templates), str(folder)))
    return configure(folder / "tiny", name, RECIPES["dropout, augmentation, one cycle"])


@pytest.fixture
def stopped(tiny_dir, run_templates):
    """A run stopped after its second epoch of two, in the first fold."""
    return copy_template(run_templates, tiny_dir.parent, "run")


@pytest.fixture
def whole(tiny_dir, run_templates):
    """The same run, never stopped."""
    return copy_template(run_templates, tiny_dir.parent, "whole")


@pytest.fixture(scope="session")
def examination(tmp_path_factory):
    """The examination of a small run; see `examined`."""
    from letter_pictures import draw_letters
    from resuming import configure

    from digit_recognizer.reporting.examination import examine_run
    from digit_recognizer.reporting.model_report import ModelRequest
    from digit_recognizer.training.cross_validation import run_cross_validation

    folder = tmp_path_factory.mktemp("examined")
    data = write_tiny_data(folder / "data")
    run_cross_validation(configure(data, "run", {"model": "baseline", "epochs": 1, "batch_size": 20}))
    draw_letters(folder / "letters")
    return examine_run(folder / "run", data, request=ModelRequest(images=folder / "letters"))


@pytest.fixture(scope="session")
def examined(examination):
    """The folder that holds a small `run`, examined, its `data`, and pictures of `letters`. Never write to it."""
    return examination.run.path.parent


@pytest.fixture(scope="session")
def competition_zip(tmp_path_factory):
    """What writes a zip of the competition's form and size and gives its path, and the labels of its test rows."""
    from competition_zip import TEST_ROWS, TRAIN_ROWS, write_competition_zip

    path = tmp_path_factory.mktemp("competition") / "competition.zip"

    def write():
        if not path.exists():
            write_competition_zip(path)
        return path

    return write, np.arange(TRAIN_ROWS, TRAIN_ROWS + TEST_ROWS) % 10


@pytest.fixture
def kaggle(competition_zip, tmp_path, monkeypatch):
    """A server that stands for Kaggle, to which the real client in this process talks."""
    import requests.adapters
    from kaggle_commands import client_environment
    from kaggle_server import KaggleServer

    with KaggleServer(*competition_zip) as server:
        for name in [name for name in os.environ if name.startswith("KAGGLE") or "proxy" in name.lower()]:
            monkeypatch.delenv(name)
        for name, value in client_environment(server, tmp_path / "home").items():
            monkeypatch.setenv(name, value)
        from kaggle.api.kaggle_api_extended import KaggleApi

        monkeypatch.setattr(KaggleApi, "args", ["--local"])  # set at import, perhaps in an earlier test
        monkeypatch.setattr(requests.adapters, "DEFAULT_RETRIES", 0)
        sleep = time.sleep
        monkeypatch.setattr(time, "sleep", lambda seconds: sleep(min(seconds, 0.01)))
        yield server


@pytest.fixture
def service(competition_zip):
    """A server that stands for Kaggle, for commands in processes of their own."""
    from kaggle_server import KaggleServer

    with KaggleServer(*competition_zip) as server:
        server.polls = 0  # scored at once: a process of its own really waits
        yield server


@pytest.fixture
def command(service, tmp_path):
    """Starts a command of the package, or Kaggle's own, in a process that knows the server."""
    from kaggle_commands import start

    return functools.partial(start, service, tmp_path)


def write_least_files(folder, rows=28_000):
    """As much of the competition's files as `submit` reads."""
    folder.mkdir()
    (folder / "test.csv").write_text("its bytes are hashed, no more\n")
    write_labels(folder / "sample_submission.csv", np.zeros(rows, int))


@pytest.fixture
def file(service, tmp_path):
    """The name of a submission without a note, and beside it just enough of the competition's files."""
    write_least_files(tmp_path / "input")
    write_labels(tmp_path / "mine.csv", service.truth)
    return "mine.csv"


@pytest.fixture
def noted_file(kaggle, tmp_path, monkeypatch):
    """A submission with its note, made for the test.csv in input/; a tenth of its labels are wrong.

    The competition has 2,800 test rows here: to read 28,000 takes half of each test's time.
    """
    from submitting import ROWS, write

    from digit_recognizer.competition import submit

    monkeypatch.setattr(submit, "TEST_ROWS", ROWS)
    truth = kaggle.truth = kaggle.truth[:ROWS]
    write_least_files(tmp_path / "input", ROWS)
    return write(tmp_path, np.where(np.arange(ROWS) % 10 == 3, (truth + 1) % 10, truth))


@pytest.fixture(scope="session")
def kernel_template(tmp_path_factory):
    """The folder of a kernel as `kernel build baseline` writes it. Read it; never write to it."""
    from digit_recognizer.competition.kernels import BuildArguments, build_script

    return build_script(BuildArguments("baseline", output_dir=tmp_path_factory.mktemp("kernel") / "baseline"))


@pytest.fixture
def built(kernel_template):
    """A kernel, in kernels/baseline."""
    return Path(shutil.copytree(kernel_template, "kernels/baseline"))


@pytest.fixture
def pushed(kaggle, built):
    """The same, pushed to the server."""
    from digit_recognizer import kernel

    assert kernel.main(["push", "kernels/baseline"]) == 0
    return built
