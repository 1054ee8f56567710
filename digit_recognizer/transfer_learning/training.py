"""What `transfer` trains: an output layer for letters, or a head on ResNet152V2's features for colour photographs."""

import functools
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from digit_recognizer.config import check_field_names
from digit_recognizer.console import track
from digit_recognizer.data.augmentation import Affine, BatchedAffine, preprocess_images
from digit_recognizer.data.splits import assign_folds
from digit_recognizer.errors import InputError, require
from digit_recognizer.io import check_writable_folder, numpy_defaults
from digit_recognizer.models import _resnet152v2 as resnet152v2
from digit_recognizer.models._packaged import ARCHITECTURE, load_pretrained
from digit_recognizer.training.batches import scale_images
from digit_recognizer.training.inputs import check_weights
from digit_recognizer.training.reproducibility import derive_seed
from digit_recognizer.training.run import Run
from digit_recognizer.training.trainer import predict_probabilities
from digit_recognizer.training.weights import load_fold_models
from digit_recognizer.transfer_learning.config import (
    MAX_COPIES,
    PHOTOGRAPHS,
    READY,
    TransferConfig,
    check_base_model,
    choose_defaults,
)
from digit_recognizer.transfer_learning.heads import (
    NeighbourClassifier,
    cut_head,
    fine_tune,
    predict_by_nearest_mean,
    predict_finite,
    replace_head,
    train_head,
    train_linear_head,
    unfreeze_from,
)
from digit_recognizer.transfer_learning.results import (
    MODEL,
    BaseModel,
    Choice,
    Evaluation,
    TransferResult,
    TransferRun,
    choose,
    describe_validation,
    load_data,
)
from digit_recognizer.vision.class_folders import ClassFolder, find_classes
from digit_recognizer.vision.photos import load_colours
from digit_recognizer.vision.segment import load_letter

MAX_FOLDS = 5  # without test pictures, where they also evaluate
VALIDATION_FOLDS = 3  # with them: a model is trained for each fold and seed, and only to choose
# benchmarks/few_shot.py, tasks of three Kuzushiji characters by nine letters each: affine copies alone give 72.9 %,
# with the strokes' thickness varied 73.9 %. Elastic maps besides added nothing in an earlier trial, and are left out.
AFFINE = Affine()
PENS = ("as it is", "thinner", "thicker", "much thicker")
MIN_INK = 0.3  # of what there was: a thin stroke that a thinner pen would lose stays as it is


@numpy_defaults
def transfer(
    run: Path | str,
    images: Path | str,
    test: Path | str | None = None,
    *,
    run_dir: Path | str | None = None,
    **settings: Any,
) -> TransferResult:
    """Teach a trained model new classes from a folder of pictures per class, as the command `transfer` does.

    Args:
        run: "ready" for the packaged model; a run of `cv` or `train`; or "resnet152v2" for colour photographs.
        images: folder of training pictures: a folder per class in it, named after the class.
        test: folder of other pictures of the same classes, evaluated once; None holds out a part of `images`.
        run_dir: the run folder of this transfer; None: runs/<time>-transfer.
        **settings: fields of `TransferConfig`, such as seeds, copies or epochs.

    Returns:
        The result, which `predict` takes as `run`.

    Raises:
        InputError: for an unknown setting, or a model or pictures that cannot be used; before any training.

    Example:
        >>> from PIL import Image, ImageDraw
        >>> for name, stroke in {"corner": [(25, 15), (25, 80), (80, 80)], "bar": [(15, 45), (85, 50)]}.items():
        ...     Path("letters", name).mkdir(parents=True)
        ...     for move in range(3):
        ...         picture = Image.new("L", (100, 100), "white")
        ...         ImageDraw.Draw(picture).line([(x + move, y) for x, y in stroke], fill="black", width=9)
        ...         picture.save(f"letters/{name}/{move}.png")
        >>> letters = dr.transfer("ready", "letters", seeds=1, copies=4, epochs=2)
        >>> dr.predict("letters/bar/0.png", run=letters).shape
        (1, 7)
    """
    require("PIL.Image", "vision")
    require("matplotlib.figure", "vision")  # now, not after the training
    check_field_names(TransferConfig, settings)
    config = TransferConfig(
        run=os.fspath(run),
        images=Path(images).expanduser(),
        test=None if test is None else Path(test).expanduser(),
        run_dir=None if run_dir is None else Path(run_dir).expanduser(),
        **{**choose_defaults([os.fspath(run)]), **settings},
    )
    return run_transfer(config)


def run_transfer(config: TransferConfig) -> TransferResult:
    """Teach a model new classes, from the folders of pictures to a run folder.

    With every seed, each training picture is predicted by a model that was trained without it, in stratified folds. The
    seed with the best of these predictions is kept: its model, trained on all training pictures. Test pictures choose
    nothing; they are predicted once by each seed's model. Without them, each training picture is also predicted by what
    other pictures chose (see `evaluate`).

    Returns:
        The result; everything else is in the run folder (see `results`).

    Raises:
        InputError: for whatever the user can correct; before any training.
    """
    if config.run_dir is not None:
        check_writable_folder(config.run_dir.parent)
        if config.images.resolve() in config.run_dir.resolve().parents:
            raise InputError("transfer.run_dir_in_images", path=config.run_dir)
    train = find_classes(config.images, "--images")
    of_photographs = config.run == PHOTOGRAPHS
    keras.utils.set_random_seed(derive_seed(config.seed, "fit"))  # a model draws the seeds of its dropout when built
    if of_photographs:
        check_weights(config.weights)
        data = load_data(train, config.test, load_square, keep=False)
        model, base = resnet152v2.build(len(train.classes), config.weights), BaseModel(PHOTOGRAPHS)
    else:
        trained, base = open_base_model(config.run)
        model = replace_head(trained, len(train.classes))
        if config.unfreeze is not None:
            unfreeze_from(model, config.unfreeze)  # refuses an unknown layer now
        data = load_data(
            train, config.test, lambda path: preprocess_images(load_letter(path)[None], base.preprocess)[0]
        )
    with Run.create(config, "transfer") as folder:
        with folder.removed_on_failure():
            run = TransferRun(config, folder, data, model, base)
            run.finish(*evaluate(PhotographTrainer(run) if of_photographs else LetterTrainer(run)))
        return run.describe()


def open_base_model(run: str) -> tuple[keras.Model, BaseModel]:
    """The model of a run's first fold, or the packaged one, and what it takes to build it again.

    Raises:
        InputError: if it is neither.
    """
    if run == READY:
        return load_pretrained(), BaseModel(ARCHITECTURE)
    check_base_model(run)
    trained = load_fold_models(Path(run), [0])
    config = trained.config
    return trained.models[0], BaseModel(config.model, list(config.model_args), trained.precision, config.preprocess)


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
        self.embeddings = predict_probabilities(self.body, copies).reshape(*shape, -1)

    def embed(self, pictures: ClassFolder) -> np.ndarray:
        """Embeddings float32 (n, numbers); before training, while the body is at its start."""
        return predict_probabilities(self.body, pictures.images)

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

    def predict(self, chosen: np.ndarray, pictures: ClassFolder, queries: np.ndarray) -> np.ndarray:
        """Predict pictures, embedded in `queries`, with the trained model and by distance from the chosen pictures."""
        known, copies = self.labels[chosen], len(self.embeddings)
        embeddings = self.embeddings[:, chosen].reshape(-1, self.embeddings.shape[-1])
        neighbours = NeighbourClassifier(embeddings, np.tile(known, copies), self.config.neighbours)
        by_mean = predict_by_nearest_mean(embeddings[: len(known)], known, queries)
        return np.stack([self.predict_with_model(pictures, queries), by_mean, neighbours.predict(queries)])

    def predict_with_model(self, pictures: ClassFolder, queries: np.ndarray) -> np.ndarray:
        """Probabilities of the trained model; embeddings would be outdated where layers below it are trained too."""
        return predict_finite(self.model, pictures.images)

    def save(self) -> None:
        """Write the model, just trained on all training pictures, and their embeddings."""
        embeddings = self.embeddings.reshape(-1, self.embeddings.shape[-1]) if self.has_neighbours else None
        self.run.save(self.model, embeddings, np.tile(self.labels, len(self.embeddings)))

    @property
    def has_neighbours(self) -> bool:
        """Whether the saved model gives the embedding in which neighbours are found."""
        return self.config.unfreeze is None

    def _restore(self) -> None:
        self.body.trainable = False
        self.body.set_weights(self.start)


class PhotographTrainer(LetterTrainer):
    """Trains a small head on the features of a frozen ResNet152V2, as the seed report inside-and-transfer does.

    Args:
        run: configuration, pictures, history and model of the transfer.
    """

    def __init__(self, run: TransferRun) -> None:
        self.run, self.config, self.data = run, run.config, run.data
        self.labels = self.data.train.labels
        self.body = resnet152v2.split_backbone(run.model).lower
        self.embeddings = self.embed(self.data.train)[None]

    def set_seed(self, seed: int) -> None:
        """The same features serve every seed."""
        self.seed = seed

    def embed(self, pictures: ClassFolder) -> np.ndarray:
        """Features float32 (n, numbers) of files, each computed once."""
        return compute_features(self.body, pictures.files)

    def train(self, chosen: np.ndarray, part: str = "all") -> None:
        """Train on the training pictures that are chosen, bool (n,)."""
        known, callbacks = (self.embeddings[0, chosen], self.labels[chosen]), self.run.callbacks(self.seed, part)
        self.model = train_head(resnet152v2.build_head, *known, self.config, self.seed, callbacks)

    def predict_with_model(self, pictures: ClassFolder, queries: np.ndarray) -> np.ndarray:
        """Probabilities of the trained head."""
        return predict_finite(self.model, queries)


PICTURES_AT_ONCE = 16  # the backbone's feature maps of so many take 1 GB

load_square = functools.partial(load_colours, side_px=resnet152v2.SIDE_PX)


def compute_features(lower: keras.Model, files: Sequence[Path]) -> np.ndarray:
    """What the frozen part, from float32 images in [0, 1], makes of each picture, once: float32 (n, numbers)."""
    features = []
    for start in track(range(0, len(files), PICTURES_AT_ONCE), "features", "batches"):
        images = np.stack([load_square(file) for file in files[start : start + PICTURES_AT_ONCE]])
        features.append(np.asarray(lower.predict_on_batch(scale_images(images)), np.float32))
    return np.concatenate(features)


class Part(NamedTuple):
    """Training pictures by what one model is for; bool (n,) each, no picture in two of them."""

    name: str
    trained: np.ndarray
    validated: np.ndarray
    evaluated: np.ndarray


def split_pictures(train: ClassFolder, seed: int, *, has_test: bool) -> list[Part]:
    """Split the training pictures into folds, and say what each model trains on, validates and evaluates.

    Equal pictures share a fold, and copies are in that of their picture. With test pictures, which are evaluated, a
    model validates the fold that it was not trained on. Without them it evaluates that fold, and validates the next,
    on which it was not trained either: a picture must not choose the model that evaluates it.

    Returns:
        As many parts as folds. Two folds without test pictures leave nothing to validate. None, if a class has no
        second picture.
    """
    distinct = np.unique(train.groups, return_index=True)[1]
    fewest = int(np.bincount(train.labels[distinct], minlength=len(train.classes)).min())
    folds = min(VALIDATION_FOLDS if has_test else MAX_FOLDS, fewest)
    if folds < 2:
        return []
    fold_of_row = assign_folds(train.labels, folds, derive_seed(seed, "folds"), train.groups)
    parts = []
    for fold in range(folds):
        held_out, following = fold_of_row == fold, fold_of_row == (fold + 1) % folds
        nothing = np.zeros_like(held_out)
        validated, evaluated = (held_out, nothing) if has_test else (following if folds > 2 else nothing, held_out)
        parts.append(Part(f"fold {fold} [{fold + 1}/{folds}]", ~(validated | evaluated), validated, evaluated))
    return parts


def evaluate(trainer: LetterTrainer) -> tuple[Evaluation | None, Choice, dict[str, Any] | None]:
    """Train with every seed, save the best seed's model, and evaluate on pictures that did not choose it.

    Without test pictures each part evaluates what its validated pictures choose among the seeds and classifiers. So the
    accuracy is that of choosing in this way, from a few pictures less.
    """
    run, data, labels = trainer.run, trainer.data, trainer.labels
    parts = split_pictures(data.train, run.config.seed, has_test=data.test is not None)
    chooses = any(part.validated.any() for part in parts)
    run.plan(len(run.seeds) * (1 + len(parts)))
    everything = np.ones(len(labels), bool)
    queries = None if data.test is None else trainer.embed(data.test)
    validations: list[np.ndarray] = []
    evaluations: list[np.ndarray] = []
    choice = Choice()
    for seed in run.seeds:
        trainer.set_seed(seed)
        validation, evaluation = predict_parts(trainer, parts)
        validations.append(validation)
        if chooses:
            choice = choose(validations, labels, has_neighbours=trainer.has_neighbours)
        is_best = choice.seed == len(validations) - 1
        if is_best or data.test is not None:
            trainer.train(everything)
        if is_best:
            trainer.save()
        if data.test is not None and queries is not None:
            evaluation = trainer.predict(everything, data.test, queries)
        evaluations.append(evaluation)
    what = "training pictures, by models trained on others"
    chosen = describe_validation(what, labels, validations) if chooses else None
    if data.test is not None:
        return Evaluation("test pictures", data.test, evaluations, choice.take(evaluations)), choice, chosen
    if not parts:
        return None, choice, None
    kept = evaluations[0][MODEL].copy()
    for part in parts if chooses else ():
        rows = part.validated
        own = choose([one[:, rows] for one in validations], labels[rows], has_neighbours=trainer.has_neighbours)
        kept[part.evaluated] = own.take(evaluations)[part.evaluated]
    what = f"training pictures, held out in {len(parts)} folds"
    return Evaluation(what, data.train, evaluations, kept), choice, chosen


def predict_parts(trainer: LetterTrainer, parts: Sequence[Part]) -> np.ndarray:
    """Train a model for each part; returns what they predict for validated and for evaluated pictures.

    Float32 (2, 3, n, classes); 0 for pictures that no part validates or evaluates.
    """
    found = np.zeros((2, 3, len(trainer.labels), len(trainer.data.train.classes)), np.float32)
    for part in parts:
        trainer.train(part.trained, part.name)
        for place, rows in enumerate((part.validated, part.evaluated)):
            if rows.any():
                pictures, queries = trainer.data.train.select(rows), trainer.embeddings[0, rows]
                found[place][:, rows] = trainer.predict(part.trained, pictures, queries)
    return found


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
