"""VGG16's convolutions, trained on ImageNet and frozen, under a small head of our own: 14,984,522 parameters.

Source: the third model of `digit-nets`, layer by layer; the head's 268,810 parameters are trained. The backbone is
Simonyan and Zisserman's configuration D (2015, arXiv 1409.1556, table 1). The report has 0.968 on its validation rows
at the best of 30 epochs; here it was not measured, as it needs ImageNet's weights.

A frozen backbone gives the same features for the same image, in every epoch and fold. `split_backbone` cuts the model
in two, so that `digit_recognizer.training.inputs` computes them once.
"""

from typing import TYPE_CHECKING, Any

import numpy as np

from digit_recognizer.errors import InputError
from digit_recognizer.models._pretrained import Backbone, SplitModel, load_backbone

if TYPE_CHECKING:
    import keras

BACKBONE = Backbone("VGG16", "vgg16_weights_tf_dim_ordering_tf_kernels_notop.h5", "6d6bbae143d832006294945121d1f1fc")
WEIGHTS_SOURCE = "keras/vgg16"  # the data set on Kaggle that holds it, for machines without a network

PRESET: dict[str, Any] = {
    "epochs": 30,  # as in the report; on cached features they cost less than the backbone's one pass
    "augmentation": "none",  # the cached features are of unchanged images; --cached-augmentations caches more
    "schedule": "plateau",  # one-cycle does its best work last, where early stopping may never arrive
    "patience": 5,  # plateau waits 3 of 30 epochs, so the learning rate falls once more before training ends
}

# A smoke run needs no download, and some hundred passes of the backbone where the other models' take thousands.
SMOKE: dict[str, Any] = {"weights": "none", "limit_train": 100, "limit_test": 500, "unfreeze_epochs": 1}

DROPOUT = 0.5  # Srivastava et al. 2014, section A.4: near the best for hidden layers over a wide range of networks
ENLARGEMENT = 2  # the report's 28 px to 56: the smaller the image, the fewer of the backbone's details it reaches
LOWEST_SIDE_PX = 32  # five poolings halve the image to 1 px
BGR_MEANS = (103.939, 116.779, 123.68)  # of ImageNet, subtracted in the Caffe training that the weights come from
RANDOM_WEIGHTS_SEED = 0  # not the run's: the same features then serve runs of every seed
BLOCKS = ("block1", "block2", "block3", "block4", "block5")


def build(input_shape: tuple[int, int, int], classes: int, weights: str | None) -> "keras.Model":
    """Build the model, its backbone frozen.

    Args:
        input_shape: height, width and channels of an image; one channel (ink) or three (red, green, blue).
        classes: number of outputs.
        weights: of the backbone: "imagenet" (downloaded by Keras, once), None or "none" (random, but the same
            at every call), or the path of the file that Keras would download.

    Returns:
        An uncompiled model from float32 images in [0, 1] to float32 probabilities (n, classes).

    Raises:
        InputError: if the images have another number of channels, or the weights cannot be loaded.
    """
    import keras
    from keras import layers

    inputs = keras.Input(input_shape, name="images")
    outputs = _build_preprocessing(inputs)
    backbone = _build_backbone(outputs.shape[1:], None if weights == "none" else weights)
    backbone.trainable = False
    outputs = backbone(outputs)
    outputs = layers.Flatten(name="flatten")(outputs)
    outputs = layers.Dense(512, name="embedding")(outputs)
    outputs = layers.Activation("relu", name="embedding_relu")(outputs)
    outputs = layers.BatchNormalization(name="embedding_norm")(outputs)
    outputs = layers.Dropout(DROPOUT, name="embedding_dropout")(outputs)
    outputs = layers.Dense(classes, name="logits")(outputs)
    # float32 whatever the precision, as in `_blocks.softmax_output`
    outputs = layers.Activation("softmax", dtype="float32", name="probabilities")(outputs)
    return keras.Model(inputs, outputs, name="vgg16_transfer")


def split_backbone(model: "keras.Model", unfreeze: str | None = None) -> SplitModel:
    """Cut the model below the first block that will ever be trained.

    No layer's `trainable` changes: after `build` the backbone is frozen in both halves, until `unfreeze_block`.

    Args:
        model: what `build` returned.
        unfreeze: the block to cut at, "block1" to "block5"; None cuts between backbone and head. At "block1" the lower
            half is the preprocessing alone.

    Returns:
        The two halves, uncompiled.
    """
    import keras

    backbone = model.get_layer("vgg16")
    cut = len(backbone.layers) if unfreeze is None else _find_block(backbone, unfreeze)
    features = model.get_layer("preprocessed").output
    for layer in backbone.layers[1:cut]:  # the first is its input
        features = layer(features)
    lower = keras.Model(model.input, features, name="lower")

    inputs = outputs = keras.Input(features.shape[1:], name="features")
    head = model.layers[model.layers.index(backbone) + 1 :]
    for layer in backbone.layers[cut:] + head:
        outputs = layer(outputs)
    return SplitModel(lower=lower, upper=keras.Model(inputs, outputs, name="upper"))


def unfreeze_block(model: "keras.Model", block: str) -> None:
    """Make a block of the backbone and all after it trainable, and freeze what comes before.

    For fine-tuning at a low rate, once the head is trained: gradients of a fresh head would wreck pretrained filters.
    Compile afterwards. The halves of `split_backbone` share the layers and follow.

    Args:
        model: what `build` returned; changed in place.
        block: "block1" to "block5".
    """
    backbone = model.get_layer("vgg16")
    first = _find_block(backbone, block)
    backbone.trainable = True  # sets all its layers, so their own settings come after
    for position, layer in enumerate(backbone.layers):
        layer.trainable = position >= first


def _find_block(backbone: "keras.Model", block: str) -> int:
    """The position of a block's first layer."""
    return [layer.name for layer in backbone.layers].index(f"{block}_conv1")


def _build_preprocessing(inputs: Any) -> Any:
    """Images in [0, 1] to the backbone's larger BGR images about zero, in built-in layers, which any Keras can load.

    After the resizing it is keras.applications.vgg16.preprocess_input; in float32, as bfloat16 cannot hold both a
    mean and a grey level.
    """
    from keras import layers

    height_px, width_px, channels = inputs.shape[1:]
    if channels not in (1, 3):
        raise InputError("models.channels", received=channels)
    sides_px = [max(ENLARGEMENT * side_px, LOWEST_SIDE_PX) for side_px in (height_px, width_px)]
    images = layers.Resizing(*sides_px, interpolation="bilinear", dtype="float32", name="resized")(inputs)
    if channels == 1:
        planes = [images] * 3
    else:  # with the columns taken for channels, cropping picks out a colour: blue, green, red
        planes = [
            layers.Cropping2D(((0, 0), (plane, 2 - plane)), "channels_first", dtype="float32", name=name)(images)
            for plane, name in ((2, "blue"), (1, "green"), (0, "red"))
        ]
    images = layers.Concatenate(dtype="float32", name="bgr")(planes)
    return layers.Rescaling(255.0, [-mean for mean in BGR_MEANS], dtype="float32", name="preprocessed")(images)


def _build_backbone(shape: tuple[int, int, int], weights: str | None) -> "keras.Model":
    import keras

    def build_vgg16(weights: str | None) -> keras.Model:
        inputs = keras.Input(shape, name="vgg16_images")  # named, or the features' key would differ at every build
        return keras.applications.VGG16(
            include_top=False, weights=weights, input_tensor=inputs, input_shape=shape, name="vgg16"
        )

    backbone = load_backbone(BACKBONE, build_vgg16, weights)
    if weights is None:
        # as He et al. 2015 (arXiv 1502.01852, section 2.2); the same ones at every call, because each fold builds a
        # model of its own, and all must have the backbone that computed the features
        rng = np.random.default_rng(RANDOM_WEIGHTS_SEED)
        for layer in backbone.layers:
            if layer.weights:
                kernel, bias = layer.weights
                spread = np.sqrt(2 / np.prod(kernel.shape[:-1]))
                layer.set_weights([spread * rng.standard_normal(kernel.shape, np.float32), np.zeros(bias.shape)])
    return backbone
