"""Letters: a net that has learned to read digits is taught other classes from a few pictures of each sign."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from digit_recognizer.data.augmentation import Affine, BatchedAffine, preprocess_images
from digit_recognizer.data.splits import assign_folds
from digit_recognizer.errors import InputError
from digit_recognizer.io import check_writable_folder
from digit_recognizer.models._heads import Transferred, count_parameters, replace_head, unfreeze_from
from digit_recognizer.models._packaged import load_pretrained
from digit_recognizer.training.batches import TrainingBatches
from digit_recognizer.training.callbacks import Progress
from digit_recognizer.training.fold_models import load_fold_models
from digit_recognizer.training.reproducibility import derive_seed
from digit_recognizer.training.run import CONFIG, HISTORY_COLUMNS, Run
from digit_recognizer.training.trainer import (
    Holdout,
    Session,
    Trainer,
    predict_probabilities,
)
from digit_recognizer.transfer_learning.config import MOST_COPIES, PHOTOGRAPHS, READY, TransferConfig
from digit_recognizer.transfer_learning.results import (
    Judgement,
    Recipe,
    conclude,
    describe_parameters,
    save_model,
    save_recipe,
)
from digit_recognizer.vision.class_folders import ClassFolder, Pictures, find_classes, find_shared, load_pictures
from digit_recognizer.vision.normalize import load_letter

# Classes told by distance in an embedding, without any training: the nearest class mean, and the nearest pictures.

QUERIES_AT_ONCE = 64  # times 100,000 copies, in float32 26 MB of distances
SPREAD_FLOOR = 1e-3  # of the spread of all numbers: what all but never changes must not be blown up


def standardise(embeddings: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find what brings each number of an embedding to mean 0 and standard deviation 1.

    Args:
        embeddings: float32 (n, numbers).

    Returns:
        The means and the spreads, float32 (numbers,); a number that hardly changes has a spread of more than its own.
    """
    floor = SPREAD_FLOOR * float(embeddings.std()) or 1.0
    return embeddings.mean(axis=0), embeddings.std(axis=0) + np.float32(floor)


def predict_by_prototypes(embeddings: np.ndarray, labels: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """Find the class whose mean is nearest by the sum of squared differences (Snell et al. 2017, section 2.1).

    Args:
        embeddings: float32 (n, numbers) of the pictures that are known.
        labels: int64 (n,), 0 to classes - 1, each class at least once.
        queries: float32 (m, numbers).

    Returns:
        int64 (m,).
    """
    prototypes = np.stack([embeddings[labels == label].mean(axis=0) for label in range(labels.max() + 1)])
    return _measure(queries, prototypes).argmin(axis=1)


def predict_by_neighbours(
    embeddings: np.ndarray, labels: np.ndarray, queries: np.ndarray, neighbours: int
) -> np.ndarray:
    """Let the nearest pictures vote, by squared differences of standardised numbers.

    Of classes with as many votes, the one with the nearest picture wins.

    Args:
        embeddings: float32 (n, numbers) of the pictures that are known.
        labels: int64 (n,), 0 to classes - 1.
        queries: float32 (m, numbers).
        neighbours: how many vote, at most n of them.

    Returns:
        int64 (m,).
    """
    mean, spread = standardise(embeddings)
    embeddings, queries = (embeddings - mean) / spread, (queries - mean) / spread
    neighbours = min(neighbours, len(labels))
    winners = [np.empty(0, np.int64)]
    for start in range(0, len(queries), QUERIES_AT_ONCE):
        distances = _measure(queries[start : start + QUERIES_AT_ONCE], embeddings)
        nearest = np.argpartition(distances, neighbours - 1, axis=1)[:, :neighbours]
        nearest = np.take_along_axis(nearest, np.take_along_axis(distances, nearest, 1).argsort(axis=1), 1)
        votes = np.zeros((len(nearest), labels.max() + 1))
        for rank in range(neighbours):
            # all nearer ranks together weigh less than one vote
            votes[np.arange(len(nearest)), labels[nearest[:, rank]]] += 1 + 0.5 ** (rank + 2)
        winners.append(votes.argmax(axis=1))
    return np.concatenate(winners)


def _measure(queries: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Squared distances (m, n), up to a constant per query."""
    return (points**2).sum(axis=1) - 2 * queries @ points.T


# Output layers fitted on embeddings that are computed once, as the net below them stays frozen.

BuildHead = Callable[[tuple[int, ...], int], keras.Model]
"""From the features' shape and the number of classes to a net from features to probabilities."""


class HistoryLog(keras.callbacks.Callback):
    """Appends every epoch's logs to a transfer's history, with the seed and the part of the pictures trained on."""

    def __init__(self, history: list[dict[str, Any]], seed: int, part: str) -> None:
        super().__init__()
        self.history, self.seed, self.part = history, seed, part

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        values = {name: logs[name] for name in HISTORY_COLUMNS if logs and name in logs}
        self.history.append({"seed": self.seed, "part": self.part, "epoch": epoch + 1, **values})


def build_linear_head(shape: tuple[int, ...], classes: int) -> keras.Model:
    """One dense layer with its softmax, as `replace_head` puts it on a net."""
    inputs = keras.Input(shape, name="embedding")
    outputs = keras.layers.Dense(classes, activation="softmax", dtype="float32", name="probabilities")(inputs)
    return keras.Model(inputs, outputs, name="head")


def fit_head(
    build: BuildHead,
    features: np.ndarray,
    labels: np.ndarray,
    config: TransferConfig,
    seed: int,
    callbacks: Sequence[keras.callbacks.Callback],
    held_out: tuple[np.ndarray, np.ndarray] | None = None,
) -> keras.Model:
    """Fit a fresh head on the features of pictures and their copies.

    Args:
        build: makes the head.
        features: float32 (n, ...).
        labels: int64 (n,), 0 to classes - 1, each class at least once.
        config: how to fit.
        seed: first weights and the order derive from it.
        callbacks: Keras callbacks.
        held_out: features and labels measured after each epoch; they steer nothing.

    Returns:
        The head, fitted.
    """
    fit = config.describe_fit(seed)
    fit_seed = derive_seed(seed, "fit")
    keras.utils.set_random_seed(fit_seed)
    targets = np.eye(labels.max() + 1, dtype=np.float32)
    head = build(features.shape[1:], len(targets))
    batches = TrainingBatches(features[None], targets[labels], np.arange(len(labels)), fit.batch_size, fit_seed)
    holdout = Holdout(held_out[0], targets[held_out[1]]) if held_out is not None else None
    trainer = Trainer(head, fit, Session(callbacks))
    trainer.fit(batches, epochs=fit.epochs, learning_rate=fit.learning_rate, holdout=holdout)
    return head


def fit_linear_head(
    features: np.ndarray,
    labels: np.ndarray,
    config: TransferConfig,
    seed: int,
    callbacks: Sequence[keras.callbacks.Callback],
) -> tuple[np.ndarray, np.ndarray]:
    """Fit a linear head on standardised features; what standardises them is then put into its weights.

    On the tasks of benchmarks/few_shot.py: 73.9 % with features standardised, 70.6 % as they are.

    Returns:
        Kernel (numbers, classes) and bias (classes,), float32, for features as they are.
    """
    mean, spread = standardise(features)
    head = fit_head(build_linear_head, (features - mean) / spread, labels, config, seed, callbacks)
    kernel, bias = head.get_weights()
    kernel = kernel / spread[:, None]
    return kernel, bias - mean @ kernel


def fine_tune(
    transferred: Transferred,
    images: np.ndarray,
    labels: np.ndarray,
    config: TransferConfig,
    seed: int,
    callbacks: Sequence[keras.callbacks.Callback],
) -> None:
    """Go on training the output layer and the net below it, from the layer named in the configuration on.

    Args:
        transferred: with an output layer that is fitted already, or its gradients would wreck the layers below;
            changed in place.
        images: uint8 (n, height, width, channels): pictures and their copies.
        labels: int64 (n,).
        config: how to fit, and from which layer on.
        seed: the order and dropout derive from it.
        callbacks: Keras callbacks; epochs are counted on from those of the output layer.
    """
    assert config.unfreeze is not None
    unfreeze_from(transferred.model, config.unfreeze)
    fit = config.describe_fit(seed)
    targets = np.eye(labels.max() + 1, dtype=np.float32)[labels]
    fit_seed = derive_seed(seed, "fit", 1)
    batches = TrainingBatches(images[None], targets, np.arange(len(labels)), fit.batch_size, fit_seed)
    epochs, rate = config.unfreeze_epochs, config.unfreeze_learning_rate
    trainer = Trainer(transferred.model, fit, Session(callbacks))
    trainer.epochs_planned = fit.epochs  # counted on from those of the output layer
    trainer.fit(batches, epochs=epochs, learning_rate=rate)


def embed(body: keras.Model, images: np.ndarray) -> np.ndarray:
    """The embedding of uint8 images: float32 (n, numbers)."""
    return predict_probabilities(body, images)


def check_converged(probabilities: np.ndarray) -> None:
    """Refuse what a fit that has lost its way makes of pictures.

    Raises:
        InputError: if some probabilities are no numbers.
    """
    if not np.isfinite(probabilities).all():
        raise InputError("the fit diverged, its probabilities are no numbers. Lower the learning rates.")


# Altered copies of a few images: what other hands and other pens would have made of the same signs.

# benchmarks/few_shot.py, tasks of three Kuzushiji characters by nine letters each: affine copies alone give 72.9 %,
# with the strokes' thickness varied 73.9 %. Elastic maps besides added nothing in an earlier trial, and are left out.
AFFINE = Affine()
STEPS = ("as it is", "thinner", "thicker", "much thicker")
LEAST_INK = 0.3  # of what there was: a thin stroke that a thinner pen would lose stays as it is


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
    for image, target, step in zip(images, varied, rng.integers(len(STEPS), size=len(images)), strict=True):
        if STEPS[step] == "thinner":
            thinner = cv2.erode(image, pixel)
            if thinner.sum() >= LEAST_INK * image.sum():
                target[:] = thinner
        elif STEPS[step] != "as it is":
            target[:] = cv2.dilate(image, pixel if STEPS[step] == "thicker" else cross)
    return varied


# The fits of a transfer to letters: with every seed, on all training pictures or on all but a fold.

MOST_FOLDS = 5
Reading = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Of some pictures: the net's probabilities, the nearest class means, the neighbours' votes."""


class LetterFits:
    """The fits of one transfer. The net of the first seed, fitted on all training pictures, is saved.

    Args:
        config: what to do.
        run: the folder to save in, and to tell of progress.
        transferred: the net with its new output layer; every fit begins with the weights that it has now.
        train: the training pictures.
        pictures: what was read of them.

    Attributes:
        history: a row per epoch, of all fits.
        parameters: of the net as it was fitted: how many were trained, and how many frozen.
    """

    def __init__(
        self, config: TransferConfig, run: Run, transferred: Transferred, train: ClassFolder, pictures: Pictures
    ) -> None:
        self.config, self.run, self.transferred = config, run, transferred
        self.labels, self.images, self.names = train.labels, pictures.images, train.names
        self.groups = np.unique([image for _, image in pictures.digests], return_inverse=True)[1]
        self.weights = transferred.body.get_weights()
        self.history: list[dict[str, Any]] = []
        self.parameters = (0, 0)
        self.seeds = range(config.seed, config.seed + config.seeds)
        self.copies = min(config.copies, MOST_COPIES // len(self.labels))
        if self.copies < config.copies:
            run.log(f"note: {self.copies} copies of each picture, not {config.copies}: no more than {MOST_COPIES:,}")

    def judge_test(self, test: ClassFolder, seen: Pictures, chosen: np.ndarray) -> Judgement:
        """Fit on all training pictures with each seed, and read the test pictures that `chosen` (m,) marks."""
        self._begin(len(self.seeds))
        images = seen.images[chosen]
        queries = embed(self.transferred.body, images)
        readings = []
        for seed in self.seeds:
            self._make_copies(seed)
            readings.append(self._read(seed, np.ones(len(self.labels), bool), images, queries))
            self._keep(seed)
        files = [name for name, taken in zip(test.names, chosen, strict=True) if taken]
        return _join("test pictures", files, test.labels[chosen], readings)

    def judge_folds(self) -> Judgement | None:
        """Read every training picture by a net fitted on the others; None if a class has no second picture.

        With each seed the folds are others; copies of a picture are in its fold, and so are equal pictures.
        """
        pictures = np.unique(self.groups, return_index=True)[1]
        folds = min(MOST_FOLDS, int(np.bincount(self.labels[pictures], minlength=self.labels.max() + 1).min()))
        judged = folds > 1
        self._begin(1 + len(self.seeds) * folds * judged)
        readings: list[Reading] = []
        for seed in self.seeds if judged else self.seeds[:1]:
            self._make_copies(seed)
            if judged:
                readings.append(self._read_folds(seed, folds))
            if seed == self.seeds[0]:
                self._read(seed, np.ones(len(self.labels), bool), self.images[:0], self.embeddings[0, :0])
                self._keep(seed)
        if not judged:
            return None
        return _join(f"training pictures, held out in {folds} folds", self.names, self.labels, readings)

    def _read_folds(self, seed: int, folds: int) -> Reading:
        fold_of_row = assign_folds(self.labels, folds, derive_seed(seed, "folds"), self.groups)
        order, parts = [], []
        for fold in range(folds):
            held_out = fold_of_row == fold
            order.append(np.flatnonzero(held_out))
            queries = self.embeddings[0, held_out]
            parts.append(self._read(seed, ~held_out, self.images[held_out], queries, f" fold {fold + 1}/{folds}"))
        places = np.argsort(np.concatenate(order))
        probabilities, prototypes, neighbours = (np.concatenate(part)[places] for part in zip(*parts, strict=True))
        return probabilities, prototypes, neighbours

    def _make_copies(self, seed: int) -> None:
        """Make a seed's copies, (1 + copies, n, ...), and what the frozen net makes of them."""
        self._restore()
        copies = make_copies(self.images, self.copies, np.random.default_rng(derive_seed(seed, "augmented copies")))
        embeddings = embed(self.transferred.body, copies)
        rows = (1 + self.copies, len(self.labels))
        self.views, self.embeddings = copies.reshape(*rows, *copies.shape[1:]), embeddings.reshape(*rows, -1)

    def _restore(self) -> None:
        self.transferred.body.trainable = False
        self.transferred.body.set_weights(self.weights)

    def _read(self, seed: int, fitted: np.ndarray, images: np.ndarray, queries: np.ndarray, part: str = "") -> Reading:
        """Fit on the training pictures that `fitted` marks and on their copies; read others, embedded in `queries`."""
        self._restore()
        net, known = self.transferred, self.labels[fitted]
        labels = np.tile(known, 1 + self.copies)
        embeddings = self.embeddings[:, fitted].reshape(len(labels), -1)
        callbacks = [HistoryLog(self.history, seed, part.strip() or "all"), self.progress.named(f"seed {seed}{part}")]
        net.output_layer.set_weights(list(fit_linear_head(embeddings, labels, self.config, seed, callbacks)))
        if self.config.unfreeze is not None:
            copies = self.views[:, fitted].reshape(len(labels), *images.shape[1:])
            fine_tune(net, copies, labels, self.config, seed, callbacks)
        self.parameters = count_parameters(net.model)
        probabilities = predict_probabilities(net.model, images)
        check_converged(probabilities)
        votes = predict_by_neighbours(embeddings, labels, queries, self.config.neighbours)
        return probabilities, predict_by_prototypes(embeddings[: len(known)], known, queries), votes

    def _begin(self, fits: int) -> None:
        epochs = self.config.epochs + (self.config.unfreeze_epochs if self.config.unfreeze else 0)
        self.progress = Progress(self.run.log, fits * epochs)

    def _keep(self, seed: int) -> None:
        if seed == self.seeds[0]:
            save_model(self.run, self.transferred.model)


def _join(what: str, files: list[str], labels: np.ndarray, readings: Sequence[Reading]) -> Judgement:
    probabilities, prototypes, neighbours = (np.stack(part) for part in zip(*readings, strict=True))
    return Judgement(what, files, labels, probabilities, prototypes, neighbours)


def transfer(config: TransferConfig) -> dict[str, Any]:
    """Teach a net new classes, from the folders of pictures to a run folder.

    Args:
        config: what to do.

    Returns:
        The content of metrics.json; everything else is in the run folder (see `transfer_conclusion`).

    Raises:
        InputError: one line for whatever the person at the keyboard can mend; found before any training.
    """
    if config.run == PHOTOGRAPHS:
        from digit_recognizer.transfer_learning.photographs import transfer_photographs

        return transfer_photographs(config)
    started = time.perf_counter()
    if config.run_dir is not None:
        check_writable_folder(config.run_dir.parent)
        if config.images.resolve() in config.run_dir.resolve().parents:
            raise InputError(f"--run-dir takes a place apart, but {config.run_dir} is in --images: name another.")
    train = find_classes(config.images, "--images")
    test = find_classes(config.test, "--test", train.classes) if config.test is not None else None
    keras.utils.set_random_seed(derive_seed(config.seed, "fit"))  # a loaded net draws the seeds of its dropout
    base, recipe = open_base_model(config.run, train.classes)
    transferred = replace_head(base, len(train.classes))
    if config.unfreeze is not None:
        unfreeze_from(transferred.model, config.unfreeze)

    def read(path: Path) -> np.ndarray:
        return preprocess_images(load_letter(path)[None], recipe.preprocess)[0]

    pictures = load_pictures(train.files, read, "training pictures")
    seen = load_pictures(test.files, read, "test pictures") if test is not None else None
    shared = find_shared(pictures.digests, seen.digests) if seen is not None else np.zeros(0, bool)
    if len(shared) and shared.all():
        raise InputError(f"--test takes other pictures than --images, but all of {config.test} are also there.")
    with Run.create(config, "transfer") as run:
        for note in (*train.notes, *(test.notes if test is not None else ())):
            run.log(f"note: {note}")
        run.log(f"{config.run}: {len(train.files):,} pictures of {len(train.classes):,} classes; run folder {run.path}")
        run.log(describe_parameters(transferred.model))
        save_recipe(run, recipe)
        fits = LetterFits(config, run, transferred, train, pictures)
        names: list[str] = []
        judgement: Judgement | None
        if test is not None and seen is not None:
            judgement, images = fits.judge_test(test, seen, ~shared), seen.images[~shared]
            names = [name for name, both in zip(test.names, shared, strict=True) if both]
        else:
            judgement, images = fits.judge_folds(), pictures.images
        return conclude(config, run, train, judgement, images, fits.history, fits.parameters, names, started)


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
