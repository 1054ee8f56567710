"""The net that a config.json of unknown origin describes: checked part by part, measured, and written down anew.

What Keras builds from is the new description alone. It holds only what was understood here, so that no key which Keras
might act on (a second input shape to build with, settings of a compilation, arguments of a call) passes unseen.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

from digit_recognizer.errors import InputError
from digit_recognizer.models._stored.layers import COMMON, RULES, Rule
from digit_recognizer.models._stored.settings import (
    Check,
    clean,
    is_count,
    is_flag,
    is_name,
    is_null,
    maybe,
    one_of,
    only,
)
from digit_recognizer.models._stored.shapes import Shape, UnfitError

MOST_LAYERS = 500  # the transfer net has 30
MOST_ACTIVATIONS = 1 << 22  # numbers in all layers' outputs for one image; the transfer net has 1.1 million
MOST_INPUTS = 64  # of a layer that merges
DEEPEST = 3  # nets within nets

IDENTITY = ("module", "class_name", "config", "registered_name")
FUNCTIONAL = "keras.src.models.functional"
DERIVED = {"build_config", "compile_config", "shared_object_id"}  # follows from the rest, or belongs to training
INPUT: dict[str, Check] = {
    "batch_shape": lambda value: isinstance(value, list) and 2 <= len(value) <= 4 and value[0] is None
    and all(map(is_count, value[1:])),
    "dtype": one_of("float16", "bfloat16", "float32", "float64", "uint8"),
    "sparse": only(False),
    "ragged": only(False),
    "optional": only(False),
    "name": is_name,
}  # fmt: skip


@dataclass(frozen=True)
class Network:
    """A net that may be built.

    Attributes:
        config: what Keras builds it from.
        parameters: how many it has.
        activations: numbers in the outputs of all its layers, for one image.
    """

    config: dict[str, Any]
    parameters: int
    activations: int


def parse_network(content: bytes, name: str) -> Network:
    """Read a config.json of unknown origin.

    Args:
        content: the file; its size has been bounded.
        name: what refusals call it.

    Raises:
        InputError: if it is no JSON, or describes anything but a functional net of the known layers, of bounded size.
    """
    try:
        measured = _Survey()
        config, _, _ = measured.read_net(json.loads(content.decode("utf-8")), 1)
        return Network(config, measured.parameters, measured.activations)
    except UnfitError as error:
        fault = str(error)
    except (ValueError, RecursionError) as error:  # no UTF-8, no JSON, numbers or brackets without end
        fault = f"is no JSON: {str(error)[:80]}"
    raise InputError(f"{name} must describe a net of the known Keras layers, but {fault}: load nets of this package.")


class _Survey:
    def __init__(self) -> None:
        self.layers = self.parameters = self.activations = 0

    def read_net(self, entry: Any, depth: int) -> tuple[dict[str, Any], Shape, Shape]:
        """Check a functional net; return it written anew, and the shapes of its input and output."""
        if depth > DEEPEST:
            raise UnfitError(f"holds nets within nets, more than {DEEPEST} deep")
        entry = _take(
            entry, "the net", ("module", "class_name", "config", "registered_name"), ("name", "inbound_nodes")
        )
        if (entry["module"], entry["class_name"]) != (FUNCTIONAL, "Functional"):
            _refuse_class(entry)
        if entry["registered_name"] not in (None, "Functional"):
            raise UnfitError(f"registers a net as {_show(entry['registered_name'])}")
        config = _take(entry["config"], "the net", ("name", "trainable", "layers", "input_layers", "output_layers"))
        _check(config, {"name": is_name, "trainable": is_flag}, "the net")
        if not isinstance(config["layers"], list):
            raise UnfitError("holds no list of layers")
        shapes: dict[str, Shape] = {}
        layers = []
        for layer in config["layers"]:
            self.layers += 1
            if self.layers > MOST_LAYERS:
                raise UnfitError(f"holds more than {MOST_LAYERS} layers")
            layers.append(self.read_layer(layer, shapes, depth))
        first, last = (_find_end(config[end], shapes) for end in ("input_layers", "output_layers"))
        if [layer["name"] for layer in layers if layer["class_name"] == "InputLayer"] != [first]:
            raise UnfitError("has other than one input")
        new = {**config, "layers": layers}
        return _write("Functional", FUNCTIONAL, new, "Functional"), shapes[first], shapes[last]

    def read_layer(self, entry: Any, shapes: dict[str, Shape], depth: int) -> dict[str, Any]:
        """Check a layer, add its output's shape to `shapes` by name, and return it written anew."""
        entry = _take(entry, "a layer", (*IDENTITY, "name", "inbound_nodes"))
        name, kind = entry["name"], entry["class_name"]
        if not is_name(name) or name in shapes:
            raise UnfitError(f"names a layer {_show(name)}, which is no name or another's")
        rule = RULES.get(kind) if isinstance(kind, str) else None
        merges = rule is not None and rule.merges
        nodes, inputs = ([], []) if kind == "InputLayer" else _read_call(entry["inbound_nodes"], name, shapes, merges)
        if kind == "InputLayer" and entry["module"] == "keras.layers":
            new, shape = _read_input(entry, name)
        elif kind == "Functional":
            new, expected, shape = self.read_net(entry, depth + 1)
            if inputs != [expected]:
                raise UnfitError(f"gives net {name!r} the shape {inputs[0]} in place of {expected}")
        elif rule is not None and entry["module"] == rule.module:
            new, shape = self.read_plain_layer(entry, name, rule, inputs)
        else:
            _refuse_class(entry)
        if new["config"]["name"] != name:
            raise UnfitError(f"has two names for layer {name!r}")
        if not shape or min(shape) < 1:
            raise UnfitError(f"leaves nothing of an image after layer {name!r}: {shape}")
        shapes[name] = shape
        self.activations += math.prod(shape)
        if self.activations > MOST_ACTIVATIONS:
            raise UnfitError(f"needs more than {MOST_ACTIVATIONS} numbers per image by layer {name!r}: {shape}")
        return {**new, "name": name, "inbound_nodes": nodes}

    def read_plain_layer(
        self, entry: dict[str, Any], name: str, rule: Rule, inputs: list[Shape]
    ) -> tuple[dict[str, Any], Shape]:
        kind = entry["class_name"]
        if entry["registered_name"] not in (None, kind, rule.registered_name):
            raise UnfitError(f"registers layer {name!r} as {_show(entry['registered_name'])}")
        checks = {**COMMON, **rule.settings}
        settings = _take(entry["config"], f"layer {name!r}", tuple(checks))
        _check(settings, checks, f"layer {name!r}")
        self.parameters += rule.count_parameters(settings, inputs[0])
        new = {setting: clean(value) for setting, value in settings.items()}
        return _write(kind, rule.module, new, rule.registered_name), rule.find_shape(settings, inputs)


def _read_input(entry: dict[str, Any], name: str) -> tuple[dict[str, Any], Shape]:
    settings = _take(entry["config"], f"layer {name!r}", tuple(INPUT))
    _check(settings, INPUT, f"layer {name!r}")
    return _write("InputLayer", "keras.layers", settings, None), tuple(settings["batch_shape"][1:])


def _read_call(nodes: Any, name: str, shapes: Mapping[str, Shape], merges: bool) -> tuple[list[Any], list[Shape]]:
    """Check the one call of a layer: on outputs of layers before it, and with nothing else that matters."""
    if not isinstance(nodes, list) or len(nodes) != 1:
        raise UnfitError(f"calls layer {name!r} other than once")
    call = _take(nodes[0], f"the call of {name!r}", ("args", "kwargs"))
    extras = _take(call["kwargs"], f"the call of {name!r}", (), ("training", "mask"))
    _check(extras, {"training": maybe(is_flag), "mask": is_null}, f"the call of {name!r}")
    tensors = call["args"]
    if merges and isinstance(tensors, list) and len(tensors) == 1:
        tensors = tensors[0]
    if not isinstance(tensors, list) or not 1 <= len(tensors) <= (MOST_INPUTS if merges else 1):
        raise UnfitError(f"calls layer {name!r} on another number of inputs than it takes")
    sources = [_find_source(tensor, name, shapes) for tensor in tensors]
    args = [
        {"class_name": "__keras_tensor__", "config": {"shape": [None, *shapes[source]], "dtype": dtype,
         "keras_history": [source, 0, 0]}}
        for source, dtype in sources
    ]  # fmt: skip
    inputs = [shapes[source] for source, _ in sources]
    return [{"args": [args] if merges else args, "kwargs": extras}], inputs


def _find_source(tensor: Any, name: str, shapes: Mapping[str, Shape]) -> tuple[str, str]:
    """The layer whose output a call takes, and its number format."""
    tensor = _take(tensor, f"the call of {name!r}", ("class_name", "config"))
    if tensor["class_name"] != "__keras_tensor__":
        raise UnfitError(f"calls layer {name!r} on {_show(tensor['class_name'])}")
    config = _take(tensor["config"], f"the call of {name!r}", ("shape", "dtype", "keras_history"))
    if not INPUT["dtype"](config["dtype"]):
        raise UnfitError(f"calls layer {name!r} on values of kind {_show(config['dtype'])}")
    return _find_end(config["keras_history"], shapes), config["dtype"]


def _find_end(end: Any, shapes: Mapping[str, Shape]) -> str:
    """The layer's name in ["name", 0, 0], which may stand in a list of its own."""
    if isinstance(end, list) and len(end) == 1:
        end = end[0]
    if isinstance(end, list) and len(end) == 3 and is_name(end[0]) and end[0] in shapes and end[1:] == [0, 0]:
        source: str = end[0]
        return source
    raise UnfitError(f"points to {_show(end)}, which is no layer before it")


def _take(value: Any, what: str, needed: tuple[str, ...], allowed: tuple[str, ...] = ()) -> dict[str, Any]:
    """The keys that are needed and allowed; a key that is neither must be null or follow from the rest."""
    if not isinstance(value, dict):
        raise UnfitError(f"has {_show(value)} for {what}")
    for key in needed:
        if key not in value:
            raise UnfitError(f"lacks {key!r} of {what}")
    for key in set(value) - {*needed, *allowed} - DERIVED:
        if value[key] is not None:
            raise UnfitError(f"sets {_show(key)} of {what}, which is unknown")
    return {key: value[key] for key in (*needed, *allowed) if key in value}


def _check(settings: Mapping[str, Any], checks: Mapping[str, Check], what: str) -> None:
    for key, check in checks.items():
        if key in settings and not check(settings[key]):
            raise UnfitError(f"sets {key!r} of {what} to {_show(settings[key])}")


def _write(kind: str, module: str, config: dict[str, Any], registered_name: str | None) -> dict[str, Any]:
    return {"module": module, "class_name": kind, "config": config, "registered_name": registered_name}


def _refuse_class(entry: Mapping[str, Any]) -> NoReturn:
    raise UnfitError(f"holds {_show(entry['class_name'])} of {_show(entry['module'])}, which is not among them")


def _show(value: Any) -> str:
    return repr(value)[:60] if not isinstance(value, (dict, list)) else f"{type(value).__name__} of {len(value)}"
