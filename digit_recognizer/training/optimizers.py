"""Optimizers: Keras' Adam and Adagrad, and Muon, which it has for plain matrices only, for kernels of convolutions.

Muon steps along the momentum after every singular value of it has been brought near 1, so that rare directions of the
gradient count as much as common ones (Jordan 2024, "Muon: an optimizer for hidden layers in neural networks"). What
it gains on these digits beside Adam is in benchmarks/CHAMPION.md.
"""

import math
from typing import Any

import keras
from keras import KerasTensor, ops

# How the learning rate changes over a fit.
#
# Each schedule is a function of the gradient step, computed inside the compiled training step, so that it is exact
# however many steps are run at a time. `plateau` is constant here: `fit` lowers it by a callback.

STEP_DROPS = 5  # document 004 wants the rate lowered step by step: halved five times at equal distances, to 1/32
WARMUP_SHARE = 0.25  # of all steps; short warm-up and long decay suit short fits (Smith and Topin 2018)
WARMUP_START = 0.04  # of the peak; their divisor of 25
FINAL_SHARE = 1e-4  # of the peak, so that the last steps only average out noise


class ScheduledRate(keras.optimizers.schedules.LearningRateSchedule):
    """A learning rate by name.

    Args:
        name: "step", "cosine" or "one-cycle".
        peak: highest learning rate.
        total_steps: gradient steps of the whole fit, at least 1.
    """

    def __init__(self, name: str, peak: float, total_steps: int) -> None:
        self.name, self.peak, self.total_steps = name, peak, total_steps

    def __call__(self, step):  # type: ignore[no-untyped-def]  # a tensor of whichever backend
        """The learning rate at a gradient step, both scalar tensors."""
        done = ops.minimum(ops.cast(step, "float32") / float(self.total_steps), 1.0)
        if self.name == "step":
            return self.peak * ops.power(0.5, ops.minimum(ops.floor(done * (STEP_DROPS + 1)), STEP_DROPS))
        if self.name == "cosine":
            return self.peak * _fall(done)
        rise = WARMUP_START + (1 - WARMUP_START) * done / WARMUP_SHARE
        return self.peak * ops.where(done < WARMUP_SHARE, rise, _fall((done - WARMUP_SHARE) / (1 - WARMUP_SHARE)))

    def get_config(self) -> dict[str, object]:
        """The arguments, as Keras saves them."""
        return {"name": self.name, "peak": self.peak, "total_steps": self.total_steps}


def build_schedule(name: str, peak: float, total_steps: int) -> float | ScheduledRate:
    """The learning rate of a fit: a number where it is constant (or lowered by a callback), else a schedule."""
    return peak if name in ("constant", "plateau") else ScheduledRate(name, peak, total_steps)


def _fall(done):  # type: ignore[no-untyped-def]  # likewise
    """Half a cosine from 1 at 0 to FINAL_SHARE at 1."""
    return FINAL_SHARE + (1 - FINAL_SHARE) * 0.5 * (1 + ops.cos(math.pi * done))


# Of the quintic iteration that maps singular values in (0, 1] to about 0.7 to 1.2 in five steps (Jordan 2024).
NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
NEWTON_SCHULZ_STEPS = 5
UPDATE_RMS = 0.2  # of one step's numbers at learning rate 1, whatever the kernel's shape (Liu et al. 2025, section 2.2)
SMALLEST_NORM = 1e-7
OUTPUT_LAYERS = ("probabilities", "logits")


class Muon(keras.optimizers.Optimizer):
    """Muon for kernels between hidden layers, Adam for all else.

    A kernel (…, inputs, outputs) is taken as a matrix of as many columns as it has outputs. The kernel of a convolution
    that reads one channel is Adam's, and so is that of the last layer, known by its name (`probabilities`, or `logits`
    where a softmax follows), as are biases, scales and offsets.

    Args:
        learning_rate: number or schedule, of the kernels; tens of times Adam's.
        adam_ratio: Adam's learning rate, as a share of `learning_rate`.
        momentum: Nesterov's, of the kernels.
        adam_beta_1: decay of Adam's mean of gradients.
        adam_beta_2: decay of Adam's mean of squares.
        epsilon: added to Adam's denominator.
        **settings: of every Keras optimizer, such as `weight_decay`.
    """

    def __init__(
        self,
        learning_rate: float | keras.optimizers.schedules.LearningRateSchedule = 0.05,
        adam_ratio: float = 0.2,
        momentum: float = 0.9,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.99,
        epsilon: float = 1e-8,
        **settings: Any,
    ) -> None:
        super().__init__(learning_rate=learning_rate, **settings)
        self.adam_ratio, self.momentum, self.epsilon = adam_ratio, momentum, epsilon
        self.adam_beta_1, self.adam_beta_2 = adam_beta_1, adam_beta_2
        self.product_dtype = keras.config.dtype_policy().compute_dtype  # five products of matrices a step and kernel

    def build(self, variables: list[keras.Variable]) -> None:
        """Make the moving averages: one per kernel, two for each other variable."""
        if self.built:
            return
        super().build(variables)
        self._means = [self.add_variable_from_reference(variable, "mean") for variable in variables]
        self._squares = [
            None if is_hidden_kernel(variable) else self.add_variable_from_reference(variable, "square")
            for variable in variables
        ]

    def update_step(self, gradient: KerasTensor, variable: keras.Variable, learning_rate: KerasTensor) -> None:
        """Change one variable by its gradient."""
        index = self._get_variable_index(variable)
        mean, square = self._means[index], self._squares[index]
        gradient = ops.cast(gradient, variable.dtype)
        rate = ops.cast(learning_rate, variable.dtype)
        if square is None:
            mean.assign(self.momentum * mean + gradient)
            ahead = ops.reshape(gradient + self.momentum * mean, (-1, variable.shape[-1]))
            step = orthogonalize(ahead, self.product_dtype) * (UPDATE_RMS * max(ahead.shape) ** 0.5)
            variable.assign_sub(rate * ops.reshape(ops.cast(step, variable.dtype), variable.shape))
            return
        done = ops.cast(self.iterations + 1, variable.dtype)
        mean.assign(self.adam_beta_1 * mean + (1 - self.adam_beta_1) * gradient)
        square.assign(self.adam_beta_2 * square + (1 - self.adam_beta_2) * ops.square(gradient))
        unbiased_mean = mean / (1 - ops.power(self.adam_beta_1, done))
        unbiased_square = square / (1 - ops.power(self.adam_beta_2, done))
        variable.assign_sub(rate * self.adam_ratio * unbiased_mean / (ops.sqrt(unbiased_square) + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        """The arguments, as Keras saves them."""
        own = ("adam_ratio", "momentum", "adam_beta_1", "adam_beta_2", "epsilon")
        return super().get_config() | {name: getattr(self, name) for name in own}


def build_optimizer(
    name: str, learning_rate: float | keras.optimizers.schedules.LearningRateSchedule, weight_decay: float
) -> keras.optimizers.Optimizer:
    """An optimizer by its name; only kernels decay, since all else has no size to keep small."""
    kind = {"adam": keras.optimizers.Adam, "adagrad": keras.optimizers.Adagrad, "muon": Muon}[name]
    optimizer = kind(learning_rate, weight_decay=weight_decay or None)
    optimizer.exclude_from_weight_decay(var_names=["gamma", "beta", "bias"])
    return optimizer


def is_hidden_kernel(variable: keras.Variable) -> bool:
    """Whether a variable stands between hidden layers: a kernel, not the first one of one channel, nor the last."""
    shape = variable.shape
    return len(shape) >= 2 and shape[-2] > 1 and not any(name in variable.path for name in OUTPUT_LAYERS)


def orthogonalize(matrix: KerasTensor, dtype: str) -> KerasTensor:
    """Bring every singular value of a matrix (m, n) near 1, by products of matrices alone.

    Args:
        matrix: float32.
        dtype: of the products.

    Returns:
        (m, n) of that dtype, about U V' for the singular value decomposition U S V' of the matrix.
    """
    a, b, c = NEWTON_SCHULZ
    wide = matrix.shape[0] < matrix.shape[1]
    tall = ops.transpose(matrix) if wide else matrix  # the products below are then of the shorter side
    # no singular value is above 1 then; before the cast, since float16 knows nothing below 6e-8
    tall = ops.cast(tall / (ops.sqrt(ops.sum(ops.square(tall))) + SMALLEST_NORM), dtype)
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = ops.matmul(ops.transpose(tall), tall)
        tall = a * tall + ops.matmul(tall, b * gram + c * ops.matmul(gram, gram))
    return ops.transpose(tall) if wide else tall
