"""Optimizers: Keras' Adam and Adagrad, and Muon, which it has for plain matrices only, for kernels of convolutions.

Muon steps along the momentum after every singular value of it has been brought near 1, so that rare directions of the
gradient count as much as common ones (Jordan 2024, "Muon: an optimizer for hidden layers in neural networks"). What
it gains on these digits beside Adam is in benchmarks/CHAMPION.md.
"""

from typing import Any

import keras
from keras import KerasTensor, ops

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
