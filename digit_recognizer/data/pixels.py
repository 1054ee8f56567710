"""The competition's convention for pixels: 0 = paper and 255 = ink, upright.

Tables in another convention (inverted, turned, rescaled …) are recognized by their values and corrected.

Every way of loading goes through `correct_pixels`: CSV files, idx and npz files, DataFrames and arrays. Plain tables
come back as they are. The limits below were set on MNIST's 70,000 images, Fashion-MNIST, KMNIST and the bundled sample:
none of their 160,000 rows is touched, alone or in a table.
"""

import base64
import zlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

SIDE_PX = 28
PIXELS = SIDE_PX**2
FAINTEST_INK = 128  # the largest value of a plain row is 197 or more
SAMPLED_ROWS = 2000  # orientation takes 0.1 s

# Mean images of MNIST's digits 0 to 9, upright, pooled to 14 x 14 pixels of 4 bits, two in a byte.
POOLED_SIDE = 14
UPRIGHT_DIGITS = (
    r"c-oCqOHWf#5T0`{Kj7SZ3w7BSHF0GrwoTj!Hxyen5vml>jRo<UxBw(6aiJ9HLpRcZZK5k5!QRG&2?B~cpj@b~jDa?BZQ^5VOt8)z"
    r"5)+f6PSQJ>GiPSLZ@yE2KTYbrZ9}*J-Oeoxu2zf{fQDi=P~xy}yRB)R!{JqK#pw78B|MLA#b-<a9Qab+Y6Gx5sKhvyD+=swE}gD`"
    r"e}o1>ctS)cZi?Kslk{Z|MM~Zfsm6uf`?GY&4xJY{R&N4x*y($8c^>b`@$z;TfYviqI7ca00VAgRmk_7aSuA+~+(xYw;ShTJ)10(H"
    r"=$n}v;b0kxc<u04W4`17VzP`2(ppD!5gpU6tP!-p$5qTR|1&yNRA(BeI~`iS3(Lmh>o~T#_?bvEXA9qZgrXt{=4uIcBiv}@5;`r_"
    r"p2nVyiybC*u~v;A6y=H^Jk+c&OWmX>Aw$*?{(B+yO>I5h&Jm}vF=GSPZ%z%`K)U-<S2)Pew{Q_4#ph<RwdxHfNn71_A6-)}zkrAG"
    r"ooa$6IK6c^uw99@iwRmtbE;b`<cSccf7*#&%3MzkV3$H>31K(9o=azGY-KZsSI*W*Kaji}{>#+Xo>NG{{pRaV3|(%lj4Ri4ZSx2U"
    r"V7Gp<(K?U47wfrkk18yv1|GVJ5Xv&@5p5jxs00T|2mi8(4_mrC6CWlwnkJlmuhytAP<urD!j**B+0-N!$mt}$D3Hdh!(vPNKdD$U"
    r"j|t})lb(&7*Yl+9)6U94LTh}d*3r1&poXRem0r<WyC9U-NKE?Y;qMn^JEzw"
)
# Mean over rows of the largest correlation with one of these: MNIST 0.73, the sample 0.78, Fashion-MNIST 0.55, KMNIST
# 0.36. Other views of digits have 0.03 (the sample, turned by 180 degrees) to 0.23 less; Fashion-MNIST and KMNIST gain
# 0.01 at most. Fewer than 50 rows, where chance could do as much, are left as they are, and so are rows that look like
# fewer than six digits: the sample's 2 looks like a 5 in a mirror.
MIN_CORRELATION, MIN_GAIN, MIN_ROWS, MIN_DIGITS = 0.65, 0.02, 50, 6
VIEWS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "transposed images, as in EMNIST: transposed back": lambda images: images.transpose(0, 2, 1),
    "images turned by 90 degrees to the right: turned back": lambda images: np.rot90(images, 1, (1, 2)),
    "images turned upside down: turned back": lambda images: np.rot90(images, 2, (1, 2)),
    "images turned by 90 degrees to the left: turned back": lambda images: np.rot90(images, 3, (1, 2)),
    "images mirrored left to right: mirrored back": lambda images: images[:, :, ::-1],
    "images mirrored top to bottom: mirrored back": lambda images: images[:, ::-1],
    "images transposed along the other diagonal: transposed back": lambda images: images[:, ::-1, ::-1].transpose(
        0, 2, 1
    ),
}

# Two random halves of MNIST, Fashion-MNIST or the sample: 0.6 to 2 times the squared distance that chance explains;
# all of KMNIST's training and test rows, from other books: 27 times, but the distance is 12 % of the mean image. Rows
# at 60 % of the scale: 40 %; binary for grey ones: 25 to 70 %; moved by 2 pixels: 25 to 47 %.
MAX_CHANCE_RATIO, MAX_MEAN_DIFFERENCE = 8, 0.2


@dataclass(frozen=True)
class CorrectedPixels:
    """Pixels in the competition's convention.

    Attributes:
        pixels: uint8 (n, 784), C-contiguous; the same memory where nothing was changed.
        mended: what was changed, one phrase each.
        doubts: what looks odd and was left as it is, one phrase each.
    """

    pixels: np.ndarray
    mended: tuple[str, ...] = ()
    doubts: tuple[str, ...] = ()


def correct_pixels(pixels: np.ndarray) -> CorrectedPixels:
    """Bring pixels to 0 = paper, 255 = ink, upright.

    Args:
        pixels: uint8 (n, 784).
    """
    mended, doubts = [], []
    strongest, drawn = pixels.max(axis=1), pixels.max(axis=1) > pixels.min(axis=1)  # rows of one value say nothing
    largest = int(strongest.max())
    if drawn.any() and largest < FAINTEST_INK:
        pixels = np.rint(pixels * (255 / largest)).astype(np.uint8)
        mended.append(
            f"pixels of 0 to {largest}: scaled by 255/{largest}" if largest > 1 else "0/1 pixels: scaled by 255"
        )
    elif faint := int((drawn & (strongest < FAINTEST_INK)).sum()):
        doubts.append(
            f"{faint:,} of {len(pixels):,} rows have no pixel above {FAINTEST_INK - 1}: are they on another scale?"
        )
    dark_on_light = _find_dark_on_light(pixels)
    if count := int(dark_on_light.sum()):
        pixels = np.where(dark_on_light[:, None], 255 - pixels, pixels)
        where = "" if count == len(pixels) else f" in {count:,} of {len(pixels):,} rows"
        mended.append(f"dark ink on white paper{where}: inverted")
    if view := _find_view(pixels):
        images = VIEWS[view](pixels.reshape(-1, SIDE_PX, SIDE_PX))
        pixels = np.ascontiguousarray(images).reshape(-1, PIXELS)
        mended.append(view)
    return CorrectedPixels(pixels, tuple(mended), tuple(doubts))


FRACTIONS = (
    "pixels of 0 to 1: scaled by 255",
    "pixels of -1 to 1: scaled to 0 to 255",
    "standardized pixels: brought back to whole numbers from 0 on",
    "pixels with fractions: rounded",
)
# Standardized pixels keep their even steps, here within a quarter of one. Paper is 50 % of Fashion-MNIST's pixels, 81 %
# of MNIST's, and a cell that is wrong by itself is neither.
MIN_PAPER, MAX_OFF = 0.1, 0.25
MIN_FRACTIONS = 0.02  # of all pixels: resized images have them at every edge, a mistyped cell is alone


def scale_fractions(values: np.ndarray) -> tuple[np.ndarray, str] | None:
    """Take numbers of another range than 0 to 255, or with fractions, as pixels.

    They are fractions from 0 to 1; numbers from -1 to 1; standardized (all less one mean, by one standard deviation);
    or from 0 to 255 with fractions, as after resizing.

    Args:
        values: numbers of any type, (n, 784).

    Returns:
        uint8 (n, 784), and a phrase on what was done; None for whole pixels, numbers of any other range, and NaN.
    """
    low, high = values.min(), values.max()
    whole = values.dtype.kind != "f" or bool((np.floor(values) == values).all())
    if not whole and low >= 0 and 0 < high <= 1:
        return np.rint(values * 255).astype(np.uint8), FRACTIONS[0]
    if not whole and low == -1 and high == 1:
        return np.rint((values + 1) * 127.5).astype(np.uint8), FRACTIONS[1]
    if low < 0 and np.isfinite(high) and (steps := _count_steps(values, float(low), float(high))) is not None:
        return steps, FRACTIONS[2]
    if not whole and low >= 0 and high <= 255 and (np.floor(values) != values).mean() >= MIN_FRACTIONS:
        return np.rint(values).astype(np.uint8), FRACTIONS[3]
    return None


def _count_steps(values: np.ndarray, low: float, high: float) -> np.ndarray | None:
    """How many even steps each value is above the lowest, uint8; None if there are no such steps, or over 255."""
    if max((values == low).mean(), (values == high).mean()) < MIN_PAPER:
        return None
    levels = np.unique(values[:SAMPLED_ROWS].astype(np.float64))
    if not 1 < len(levels) <= 256:
        return None
    for count in (255, round((high - low) / float(np.diff(levels).min()))):
        steps = (values.astype(np.float64) - low) * (count / (high - low))
        if count <= 255 and np.abs(steps - np.rint(steps)).max() <= MAX_OFF:
            return np.rint(steps).astype(np.uint8)
    return None


def compare_means(train: np.ndarray, test: np.ndarray) -> str | None:
    """One phrase where the mean images of two tables differ by more than chance or other writers explain; else None.

    Args:
        train: uint8 (n, 784), at least one row.
        test: uint8 (m, 784), at least one row.
    """
    if min(len(train), len(test)) < MIN_ROWS:
        return None
    means, variances = zip(*(_average(pixels) for pixels in (train, test)), strict=True)
    distance = np.square(means[0] - means[1]).sum()
    by_chance = variances[0].sum() / len(train) + variances[1].sum() / len(test)
    share = float(np.sqrt(distance / max(np.square(means[0]).sum(), 1e-9)))
    if distance <= MAX_CHANCE_RATIO * by_chance or share <= MAX_MEAN_DIFFERENCE:
        return None
    return f"the mean test image is {share:.0%} away from the mean training image: are both prepared alike?"


MIN_F, MIN_LABELLED = 1.5, 200


def check_labels(pixels: np.ndarray, labels: np.ndarray, *, digits: bool) -> str | None:
    """One phrase where labels do not fit their images; else None.

    Args:
        pixels: uint8 (n, 784), upright.
        labels: int64 (n,), 0 to 9.
        digits: whether the labels are digits.

    Two things are noticed. Labels that were shuffled or moved by rows leave every class with one mean image: the F
    statistic of a one-way analysis of variance, summed over pixels, is then 1. (Of 200 rows of MNIST it is 5, of all
    42,000 it is 900.) And labels that were counted from another number: the mean images look like other digits.
    """
    some = slice(None, None, -(-len(pixels) // 10_000))
    pixels, labels = pixels[some].astype(np.float32), labels[some]
    classes, counts = np.unique(labels, return_counts=True)
    if len(labels) < MIN_LABELLED or len(classes) < 2:
        return None
    means = np.stack([pixels[labels == label].mean(axis=0) for label in classes])
    total = np.square(pixels - pixels.mean(axis=0)).sum()
    between = (counts * np.square(means - pixels.mean(axis=0)).sum(axis=1)).sum()
    f_statistic = between / (len(classes) - 1) / max((total - between) / (len(labels) - len(classes)), 1e-9)
    if f_statistic < MIN_F:
        return "the classes have one and the same mean image: do the labels stand beside their images?"
    pooled = _pool(means)
    looks = (_normalize(pooled.reshape(len(means), -1)) @ _unpack_digits().T).argmax(axis=1)
    likeness, _ = _correlate(_pool(pixels[:SAMPLED_ROWS]), _unpack_digits())
    if digits and likeness >= MIN_CORRELATION and (looks != classes).mean() > 0.5:
        label, look = next((label, look) for label, look in zip(classes, looks, strict=True) if label != look)
        return f"most labels are not what their images look like ({label} looks like {look}): are they shifted?"
    return None


def _average(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The mean image and the variance of each pixel; of at most 10,000 rows, to save time."""
    some = pixels[:: -(-len(pixels) // 10_000)].astype(np.float32)
    return some.mean(axis=0), some.var(axis=0)


def _find_dark_on_light(pixels: np.ndarray) -> np.ndarray:
    """Which rows have a light border, with nine in ten of its pixels and all four corners, around darker ink."""
    images = pixels.reshape(-1, SIDE_PX, SIDE_PX)
    found = (images[:, [0, 0, -1, -1], [0, -1, 0, -1]] > 127).all(axis=1) & (pixels.min(axis=1) <= 127)
    if found.any():
        some = images[found]
        border = np.concatenate([some[:, 0], some[:, -1], some[:, 1:-1, 0], some[:, 1:-1, -1]], axis=1)
        found[found] = (border > 127).mean(axis=1) >= 0.9
    return found


def _find_view(pixels: np.ndarray) -> str | None:
    """Which of `VIEWS` makes digits upright; None if they are, or are no digits, or too few."""
    if len(pixels) < MIN_ROWS:
        return None
    some = pixels[np.linspace(0, len(pixels) - 1, min(len(pixels), SAMPLED_ROWS)).astype(int)]
    pooled, upright = _pool(some), _unpack_digits()
    as_they_are, _ = _correlate(pooled, upright)
    found = {view: _correlate(turn(pooled), upright) for view, turn in VIEWS.items()}
    best = max(found, key=lambda view: found[view])
    correlation, digits = found[best]
    is_better = correlation >= max(MIN_CORRELATION, as_they_are + MIN_GAIN)
    return best if is_better and digits >= MIN_DIGITS else None


def _pool(pixels: np.ndarray) -> np.ndarray:
    """Images float32 (n, 14, 14) of pixels (n, 784)."""
    return pixels.reshape(-1, POOLED_SIDE, 2, POOLED_SIDE, 2).mean(axis=(2, 4), dtype=np.float32)


def _unpack_digits() -> np.ndarray:
    packed = np.frombuffer(zlib.decompress(base64.b85decode("".join(UPRIGHT_DIGITS))), np.uint8)
    return _normalize(np.stack([packed >> 4, packed & 15], axis=1).reshape(10, -1).astype(np.float32))


def _correlate(images: np.ndarray, upright: np.ndarray) -> tuple[float, int]:
    """Mean over images of the largest correlation with an upright digit, and how many digits one in 25 is like."""
    correlations = _normalize(images.reshape(len(images), -1)) @ upright.T
    likeness = np.bincount(correlations.argmax(axis=1), minlength=len(upright)) / len(images)
    return float(correlations.max(axis=1).mean()), int((likeness >= 0.04).sum())


def _normalize(rows: np.ndarray) -> np.ndarray:
    centred = rows - rows.mean(axis=1, keepdims=True)
    return centred / np.maximum(np.linalg.norm(centred, axis=1, keepdims=True), 1e-6)
