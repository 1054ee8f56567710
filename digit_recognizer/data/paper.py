"""Paper: the shade that it would have at each place of a picture, were nothing written there.

It is what a median over a wide window leaves (Sonka, Hlavac and Boyle, "Image Processing, Analysis and Machine Vision",
section 5.3), after the light has been levelled by a surface of second order.
"""

import numpy as np

LONGEST_PAPER_PX = 160  # of the longer side while looking for the paper
PAPER_WINDOW = 0.6  # of the shorter side: wider than any stroke, narrower than most shadows
BLUR_PX = 1.0  # as much as the grain of paper and sensor
LIGHT_FITS, RIDGE = 4, 1e-3  # of the light's surface; what keeps it calm on pictures of a few px
MIDDLE = 128  # of 255: the shade to which the paper is levelled for the median
DARKEST_PAPER = 60  # of 255: below it the share of light is noise
LEAST_ROOM = 128  # of 255, above the paper: what is lighter than light paper is grain
WELL_PARTED, CORNER_SHARE = 0.8, 0.08  # of the variance lies between the two shades; of the sides, where no ink reaches


def compare_with_paper(pixels: np.ndarray, paper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How much darker, and how much lighter, than the paper each place is: float32, shares of what is possible."""
    import cv2

    blurred = cv2.GaussianBlur(pixels, (0, 0), BLUR_PX).astype(np.float32)
    difference = paper - blurred
    return difference / np.maximum(paper, DARKEST_PAPER), -difference / np.maximum(255 - paper, LEAST_ROOM)


def find_shade(pixels: np.ndarray) -> float | None:
    """The shade of the paper where ink covers so much that no median tells: that of all four corners.

    None where they differ, or there are not two shades (Otsu 1979, by his measure of how well they part).
    """
    import cv2

    threshold, _ = cv2.threshold(pixels, 0, 255, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    light = pixels > threshold
    share = float(light.mean())
    if not 0 < share < 1:
        return None
    apart = float(pixels[light].mean()) - float(pixels[~light].mean())
    if share * (1 - share) * apart**2 < WELL_PARTED * float(pixels.var()):
        return None
    rows, columns = (max(1, round(CORNER_SHARE * side)) for side in pixels.shape)
    corners = [
        light[r][:, c] for r in (slice(rows), slice(-rows, None)) for c in (slice(columns), slice(-columns, None))
    ]
    is_light = corners[0].mean() > 0.5
    if any((corner.mean() > 0.5) != is_light for corner in corners):  # a shadow's edge parts a picture as well
        return None
    return float(np.median(pixels[light == is_light]))


def find_paper(pixels: np.ndarray) -> np.ndarray:
    """The shade that the paper would have at each place, were nothing written there: float32."""
    import cv2

    height, width = pixels.shape
    scale = min(1.0, LONGEST_PAPER_PX / max(height, width))
    size = [max(1, round(side * scale)) for side in (width, height)]
    small = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)
    slope = _fit_light(small)
    level = np.clip(np.rint(small - slope + MIDDLE), 0, 255).astype(np.uint8)  # the median takes no more than 8 bits
    window = max(3, int(PAPER_WINDOW * min(small.shape)) | 1)
    margin = window // 2
    mirrored = np.pad(level, margin, mode="reflect" if margin < min(small.shape) else "edge")
    wide = cv2.medianBlur(mirrored, window)[margin:-margin, margin:-margin]
    paper = cv2.GaussianBlur(wide + np.float32(slope - MIDDLE), (0, 0), 3)
    found: np.ndarray = cv2.resize(paper, (width, height), interpolation=cv2.INTER_LINEAR)
    return found


def _fit_light(small: np.ndarray) -> np.ndarray:
    """The paper's light as a surface of second order, fitted anew without what lies far off: float32, 0 to 255."""
    axes = [np.linspace(-1, 1, side, dtype=np.float32) for side in small.shape]
    y, x = np.meshgrid(*axes, indexing="ij")
    terms = np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=-1)
    sample = np.ascontiguousarray(terms[::3, ::3].reshape(-1, 6))
    values = small[::3, ::3].ravel().astype(np.float32)
    away = np.abs(values - np.median(values))
    for _ in range(LIGHT_FITS):
        used = away <= max(8.0, 2.5 * float(np.median(away)))
        known = sample[used]
        weights = np.linalg.solve(known.T @ known + RIDGE * np.eye(6, dtype=np.float32), known.T @ values[used])
        away = np.abs(values - sample @ weights)
    surface: np.ndarray = np.clip(terms @ weights, 0, 255)
    return surface
