"""Parts that several models share: batch normalization, a normalized convolution, and the way to probabilities.

Two of Keras' layers are faster here on a processor under TensorFlow; their numbers stay within rounding.

Keras composes batch normalization of a dozen elementwise operations in float32, each of which reads and writes all
activations; on a processor that takes longer than the convolution before it (`python benchmarks/normalization.py`).
TensorFlow's kernel reads bfloat16 activations, keeps the statistics in float32 and does all in two passes: a fifth of
the cost. And a kernel's gradient takes half the time on small feature maps if it is computed as a convolution
(`python benchmarks/step_profile.py --weight-gradient`).
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal

import keras
from keras import layers, ops

if TYPE_CHECKING:
    from keras import KerasTensor

NORM_MOMENTUM = 0.9  # training of a few hundred steps cannot wait for an average over the last hundred
IMAGE_RANK = 4
SMALL_MAP_PX = 7  # exchanged, a kernel's gradient takes 0.3 of the time at 3 px, 0.5 at 5, 0.7 at 7, and 1.1 at 10


def conv_bn_relu(
    inputs: "KerasTensor",
    filters: int,
    kernel_px: int,
    name: str,
    *,
    padding: str = "same",
    downsample: Literal["pool", "stride"] | None = None,
    relu: bool = True,
) -> "KerasTensor":
    """Convolution, batch normalization and ReLU.

    Args:
        inputs: (n, height, width, channels).
        filters: channels of the output.
        kernel_px: side of the kernel, in px.
        name: of the block; its layers are `name_conv`, `name_pool`, `name_norm` and `name_relu`.
        padding: "same" keeps height and width, "valid" does not look beyond the image.
        downsample: halve height and width by max pooling or by a stride of two. Pooling comes right after the
            convolution, so that normalization and ReLU see a quarter as much.
        relu: whether ReLU follows.

    Returns:
        (n, height, width, filters); at least 0, if rectified.
    """
    outputs = FastConv2D(
        filters,
        kernel_px,
        strides=2 if downsample == "stride" else 1,
        padding=padding,
        use_bias=False,
        kernel_initializer="he_normal",
        name=f"{name}_conv",
    )(inputs)
    if downsample == "pool":
        outputs = layers.MaxPooling2D(name=f"{name}_pool")(outputs)
    outputs = FusedBatchNormalization(momentum=NORM_MOMENTUM, name=f"{name}_norm")(outputs)
    return layers.Activation("relu", name=f"{name}_relu")(outputs) if relu else outputs


def global_average_and_max_pool(inputs: "KerasTensor") -> "KerasTensor":
    """Mean and maximum of each channel, one after the other: (n, height, width, channels) to (n, 2 * channels).

    The mean says how much of a stroke there is, the maximum whether there is one.
    """
    mean = layers.GlobalAveragePooling2D(name="mean")(inputs)
    maximum = layers.GlobalMaxPooling2D(name="maximum")(inputs)
    return layers.Concatenate(name="embedding")([mean, maximum])


def softmax_output(embedding: "KerasTensor", classes: int) -> "KerasTensor":
    """The output layer: probabilities (n, classes), in float32 whatever the precision.

    The logarithm of a probability that is rounded to bfloat16 would swamp the loss.
    """
    return layers.Dense(classes, activation="softmax", dtype="float32", name="probabilities")(embedding)


@keras.saving.register_keras_serializable("digit_recognizer")
class FastConv2D(keras.layers.Conv2D):
    """Keras' `Conv2D`: its arguments, weights and numbers, with a faster gradient on small maps on a processor.

    A kernel's gradient sums products over all images and places. oneDNN reaches half the speed of a convolution there.
    But it is a convolution itself, if images and channels change roles: the layer's inputs, one "image" for each of
    their channels, by the gradient of its outputs as the kernel. Taken for 3x3 and other kernels with padding "same"
    and without strides, in bfloat16 under TensorFlow, where maps have up to `SMALL_MAP_PX`; else it is Keras' own.
    """

    plain_class = keras.layers.Conv2D

    def convolution_op(self, inputs: "KerasTensor", kernel: Any) -> "KerasTensor":
        """Convolve (n, height, width, channels) with (height, width, channels, filters)."""
        if not self._has_small_maps(inputs):
            return super().convolution_op(inputs, kernel)
        import tensorflow as tf

        @tf.custom_gradient
        def convolve(inputs: Any, kernel: Any) -> tuple[Any, Callable[[Any], tuple[Any, Any]]]:
            def differentiate(of_outputs: Any) -> tuple[Any, Any]:
                of_inputs = tf.raw_ops.Conv2DBackpropInput(
                    input_sizes=tf.shape(inputs),
                    filter=kernel,
                    out_backprop=of_outputs,
                    strides=[1, 1, 1, 1],
                    padding="SAME",
                )
                is_small = tf.reduce_max(tf.shape(inputs)[1:3]) <= SMALL_MAP_PX
                of_kernel = tf.cond(is_small, lambda: exchange(of_outputs), lambda: take_usual(of_outputs))
                return of_inputs, of_kernel

            def exchange(of_outputs: Any) -> Any:
                margins = [[(side - 1) // 2, side // 2] for side in self.kernel_size]
                # To an odd number of images comes one of zeros. The images are channels here, which oneDNN takes in
                # pairs, and what it reads beside the last one is whatever was in memory. If that is NaN, so is the
                # gradient (TensorFlow 2.21): with batches of 255, 3 of 32 trainings of the champion ended so.
                # Not with the margins: TensorFlow makes one operation of them and the convolution, which has no other.
                zeros = [[0, tf.shape(inputs)[0] % 2], [0, 0], [0, 0], [0, 0]]
                by_channel = tf.transpose(tf.pad(inputs, zeros), (3, 1, 2, 0))
                by_image = tf.transpose(tf.pad(of_outputs, zeros), (1, 2, 0, 3))
                of_kernel = tf.nn.conv2d(tf.pad(by_channel, [[0, 0], *margins, [0, 0]]), by_image, 1, "VALID")
                return tf.transpose(of_kernel, (1, 2, 0, 3))

            def take_usual(of_outputs: Any) -> Any:
                return tf.raw_ops.Conv2DBackpropFilter(
                    input=inputs,
                    filter_sizes=tf.shape(kernel),
                    out_backprop=of_outputs,
                    strides=[1, 1, 1, 1],
                    padding="SAME",
                )

            return tf.nn.conv2d(inputs, kernel, 1, "SAME"), differentiate

        outputs: KerasTensor = convolve(inputs, ops.cast(kernel, self.compute_dtype))
        return outputs

    def _has_small_maps(self, inputs: "KerasTensor") -> bool:
        if keras.backend.backend() != "tensorflow":
            return False
        import tensorflow as tf

        return (
            not tf.config.list_physical_devices("GPU")
            and self.compute_dtype == "bfloat16"
            and self.padding == "same"
            and self.strides == self.dilation_rate == (1, 1)
            and self.groups == 1
            and self.data_format == "channels_last"
            and all(side is None or side <= SMALL_MAP_PX for side in inputs.shape[1:3])
        )


@keras.saving.register_keras_serializable("digit_recognizer")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Keras' `BatchNormalization`: its arguments, weights and numbers, computed by a fused kernel on TensorFlow.

    Called on images (n, height, width, channels) under TensorFlow it takes the kernel; on other backends, on tensors
    of another rank, on another axis, with a mask, with `renorm` or `synchronized`, and in float16 it is Keras' own.

    Outputs, gradients and moving statistics agree with Keras' within rounding of the number format
    (Ioffe and Szegedy 2015, arXiv 1502.03167; the moving variance is that of the batch, without Bessel's correction,
    as Keras has it).
    """

    plain_class = keras.layers.BatchNormalization

    def call(self, inputs: "KerasTensor", training: bool | None = None, mask: Any = None) -> "KerasTensor":
        """Normalize (n, height, width, channels); the output has the inputs' shape and the layer's compute dtype."""
        if mask is not None or not self._has_kernel(inputs):
            return super().call(inputs, training=training, mask=mask)
        from tensorflow import raw_ops  # Keras does not expose this kernel

        channels = inputs.shape[-1]
        trains = bool(training) and self.trainable
        outputs, mean, variance, *_ = raw_ops.FusedBatchNormV3(
            x=ops.cast(inputs, self.compute_dtype),
            scale=self.gamma if self.scale else ops.ones(channels),
            offset=self.beta if self.center else ops.zeros(channels),
            mean=ops.zeros(0) if trains else self.moving_mean,
            variance=ops.zeros(0) if trains else self.moving_variance,
            epsilon=self.epsilon,
            is_training=trains,
        )
        if trains:
            count = ops.cast(ops.size(inputs), "float32") / channels
            variance = ops.stop_gradient(variance) * (count - 1) / count  # the kernel has corrected by Bessel's
            _approach(self.moving_mean, ops.stop_gradient(mean), self.momentum)
            _approach(self.moving_variance, variance, self.momentum)
        return outputs

    def _has_kernel(self, inputs: "KerasTensor") -> bool:
        rank = len(inputs.shape)
        return (
            keras.backend.backend() == "tensorflow"
            and rank == IMAGE_RANK
            and self.axis in (-1, rank - 1)
            and not getattr(self, "renorm", False)  # Keras has it since 3.14
            and not self.synchronized
            and self.compute_dtype in ("float32", "bfloat16")
        )


def _approach(moving: keras.Variable, of_batch: "KerasTensor", momentum: float) -> None:
    moving.assign(moving * momentum + of_batch * (1 - momentum))
