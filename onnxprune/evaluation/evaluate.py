"""A model's answers, held against labels and against the original's answers."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx

from onnxprune.calibration import Calibration
from onnxprune.errors import OnnxPruneError
from onnxprune.evaluation.result import Evaluation
from onnxprune.evaluation.tally import AccuracyTally, FidelityTally, finite
from onnxprune.graph import Graph
from onnxprune.runtime import Feeds, RuntimeRefusal, first_line, open_session

__all__ = ["evaluate"]

Runnable: TypeAlias = str | os.PathLike[str] | onnx.ModelProto | Graph
Answer = npt.NDArray[Any]


def evaluate(
    model: Runnable,
    calibration: Calibration,
    labels: npt.ArrayLike | None = None,
    against: Runnable | None = None,
    *,
    output: str | None = None,
    axis: int | None = None,
    on_batch: Callable[[int], object] | None = None,
) -> Evaluation:
    """Run a model on samples and hold its answers against labels, or the original's answers.

    One output is looked at; its first axis is that of the samples. If only one other is larger
    than 1, it is that of the classes, as behind a global pooling. Otherwise it is the last of
    three axes (a sequence), and the second of more (a map); if that is of size 1 there are no
    classes.

    Args:
        model: The model file, or a model.
        calibration: The samples; they are run batch by batch and not kept.
        labels: For each sample its class, an integer, (samples,); for outputs of one axis.
        against: The original, for how near the answers are to its.
        output: The name of the output; the first by default.
        axis: The axis of the classes, counted in the output's shape.
        on_batch: Told the number of samples of every batch, when it is done.

    Returns:
        What was found.

    Raises:
        OnnxPruneError: If neither labels nor an original are given, a model does not run on the
            samples, has no such output, or its outputs do not fit the labels or the original's.
        MissingExtra: If onnxruntime is not installed.
    """
    if labels is None and against is None:
        raise OnnxPruneError(
            "An evaluation needs labels, or the original model to compare with; give one of them"
        )
    known = None if labels is None else _checked(labels, calibration)
    runner = _Runner(model, output)
    original = None if against is None else _Runner(against, output)
    if original is not None:
        _check_alike(runner, original)
    state = _State(runner, original, axis)
    done = 0
    for feeds in calibration:
        count = _samples(feeds)
        here = None if known is None else known[done : done + count]
        state.add(feeds, count, here)
        done += count
        if on_batch is not None:
            on_batch(count)
    if done != calibration.samples:
        raise OnnxPruneError(
            f"{calibration.origin}: {calibration.samples:,} samples are announced, and its batches "
            f"hold {done:,} on their first axis"
        )
    return state.result(done, calibration.origin)


class _Runner:
    """A model in onnxruntime, of which one output is looked at."""

    def __init__(self, model: Runnable, output: str | None) -> None:
        self.name = _name(model)
        self._session = _open(model, self.name)
        outputs = [value.name for value in self._session.get_outputs()]
        if output is not None and output not in outputs:
            told = ", ".join(f"'{name}'" for name in outputs)
            raise OnnxPruneError(f"{self.name}: there is no output '{output}'; there are {told}")
        self.output = outputs[0] if output is None else output
        self.inputs = sorted(value.name for value in self._session.get_inputs())

    def run(self, feeds: Feeds, count: int) -> Answer:
        """Its answer to a batch of `count` samples."""
        try:
            answer = self._session.run([self.output], feeds)[0]
        except Exception as error:
            raise OnnxPruneError(
                f"{self.name}: onnxruntime does not run it on these samples: {first_line(error)}"
            ) from error
        if not isinstance(answer, np.ndarray) or answer.dtype.kind not in "fiub":
            raise OnnxPruneError(
                f"{self.name}: the output '{self.output}' is no tensor of numbers; name another one"
            )
        if not answer.ndim or len(answer) != count:
            raise OnnxPruneError(
                f"{self.name}: the output '{self.output}' has the shape {answer.shape} for {count} "
                f"samples, which are not on its first axis; name another output"
            )
        if not answer.size:
            raise OnnxPruneError(
                f"{self.name}: the output '{self.output}' is empty, of shape {answer.shape}; name "
                f"another output"
            )
        return answer if answer.dtype.kind == "f" else answer.astype(np.float64)


class _State:
    """What is known after some batches."""

    def __init__(self, runner: _Runner, original: _Runner | None, axis: int | None) -> None:
        self._runner, self._original, self._asked = runner, original, axis
        self._shape: tuple[int, ...] | None = None
        self._axis: int | None = None
        self._not_finite = 0
        self._accuracy: AccuracyTally | None = None
        self._fidelity: FidelityTally | None = None

    def add(self, feeds: Feeds, count: int, labels: npt.NDArray[np.int64] | None) -> None:
        answer = self._runner.run(feeds, count)
        if self._shape is None:
            self._shape = answer.shape[1:]
            self._axis = _class_axis(answer.shape, self._asked, self._runner)
        self._not_finite += int((~finite(answer)).sum())
        if labels is not None:
            self._accuracy = self._accuracy or AccuracyTally()
            squeezed = _squeezed(answer, self._axis)
            self._check_labels(squeezed, labels)
            self._accuracy.add(squeezed, labels)
        if self._original is not None:
            self._fidelity = self._fidelity or FidelityTally(self._axis is not None)
            original = self._original.run(feeds, count)
            if original.shape != answer.shape:
                raise OnnxPruneError(
                    f"{self._runner.name}: the output '{self._runner.output}' has the shape "
                    f"{answer.shape}, and {original.shape} in the original; they cannot be compared"
                )
            self._fidelity.add(
                _classes_last(answer, self._axis), _classes_last(original, self._axis)
            )

    def result(self, samples: int, origin: str) -> Evaluation:
        fidelity, accuracy = self._fidelity, self._accuracy
        return Evaluation(
            samples=samples,
            origin=origin,
            output=self._runner.output,
            shape=self._shape or (),
            axis=None if self._axis is None else self._axis - 1,
            probabilities=bool(fidelity and fidelity.probabilities),
            not_finite=self._not_finite,
            accuracy=None if accuracy is None else accuracy.result(),
            fidelity=None if fidelity is None else fidelity.result(),
        )

    def _check_labels(self, answer: Answer, labels: npt.NDArray[np.int64]) -> None:
        if answer.ndim != 2 or self._axis is None:
            raise OnnxPruneError(
                f"{self._runner.name}: the output '{self._runner.output}' is {self._shape} for a "
                f"sample, not one number for each class; labels do not suit it, compare with the "
                f"original instead"
            )
        wrong = labels[(labels < 0) | (labels >= answer.shape[1])]
        if wrong.size:
            raise OnnxPruneError(
                f"The label {wrong[0]} is out of range: the output '{self._runner.output}' has "
                f"{answer.shape[1]} classes, 0 to {answer.shape[1] - 1}"
            )


def _checked(labels: npt.ArrayLike, calibration: Calibration) -> npt.NDArray[np.int64]:
    array = np.asarray(labels)
    if array.dtype.kind not in "iu" or array.ndim != 1:
        raise OnnxPruneError(
            f"Labels are one integer for each sample, not {array.dtype} of shape {array.shape}"
        )
    if len(array) != calibration.samples:
        raise OnnxPruneError(
            f"There are {len(array):,} labels for {calibration.samples:,} samples; give one each"
        )
    return array.astype(np.int64)


def _samples(feeds: Feeds) -> int:
    return next((len(array) for array in feeds.values() if array.ndim), 0)


def _class_axis(shape: tuple[int, ...], asked: int | None, runner: _Runner) -> int | None:
    """The axis of the classes, None if there are none."""
    if asked is not None:
        axis = asked + len(shape) if asked < 0 else asked
        if not 0 < axis < len(shape):
            raise OnnxPruneError(
                f"{runner.name}: the output '{runner.output}' of shape {shape} has no axis {asked} "
                f"of classes; the first is that of the samples"
            )
        return axis
    wide = [axis for axis, size in enumerate(shape) if axis and size != 1]
    if len(wide) < 2:
        return wide[0] if wide else None
    axis = 1 if len(shape) > 3 else len(shape) - 1
    return axis if axis in wide else None


def _squeezed(answer: Answer, axis: int | None) -> Answer:
    """Without axes of size 1 but those of the samples and the classes."""
    kept = [size for i, size in enumerate(answer.shape) if i in (0, axis) or size != 1]
    return answer.reshape(kept)


def _classes_last(answer: Answer, axis: int | None) -> Answer:
    return answer if axis is None else np.moveaxis(answer, axis, -1)


def _check_alike(model: _Runner, original: _Runner) -> None:
    if model.inputs != original.inputs:
        raise OnnxPruneError(
            f"{model.name} and {original.name} take other inputs, {', '.join(model.inputs)} and "
            f"{', '.join(original.inputs)}; give the original of this model"
        )


def _name(model: Runnable) -> str:
    if isinstance(model, Graph):
        return str(model.source)
    return "the model" if isinstance(model, onnx.ModelProto) else os.fspath(model)


def _open(model: Runnable, name: str) -> Any:
    if isinstance(model, str | os.PathLike):
        model = Path(model)
        if not model.is_file():
            raise OnnxPruneError(f"{name}: no such file; check the path")
    try:
        return open_session(model)
    except RuntimeRefusal as error:
        raise OnnxPruneError(f"{name}: onnxruntime does not load it: {error}") from error
