"""What `transfer` trains: an output layer for letters, or a head on ResNet152V2's features for colour photographs."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from digit_recognizer.config import Preprocess
from digit_recognizer.console import track
from digit_recognizer.data.augmentation import Affine, BatchedAffine, preprocess_images
from digit_recognizer.data.splits import assign_folds
from digit_recognizer.errors import InputError
from digit_recognizer.io import check_writable_folder
from digit_recognizer.models import _resnet152v2 as resnet152v2
from digit_recognizer.models._packaged import load_pretrained
from digit_recognizer.training.batches import scale_images
from digit_recognizer.training.fold_models import load_fold_models
from digit_recognizer.training.reproducibility import derive_seed
from digit_recognizer.training.run import CONFIG, Run
from digit_recognizer.training.trainer import predict_probabilities
from digit_recognizer.transfer_learning.config import MAX_COPIES, PHOTOGRAPHS, READY, TransferConfig
from digit_recognizer.transfer_learning.heads import (
    cut_head,
    fine_tune,
    predict_by_nearest_mean,
    predict_by_neighbours,
    predict_finite,
    replace_head,
    train_head,
    train_linear_head,
    unfreeze_from,
)
from digit_recognizer.transfer_learning.results import (
    Evaluation,
    Prediction,
    TransferData,
    TransferRun,
    load_data,
)
from digit_recognizer.vision.class_folders import find_classes
from digit_recognizer.vision.photos import load_colours
from digit_recognizer.vision.segment import load_letter

MAX_FOLDS = 5
# benchmarks/few_shot.py, tasks of three Kuzushiji characters by nine letters each: affine copies alone give 72.9 %,
# with the strokes' thickness varied 73.9 %. Elastic maps besides added nothing in an earlier trial, and are left out.
AFFINE = Affine()
PENS = ("as it is", "thinner", "thicker", "much thicker")
MIN_INK = 0.3  # of what there was: a thin stroke that a thinner pen would lose stays as it is


def transfer(config: TransferConfig) -> dict[str, Any]:
    """Teach a model new classes, from the folders of pictures to a run folder.

    With test pictures, a model trained on all training pictures predicts them. Without, each training picture is
    predicted by a model trained on the others, in stratified folds. Everything is repeated with every seed. The first
    seed's model, trained on all training pictures, is saved.

    Returns:
        The content of metrics.json; everything else is in the run folder (see `results`).

    Raises:
        InputError: for whatever the user can correct; before any training.
    """
    if config.run_dir is not None:
        check_writable_folder(config.run_dir.parent)
        if config.images.resolve() in config.run_dir.resolve().parents:
            raise InputError("transfer.run_dir_in_images", path=config.run_dir)
    if config.run == PHOTOGRAPHS:
        return transfer_photographs(config)
    train = find_classes(config.images, "--images")
    keras.utils.set_random_seed(derive_seed(config.seed, "fit"))  # a model draws the seeds of its dropout when built
    base, preprocess = open_base_model(config.run)
    model = replace_head(base, len(train.classes))
    if config.unfreeze is not None:
        unfreeze_from(model, config.unfreeze)  # refuses an unknown layer now
    data = load_data(train, config.test, lambda path: preprocess_images(load_letter(path)[None], preprocess)[0])
    with Run.create(config, "transfer") as folder:
        run = TransferRun(config, folder, data, model, preprocess)
        trainer = LetterTrainer(run)
        return run.finish(evaluate_folds(trainer) if data.test is None else evaluate_test(trainer))


def open_base_model(run: str) -> tuple[keras.Model, Preprocess]:
    """The model of a run's first fold, or the packaged one, and what is done to every image before it.

    Raises:
        InputError: if it is neither.
    """
    if run == READY:
        return load_pretrained(), "none"
    folder = Path(run)
    if not (folder / CONFIG).is_file():
        raise InputError("transfer.no_base_model", path=folder, received=run)
    trained = load_fold_models(folder, most=1)
    return trained.models[0], trained.config.preprocess


class LetterTrainer:
    """Trains the output layer of a model on pictures and their altered copies, each time from the same start.

    Args:
        run: configuration, pictures, history and model of the transfer; the model's weights now are the start.
    """

    def __init__(self, run: TransferRun) -> None:
        self.run, self.config, self.data, self.model = run, run.config, run.data, run.model
        self.body = cut_head(run.model)
        self.labels, self.images = self.data.train.labels, self.data.train.images
        self.start = self.body.get_weights()
        self.copies = min(self.config.copies, MAX_COPIES // len(self.labels))
        if self.copies < self.config.copies:
            run.folder.log(f"note: {self.copies} copies of each picture, so that there are at most {MAX_COPIES:,}")

    def set_seed(self, seed: int) -> None:
        """Draw the seed's copies, (1 + copies, n, ...), and embed them with the frozen model."""
        self.seed = seed
        self._restore()
        copies = make_copies(self.images, self.copies, np.random.default_rng(derive_seed(seed, "augmented copies")))
        shape = (1 + self.copies, len(self.labels))
        self.copied_images = copies.reshape(*shape, *copies.shape[1:])
        self.embeddings = self.embed(copies).reshape(*shape, -1)

    def embed(self, images: np.ndarray) -> np.ndarray:
        """Embeddings float32 (n, numbers) of uint8 images; before training, while the body is at its start."""
        return predict_probabilities(self.body, images)

    def train(self, chosen: np.ndarray, part: str = "all") -> None:
        """Train on the training pictures that are chosen, bool (n,), and on their copies."""
        self._restore()
        labels = np.tile(self.labels[chosen], 1 + self.copies)
        embeddings = self.embeddings[:, chosen].reshape(len(labels), -1)
        callbacks = self.run.callbacks(self.seed, part)
        weights = train_linear_head(embeddings, labels, self.config, self.seed, callbacks)
        self.model.layers[-1].set_weights(list(weights))
        if self.config.unfreeze is not None:
            images = self.copied_images[:, chosen].reshape(len(labels), *self.images.shape[1:])
            fine_tune(self.model, images, labels, self.config, self.seed, callbacks)

    def predict(self, chosen: np.ndarray, images: np.ndarray, queries: np.ndarray) -> Prediction:
        """Predict images, embedded in `queries`, with the trained model and by distance from the chosen pictures."""
        known = self.labels[chosen]
        embeddings = self.embeddings[:, chosen].reshape(-1, self.embeddings.shape[-1])
        return Prediction(
            predict_finite(self.model, images),
            predict_by_nearest_mean(embeddings[: len(known)], known, queries),
            predict_by_neighbours(embeddings, np.tile(known, 1 + self.copies), queries, self.config.neighbours),
        )

    def _restore(self) -> None:
        self.body.trainable = False
        self.body.set_weights(self.start)


def evaluate_test(trainer: LetterTrainer) -> Evaluation:
    """Train on all training pictures with each seed, and predict the test pictures."""
    run, data = trainer.run, trainer.data
    assert data.test is not None
    run.plan(len(run.seeds))
    everything = np.ones(len(trainer.labels), bool)
    queries = trainer.embed(data.test.images)
    predictions = []
    for seed in run.seeds:
        trainer.set_seed(seed)
        trainer.train(everything)
        run.save(trainer.model, seed)
        predictions.append(trainer.predict(everything, data.test.images, queries))
    return Evaluation("test pictures", data.test, predictions)


def evaluate_folds(trainer: LetterTrainer) -> Evaluation | None:
    """Predict every training picture with a model trained on the others; None if a class has no second picture.

    The folds differ from seed to seed. Copies of a picture are in its fold, and so are equal pictures.
    """
    run, data, groups = trainer.run, trainer.data, trainer.data.train.groups
    distinct = np.unique(groups, return_index=True)[1]
    folds = min(MAX_FOLDS, int(np.bincount(trainer.labels[distinct], minlength=len(data.train.classes)).min()))
    run.plan(1 + (len(run.seeds) * folds if folds > 1 else 0))
    predictions = []
    for seed in run.seeds if folds > 1 else run.seeds[:1]:
        trainer.set_seed(seed)
        if folds > 1:
            fold_of_row = assign_folds(trainer.labels, folds, derive_seed(seed, "folds"), groups)
            predictions.append(_predict_out_of_fold(trainer, fold_of_row))
        if seed == run.seeds[0]:
            trainer.train(np.ones(len(trainer.labels), bool))
            run.save(trainer.model, seed)
    if folds == 1:
        return None
    return Evaluation(f"training pictures, held out in {folds} folds", data.train, predictions)


def _predict_out_of_fold(trainer: LetterTrainer, fold_of_row: np.ndarray) -> Prediction:
    rows, parts, folds = [], [], int(fold_of_row.max()) + 1
    for fold in range(folds):
        held_out = fold_of_row == fold
        trainer.train(~held_out, f"fold {fold} [{fold + 1}/{folds}]")
        rows.append(np.flatnonzero(held_out))
        parts.append(trainer.predict(~held_out, trainer.images[held_out], trainer.embeddings[0, held_out]))
    order = np.argsort(np.concatenate(rows))
    return Prediction(*(np.concatenate(part)[order] for part in zip(*parts, strict=True)))


# Altered copies of a few images: what other hands and other pens would have made of the same glyphs.


def make_copies(images: np.ndarray, copies: int, rng: np.random.Generator) -> np.ndarray:
    """Make altered copies: an affine map each, then a stroke of another thickness.

    Args:
        images: uint8 (n, side, side, 1), 0 = paper, 255 = ink.
        copies: of each, 0 or more.
        rng: draws the changes.

    Returns:
        uint8 ((1 + copies) * n, side, side, 1): the images themselves first, then all of them in a first copy, and so
        on, so that row k shows image k % n.
    """
    affine = BatchedAffine(AFFINE)
    altered = [vary_strokes(affine(images[..., 0], rng), rng)[..., None] for _ in range(copies)]
    return np.concatenate([images, *altered])


def vary_strokes(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Draw a pen for each of uint8 images (n, side, side): one px thinner, as it is, one or two px thicker."""
    import cv2

    pixel, cross = np.ones((2, 2), np.uint8), cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3))
    varied = images.copy()
    for image, target, pen in zip(images, varied, rng.integers(len(PENS), size=len(images)), strict=True):
        if PENS[pen] == "thinner":
            thinner = cv2.erode(image, pixel)
            if thinner.sum() >= MIN_INK * image.sum():
                target[:] = thinner
        elif PENS[pen] != "as it is":
            target[:] = cv2.dilate(image, pixel if PENS[pen] == "thicker" else cross)
    return varied


# Colour photographs: a small head on the features of a frozen ResNet152V2 (seed report inside-and-transfer).

PICTURES_AT_ONCE = 16  # the backbone's feature maps of so many take 1 GB
HELD_OUT_FOLDS = 5  # of which one is held out: 20 %, as in the seed report

load_square = functools.partial(load_colours, side_px=resnet152v2.SIDE_PX)


def transfer_photographs(config: TransferConfig) -> dict[str, Any]:
    """Train a head for the classes of a folder, from its photographs to a run folder.

    Without test pictures a fifth of the training pictures is held out, by class, equal pictures together; their loss
    and accuracy are measured after each epoch and never steer training.

    Arguments, results and errors are those of `transfer`.
    """
    train = find_classes(config.images, "--images")
    if config.weights not in ("imagenet", "none") and not Path(config.weights).is_file():
        raise InputError("training.weights", received=config.weights)
    data = load_data(train, config.test, load_square, keep=False)
    train = data.train
    held_out = np.zeros(len(train.files), bool) if data.test is not None else _hold_out(data, config.seed)
    model = resnet152v2.build(len(train.classes), config.weights)
    with Run.create(config, "transfer") as folder:
        run = TransferRun(config, folder, data, model, "none")
        lower = resnet152v2.split_backbone(model).lower
        features = compute_features(lower, train.files)
        if data.test is None:
            what, evaluated, queries = "training pictures, held out", train.select(held_out), features[held_out]
        else:
            what, evaluated, queries = "test pictures", data.test, compute_features(lower, data.test.files)
        features, labels = features[~held_out], train.labels[~held_out]
        nearest_mean = predict_by_nearest_mean(features, labels, queries)
        neighbours = predict_by_neighbours(features, labels, queries, config.neighbours)
        run.plan(len(run.seeds))
        predictions = []
        for seed in run.seeds:
            callbacks = run.callbacks(seed, "all but those held out" if data.test is None else "all")
            holdout = (queries, evaluated.labels) if data.test is None else None
            head = train_head(resnet152v2.build_head, features, labels, config, seed, callbacks, holdout)
            predictions.append(Prediction(predict_finite(head, queries), nearest_mean, neighbours))
            run.save(head, seed)
        return run.finish(Evaluation(what, evaluated, predictions))


def compute_features(lower: keras.Model, files: Sequence[Path]) -> np.ndarray:
    """What the frozen part, from float32 images in [0, 1], makes of each picture, once: float32 (n, numbers)."""
    features = []
    for start in track(range(0, len(files), PICTURES_AT_ONCE), "features", "batches"):
        images = np.stack([load_square(file) for file in files[start : start + PICTURES_AT_ONCE]])
        features.append(np.asarray(lower.predict_on_batch(scale_images(images)), np.float32))
    return np.concatenate(features)


def _hold_out(data: TransferData, seed: int) -> np.ndarray:
    """Mark a fifth of each class's training pictures, equal pictures together."""
    groups, train = data.train.groups, data.train
    distinct = np.unique(groups, return_index=True)[1]
    counts = np.bincount(train.labels[distinct], minlength=len(train.classes))
    if counts.min() < HELD_OUT_FOLDS:
        rare = int(counts.argmin())
        raise InputError(
            "transfer.too_few", column=train.classes[rare], received=int(counts[rare]), limit=HELD_OUT_FOLDS
        )
    held_out: np.ndarray = assign_folds(train.labels, HELD_OUT_FOLDS, derive_seed(seed, "folds"), groups) == 0
    return held_out
