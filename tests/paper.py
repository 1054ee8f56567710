"""Photographs of handwriting whose digits are known: rows of MNIST images laid on paper, under bad light."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

CELL_PX = 130  # of paper per digit
DIGIT_PX = 90  # of an MNIST image on it


@dataclass(frozen=True)
class Conditions:
    """How a page was written and photographed; all that is left alone is perfect.

    Attributes:
        ink, paper: shades, 0 = black, 255 = white.
        gradient: share of the light that is lost from one corner to the other.
        shadow: share of the light that a shadow with a blurred edge takes.
        rule: share of the light that ruled lines take; squared: in both directions.
        grain: standard deviation of the sensor's noise, of 255.
        blur_px: of the lens.
        turn_deg: of the page.
        jpeg: quality; 0 leaves it out.
    """

    ink: int = 40
    paper: int = 225
    gradient: float = 0.0
    shadow: float = 0.0
    rule: float = 0.0
    squared: bool = False
    grain: float = 0.0
    blur_px: float = 0.0
    turn_deg: float = 0.0
    jpeg: int = 0


def lay_out(images: np.ndarray, columns: int, conditions: Conditions, seed: int = 0) -> np.ndarray:
    """Lay digits on a page, in rows, and photograph it.

    Args:
        images: uint8 (n, 28, 28), 255 = ink.
        columns: digits per row.
        conditions: of the page and the photograph.
        seed: of noise and of places.

    Returns:
        uint8 (height, width), 0 = black, 255 = white.
    """
    rng = np.random.default_rng(seed)
    rows = -(-len(images) // columns)
    ink = np.zeros((rows * CELL_PX, columns * CELL_PX), np.float32)
    for number, image in enumerate(images):
        row, column = divmod(number, columns)
        fine = cv2.resize(image.astype(np.float32) / 255, (DIGIT_PX, DIGIT_PX), interpolation=cv2.INTER_CUBIC)
        top = row * CELL_PX + int(rng.integers(10, CELL_PX - DIGIT_PX - 10))
        left = column * CELL_PX + int(rng.integers(10, CELL_PX - DIGIT_PX - 10))
        ink[top : top + DIGIT_PX, left : left + DIGIT_PX] = np.clip(1.3 * fine, 0, 1)
    page = _draw_rules(np.ones_like(ink), conditions)
    page = page * (1 - ink) + ink * conditions.ink / conditions.paper
    page = _turn(page * conditions.paper, conditions) * _light(page.shape, conditions)
    if conditions.blur_px:
        page = cv2.GaussianBlur(page, (0, 0), conditions.blur_px)
    page += rng.normal(0, conditions.grain, page.shape) if conditions.grain else 0
    photograph = np.clip(np.rint(page), 0, 255).astype(np.uint8)
    if conditions.jpeg:
        packed = cv2.imencode(".jpg", photograph, [cv2.IMWRITE_JPEG_QUALITY, conditions.jpeg])[1]
        photograph = cv2.imdecode(packed, cv2.IMREAD_GRAYSCALE)
    return photograph


def write_page(path: Path, images: np.ndarray) -> Path:
    """Write a page of digits, four to a row: on squared paper, turned, under a shadow."""
    conditions = Conditions(rule=0.3, squared=True, turn_deg=2, shadow=0.3, grain=4)
    cv2.imwrite(str(path), lay_out(images, 4, conditions))
    return path


def _draw_rules(page: np.ndarray, conditions: Conditions) -> np.ndarray:
    if conditions.rule:
        for start in range(20, page.shape[0], 37):
            page[start : start + 2] = 1 - conditions.rule
        for start in range(20, page.shape[1] if conditions.squared else 0, 37):
            page[:, start : start + 2] = 1 - conditions.rule
    return page


def _turn(page: np.ndarray, conditions: Conditions) -> np.ndarray:
    if not conditions.turn_deg:
        return page
    height, width = page.shape
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), conditions.turn_deg, 1)
    turned: np.ndarray = cv2.warpAffine(page, matrix, (width, height), borderMode=cv2.BORDER_REPLICATE)
    return turned


def _light(shape: tuple[int, ...], conditions: Conditions) -> np.ndarray:
    ys, xs = np.mgrid[: shape[0], : shape[1]]
    light = 1 - conditions.gradient * (xs / shape[1] + ys / shape[0]) / 2
    edge = cv2.GaussianBlur((xs > 0.6 * ys + 0.3 * shape[1]).astype(np.float32), (0, 0), 6)
    return (light * (1 - conditions.shadow * edge)).astype(np.float32)
