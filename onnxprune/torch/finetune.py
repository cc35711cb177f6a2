"""Recovery with training: a pruned graph learns to answer as its original does.

The original is the teacher (Hinton, Vinyals and Dean, 2015, https://arxiv.org/abs/1503.02531), so
inputs suffice. What is minimised is the mean squared difference of the outputs, divided by the
variance of the teacher's. It fits logits, boxes, embeddings and images alike, where the divergence
of softened outputs fits logits only; for these it is that divergence at a high temperature, as the
paper derives, without a temperature to choose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onnxprune.errors import OnnxPruneError, RefusedError
from onnxprune.graph import Graph, load
from onnxprune.runtime import Feeds, first_line
from onnxprune.torch.weights import Model, OnnxModule, as_module, with_weights

__all__ = ["Batch", "Finetuned", "OnnxModule", "as_module", "finetune", "with_weights"]

Batch: TypeAlias = Feeds | tuple[Feeds, npt.NDArray[np.generic]]
"""Inputs by name, samples on the first axis; or these and the class of each sample, (n,)."""

_POOL = 1 << 30
"""Bytes of inputs whose samples are put into a random order together."""

_LABELS = ""
"""Where the labels are among the arrays of a batch; no input has this name."""


@dataclass(frozen=True, slots=True)
class Finetuned:
    """A graph that was trained.

    Attributes:
        graph: The graph.
        trained: The initializers that were trained, as in a saved file.
        frozen: The other floating point ones.
        before: The loss over all data before: 0 where answers are the teacher's, about 1 where they
            do not depend on the input; with labels, the cross entropy is added.
        after: The same afterwards.
    """

    graph: Graph
    trained: tuple[str, ...]
    frozen: tuple[str, ...]
    before: float
    after: float


def finetune(
    pruned: Model,
    original: Model,
    data: Iterable[Batch],
    *,
    epochs: int = 10,
    lr: float = 1e-3,
    freeze: Sequence[str] = (),
    seed: int = 0,
    observe: Callable[[int, int, float], object] | None = None,
) -> Finetuned:
    """Train the weights of a pruned graph to give the answers of the original.

    Adam with a cosine schedule, on the CPU, in float32 for graphs in half precision. Statistics of
    batch norms stay as they are. The same seed gives the same weights, on one machine with one
    number of threads.

    Args:
        pruned: The pruned model in any form; it is not changed.
        original: What it was pruned from.
        data: Batches, such as a `Calibration`; they are read several times, one by one. Samples of
            as many batches as fit into 1 GiB are put into a random order.
        epochs: How often all data are gone through.
        lr: The learning rate at the start.
        freeze: Patterns (``*``, ``?``) of initializers that stay as they are.
        seed: Of the order of samples.
        observe: Called after every step, with its number, the number of all steps, and its loss.

    Returns:
        The trained graph, its changed tensors marked (``pkg.onnxprune.refitted``), with the loss
        before and after.

    Raises:
        OnnxPruneError: If the graphs differ in their inputs or outputs, the data do not fit them or
            can be read only once, there is nothing to train, or the loss becomes infinite.
        UnsupportedOperator: If a graph has an operator that cannot be run in torch.
        RefusedError: If the answers are no nearer to the original's than before.
    """
    small, whole = load(pruned), load(original)
    _check(small, whole, data, epochs, lr, seed)
    student, teacher = as_module(small, freeze), as_module(whole)
    if not student.weights:
        raise OnnxPruneError(f"{small.source}: it has no floating point weights to train.")
    task = _Distillation(student, teacher, data)
    before = task.measured()
    if not math.isfinite(before):
        raise OnnxPruneError(
            "The answers to the data are not finite before any training; verify the pruned model, "
            "and look at the data."
        )
    task.train(epochs, lr, np.random.default_rng(seed), observe)
    after = task.measured()
    if not after < before:
        raise RefusedError(
            f"Training did not bring the answers nearer to the original's (loss {before:.3g} "
            f"before, {after:.3g} after); try a smaller learning rate (now {lr:g}) or more epochs "
            f"(now {epochs})."
        )
    graph = with_weights(small, student)
    return Finetuned(graph, tuple(student.weights), tuple(student.frozen), before, after)


def _check(
    pruned: Graph, original: Graph, data: Iterable[Batch], epochs: int, lr: float, seed: int
) -> None:
    """Refuse what cannot work before any work begins."""
    for kind in ("inputs", "outputs"):
        names = [[str(v.name) for v in getattr(graph, kind)] for graph in (pruned, original)]
        if sorted(names[0]) != sorted(names[1]):
            raise OnnxPruneError(
                f"The {kind} of the pruned model are {', '.join(names[0])} and those of the "
                f"original {', '.join(names[1])}; give the model that it was pruned from."
            )
    if epochs < 1:
        raise OnnxPruneError(f"{epochs} epochs are none; give 1 or more.")
    if seed < 0:
        raise OnnxPruneError(f"The seed {seed} is negative; give 0 or more.")
    if not (math.isfinite(lr) and lr > 0):
        raise OnnxPruneError(
            f"The learning rate {lr} is not a positive number; give one like 0.001."
        )
    if isinstance(data, Iterator):
        raise OnnxPruneError(
            "The data can be read only once, and training reads them several times; give a list of "
            "batches, or a Calibration."
        )


@dataclass(slots=True)
class _Distillation:
    """Two modules, what they are shown, and the loss.

    Attributes:
        scales: Output -> the variance of the teacher's elements, over all data.
        batches: How many there are.
    """

    student: OnnxModule
    teacher: OnnxModule
    data: Iterable[Batch]
    scales: dict[str, float] = field(default_factory=dict)
    batches: int = 0

    def __post_init__(self) -> None:
        sums: dict[str, npt.NDArray[np.float64]] = {}
        for batch in self.data:
            self.batches += 1
            for name, y in _answers(self.teacher, _apart(batch)[0]).items():
                if y.is_floating_point():
                    wide = y.detach().double()
                    parts = [wide.numel(), wide.sum().item(), wide.square().sum().item()]
                    sums[name] = sums.get(name, np.zeros(3)) + parts
        if not self.batches:
            raise OnnxPruneError("There are no data to train with; give at least one batch.")
        for name, (count, total, square) in sums.items():
            variance = float((square - total * total / count) / count) if count else 0.0
            self.scales[name] = variance if variance > 0 else 1.0
        if not self.scales:
            raise OnnxPruneError("The model gives no floating point output to train by.")

    def measured(self) -> float:
        """The mean loss over all data."""
        with torch.no_grad():
            return math.fsum(self.loss(batch).item() for batch in self.data) / self.batches

    def loss(self, batch: Batch) -> Tensor:
        """How far the student is from the teacher, and from the labels if there are any."""
        feeds, labels = _apart(batch)
        with torch.no_grad():
            wanted = _answers(self.teacher, feeds)
        found = _answers(self.student, feeds)
        parts = []
        for name, scale in self.scales.items():
            x, y = found[name], wanted[name]
            if x.shape != y.shape:
                raise OnnxPruneError(
                    f"The output '{name}' of the pruned model is of shape {tuple(x.shape)} and "
                    f"that of the original {tuple(y.shape)}, so there is nothing to train it by."
                )
            parts.append(F.mse_loss(x, y) / scale)
        loss = torch.stack([part.double() for part in parts]).mean()
        return loss if labels is None else loss + _cross_entropy(found, labels)

    def train(
        self,
        epochs: int,
        lr: float,
        random: np.random.Generator,
        observe: Callable[[int, int, float], object] | None,
    ) -> None:
        """Change the student's parameters, step by step."""
        optimizer = torch.optim.Adam(self.student.parameters(), lr)
        steps, step = epochs * self.batches, 0
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        for _ in range(epochs):
            for batch in _shuffled(self.data, random):
                loss = self.loss(batch)
                if not loss.requires_grad:
                    raise OnnxPruneError("No floating point output depends on a trained weight.")
                optimizer.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                schedule.step()
                step += 1
                if not math.isfinite(loss.item()):
                    raise OnnxPruneError(
                        f"The loss is not finite at step {step} of {steps}; try a smaller learning "
                        f"rate (now {lr:g})."
                    )
                if observe is not None:
                    observe(step, steps, loss.item())


def _answers(module: nn.Module, feeds: Feeds) -> Mapping[str, Tensor]:
    """What a module answers; data that do not fit are its user's mistake."""
    try:
        return module(feeds)  # type: ignore[no-any-return]
    except (OnnxPruneError, MemoryError):
        raise
    except Exception as error:
        raise OnnxPruneError(
            f"The model does not run with the data: {first_line(error)}."
        ) from error


def _cross_entropy(found: Mapping[str, Tensor], labels: npt.NDArray[np.generic]) -> Tensor:
    """The cross entropy of the first output, (n, classes)."""
    name, logits = next(iter(found.items()))
    whole = labels.ndim == 1 and np.issubdtype(labels.dtype, np.integer)
    if not whole or logits.ndim != 2 or len(logits) != len(labels):
        raise OnnxPruneError(
            f"Labels are integers (n,) for an output (n, classes); they are {labels.dtype} "
            f"{labels.shape}, and the output '{name}' is of shape {tuple(logits.shape)}."
        )
    if labels.min(initial=0) < 0 or labels.max(initial=0) >= logits.shape[1]:
        raise OnnxPruneError(
            f"The labels reach from {labels.min()} to {labels.max()}, and the output '{name}' has "
            f"the classes 0 to {logits.shape[1] - 1}."
        )
    return F.cross_entropy(logits, torch.from_numpy(labels.astype(np.int64)))


def _apart(batch: Batch) -> tuple[Feeds, npt.NDArray[np.generic] | None]:
    """The inputs and the labels of a batch."""
    feeds, labels = batch if isinstance(batch, tuple) and len(batch) == 2 else (batch, None)
    if not isinstance(feeds, dict):
        raise OnnxPruneError(
            f"A batch is a dict of arrays, one for each input, or a pair of that and labels, not a "
            f"{type(batch).__name__}."
        )
    return feeds, None if labels is None else np.asarray(labels)


def _shuffled(data: Iterable[Batch], random: np.random.Generator) -> Iterator[Batch]:
    """The data in a random order, as far as memory allows."""
    pool: list[Feeds] = []
    size = 0
    for batch in data:
        feeds, labels = _apart(batch)
        pool.append(feeds if labels is None else {**feeds, _LABELS: labels})
        size += sum(array.nbytes for array in pool[-1].values())
        if size >= _POOL:
            yield from _mixed(pool, random)
            pool, size = [], 0
    yield from _mixed(pool, random)


def _mixed(pool: list[Feeds], random: np.random.Generator) -> Iterator[Batch]:
    """Batches of samples of all batches; where these differ in shape, batches in another order."""
    forms = {(name, a.dtype, a.shape[1:]) for arrays in pool for name, a in arrays.items()}
    rows = [{len(a) if a.ndim else 0 for a in arrays.values()} for arrays in pool]
    if len(forms) == len(pool[0] if pool else ()) and all(len(n) == 1 and n != {0} for n in rows):
        places = [(i, j) for i, n in enumerate(rows) for j in range(max(n))]
        order = [places[k] for k in random.permutation(len(places))]
        step = max((max(n) for n in rows), default=1)
        for start in range(0, len(order), step):
            chosen = order[start : start + step]
            yield _paired({n: np.stack([pool[i][n][j] for i, j in chosen]) for n in pool[0]})
    else:
        for i in random.permutation(len(pool)):
            yield _paired(pool[i])


def _paired(arrays: Feeds) -> Batch:
    if _LABELS not in arrays:
        return arrays
    return {n: a for n, a in arrays.items() if n != _LABELS}, arrays[_LABELS]
