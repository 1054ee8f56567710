"""ResNet152V2 from ImageNet, frozen, under a small head of our own: for colour photographs.

The animal classifier of `inside-and-transfer`, layer by layer: 58,858,762 parameters at 256x256x3, of which the head's
527,114 are trained. The backbone is He, Zhang, Ren and Sun's (2016, arXiv 1603.05027), with normalization and
activation before each convolution. It is not a `--model` of `cv`: 28x28 grey images through it would take days.
`transfer resnet152v2` uses it.
"""

from typing import TYPE_CHECKING, Any

from digit_recognizer.models._pretrained import Backbone, SplitModel, load_backbone

if TYPE_CHECKING:
    import keras

BACKBONE = Backbone(
    "ResNet152V2", "resnet152v2_weights_tf_dim_ordering_tf_kernels_notop.h5", "ed17cf2e0169df9d443503ef94b23b33"
)
SIDE_PX = 256
DROPOUT = 0.5  # the report leaves it open; the rate that vgg16's head has, and its reason
RANDOM_WEIGHTS_SEED = 0  # not the run's: equal pictures have equal features then, whatever the seed


def build(classes: int, weights: str | None) -> "keras.Model":
    """Build the model, its backbone frozen.

    Args:
        classes: number of outputs.
        weights: of the backbone: "imagenet" (downloaded by Keras, once), None or "none" (random, but the same at every
            call), or the path of the file that Keras would download.

    Returns:
        An uncompiled model from float32 images (n, 256, 256, 3) in [0, 1], red, green and blue, to float32
        probabilities (n, classes).

    Raises:
        InputError: if the weights cannot be loaded.
    """
    import keras

    inputs = keras.Input((SIDE_PX, SIDE_PX, 3), name="images")
    # as keras.applications.resnet_v2.preprocess_input: -1 to 1
    outputs = keras.layers.Rescaling(2.0, -1.0, dtype="float32", name="preprocessed")(inputs)
    backbone = load_backbone(BACKBONE, _build_backbone, None if weights == "none" else weights)
    backbone.trainable = False
    outputs = keras.layers.GlobalAveragePooling2D(name="pooled")(backbone(outputs))
    return keras.Model(inputs, _build_head(outputs, classes), name="resnet152v2_transfer")


def split_backbone(model: "keras.Model") -> SplitModel:
    """Cut the model between backbone and head: features are float32 (n, 2048)."""
    import keras

    pooled = model.get_layer("pooled")
    inputs = outputs = keras.Input(pooled.output.shape[1:], name="features")
    for layer in model.layers[model.layers.index(pooled) + 1 :]:
        outputs = layer(outputs)
    return SplitModel(keras.Model(model.input, pooled.output, name="lower"), keras.Model(inputs, outputs, name="upper"))


def build_head(shape: tuple[int, ...], classes: int) -> "keras.Model":
    """Build the trained part alone, fresh: from features (n, *shape) to float32 probabilities (n, classes)."""
    import keras

    inputs = keras.Input(shape, name="features")
    return keras.Model(inputs, _build_head(inputs, classes), name="resnet152v2_head")


def _build_head(outputs: Any, classes: int) -> Any:
    from keras import layers

    from digit_recognizer.models._blocks import softmax_output

    outputs = layers.Dense(256, activation="relu", name="embedding")(outputs)
    outputs = layers.Dropout(DROPOUT, name="embedding_dropout")(outputs)
    return softmax_output(outputs, classes)


def _build_backbone(weights: str | None) -> "keras.Model":
    import keras

    if weights is None:
        keras.utils.set_random_seed(RANDOM_WEIGHTS_SEED)
    return keras.applications.ResNet152V2(
        include_top=False, weights=weights, input_shape=(SIDE_PX, SIDE_PX, 3), name="resnet152v2"
    )
