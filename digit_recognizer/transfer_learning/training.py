"""What `transfer` trains: an output layer for letters, or a head on ResNet152V2's features for colour photographs."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np

from digit_recognizer.console import track
from digit_recognizer.data.augmentation import Affine, BatchedAffine, preprocess_images
from digit_recognizer.data.splits import assign_folds
from digit_recognizer.errors import InputError
from digit_recognizer.io import check_writable_folder
from digit_recognizer.models import _resnet152v2 as resnet152v2
from digit_recognizer.models._packaged import ARCHITECTURE, load_pretrained
from digit_recognizer.training.batches import scale_images
from digit_recognizer.training.fold_models import load_fold_models
from digit_recognizer.training.reproducibility import derive_seed
from digit_recognizer.training.run import Run
from digit_recognizer.training.trainer import predict_probabilities
from digit_recognizer.transfer_learning.config import MAX_COPIES, PHOTOGRAPHS, READY, TransferConfig, check_base_model
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
    BaseModel,
    Choice,
    Evaluation,
    Prediction,
    TransferData,
    TransferRun,
    Validation,
    choose,
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


def transfer(config: TransferConfig) -> dict[str, Any]:
    """Teach a model new classes, from the folders of pictures to a run folder.

    With every seed, each training picture is predicted by a model that was trained without it, in stratified folds. The
    seed with the best of these predictions is kept: its model, trained on all training pictures. Test pictures choose
    nothing; they are predicted once by each seed's model. Without them, each training picture is also predicted by what
    other pictures chose (see `evaluate`).

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
    trained, base = open_base_model(config.run)
    model = replace_head(trained, len(train.classes))
    if config.unfreeze is not None:
        unfreeze_from(model, config.unfreeze)  # refuses an unknown layer now
    data = load_data(train, config.test, lambda path: preprocess_images(load_letter(path)[None], base.preprocess)[0])
    with Run.create(config, "transfer") as folder:
        run = TransferRun(config, folder, data, model, base)
        return run.finish(*evaluate(LetterTrainer(run)))


def open_base_model(run: str) -> tuple[keras.Model, BaseModel]:
    """The model of a run's first fold, or the packaged one, and what it takes to build it again.

    Raises:
        InputError: if it is neither.
    """
    if run == READY:
        return load_pretrained(), BaseModel(ARCHITECTURE, [], "float32", "none")
    check_base_model(run)
    trained = load_fold_models(Path(run), most=1)
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
        embeddings, labels = self.embeddings[:, chosen].reshape(-1, self.embeddings.shape[-1]), self._repeat(known)
        return Prediction(
            predict_finite(self.model, images),
            predict_by_nearest_mean(embeddings[: len(known)], known, queries),
            NeighbourClassifier(embeddings, labels, self.config.neighbours).predict(queries),
        )

    def save(self) -> None:
        """Write the model, just trained on all training pictures, and their embeddings."""
        embeddings = self.embeddings.reshape(-1, self.embeddings.shape[-1]) if self.has_neighbours else None
        self.run.save(self.model, embeddings, self._repeat(self.labels))

    @property
    def has_neighbours(self) -> bool:
        """Whether the saved model gives the embedding in which neighbours are found."""
        return self.config.unfreeze is None

    def _repeat(self, labels: np.ndarray) -> np.ndarray:
        """The labels of pictures, then of all their copies."""
        return np.tile(labels, 1 + self.copies)

    def _restore(self) -> None:
        self.body.trainable = False
        self.body.set_weights(self.start)


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
    labels, groups = train.labels, train.groups
    distinct = np.unique(groups, return_index=True)[1]
    most = VALIDATION_FOLDS if has_test else MAX_FOLDS
    folds = min(most, int(np.bincount(labels[distinct], minlength=len(train.classes)).min()))
    if folds < 2:
        return []
    fold_of_row, nothing = assign_folds(labels, folds, derive_seed(seed, "folds"), groups), np.zeros(len(labels), bool)
    parts = []
    for fold in range(folds):
        held_out, name = fold_of_row == fold, f"fold {fold} [{fold + 1}/{folds}]"
        if has_test:
            parts.append(Part(name, ~held_out, held_out, nothing))
        else:
            validated = fold_of_row == (fold + 1) % folds if folds > 2 else nothing
            parts.append(Part(name, ~held_out & ~validated, validated, held_out))
    return parts


def evaluate(trainer: LetterTrainer) -> tuple[Evaluation | None, Validation | None]:
    """Train with every seed, save the best seed's model, and evaluate on pictures that did not choose it.

    Without test pictures each part evaluates what its validated pictures choose among the seeds and classifiers. So the
    accuracy is that of choosing in this way, from a few pictures less.
    """
    run, data, labels = trainer.run, trainer.data, trainer.labels
    parts = split_pictures(data.train, run.config.seed, has_test=data.test is not None)
    chooses = any(part.validated.any() for part in parts)
    run.plan(len(run.seeds) * (1 + len(parts)))
    everything = np.ones(len(labels), bool)
    queries = None if data.test is None else trainer.embed(data.test.images)
    validations: list[Prediction] = []
    evaluations: list[Prediction] = []
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
            evaluation = trainer.predict(everything, data.test.images, queries)
        evaluations.append(evaluation)
    what = "training pictures, by models trained on others"
    chosen = Validation(what, labels, validations, choice) if chooses else None
    if data.test is not None:
        kept = evaluations[choice.seed].take(choice.classifier)
        return Evaluation("test pictures", data.test, evaluations, kept), chosen
    if not parts:
        return None, None
    kept = evaluations[0].probabilities.copy()
    for part in parts if chooses else ():
        rows = part.validated
        own = choose([one.select(rows) for one in validations], labels[rows], has_neighbours=trainer.has_neighbours)
        kept[part.evaluated] = evaluations[own.seed].take(own.classifier)[part.evaluated]
    return Evaluation(f"training pictures, held out in {len(parts)} folds", data.train, evaluations, kept), chosen


def predict_parts(trainer: LetterTrainer, parts: Sequence[Part]) -> tuple[Prediction, Prediction]:
    """Train a model for each part; returns what they predict for validated and for evaluated pictures, n rows each.

    Rows of pictures that no part validates or evaluates are 0.
    """
    shape = (len(trainer.labels), len(trainer.data.train.classes))
    validation, evaluation = (
        Prediction(np.zeros(shape, np.float32), np.zeros(shape[0], np.int64), np.zeros(shape, np.float32))
        for _ in range(2)
    )
    for part in parts:
        trainer.train(part.trained, part.name)
        for rows, whole in ((part.validated, validation), (part.evaluated, evaluation)):
            if rows.any():
                found = trainer.predict(part.trained, trainer.images[rows], trainer.embeddings[0, rows])
                for array, values in zip(whole, found, strict=True):
                    array[rows] = values
    return validation, evaluation


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

    A fifth of the training pictures, by class, equal pictures together, is measured after each epoch; the epoch and the
    seed that are best on it are kept. Without test pictures another fifth is held out to be evaluated.

    Arguments, results and errors are those of `transfer`.
    """
    train = find_classes(config.images, "--images")
    if config.weights not in ("imagenet", "none") and not Path(config.weights).is_file():
        raise InputError("training.weights", received=config.weights)
    data = load_data(train, config.test, load_square, keep=False)
    train = data.train
    part = split_photographs(data, config.seed)
    model = resnet152v2.build(len(train.classes), config.weights)
    with Run.create(config, "transfer") as folder:
        run = TransferRun(config, folder, data, model, BaseModel(PHOTOGRAPHS, [], "float32", "none"))
        lower = resnet152v2.split_backbone(model).lower
        features = compute_features(lower, train.files)
        if data.test is None:
            what, evaluated, queries = (
                "training pictures, held out",
                train.select(part.evaluated),
                features[part.evaluated],
            )
        else:
            what, evaluated, queries = "test pictures", data.test, compute_features(lower, data.test.files)
        known, labels = features[part.trained], train.labels[part.trained]
        watched, watched_labels = features[part.validated], train.labels[part.validated]
        chooses = len(watched) > 0
        asked = np.concatenate([watched, queries])
        nearest_mean = predict_by_nearest_mean(known, labels, asked)
        neighbours = NeighbourClassifier(known, labels, config.neighbours).predict(asked)
        run.plan(len(run.seeds))
        predictions: list[Prediction] = []
        choice = Choice()
        for seed in run.seeds:
            callbacks = run.callbacks(seed, part.name)
            validation = (watched, watched_labels) if chooses else None
            head = train_head(resnet152v2.build_head, known, labels, config, seed, callbacks, validation)
            predictions.append(Prediction(predict_finite(head, asked), nearest_mean, neighbours))
            if chooses:
                validations = [one.select(slice(len(watched))) for one in predictions]
                choice = choose(validations, watched_labels, has_neighbours=True)
            if choice.seed == len(predictions) - 1:
                run.save(head, known, labels)
        evaluations = [one.select(slice(len(watched), None)) for one in predictions]
        kept = evaluations[choice.seed].take(choice.classifier)
        what_chose = "training pictures, held out for that"
        chosen = Validation(what_chose, watched_labels, validations, choice) if chooses else None
        return run.finish(Evaluation(what, evaluated, evaluations, kept), chosen)


def compute_features(lower: keras.Model, files: Sequence[Path]) -> np.ndarray:
    """What the frozen part, from float32 images in [0, 1], makes of each picture, once: float32 (n, numbers)."""
    features = []
    for start in track(range(0, len(files), PICTURES_AT_ONCE), "features", "batches"):
        images = np.stack([load_square(file) for file in files[start : start + PICTURES_AT_ONCE]])
        features.append(np.asarray(lower.predict_on_batch(scale_images(images)), np.float32))
    return np.concatenate(features)


def split_photographs(data: TransferData, seed: int) -> Part:
    """What is trained on, validated (a fifth), and without test pictures evaluated (another fifth).

    With test pictures of which a class has fewer than five training pictures, nothing is validated.

    Raises:
        InputError: if a class has too few pictures for a fifth.
    """
    train, groups, nothing = data.train, data.train.groups, np.zeros(len(data.train.files), bool)
    distinct = np.unique(groups, return_index=True)[1]
    counts = np.bincount(train.labels[distinct], minlength=len(train.classes))
    if counts.min() < HELD_OUT_FOLDS:
        if data.test is not None:
            return Part("all", ~nothing, nothing, nothing)
        rare = int(counts.argmin())
        raise InputError(
            "transfer.too_few", column=train.classes[rare], received=int(counts[rare]), limit=HELD_OUT_FOLDS
        )
    folds = assign_folds(train.labels, HELD_OUT_FOLDS, derive_seed(seed, "folds"), groups)
    validated, evaluated = folds == 1, folds == 0 if data.test is None else nothing
    return Part("all but those held out", ~validated & ~evaluated, validated, evaluated)
