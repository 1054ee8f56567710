"""Letters: a model that has learned to classify digits learns other classes from a few pictures of each."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from digit_recognizer.data.augmentation import Affine, BatchedAffine, preprocess_images
from digit_recognizer.data.splits import assign_folds
from digit_recognizer.errors import InputError
from digit_recognizer.io import check_writable_folder
from digit_recognizer.models._heads import Transferred, replace_head, unfreeze_from
from digit_recognizer.models._packaged import load_pretrained
from digit_recognizer.training.fold_models import load_fold_models
from digit_recognizer.training.reproducibility import derive_seed
from digit_recognizer.training.run import CONFIG, Run
from digit_recognizer.training.trainer import predict_probabilities
from digit_recognizer.transfer_learning.config import MAX_COPIES, PHOTOGRAPHS, READY, TransferConfig
from digit_recognizer.transfer_learning.heads import (
    fine_tune,
    predict_by_nearest_mean,
    predict_by_neighbours,
    predict_finite,
    train_linear_head,
)
from digit_recognizer.transfer_learning.results import (
    Evaluation,
    Prediction,
    Recipe,
    TransferRun,
    load_data,
)
from digit_recognizer.vision.class_folders import find_classes
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

    Args:
        config: what to do.

    Returns:
        The content of metrics.json; everything else is in the run folder (see `results`).

    Raises:
        InputError: for whatever the user can correct; before any training.
    """
    if config.run == PHOTOGRAPHS:
        from digit_recognizer.transfer_learning.photographs import transfer_photographs

        return transfer_photographs(config)
    if config.run_dir is not None:
        check_writable_folder(config.run_dir.parent)
        if config.images.resolve() in config.run_dir.resolve().parents:
            raise InputError("transfer.run_dir_in_images", path=config.run_dir)
    train = find_classes(config.images, "--images")
    keras.utils.set_random_seed(derive_seed(config.seed, "fit"))  # a model draws the seeds of its dropout when built
    base, recipe = open_base_model(config.run, train.classes)
    transferred = replace_head(base, len(train.classes))
    if config.unfreeze is not None:
        unfreeze_from(transferred.model, config.unfreeze)  # refuses an unknown layer now
    data = load_data(train, config.test, lambda path: preprocess_images(load_letter(path)[None], recipe.preprocess)[0])
    with Run.create(config, "transfer") as folder:
        run = TransferRun(config, folder, data, transferred.model, recipe)
        trainer = LetterTrainer(run, transferred)
        return run.finish(evaluate_folds(trainer) if data.test is None else evaluate_test(trainer))


def open_base_model(run: str, classes: tuple[str, ...]) -> tuple[keras.Model, Recipe]:
    """The model of a run's first fold, or the packaged one, and how to rebuild it with a head for other classes.

    Raises:
        InputError: if it is neither.
    """
    if run == READY:
        return load_pretrained(), Recipe(classes, "champion")
    folder = Path(run)
    if not (folder / CONFIG).is_file():
        raise InputError("transfer.no_base_model", path=folder, received=run)
    trained = load_fold_models(folder, most=1)
    config = trained.config
    recipe = Recipe(classes, config.model, config.model_args, config.preprocess, trained.precision)
    return trained.models[0], recipe


class LetterTrainer:
    """Trains the output layer of a model on pictures and their altered copies, each time from the same start.

    Args:
        run: configuration, pictures and history of the transfer.
        transferred: the model with its new output layer; its weights now are the start.
    """

    def __init__(self, run: TransferRun, transferred: Transferred) -> None:
        self.run, self.config, self.data, self.transferred = run, run.config, run.data, transferred
        self.labels, self.images = self.data.train.labels, self.data.train_pictures.images
        self.start = transferred.body.get_weights()
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
        return predict_probabilities(self.transferred.body, images)

    def train(self, chosen: np.ndarray, part: str = "all") -> None:
        """Train on the training pictures that are chosen, bool (n,), and on their copies."""
        self._restore()
        labels = np.tile(self.labels[chosen], 1 + self.copies)
        embeddings = self.embeddings[:, chosen].reshape(len(labels), -1)
        callbacks = self.run.callbacks(self.seed, part)
        weights = train_linear_head(embeddings, labels, self.config, self.seed, callbacks)
        self.transferred.output_layer.set_weights(list(weights))
        if self.config.unfreeze is not None:
            images = self.copied_images[:, chosen].reshape(len(labels), *self.images.shape[1:])
            fine_tune(self.transferred, images, labels, self.config, self.seed, callbacks)

    def predict(self, chosen: np.ndarray, images: np.ndarray, queries: np.ndarray) -> Prediction:
        """Predict images, embedded in `queries`, with the trained model and by distance from the chosen pictures."""
        known = self.labels[chosen]
        embeddings = self.embeddings[:, chosen].reshape(-1, self.embeddings.shape[-1])
        return Prediction(
            predict_finite(self.transferred.model, images),
            predict_by_nearest_mean(embeddings[: len(known)], known, queries),
            predict_by_neighbours(embeddings, np.tile(known, 1 + self.copies), queries, self.config.neighbours),
        )

    def _restore(self) -> None:
        self.transferred.body.trainable = False
        self.transferred.body.set_weights(self.start)


def evaluate_test(trainer: LetterTrainer) -> Evaluation:
    """Train on all training pictures with each seed, and predict the test pictures."""
    run, data = trainer.run, trainer.data
    assert data.test is not None and data.test_images is not None
    run.plan(len(run.seeds))
    everything = np.ones(len(trainer.labels), bool)
    queries = trainer.embed(data.test_images)
    predictions = []
    for seed in run.seeds:
        trainer.set_seed(seed)
        trainer.train(everything)
        run.save(trainer.transferred.model, seed)
        predictions.append(trainer.predict(everything, data.test_images, queries))
    return Evaluation("test pictures", data.test, predictions)


def evaluate_folds(trainer: LetterTrainer) -> Evaluation | None:
    """Predict every training picture with a model trained on the others; None if a class has no second picture.

    The folds differ from seed to seed. Copies of a picture are in its fold, and so are equal pictures.
    """
    run, data, groups = trainer.run, trainer.data, trainer.data.train_pictures.groups
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
            run.save(trainer.transferred.model, seed)
    if folds == 1:
        return None
    return Evaluation(f"training pictures, held out in {folds} folds", data.train, predictions)


def _predict_out_of_fold(trainer: LetterTrainer, fold_of_row: np.ndarray) -> Prediction:
    rows, parts, folds = [], [], int(fold_of_row.max()) + 1
    for fold in range(folds):
        held_out = fold_of_row == fold
        trainer.train(~held_out, f"fold {fold + 1}/{folds}")
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
    """Draw a pen for each image: one px thinner, as it is, one or two px thicker.

    Args:
        images: uint8 (n, side, side).
        rng: draws the pens.

    Returns:
        A new array of the same shape and dtype.
    """
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
