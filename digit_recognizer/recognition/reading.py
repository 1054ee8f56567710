"""From pictures to digits: ink, signs, MNIST's form, a verdict on each; what touches is cut, what broke is joined."""

import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice, pairwise
from pathlib import Path

import numpy as np

from digit_recognizer.data.handwriting import form_image
from digit_recognizer.data.ink import find_ink
from digit_recognizer.data.photographs import load_photograph
from digit_recognizer.data.signs import Sign, find_signs, join_signs, list_cuts
from digit_recognizer.errors import InputError
from digit_recognizer.recognition.reader import NO_DIGIT, Reader

SURE = 0.6  # the least probability of a digit that is told as one
SURE_MENDED = 0.9  # the same of a digit that was cut off or joined: a letter has halves that look like digits
KEPT_PX = 1400  # of the longer side of a picture that is kept to be drawn on
MOST_SIGNS = 1000  # of a picture; more is no handwriting
MOST_AT_ONCE = 32  # pictures in memory
MOST_CUTS = 3  # a sign is cut at most so often: four digits that touch
THREADS = 2  # decoding and filtering leave Python, so that threads run side by side
SHOWN = 3  # digits told with their probabilities


@dataclass(frozen=True)
class ReadSign:
    """A sign as read.

    Attributes:
        sign: where it is, and its ink.
        probabilities: float32 (11,): of the ten digits, and of no digit.
    """

    sign: Sign
    probabilities: np.ndarray

    @property
    def likeliest(self) -> int:
        """The likeliest digit, whether or not it is one."""
        return int(self.probabilities[:NO_DIGIT].argmax())

    @property
    def verdict(self) -> str:
        """`digit`, `unsure` or `no digit`."""
        if self.probabilities.argmax() == NO_DIGIT:
            return "no digit"
        return "digit" if self.probabilities[self.likeliest] >= SURE else "unsure"

    @property
    def digit(self) -> int | None:
        """The digit; None where there is none, or none for sure."""
        return self.likeliest if self.verdict == "digit" else None

    def list_likeliest(self) -> list[tuple[int, float]]:
        """The likeliest digits with their probabilities, the likeliest first."""
        order = np.argsort(-self.probabilities[:NO_DIGIT], kind="stable")[:SHOWN]
        return [(int(digit), float(self.probabilities[digit])) for digit in order]


@dataclass(frozen=True)
class Reading:
    """A picture as read.

    Attributes:
        path: the file.
        pixels: uint8 (height, width), 255 = white, upright; None if it could not be read, or was not to be kept.
        signs: in the order of reading; none where nothing is written.
        notes: what was accepted with a word.
        error: why it could not be read; None if it could.
        shrunk: px of `pixels` per px of the picture.
    """

    path: Path
    pixels: np.ndarray | None
    signs: tuple[ReadSign, ...]
    notes: tuple[str, ...] = ()
    error: str | None = None
    shrunk: float = 1.0


def read_pictures(paths: Iterable[Path], reader: Reader, *, keep_pixels: bool = False) -> Iterator[Reading]:
    """Read pictures, in their order.

    Args:
        paths: of files as `load_photograph` takes them; one that cannot be read is told in its `Reading`.
        reader: who reads.
        keep_pixels: whether a `Reading` keeps the picture, to be drawn on.

    Yields:
        One `Reading` per path.
    """
    rest = iter(paths)
    with ThreadPoolExecutor(THREADS) as pool:
        while chosen := list(islice(rest, MOST_AT_ONCE)):
            found = list(pool.map(functools.partial(_find_signs_of, keep_pixels=keep_pixels), chosen))
            read = _read_lines([signs for _, signs in found], reader)
            for (reading, _), signs in zip(found, read, strict=True):
                yield dataclasses.replace(reading, signs=tuple(signs))


def _find_signs_of(path: Path, *, keep_pixels: bool) -> tuple[Reading, list[Sign]]:
    try:
        photograph = load_photograph(path)
    except InputError as error:
        return Reading(path, None, (), error=str(error)), []
    signs, notes = find_signs(find_ink(photograph.pixels)), photograph.notes
    if len(signs) > MOST_SIGNS:
        signs, notes = signs[:MOST_SIGNS], (*notes, f"it holds {len(signs)} signs: the first {MOST_SIGNS} were read")
    pixels, shrunk = _shrink(photograph.pixels) if keep_pixels else (None, 1.0)
    return Reading(path, pixels, (), notes, shrunk=shrunk), signs


def _shrink(pixels: np.ndarray) -> tuple[np.ndarray, float]:
    """A picture no larger than it is drawn: of many, whole photographs would fill the memory."""
    import cv2

    shrunk = min(1.0, KEPT_PX / max(pixels.shape))
    size = [max(1, round(side * shrunk)) for side in pixels.shape[::-1]]
    return (pixels if shrunk == 1 else cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)), shrunk


def _read_lines(pictures: Sequence[list[Sign]], reader: Reader) -> list[list[ReadSign]]:
    """Read the signs of several pictures together, and mend what was badly cut up."""
    read = _read_together(pictures, reader)
    read = _mend(read, reader, _propose_joins)
    for _ in range(MOST_CUTS):
        read = _mend(read, reader, _propose_cuts)
    return [[sign for sign in signs if not (sign.sign.small and sign.digit is None)] for signs in read]


def _read_together(pictures: Sequence[Sequence[Sign]], reader: Reader) -> list[list[ReadSign]]:
    """Read all signs in as few calls of the nets as may be."""
    images = [form_image(sign) for signs in pictures for sign in signs]
    if not images:
        return [[] for _ in pictures]
    rows = iter(reader.read(np.stack(images)))
    return [[ReadSign(sign, next(rows)) for sign in signs] for signs in pictures]


@dataclass(frozen=True)
class _Proposal:
    """Signs that may stand in place of those from `first` up to `last`."""

    first: int
    last: int
    signs: list[Sign]


Propose = Callable[[list[ReadSign]], list[_Proposal]]


def _propose_joins(signs: list[ReadSign]) -> list[_Proposal]:
    """Neighbours of which one is no digit for sure may be halves of one."""
    proposals = []
    for first, (one, other) in enumerate(pairwise(signs)):
        if one.digit is None or other.digit is None:
            joined = join_signs(one.sign, other.sign)
            if joined is not None:
                proposals.append(_Proposal(first, first + 2, [joined]))
    return proposals


def _propose_cuts(signs: list[ReadSign]) -> list[_Proposal]:
    """A sign that is no digit for sure may be two digits that touch."""
    return [
        _Proposal(first, first + 1, list(pair))
        for first, read in enumerate(signs)
        if read.digit is None
        for pair in list_cuts(read.sign)
    ]


def _mend(read: list[list[ReadSign]], reader: Reader, propose: Propose) -> list[list[ReadSign]]:
    """Take each proposal whose signs are all digits for sure, the surest first, unless another has taken its place."""
    proposals = [propose(signs) for signs in read]
    tried = _read_together([p.signs for proposed in proposals for p in proposed], reader)
    results = iter(tried)
    mended = []
    for signs, proposed in zip(read, proposals, strict=True):
        scored = [(proposal, next(results)) for proposal in proposed]
        sure = [
            (p, found)
            for p, found in scored
            if all(sign.digit is not None and sign.probabilities.max() >= SURE_MENDED for sign in found)
        ]
        sure.sort(key=lambda item: -min(float(sign.probabilities.max()) for sign in item[1]))
        taken: dict[int, tuple[_Proposal, list[ReadSign]]] = {}
        used: set[int] = set()
        for proposal, found in sure:
            place = set(range(proposal.first, proposal.last))
            if not place & used:
                used |= place
                taken[proposal.first] = (proposal, found)
        line: list[ReadSign] = []
        for position, sign in enumerate(signs):
            if position in taken:
                line += taken[position][1]
            elif position not in used:
                line.append(sign)
        mended.append(line)
    return mended
