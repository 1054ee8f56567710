"""Optimizers and learning-rate schedules: Keras' own, but for Muon on convolutions and the cosine schedules.

A schedule is computed inside the compiled training step from the number of the gradient step, so it is exact however
many steps Keras runs at a time. `plateau` is a constant here: a callback lowers the learning rate.
"""

import math
from typing import Any

import keras
from keras import KerasTensor, ops
from keras.optimizers.schedules import LearningRateSchedule, PiecewiseConstantDecay

STEP_DROPS = 5  # of the schedule "step", which the model `journal` uses: halved five times at equal distances, to 1/32
WARMUP_SHARE = 0.25  # of all steps; short warm-up and long decay suit short training (Smith and Topin 2018)
WARMUP_START = 0.04  # of the peak; their divisor of 25
FINAL_SHARE = 1e-4  # of the peak, so that the last steps only average out noise

UPDATE_RMS = 0.2  # root mean square of an update at learning rate 1, for any kernel's shape (Liu et al. 2025, 2.2)
OUTPUT_LAYERS = ("probabilities", "logits")
MUON: dict[str, Any] = {
    "momentum": 0.9,
    "rms_rate": None,  # Keras takes the size from the first two dimensions, which are a convolution's 3 x 3
    "adam_lr_ratio": 0.2,  # Adam's learning rate as a share of Muon's
    "adam_beta_2": 0.99,
    "epsilon": 1e-8,
    "weight_decay": None,
    "adam_weight_decay": None,
}


class WarmupCosine(LearningRateSchedule):
    """A straight rise to the peak, then half a cosine down to `FINAL_SHARE` of it.

    Keras' CosineDecay is the same curve rounded differently: by up to 1e-6 of the peak, and every weight would change.

    Args:
        peak: highest learning rate.
        total_steps: gradient steps of the whole training, at least 1.
        warmup_share: share of them in which the learning rate rises; 0 starts at the peak.
    """

    def __init__(self, peak: float, total_steps: int, warmup_share: float) -> None:
        self.peak, self.total_steps, self.warmup_share = peak, total_steps, warmup_share

    def __call__(self, step):  # type: ignore[no-untyped-def]  # a tensor of whichever backend
        """The learning rate at a gradient step, both scalar tensors."""
        done = ops.minimum(ops.cast(step, "float32") / float(self.total_steps), 1.0)
        angle = math.pi * ((done - self.warmup_share) / (1 - self.warmup_share))
        fall = FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (1 + ops.cos(angle))
        if not self.warmup_share:
            return self.peak * fall
        rise = WARMUP_START + (1 - WARMUP_START) * done / self.warmup_share
        return self.peak * ops.where(done < self.warmup_share, rise, fall)

    def get_config(self) -> dict[str, Any]:
        """The arguments, as Keras saves them."""
        return {"peak": self.peak, "total_steps": self.total_steps, "warmup_share": self.warmup_share}


def build_schedule(name: str, peak: float, total_steps: int) -> float | LearningRateSchedule:
    """The learning rate of a training, by the name of its schedule.

    Args:
        name: a `Schedule` of `RunConfig`.
        peak: highest learning rate.
        total_steps: gradient steps of the whole training, at least 1.

    Returns:
        A number where it is constant (or lowered by a callback), else a schedule.

    Example:
        >>> round(float(build_schedule("step", 0.1, total_steps=60)(10)), 4)
        0.05
    """
    if name == "step":
        parts = STEP_DROPS + 1
        last_steps = [math.ceil(total_steps * part / parts) - 1 for part in range(1, parts)]
        return PiecewiseConstantDecay(last_steps, [peak / 2**drops for drops in range(parts)])
    warmup_share = {"cosine": 0.0, "one-cycle": WARMUP_SHARE}.get(name)
    return peak if warmup_share is None else WarmupCosine(peak, total_steps, warmup_share)


class Muon(keras.optimizers.Muon):
    """Muon for kernels between hidden layers, Adam for all else.

    Muon steps along the momentum after every singular value of it has been brought near 1, so that rare directions of
    the gradient count as much as common ones (Jordan 2024, "Muon: an optimizer for hidden layers in neural networks").
    What it gains on digits over Adam is in docs/what-was-tried.md.

    Keras' Muon leaves convolutions to Adam. Here a kernel (..., inputs, outputs) is a matrix with one column per
    output. Adam takes the kernel of a convolution that reads one channel, the last layer (`probabilities`, or `logits`
    before a softmax), biases, scales and offsets.

    Args:
        learning_rate: number or schedule, for the kernels; tens of times Adam's.
        **settings: of `keras.optimizers.Muon`; the defaults are those of `MUON`.
    """

    def __init__(self, learning_rate: float | LearningRateSchedule = 0.05, **settings: Any) -> None:
        super().__init__(learning_rate, **{**MUON, **settings})

    def _should_use_adamw(self, variable: keras.Variable) -> bool:
        """Whether a variable is no kernel between hidden layers: the first one of one channel, or the last."""
        shape = variable.shape
        return len(shape) < 2 or shape[-2] == 1 or any(name in variable.path for name in OUTPUT_LAYERS)

    def update_step(self, gradient: KerasTensor, variable: keras.Variable, learning_rate: KerasTensor) -> None:
        """Change one variable by its gradient; rounded in another order than Keras does it.

        The published figures were measured with this order. Keras' gives other last digits: the champion of 28 px and
        16 epochs then had 0.99660 out of fold in place of 0.99712, which is within its interval.
        """
        index = self._get_variable_index(variable)
        mean, square = self.momentums[index], self.adam_velocities[index]
        gradient, rate = (ops.cast(value, variable.dtype) for value in (gradient, learning_rate))
        if square is None:
            mean.assign(self.momentum * mean + gradient)
            variable.assign_sub(rate * self.zeropower_via_newtonschulz5(gradient + self.momentum * mean, self.ns_steps))
            return
        done = ops.cast(self.iterations + 1, variable.dtype)
        mean.assign(self.adam_beta_1 * mean + (1 - self.adam_beta_1) * gradient)
        square.assign(self.adam_beta_2 * square + (1 - self.adam_beta_2) * ops.square(gradient))
        unbiased_mean = mean / (1 - ops.power(self.adam_beta_1, done))
        unbiased_square = square / (1 - ops.power(self.adam_beta_2, done))
        variable.assign_sub(rate * self.adam_lr_ratio * unbiased_mean / (ops.sqrt(unbiased_square) + self.epsilon))

    def zeropower_via_newtonschulz5(self, x: KerasTensor, steps: int) -> KerasTensor:
        """Turn a kernel's momentum into its update, of root mean square `UPDATE_RMS` for any shape.

        Keras' own iteration takes the norm again and works on the transposed matrix: all optimizer steps of the
        champion take 4.5 ms with it and 3.9 ms with this one, which is 3 % of an epoch.
        """
        matrix = ops.reshape(x, (-1, x.shape[-1]))
        is_wide = matrix.shape[0] < matrix.shape[1]
        tall = ops.transpose(matrix) if is_wide else matrix
        # no singular value is above 1 after this; before the cast, since float16 has nothing below 6e-8
        tall = tall / (ops.sqrt(ops.sum(ops.square(tall))) + 1e-7)
        tall = ops.cast(tall, keras.config.dtype_policy().compute_dtype)  # the products cost the most time
        for _ in range(steps):
            gram = ops.matmul(ops.transpose(tall), tall)  # of the shorter side
            tall = self.muon_a * tall + ops.matmul(tall, self.muon_b * gram + self.muon_c * ops.matmul(gram, gram))
        update = (ops.transpose(tall) if is_wide else tall) * (UPDATE_RMS * max(matrix.shape) ** 0.5)
        return ops.reshape(ops.cast(update, x.dtype), x.shape)


def build_optimizer(
    name: str, learning_rate: float | LearningRateSchedule, weight_decay: float
) -> keras.optimizers.Optimizer:
    """An optimizer by its name: adam, adagrad or muon. Only kernels decay, since nothing else needs to stay small."""
    decay = weight_decay or None
    if name == "muon":
        optimizer = Muon(learning_rate, weight_decay=decay, adam_weight_decay=decay)
    else:
        kind = {"adam": keras.optimizers.Adam, "adagrad": keras.optimizers.Adagrad}[name]
        optimizer = kind(learning_rate, weight_decay=decay)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer
