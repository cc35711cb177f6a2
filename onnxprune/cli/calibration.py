"""The options of commands that read data, and the dataset that they make."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from onnxprune.calibration import Dataset
    from onnxprune.graph import Graph

__all__ = ["DataOptions", "data_options"]

F = TypeVar("F", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class DataOptions:
    """What a user said of data.

    Attributes:
        source: A path, ``noise``, ``uniform``, ``pink`` or ``leaves``.
        samples: How many to draw, None for all.
        seed: Of the draw.
        batch: How many samples a batch has.
        input: The input that takes images.
        preprocess: The arguments of `onnxprune.calibration.Preprocess`.
    """

    source: str
    samples: int | None
    seed: int
    batch: int
    input: str | None
    preprocess: dict[str, Any]

    def dataset(self, graph: Graph) -> Dataset:
        """Read them for a graph.

        Raises:
            OnnxPruneError: If they cannot be read or do not fit the graph.
            MissingExtra: If Pillow is needed and not installed.
        """
        from onnxprune.calibration import Preprocess, read_dataset

        return read_dataset(
            self.source,
            graph,
            samples=self.samples,
            seed=self.seed,
            batch=self.batch,
            preprocess=Preprocess(**self.preprocess),
            input=self.input,
        )


class _Numbers(click.ParamType):  # type: ignore[type-arg]
    """Numbers with commas between them."""

    name = "numbers"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, ...]:
        return tuple(_number(part, self, param, ctx) for part in str(value).split(","))


class _Scale(click.ParamType):  # type: ignore[type-arg]
    """A number or a fraction, such as 1/255."""

    name = "number"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        return _number(str(value), self, param, ctx)


class _Size(click.ParamType):  # type: ignore[type-arg]
    """Height and width: 224x192, or 224 for both."""

    name = "size"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        sides = str(value).lower().split("x")
        if len(sides) > 2 or not all(side.isdecimal() and len(side) < 6 for side in sides):
            self.fail(f"'{value}' is not a height and a width, as 224x192 or 224.", param, ctx)
        return int(sides[0]), int(sides[-1])


def _number(
    text: str, kind: Any, param: click.Parameter | None, ctx: click.Context | None
) -> float:
    try:
        value = float(Fraction(text.strip())) if "/" in text else float(text)
    except (ValueError, ZeroDivisionError, OverflowError):
        value = math.nan
    if not math.isfinite(value):
        kind.fail(f"'{text}' is not a number, as 0.485 or 1/255.", param, ctx)
    return value


PREPROCESS = {
    "mean": click.option("--mean", type=_Numbers(), help="Of each channel, as 0.485,0.456,0.406."),
    "std": click.option("--std", type=_Numbers(), help="Of each channel; (pixel*scale-mean)/std."),
    "scale": click.option(
        "--scale", type=_Scale(), help="What pixels are multiplied with first; 1/255 for bytes."
    ),
    "size": click.option(
        "--size", type=_Size(), metavar="HxW", help="Of images, where the model takes any."
    ),
    "crop": click.option(
        "--crop",
        type=click.Choice(["center", "squash"]),
        help="Images of another size: cover it and cut out the centre (the default), or squash.",
    ),
    "resize": click.option(
        "--resize",
        type=int,
        metavar="SIDE",
        help="Of --crop center: the short side before, as 256 for a size of 224.",
    ),
    "layout": click.option(
        "--layout",
        type=click.Choice(["nchw", "nhwc"]),
        help="Of the model's input, where its shape does not tell.",
    ),
    "order": click.option(
        "--order",
        type=click.Choice(["rgb", "bgr", "grey"]),
        help="The channels that the model takes; rgb by default.",
    ),
}
OTHERS = {
    "samples": click.option(
        "--samples",
        type=int,
        metavar="N",
        help="Draw so many samples at random. All by default, 256 of noise.",
    ),
    "seed": click.option(
        "--seed",
        type=int,
        help="Of the draw, of noise, and of what else is random; 0 by default.",
    ),
    "batch": click.option(
        "--batch",
        type=int,
        metavar="N",
        help="Samples in a batch, where the model takes any number; 32 by default.",
    ),
    "input": click.option(
        "--input",
        metavar="NAME",
        help="The input that takes images; by default every one of four axes.",
    ),
}


def data_options(flag: str, required: bool = False) -> Callable[[F], F]:
    """Decorate a command with the options that say what data it reads.

    The command is called with ``data``, `DataOptions`, or None where none were given.

    Args:
        flag: The option that names the data: ``--data``, ``--calibration``.
        required: Whether it must be given.
    """
    options = {**OTHERS, **PREPROCESS}
    source = click.option(
        flag,
        "data",
        required=required,
        metavar="DATA",
        help="A folder of images, a .npy file, a .npz file with an array for each input, noise, "
        "uniform, pink or leaves.",
    )

    def decorate(command: F) -> F:
        @functools.wraps(command)
        def called(*args: Any, data: str | None, **values: Any) -> Any:
            asked = {name: values.pop(name) for name in options}
            given = {name: value for name, value in asked.items() if value is not None}
            if data is None:
                if given:
                    raise click.UsageError(f"--{next(iter(given))} is of data; give {flag}.")
                return command(*args, data=None, **values)
            return command(*args, data=_gathered(data, given), **values)

        decorated: Any = called
        for option in reversed(list(options.values())):
            decorated = option(decorated)
        return source(decorated)  # type: ignore[no-any-return]

    return decorate


def _gathered(source: str, given: dict[str, Any]) -> DataOptions:
    return DataOptions(
        source=source,
        samples=given.get("samples"),
        seed=given.get("seed", 0),
        batch=given.get("batch", 32),
        input=given.get("input"),
        preprocess={name: given[name] for name in PREPROCESS if name in given},
    )
