"""Saved nets of unknown origin: ours come back as they were, a stranger's are refused before their payload runs."""

import json
from importlib import metadata
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from hostile_models import (
    CALL,
    PAYLOADS,
    Config,
    Edit,
    Marker,
    change,
    find_layer,
    name_function,
    replace_layer,
    save_lambda,
    save_net,
    set_layer,
)

from digit_recognizer.errors import InputError
from digit_recognizer.models import build_model, list_models
from digit_recognizer.models._normalization import make_plain
from digit_recognizer.models._stored.network import MOST_LAYERS, parse_network
from digit_recognizer.training.saved_models import load_saved_model


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_net(tmp_path_factory.mktemp("net") / "net.keras")


@pytest.fixture
def mark(tmp_path: Path) -> Path:
    """The file that is there if a payload has run."""
    return tmp_path / "mark"


def refusal(path: Path) -> str:
    """The one line by which a net is refused."""
    with pytest.raises(InputError) as caught:
        load_saved_model(path)
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    assert len(message) < 600
    return message


def predict(model: keras.Model) -> np.ndarray:
    images = np.random.default_rng(0).random((4, *model.input_shape[1:]), np.float32)
    return np.asarray(model.predict_on_batch(images))


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
@pytest.mark.parametrize("name", list_models())
def test_our_nets_come_back_with_equal_predictions(name: str, policy: str, tmp_path: Path) -> None:
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(policy)
    try:
        model = make_plain(build_model(name, weights=None))  # as cv and train save it
    finally:
        keras.config.set_dtype_policy(before)
    model.save(tmp_path / "net.keras")
    loaded = load_saved_model(tmp_path / "net.keras")
    np.testing.assert_array_equal(predict(loaded), predict(model))
    for ours, theirs in zip(loaded.layers, model.layers, strict=True):
        assert (ours.name, ours.trainable) == (theirs.name, theirs.trainable)
        if not isinstance(ours, (keras.layers.InputLayer, keras.Model)):  # these have no policy of their own
            assert ours.dtype_policy.name == theirs.dtype_policy.name


def test_a_lambda_layer_is_refused_and_its_payload_is_real(tmp_path: Path, mark: Path) -> None:
    path = save_lambda(tmp_path / "net.keras", mark)
    assert "holds 'Lambda' of 'keras.layers'" in refusal(path)
    assert not mark.exists()
    keras.saving.load_model(path, safe_mode=False)(np.zeros((1, 6), np.float32))
    assert mark.exists()


@pytest.fixture
def registered_marker() -> Any:
    """As if another package of this process had registered a class with Keras."""
    keras.saving.register_keras_serializable("tests")(Marker)
    yield
    del keras.saving.get_custom_objects()["tests>Marker"]


@pytest.mark.usefixtures("registered_marker")
@pytest.mark.parametrize(
    ("kind", "module"), [("Marker", "hostile_models"), ("Flatten", "keras.layers")], ids=["by its name", "disguised"]
)
def test_a_registered_class_is_refused_and_its_payload_is_real(
    net: Path, tmp_path: Path, mark: Path, kind: str, module: str
) -> None:
    edit = replace_layer(kind, {"mark": str(mark)}, module, registered_name="tests>Marker")
    path = change(net, tmp_path / "net.keras", edit)
    assert "Marker'" in refusal(path)
    assert not mark.exists()
    with pytest.raises(ValueError):  # safe mode or not: Keras minds the weights, after the class has been made
        keras.saving.load_model(path, safe_mode=True)
    assert mark.exists()


@pytest.mark.parametrize("payload", PAYLOADS, ids=str)
def test_whatever_could_run_code_or_read_files_is_refused(
    net: Path, tmp_path: Path, mark: Path, payload: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "payload_module.py").write_text(f"open({str(mark)!r}, 'w')")
    monkeypatch.syspath_prepend(tmp_path)
    refusal(change(net, tmp_path / "net.keras", PAYLOADS[payload](mark)))
    assert not list(tmp_path.rglob("mark*"))
    assert (
        not keras.config.is_unsafe_deserialization_enabled()
        if hasattr(keras.config, "is_unsafe_deserialization_enabled")
        else True
    )


def nest(config: Config) -> None:
    """Nets in nets, deeper than any of ours."""
    for _ in range(4):
        inner = {**json.loads(json.dumps(config)), "name": "flatten", "inbound_nodes": []}
        inner["inbound_nodes"] = find_layer(config, "flatten")["inbound_nodes"]
        inner["config"]["name"] = "flatten"
        layers = config["config"]["layers"]
        layers[layers.index(find_layer(config, "flatten"))] = inner


def add_layers(config: Config) -> None:
    layers = config["config"]["layers"]
    for number in range(MOST_LAYERS):
        copy = json.loads(json.dumps(find_layer(config, "flatten")))
        copy["name"] = copy["config"]["name"] = f"flatten{number}"
        layers.append(copy)


PLANE = {"data_format": "channels_last"}
BOMBS: dict[str, tuple[Edit, str]] = {
    "units": (set_layer("probabilities", units=10**12), "sets 'units'"),
    "units, each allowed": (set_layer("probabilities", units=1 << 16), "asks for 2162716"),
    "filters": (set_layer("convolution", filters=10**9), "sets 'filters'"),
    "kernel": (set_layer("convolution", kernel_size=[10**6, 10**6], padding="same"), "sets 'kernel_size'"),
    "kernel, each allowed": (set_layer("convolution", kernel_size=[60_000, 60_000], padding="same"), "asks for"),
    "input": (set_layer("images", batch_shape=[None, 10**9, 10**9, 1]), "sets 'batch_shape'"),
    "input, each allowed": (set_layer("images", batch_shape=[None, 60_000, 60_000, 1]), "numbers per image"),
    "batch": (set_layer("images", batch_shape=[10**9, 6, 6, 1]), "sets 'batch_shape'"),
    "padding": (
        replace_layer("ZeroPadding2D", {"padding": [[60_000, 0], [60_000, 0]], **PLANE}),
        "needs more than 4194304 numbers per image by layer 'flatten': (60004, 60004, 2)",
    ),
    "enlargement": (
        replace_layer("UpSampling2D", {"size": [9999, 9999], "interpolation": "nearest", **PLANE}),
        "needs",
    ),
    "repetition": (replace_layer("RepeatVector", {"n": 10**9}), "holds 'RepeatVector'"),
    "reshaping": (replace_layer("Reshape", {"target_shape": [1 << 16, 1 << 16]}), "reshapes (4, 4, 2)"),
    "an overflow": (replace_layer("Reshape", {"target_shape": [2**64]}), "sets 'target_shape'"),
    "layers": (add_layers, f"more than {MOST_LAYERS} layers"),
    "nets in nets": (nest, "nets within nets"),
    "no number": (set_layer("norm", epsilon=float("nan")), "sets 'epsilon'"),
    "infinity": (set_layer("norm", momentum=float("inf")), "sets 'momentum'"),
    "a stride of nothing": (set_layer("convolution", strides=[0, 0]), "sets 'strides'"),
    "nothing left": (set_layer("convolution", kernel_size=[7, 7]), "leaves nothing"),
    "two layers of a name": (lambda config: config["config"]["layers"].append(find_layer(config, "norm")), "another's"),
    "a ring": (
        lambda config: find_layer(config, "norm").update(inbound_nodes=find_layer(config, "norm")["inbound_nodes"] * 2),
        "other than once",
    ),
    "a list for a layer": (lambda config: config["config"]["layers"].append([]), "has list of 0"),
    "no layers": (lambda config: config["config"].update(layers=None), "no list of layers"),
}


@pytest.mark.parametrize("bomb", BOMBS, ids=str)
def test_a_net_too_large_or_impossible_is_refused_before_it_is_built(
    net: Path, tmp_path: Path, bomb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: object, **__: object) -> None:
        raise AssertionError("Keras was called")

    monkeypatch.setattr(keras.saving, "load_model", build)
    edit, expected = BOMBS[bomb]
    assert expected in refusal(change(net, tmp_path / "net.keras", edit))


def test_second_shapes_and_compilations_never_reach_keras(net: Path, tmp_path: Path, mark: Path) -> None:
    def edit(config: Config) -> None:
        find_layer(config, "probabilities")["build_config"] = {"input_shape": [None, 10**15]}
        find_layer(config, "norm")["compile_config"] = {"optimizer": CALL}
        config["compile_config"] = {"loss": name_function("get_file", "keras.utils")}

    loaded = load_saved_model(change(net, tmp_path / "changed.keras", edit))
    np.testing.assert_array_equal(predict(loaded), predict(load_saved_model(net)))
    assert not loaded.compiled


@pytest.mark.parametrize(
    "content",
    [b"", b"[" * 100_000, b"\xff\xfe", b"{" + b'"a":{' * 5000, b"9" * 5000, b"null", b"[]", b'{"class_name": {}}'],
    ids=["empty", "brackets", "no UTF-8", "braces", "a long number", "null", "a list", "half a layer"],
)
def test_a_config_that_describes_nothing_is_refused_in_one_line(content: bytes) -> None:
    with pytest.raises(InputError, match=r"^net\.keras/config\.json must describe .*\.$"):
        parse_network(content, "net.keras/config.json")


def test_an_old_keras_is_refused_in_one_line(net: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "version", lambda name: "3.15.0")
    with pytest.raises(InputError, match=r"^opening a saved net takes Keras 3\.15\.1 or later; received 3\.15\.0: .*$"):
        load_saved_model(net)
