"""VGG16: its table, its preprocessing, its weights by path, and its halves."""

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np
import pytest
from conftest import expect_error

from digit_recognizer.models import _resnet152v2, vgg16
from digit_recognizer.training.inputs import load_features
from digit_recognizer.training.weights import export_keras, load_weights, pack_weights

# The table of `digit-nets`, with the names that the rest of the package reads. Shapes are per image.
TABLE = [
    ("images", (28, 28, 1), 0),
    ("resized", (56, 56, 1), 0),
    ("bgr", (56, 56, 3), 0),
    ("preprocessed", (56, 56, 3), 0),
    ("vgg16", (1, 1, 512), 14_714_688),
    ("flatten", (512,), 0),
    ("embedding", (512,), 262_656),
    ("embedding_relu", (512,), 0),
    ("embedding_norm", (512,), 2_048),
    ("embedding_dropout", (512,), 0),
    ("logits", (10,), 5_130),
    ("probabilities", (10,), 0),
]

CONVOLUTIONS = {"block1": (2, 64), "block2": (2, 128), "block3": (3, 256), "block4": (3, 512), "block5": (3, 512)}
SIDES_PX = {"block5": 3, "block4": 7, "block3": 14, "block2": 28, "block1": 56}


@pytest.fixture(scope="module")
def weights_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_weights_file(tmp_path_factory.mktemp("weights") / "weights.h5")


@pytest.fixture(scope="module")
def model(weights_file: Path) -> keras.Model:
    return vgg16.build((28, 28, 1), 10, str(weights_file))


@pytest.fixture(scope="module")
def images() -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (5, 28, 28, 1), np.uint8)


def write_weights_file(path: Path, fourth_pixel: int = 0) -> Path:
    """Write random weights in the layout of the file that Keras downloads, which Keras 1 wrote."""
    rng, channels = np.random.default_rng(0), 3
    spread = 0.01  # inputs reach 150; features that large would drive every probability to 0 or 1
    layers: dict[str, dict[str, np.ndarray]] = {"input_1": {}}
    for block, (convolutions, filters) in CONVOLUTIONS.items():
        for name in (f"{block}_conv{number}" for number in range(1, convolutions + 1)):
            kernel_shape = (3, 3 + fourth_pixel, channels, filters)
            kernel = rng.normal(0, spread * np.sqrt(2 / (9 * channels)), kernel_shape).astype(np.float32)
            bias = rng.normal(0, 0.1, filters).astype(np.float32)
            layers[name] = {f"{name}_W_1:0": kernel, f"{name}_b_1:0": bias}
            channels, spread = filters, 1.0
        layers[f"{block}_pool"] = {}
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [name.encode() for name in layers]
        file.attrs["backend"], file.attrs["keras_version"] = b"tensorflow", b"1.1.1"
        for name, weights in layers.items():
            group = file.create_group(name)
            group.attrs["weight_names"] = [weight.encode() for weight in weights]
            for weight, values in weights.items():
                group[weight] = values
    return path


def to_unit(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) / 255


def test_the_reports_table_is_reproduced_layer_by_layer(model: keras.Model) -> None:
    assert [(layer.name, tuple(layer.output.shape[1:]), layer.count_params()) for layer in model.layers] == TABLE
    assert model.count_params() == 14_984_522
    assert sum(int(np.prod(weight.shape)) for weight in model.trainable_weights) == 268_810


def test_one_channel_is_preprocessed_as_by_keras_own_function_after_resizing(
    model: keras.Model, images: np.ndarray
) -> None:
    resized, preprocessed = keras.Model(
        model.input, [model.get_layer("resized").output, model.get_layer("preprocessed").output]
    ).predict_on_batch(to_unit(images))
    expected = keras.applications.vgg16.preprocess_input(np.repeat(255 * resized, 3, axis=-1))
    np.testing.assert_allclose(preprocessed, expected, atol=1e-4)


def test_colours_become_blue_green_red_less_the_means_of_imagenet() -> None:
    net = vgg16.build((20, 30, 3), 4, None)
    colour = np.array([1.0, 0.4, 0.0], np.float32)
    preprocessed = keras.Model(net.input, net.get_layer("preprocessed").output).predict_on_batch(
        np.broadcast_to(colour, (1, 20, 30, 3))
    )
    assert preprocessed.shape == (1, 40, 60, 3)
    np.testing.assert_allclose(preprocessed[0, 0, 0], [0 - 103.939, 102 - 116.779, 255 - 123.68], atol=1e-4)
    expected = keras.applications.vgg16.preprocess_input(np.broadcast_to(255 * colour, (1, 40, 60, 3)).copy())
    np.testing.assert_allclose(preprocessed, expected, atol=1e-4)


def test_the_backbone_never_sees_less_than_32_px() -> None:
    assert vgg16.build((8, 20, 1), 10, None).get_layer("preprocessed").output.shape == (None, 32, 40, 3)


def test_another_number_of_channels_is_refused() -> None:
    with expect_error("models.channels", received=2):
        vgg16.build((28, 28, 2), 10, None)


def test_every_weight_of_the_official_layout_arrives(model: keras.Model, weights_file: Path) -> None:
    with h5py.File(weights_file) as file:
        for block, (convolutions, _) in CONVOLUTIONS.items():
            for name in (f"{block}_conv{number}" for number in range(1, convolutions + 1)):
                kernel, bias = model.get_layer("vgg16").get_layer(name).get_weights()
                np.testing.assert_array_equal(kernel, file[name][f"{name}_W_1:0"])
                np.testing.assert_array_equal(bias, file[name][f"{name}_b_1:0"])


def test_cached_features_and_the_head_give_what_a_full_pass_gives(
    model: keras.Model, images: np.ndarray, tmp_path: Path
) -> None:
    halves = vgg16.split_backbone(model)
    features = load_features(halves.lower, images, tmp_path, batch_size=2)
    full_pass = model.predict_on_batch(to_unit(images))
    assert np.ptp(full_pass, axis=0).max() > 1e-3, "the images must differ for the comparison to mean anything"
    np.testing.assert_allclose(halves.upper.predict_on_batch(features), full_pass, atol=1e-5)


@pytest.mark.parametrize("block", vgg16.BLOCKS)
def test_the_halves_meet_before_any_block(model: keras.Model, images: np.ndarray, block: str) -> None:
    halves = vgg16.split_backbone(model, block)
    features = halves.lower.predict_on_batch(to_unit(images))
    assert features.shape[1:3] == (SIDES_PX[block], SIDES_PX[block])
    np.testing.assert_allclose(
        halves.upper.predict_on_batch(features), model.predict_on_batch(to_unit(images)), atol=1e-5
    )
    assert bool(halves.lower.weights) == (block != "block1"), "below block1 there is the preprocessing alone"
    assert len(halves.upper.trainable_weights) == 6, "the cut alone unfreezes nothing"


@pytest.mark.parametrize(
    "block", [one if one in ("block1", "block4") else pytest.param(one, marks=pytest.mark.slow) for one in vgg16.BLOCKS]
)
def test_an_unfrozen_block_and_all_after_it_are_trained_in_the_upper_half(block: str, images: np.ndarray) -> None:
    net = vgg16.build((28, 28, 1), 10, None)
    halves = vgg16.split_backbone(net, block)
    vgg16.unfreeze_block(net, block)
    kernels = [layer for layer in net.get_layer("vgg16").layers if layer.weights]
    before = [layer.get_weights()[0] for layer in kernels]
    features = np.asarray(halves.lower.predict_on_batch(to_unit(images)))
    halves.upper.compile(keras.optimizers.SGD(1e-3), "sparse_categorical_crossentropy")
    halves.upper.train_on_batch(features, np.arange(5))
    changed = [(layer.get_weights()[0] != kernel).any() for layer, kernel in zip(kernels, before, strict=True)]
    assert changed == [layer.name >= block for layer in kernels]
    assert not halves.lower.trainable_weights
    assert len(net.trainable_weights) == len(halves.upper.trainable_weights) == 2 * sum(changed) + 6
    np.testing.assert_allclose(
        halves.upper.predict_on_batch(features), net.predict_on_batch(to_unit(images)), atol=1e-5
    )


def test_random_weights_are_the_same_at_every_call_whatever_the_seed() -> None:
    keras.utils.set_random_seed(1)
    first = vgg16.build((28, 28, 1), 10, None).get_layer("vgg16").get_weights()
    keras.utils.set_random_seed(2)
    second = vgg16.build((28, 28, 1), 10, "none").get_layer("vgg16").get_weights()
    assert all((one == other).all() for one, other in zip(first, second, strict=True))


def rewrite(change: Callable[[h5py.File], object]) -> Callable[[Path], None]:
    """Writes a good file and changes it."""

    def write(path: Path) -> None:
        with h5py.File(write_weights_file(path), "r+") as file:
            change(file)

    return write


BIAS = "block1_conv1/block1_conv1_b_1:0"
ZEROS = np.zeros(64, np.float32)


def replace_bias(**settings: Any) -> Callable[[Path], None]:
    """Stores the first bias in another way."""

    def change(file: h5py.File) -> None:
        del file[BIAS]
        file.create_dataset(BIAS, **{"data": ZEROS, **settings})

    return rewrite(change)


def link_bias(link: Any) -> Callable[[Path], None]:
    def change(file: h5py.File) -> None:
        file["elsewhere"] = ZEROS
        del file[BIAS]
        file[BIAS] = link

    return rewrite(change)


def map_bias(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((64,), np.float32)
    layout[:] = h5py.VirtualSource("/etc/passwd", "data", (64,))
    del file[BIAS]
    file.create_virtual_dataset(BIAS, layout)


def name_by_reference(file: h5py.File) -> None:
    group = file["block1_conv1"]
    group.attrs.create("weight_names", [file[BIAS].ref] * 2, dtype=h5py.ref_dtype)


def cut(path: Path) -> None:
    whole = write_weights_file(path).read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


def enlarge(path: Path) -> None:
    write_weights_file(path)
    with path.open("r+b") as file:
        file.truncate(1 << 40)


WRONG_FILES: dict[str, tuple[str, Callable[[Path], object]]] = {
    "missing": ("io.missing", lambda path: None),
    "a folder": ("io.folder", lambda path: path.mkdir()),
    "a FIFO": ("io.not_regular", lambda path: os.mkfifo(path)),
    "a terabyte": ("io.too_long", enlarge),
    "empty": ("models.official_weights", lambda path: path.touch()),
    "a web page": ("models.official_weights", lambda path: path.write_text("<!DOCTYPE html>")),
    "cut short": ("models.official_weights", cut),
    "other HDF5": ("models.official_weights", lambda path: h5py.File(path, "w").close()),
    "larger kernels": ("io.too_long", lambda path: write_weights_file(path, fourth_pixel=1)),
    "another shape": ("models.official_weights", replace_bias(data=ZEROS[:32])),
    "a layer missing": ("models.official_weights", rewrite(lambda file: file.pop("block3_conv2"))),
    "an array missing": ("models.official_weights", rewrite(lambda file: file.pop(BIAS))),
    "a group for an array": ("models.official_weights", rewrite(lambda f: (f.pop(BIAS), f.create_group(BIAS)))),
    "a soft link": ("models.official_weights", link_bias(h5py.SoftLink("/elsewhere"))),
    "an external link": ("models.official_weights", link_bias(h5py.ExternalLink("/etc/passwd", "/data"))),
    "a virtual dataset": ("models.official_weights", rewrite(map_bias)),
    "data in another file": (
        "models.official_weights",
        replace_bias(external=[("/etc/passwd", 0, 256)], data=None, shape=(64,), dtype="f4"),
    ),
    "compressed": ("models.official_weights", replace_bias(compression="gzip")),
    "never written": ("models.official_weights", replace_bias(data=None, shape=(64,), dtype="f4")),
    "float64": ("models.official_weights", replace_bias(data=ZEROS.astype(float))),
    "object references": ("models.official_weights", replace_bias(data=None, shape=(64,), dtype=h5py.ref_dtype)),
    "names that are references": ("models.official_weights", rewrite(name_by_reference)),
    "NaN": ("models.official_weights", replace_bias(data=ZEROS * np.nan)),
}


@pytest.mark.parametrize("name", WRONG_FILES)
def test_a_wrong_weights_file_is_refused(name: str, tmp_path: Path) -> None:
    (code, write), path = WRONG_FILES[name], tmp_path / "weights.h5"
    write(path)
    with expect_error(code, path=path):
        vgg16.build((28, 28, 1), 10, str(path))


def test_a_file_of_the_official_name_must_have_the_published_hash(tmp_path: Path, weights_file: Path) -> None:
    path = tmp_path / vgg16.BACKBONE.file
    path.symlink_to(weights_file)  # as on Kaggle, a link to a good file is one
    with expect_error("models.official_hash", path=path):
        vgg16.build((28, 28, 1), 10, str(path))


def test_the_hashes_are_those_that_keras_publishes() -> None:
    import inspect

    from keras.src.applications import resnet

    assert f'file_hash="{vgg16.BACKBONE.md5}"' in inspect.getsource(inspect.getmodule(keras.applications.VGG16))
    assert resnet.WEIGHTS_HASHES["resnet152v2"][1] == _resnet152v2.BACKBONE.md5


def test_imagenet_weights_without_a_network_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", refuse)
    monkeypatch.setattr("keras.src.backend.config._KERAS_DIR", str(tmp_path))  # an earlier download must not help
    with expect_error("models.imagenet_download", file=vgg16.BACKBONE.file):
        vgg16.build((28, 28, 1), 10, "imagenet")


def test_weights_and_their_plain_copy_give_the_same_predictions(
    model: keras.Model, images: np.ndarray, tmp_path: Path
) -> None:
    (tmp_path / "fold0.safetensors").write_bytes(pack_weights(model))
    again = vgg16.build((28, 28, 1), 10, None)
    load_weights(again, tmp_path / "fold0.safetensors")
    (tmp_path / "fold0.keras").write_bytes(export_keras(model))
    exported = keras.saving.load_model(tmp_path / "fold0.keras", safe_mode=True)
    assert {layer.__class__.__module__.partition(".")[0] for layer in exported.layers} == {"keras"}
    expected = model.predict_on_batch(to_unit(images))
    for other in (again, exported):
        np.testing.assert_allclose(other.predict_on_batch(to_unit(images)), expected, atol=1e-6)


def test_in_bfloat16_the_preprocessing_and_the_probabilities_stay_float32() -> None:
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        net = vgg16.build((28, 28, 1), 10, None)
    finally:
        keras.config.set_dtype_policy(policy)
    dtypes = {layer.name: layer.compute_dtype for layer in net.layers}
    assert {dtypes[name] for name in ("resized", "bgr", "preprocessed", "probabilities")} == {"float32"}
    assert {dtypes[name] for name in ("vgg16", "embedding", "logits")} == {"bfloat16"}
