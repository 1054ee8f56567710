"""Whole epochs on the device, for JAX: images stay there, and one compiled program augments them and takes every step.

A small model keeps a GPU busy for less time than the next batch takes to arrive. So the images are sent once, and each
epoch only its order and its random affine maps. The host draws these as `TrainingBatches` does: a model sees the same
rows, moved by the same maps, as under `model.fit`.
"""

import itertools
import json
from collections.abc import Callable
from typing import Any

import keras
import numpy as np

from digit_recognizer.data.augmentation import SMALL_PX, BatchedAffine
from digit_recognizer.training.batches import TrainingBatches
from digit_recognizer.training.hardware import count_devices

State = tuple[list[Any], ...]
"""Trainable variables, others, the optimizer's, the metrics': what Keras' `train_step` takes and returns under JAX."""

_programs: dict[str, Callable[..., State]] = {}  # folds differ in weights and rows only, and share one


def can_run(batches: TrainingBatches) -> bool:
    """Whether JAX runs on one device, and the rows are plain images, augmented by affine maps or not at all."""
    return (
        keras.backend.backend() == "jax"
        and count_devices() == 1
        and batches.inputs.dtype == np.uint8
        and len(batches.inputs) == 1
        and (batches.augment is None or isinstance(batches.augment, BatchedAffine))
    )


def fit_epochs(
    model: keras.Model,
    batches: TrainingBatches,
    first: int,
    last: int,
    callbacks: list[keras.callbacks.Callback],
    code: str = "",
) -> None:
    """What `model.fit` does with these batches, without validation.

    Args:
        model: compiled; its weights change.
        batches: of images, see `can_run`; a callback among `callbacks` starts each of their epochs.
        first: epoch to start with, counted from 0.
        last: epoch to stop before.
        callbacks: called for epochs, not for batches.
        code: hash of a user's code of the model, of which a configuration has no more than names.
    """
    import jax

    listeners = keras.callbacks.CallbackList(callbacks, model=model, epochs=last, steps=len(batches), verbose=0)
    if not model.optimizer.built:  # a resumed one is built, and float16's loss scaling would lose its state
        model.optimizer.build(model.trainable_variables)
    shape = batches.inputs.shape[2:]
    model.test_on_batch(np.zeros((1, *shape)), np.zeros((1, model.output_shape[-1])))  # builds metrics
    images, targets = jax.device_put((batches.inputs[0, ..., 0], batches.targets))
    run = _find_program(model, code)
    model.stop_training = False
    listeners.on_train_begin()
    for epoch in range(first, last):
        listeners.on_epoch_begin(epoch)
        model.reset_metrics()
        state: State = tuple([variable.value for variable in group] for group in _group_variables(model))
        side_px = SMALL_PX if epoch < batches.small_epochs else images.shape[1]
        for rows, maps in _draw_epoch(batches):
            state = run(state, images, targets, rows, maps, side_px)
        _put_state(model, state)
        listeners.on_epoch_end(epoch, {name: float(value) for name, value in model.get_metrics_result().items()})
        if model.stop_training:
            break
    listeners.on_train_end()


def _find_program(model: keras.Model, code: str) -> Callable[..., State]:
    """The compiled run over many batches of equal size, from a state to the next; equal models share it."""
    import jax

    key = code + _describe(model)

    def run(state: State, images: Any, targets: Any, rows: Any, maps: Any, side_px: int) -> State:
        def step(state: State, batch: tuple[Any, Any]) -> tuple[State, None]:
            chosen, inverse_maps = batch
            inputs = warp(images[chosen].astype("float32"), inverse_maps) / 255
            if side_px != inputs.shape[1]:
                inputs = jax.image.resize(inputs, (len(chosen), side_px, side_px), "linear")
            return model.train_step(state, (inputs[..., None], targets[chosen]))[1], None

        alone = len(rows) == 1
        return step(state, (rows[0], maps[0]))[0] if alone else jax.lax.scan(step, state, (rows, maps))[0]

    return _programs.setdefault(key, jax.jit(run, donate_argnums=0, static_argnums=5))


def _describe(model: keras.Model) -> str:
    """Model, optimizer and loss as text, without the numbers that Keras appends to names."""
    parts = (model.get_config(), model.optimizer.get_config(), model.loss.get_config())
    text = json.dumps(parts, default=str)
    optimizers = (model.optimizer, getattr(model.optimizer, "inner_optimizer", model.optimizer))
    names = [part.name for part in (model, *optimizers, *model.layers, *model.inputs)]
    for place, name in enumerate(names):
        text = text.replace(json.dumps(name), f'"part {place}"')
    return text


def _draw_epoch(batches: TrainingBatches) -> list[tuple[np.ndarray, np.ndarray]]:
    """The epoch's rows (batches, rows) and maps (batches, rows, 2, 3), batches of one size together on an accelerator.

    On a CPU each batch stands alone, because XLA has no threaded convolution inside a loop there: with JAX 0.10 an
    epoch of 2,600 images took 140 s instead of 4.
    """
    import jax

    side_px = batches.inputs.shape[2]
    drawn = [batches.draw_rows(index) for index in range(len(batches))]
    maps = [
        batches.augment.draw_inverse(len(rows), side_px, rng)
        if isinstance(batches.augment, BatchedAffine)
        else np.broadcast_to(np.eye(2, 3, dtype=np.float32), (len(rows), 2, 3))
        for rows, rng in drawn
    ]
    change = np.flatnonzero(np.diff([len(rows) for rows, _ in drawn])) + 1
    ends = [*change, len(batches)] if jax.default_backend() != "cpu" else range(1, len(batches) + 1)
    return [
        (np.stack([rows for rows, _ in drawn[start:end]]), np.stack(maps[start:end]))
        for start, end in itertools.pairwise([0, *ends])
    ]


def warp(images: Any, inverse_maps: Any) -> Any:
    """Move images (n, height, width) by maps (n, 2, 3) from target to source coordinates x, y, in px; paper is 0.

    Bilinear, and exact: OpenCV rounds to 1/32 px and to whole grey levels.
    """
    import jax.numpy as jnp

    count, height, width = images.shape
    down, right = jnp.meshgrid(jnp.arange(height), jnp.arange(width), indexing="ij")
    targets = jnp.stack([right.ravel(), down.ravel(), jnp.ones(height * width)])
    x, y = jnp.moveaxis(jnp.einsum("nij,jp->nip", inverse_maps, targets, precision="highest"), 1, 0)
    left, top = jnp.floor(x), jnp.floor(y)
    flat = images.reshape(count, -1)
    total = jnp.zeros(flat.shape)
    for down_px in (0, 1):
        for right_px in (0, 1):
            column, row = left + right_px, top + down_px
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            place = jnp.where(inside, row * width + column, 0).astype("int32")
            weight = jnp.where(inside, (1 - abs(x - column)) * (1 - abs(y - row)), 0)
            total += weight * jnp.take_along_axis(flat, place, axis=1)
    return total.reshape(images.shape)


def _put_state(model: keras.Model, state: State) -> None:
    for group, values in zip(_group_variables(model), state, strict=True):
        for variable, value in zip(group, values, strict=True):
            variable.assign(value)


def _group_variables(model: keras.Model) -> tuple[list[keras.Variable], ...]:
    return (
        model.trainable_variables,
        model.non_trainable_variables,
        model.optimizer.variables,
        model.metrics_variables,
    )
