"""ppocr4-rec: what rendered lines of English say.

Lines are rendered at the height that the recogniser takes, so that nothing is resized; the rest is
as rapidocr-onnxruntime 1.4.4 does it (`TextRecognizer` and `CTCLabelDecode` in ch_ppocr_rec): blue,
green, red from -1 to 1, six lines of similar width at a time, padded with zeros; of the scores the
best class at each position, repeats merged, blanks left out.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import onnx
from PIL import Image, ImageDraw, ImageFont

from onnxprune.calibration import Calibration
from onnxprune.runtime import Feeds
from tools.quality.case import Answers, Array, Case, model_path
from tools.quality.sources import Source, members
from tools.quality.text import two_sets

__all__ = ["case", "characters", "decode", "distance", "feeds_of", "line_of", "render"]

FONTS = [
    Source("matplotlib", "3.11.2", f"matplotlib/mpl-data/fonts/ttf/{name}.ttf", sha256)
    for name, sha256 in {
        "DejaVuSans": "3fdf69cabf06049ea70a00b5919340e2ce1e6d02b0cc3c4b44fb6801bd1e0d22",
        "DejaVuSans-Bold": "b184b89e3c1075f22f6b71575b6fc20d4972b3cfd3b23322ca6fd596dcaef167",
        "DejaVuSansMono": "602ec86b8948cfcd956482fe64f94c36c867770149ef2f791d4613f443bcecb3",
        "DejaVuSerif": "107244956e9962b9e96faccdc551825e0ae0898ae13737133e1b921a2fd35ffa",
        "STIXGeneral": "167378031e2dddc6216d67819c9260e9a06ffc4c478e4e23cb98a6fd44b183c2",
        "STIXGeneralItalic": "6cfcb333d22b7c3c623bdfd40174f14c85c3d6731ca6166c1edc80140eae8527",
    }.items()
]
HEIGHT, WIDTH = 48, 320
"""Pixels of a line; the width is the least."""
CALIBRATION, TESTS = 200, 200
BATCH = 6
WORDS = (2, 5)
"""Words of a line, at least and at most."""


def line_of(sentence: str, draw: random.Random) -> str:
    """Some consecutive words of a sentence."""
    words = sentence.split()
    count = draw.randint(*WORDS)
    start = draw.randint(0, len(words) - count)
    return " ".join(words[start : start + count])


def render(line: str, font: Path, draw: random.Random) -> Array:
    """A line as an image (48, width, 3) uint8, dark on light, of some size, with some noise."""
    face = ImageFont.truetype(str(font), draw.randint(20, 34), layout_engine=ImageFont.Layout.BASIC)
    left, top, right, bottom = face.getbbox(line)
    width = int(right - left) + 2 * draw.randint(3, 8)
    paper, ink = ([draw.randint(*ends) for _ in range(3)] for ends in ((190, 255), (0, 110)))
    image = Image.new("RGB", (width, HEIGHT), tuple(paper))
    place = ((width - right - left) / 2, (HEIGHT - bottom - top) / 2)
    ImageDraw.Draw(image).text(place, line, tuple(ink), face)
    grain = np.random.default_rng(draw.randrange(1 << 32)).normal(0, 1, (HEIGHT, width, 3))
    noisy = np.asarray(image) + draw.uniform(0, 12) * grain
    return np.clip(noisy, 0, 255).astype(np.uint8)


def feeds_of(images: Sequence[Array]) -> Feeds:
    """Images (48, width, 3) of red, green and blue as one batch, padded to the widest."""
    width = max(WIDTH, *(image.shape[1] for image in images))
    batch = np.zeros((len(images), 3, HEIGHT, width), np.float32)
    for row, image in zip(batch, images, strict=True):
        scaled = (image[:, :, ::-1].astype(np.float32) / 255 - 0.5) / 0.5
        row[:, :, : image.shape[1]] = scaled.transpose(2, 0, 1)
    return {"x": batch}


def characters(model: Path) -> list[str]:
    """What each class stands for, as the model's metadata say; the first is the blank."""
    metadata = {item.key: item.value for item in onnx.load(model).metadata_props}
    return ["", *metadata["character"].splitlines(), " "]


def decode(scores: Array, alphabet: Sequence[str]) -> Answers:
    """The texts of a batch of scores (batch, positions, classes)."""
    texts = []
    for best in scores.argmax(axis=2):
        new = np.r_[True, best[1:] != best[:-1]]
        texts.append("".join(alphabet[index] for index in best[new]))
    return texts


def distance(found: str, right: str) -> int:
    """How many characters must be put in, left out or replaced (Levenshtein, 1966)."""
    before = list(range(len(right) + 1))
    for i, a in enumerate(found, 1):
        row = [i]
        for j, b in enumerate(right, 1):
            row.append(min(before[j] + 1, row[-1] + 1, before[j - 1] + (a != b)))
        before = row
    return before[-1]


def _set(
    sentences: Sequence[str], fonts: Sequence[Path], seed: int
) -> tuple[list[str], list[Feeds]]:
    """Lines out of sentences, the narrow ones first, and their batches."""
    draw = random.Random(seed)
    lines = [line_of(sentence, draw) for sentence in sentences]
    rendered = [(render(line, draw.choice(fonts), draw), line) for line in lines]
    rendered.sort(key=lambda pair: pair[0].shape[1])
    images = [image for image, _ in rendered]
    batches = [feeds_of(images[start : start + BATCH]) for start in range(0, len(images), BATCH)]
    return [line for _, line in rendered], batches


def case(folder: Path) -> Case:
    """The model with rendered lines of Python's language reference."""
    path, fonts = model_path("ppocr4-rec", folder), members(FONTS, folder)
    first, second = two_sets(CALIBRATION, TESTS)
    _, feeds = _set(first, fonts, seed=1)
    lines, tests = _set(second, fonts, seed=2)

    def quality(_: Answers, pruned: Answers) -> dict[str, float]:
        errors = sum(map(distance, pruned, lines))
        right = [a == b for a, b in zip(pruned, lines, strict=True)]
        return {
            "characters right": 1 - errors / sum(map(len, lines)),
            "lines right": float(np.mean(right)),
        }

    return Case(
        name="ppocr4-rec",
        path=path,
        about=f"Lines of {WORDS[0]} to {WORDS[1]} words of Python's language reference, rendered "
        f"in {len(fonts)} fonts, sizes and colours with some noise; English only, of the 6,624 "
        "characters that the model knows. *characters right*: 1 - edit distance / length, over all "
        "lines, below 0 where more is read than the line has; *lines right*: the share of lines "
        "without an error.",
        sizes={"x": (1, 3, HEIGHT, WIDTH)},
        output="softmax_11.tmp_0",
        calibration=Calibration(lambda: feeds, len(first), "rendered lines"),
        tests=tests,
        read=partial(decode, alphabet=characters(path)),
        quality=quality,
    )
