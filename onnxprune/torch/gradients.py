"""Gradients of a graph's weights, sample by sample, in the torch interpreter.

No labels are needed. The loss is one of

* ``squares``: half the sum of squares of all outputs, for outputs of any kind; how far the answer
  is from nothing (Aljundi et al., Memory Aware Synapses, ECCV 2018).
* ``classes``: the negative log-likelihood of classes that are drawn from what the model itself
  answers, the outputs being logits with the classes on axis 1. Its squared gradients are the true
  Fisher information, where labels from elsewhere would give the so-called empirical one (Kunstner
  et al., NeurIPS 2019). Its mean gradient tends to zero, so it is for ``fisher`` and its kin, not
  for ``taylor``.
* or any function from the outputs by name to a loss.

A divergence of the output from itself would have no gradient at all.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import onnx_ir as ir
import torch
from torch import Tensor

from onnxprune.calibration import Calibration
from onnxprune.errors import OnnxPruneError
from onnxprune.graph import Graph
from onnxprune.importance import Coupled, Gradients
from onnxprune.importance.gradient import GRADIENTS
from onnxprune.runtime import Feeds, first_line
from onnxprune.torch.interpreter import Interpreter
from onnxprune.torch.masked import Masked
from onnxprune.torch.tensors import to_numpy
from onnxprune.units import Channel, MutableChannelUnit, Units
from onnxprune.units.magnitude import multiplying

__all__ = ["LOSSES", "Loss", "gradients"]

Loss = Callable[[Mapping[str, Tensor]], Tensor]


def _squares(outputs: Mapping[str, Tensor]) -> Tensor:
    return torch.stack([output.square().sum() for output in outputs.values()]).sum() / 2


def _classes(outputs: Mapping[str, Tensor]) -> Tensor:
    losses = []
    for output in outputs.values():
        if output.ndim < 2:
            raise OnnxPruneError(
                "The loss 'classes' needs outputs with classes on axis 1; take 'squares'."
            )
        logs = output.movedim(1, -1).flatten(0, -2).log_softmax(-1)
        drawn = torch.multinomial(logs.detach().exp(), 1)
        losses.append(-logs.gather(1, drawn).sum())
    return torch.stack(losses).sum()


LOSSES: Mapping[str, Loss] = {"squares": _squares, "classes": _classes}


@GRADIENTS.register("torch")
def gradients(
    units: Units, calibration: Calibration, loss: str | Loss = "squares", seed: int = 0
) -> Gradients:
    """Measure the gradients of the weights in which units stand.

    Every sample has a backward pass of its own. Inputs whose first size is static cannot be taken
    apart; then a whole batch counts as one sample.

    Args:
        units: All units of a model.
        calibration: The inputs.
        loss: What is differentiated: ``squares``, ``classes``, or a function from the outputs
            (those that are floating point numbers), by name, to a scalar.
        seed: Decides what is drawn for ``classes``.

    Returns:
        The gradients.

    Raises:
        OnnxPruneError: If there is no such loss, there are no inputs, an operator cannot be run in
            torch, or nothing that is differentiable lies between the weights and the outputs.
    """
    if isinstance(loss, str) and loss not in LOSSES:
        raise OnnxPruneError(f"There is no loss '{loss}'; there are: {', '.join(sorted(LOSSES))}.")
    measure = _Measure(units, LOSSES[loss] if isinstance(loss, str) else loss)
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        for feeds in calibration:
            for sample in _samples(units.graph, feeds):
                measure.add(sample)
    return measure.result()


class _Measure:
    """Sums over samples."""

    def __init__(self, units: Units, loss: Loss) -> None:
        self._source = units.graph.source
        self._loss = loss
        self._interpreter = Interpreter(units.graph.model)
        parameters = self._interpreter.parameters
        self._weights = {
            name: parameters[name].requires_grad_()
            for name, value in units.graph.initializers.items()
            if name in parameters and parameters[name].is_floating_point()
            if any(units.labels.living(value)) and not _is_statistic(value)
        }
        self._consumers = {unit.name: _consumers(unit, self._weights) for unit in units.mutable}
        self._samples = 0
        self._mean = {name: torch.zeros_like(w) for name, w in self._weights.items()}
        self._squared = {name: torch.zeros_like(w) for name, w in self._weights.items()}
        self._alone: dict[str, Tensor] = {}
        self._together: dict[str, Tensor] = {}

    def _run(self, feeds: Feeds) -> Mapping[str, Masked]:
        """What the model answers; inputs that do not fit are its user's mistake."""
        try:
            return self._interpreter.run(feeds)
        except (OnnxPruneError, MemoryError):
            raise
        except Exception as error:
            raise OnnxPruneError(
                f"{self._source}: it does not run with these inputs: {first_line(error)}"
            ) from error

    def add(self, feeds: Feeds) -> None:
        """Differentiate the loss of one sample."""
        outputs = {
            name: output.value
            for name, output in self._run(feeds).items()
            if output.value.is_floating_point()
        }
        found = self._loss(outputs) if outputs else torch.zeros(())
        if not found.requires_grad:
            raise OnnxPruneError(
                f"{self._source}: no output depends on the weights in a way that can be "
                f"differentiated; take an importance without gradients."
            )
        grads = torch.autograd.grad(found, list(self._weights.values()), allow_unused=True)
        self._samples += 1
        products: dict[str, Tensor] = {}
        with torch.no_grad():
            for (name, weight), grad in zip(self._weights.items(), grads, strict=True):
                if grad is None:
                    products[name] = torch.zeros_like(weight)
                    continue
                self._mean[name] += grad
                self._squared[name] += grad.square()
                products[name] = grad * weight
            for unit, consumers in self._consumers.items():
                if consumers:
                    effects = torch.stack([_sums(c, products) for c in consumers])
                    self._alone[unit] = self._alone.get(unit, 0) + effects.square()
                    self._together[unit] = self._together.get(unit, 0) + effects.sum(0).square()

    def result(self) -> Gradients:
        """The means."""
        n = self._samples
        if not n:
            raise OnnxPruneError("There are no inputs to measure gradients with.")
        return Gradients(
            samples=n,
            mean={name: to_numpy(total / n) for name, total in self._mean.items()},
            squared={name: to_numpy(total / n) for name, total in self._squared.items()},
            units={
                unit: Coupled(to_numpy(alone / n), to_numpy(self._together[unit] / n))
                for unit, alone in self._alone.items()
            },
        )


def _is_statistic(value: ir.Value) -> bool:
    """Whether this is a mean or a variance that was seen in training; torch has no gradient."""
    return any(node.op_type == "BatchNormalization" and i > 2 for node, i in value.uses())


def _consumers(unit: MutableChannelUnit, known: Mapping[str, Tensor]) -> list[Channel]:
    """The weights through which the unit's channels take effect: those that consume them."""
    for channels in (multiplying(unit.input_related), unit.input_related, unit.output_related):
        found = {
            (channel.tensor.name, channel.axis, channel.positions.tobytes()): channel
            for channel in channels
            if channel.tensor.name in known
        }
        if found:  # a weight that several nodes read is one
            return list(found.values())
    return []


def _sums(channel: Channel, products: Mapping[str, Tensor]) -> Tensor:
    """(num_channels,) the sum of all that each channel owns of a tensor, in float64."""
    product = products[str(channel.tensor.name)].double()
    if channel.blocks is None:
        sums = product.movedim(channel.axis, 0).reshape(product.shape[channel.axis], -1).sum(1)
    else:
        groups, places = channel.blocks.atoms.shape
        order = torch.from_numpy(np.argsort(channel.blocks.group, kind="stable"))
        pairs = product.reshape(*product.shape[:2], -1).sum(2)[order]
        sums = pairs.reshape(groups, -1, places).sum(1).reshape(-1)
    return sums[torch.from_numpy(channel.positions)].sum(1)


def _samples(graph: Graph, feeds: Feeds) -> Iterator[Feeds]:
    """The samples of a batch, one by one."""
    batched = [name for name in _batched(graph) if name in feeds]
    sizes = {len(feeds[name]) for name in batched}
    if len(sizes) != 1:
        yield feeds
        return
    for i in range(sizes.pop()):
        yield {k: feed[i : i + 1] if k in batched else feed for k, feed in feeds.items()}


def _batched(graph: Graph) -> Sequence[str]:
    """The inputs that take any number of samples."""
    shapes = {str(value.name): graph.shape(value) for value in graph.inputs}
    return [name for name, shape in shapes.items() if shape and shape[0].dynamic]
