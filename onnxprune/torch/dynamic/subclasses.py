"""Dynamic operators of classes that derive from torch's layers, such as a norm of its own axis."""

from __future__ import annotations

from typing import cast

from torch import Tensor, nn
from torch.nn.utils import parametrize

from onnxprune.torch.dynamic.cuts import Cut
from onnxprune.torch.dynamic.op import DYNAMIC_OPS, DynamicOp

__all__ = ["Subclassed", "dynamic_class"]

_MADE: dict[type[nn.Module], type[DynamicOp]] = {}


class Subclassed(DynamicOp):
    """The forward is the subclass's own, which may have the channels on another axis."""

    def gather(self, x: Tensor, axis: int, name: str, cut: Cut) -> Tensor:
        """What the layer uses of an input; see `DynamicOp.gather`."""
        return super().gather(x, self._axis(x, axis, name), name, cut)

    def scatter(self, y: Tensor, axis: int, name: str, cut: Cut) -> Tensor:
        """An output, as wide as its container says; see `DynamicOp.scatter`."""
        kept = int(cut.kept[name].sum())
        there = [a for a in (axis, 1) if -y.ndim <= a < y.ndim and y.shape[a] == kept]
        return super().scatter(y, there[0] if there else axis, name, cut)

    def _axis(self, x: Tensor, axis: int, name: str) -> int:
        """The plain layer's axis, or 1 if only that one has as many entries as are there."""
        wide = int(self.width(name).sum())
        there = [a for a in (axis, 1) if -x.ndim <= a < x.ndim and x.shape[a] == wide]
        return there[0] if there else axis


def dynamic_class(module: nn.Module) -> type[DynamicOp] | None:
    """The dynamic operator of a layer, None if it has none.

    A class that derives from a layer of torch has one too, unless it has tensors or submodules of
    its own, or parametrized ones.

    Args:
        module: A layer that is not dynamic.
    """
    cls = type(module)
    if cls in DYNAMIC_OPS or cls in _MADE:
        return DYNAMIC_OPS.get(cls) or _MADE[cls]
    base = next((base for base in cls.__mro__ if base in DYNAMIC_OPS), None)
    if base is None or module._modules or parametrize.is_parametrized(module):
        return None
    parent = DYNAMIC_OPS[base]
    made = cast("type[DynamicOp]", type(f"Dynamic{cls.__name__}", (Subclassed, parent, cls), {}))
    made.plain = cls
    known = {name for name, _ in made.convert_from(module).sites(grouped=False)}
    if not {*module._parameters, *module._buffers} <= known | {"num_batches_tracked"}:
        return None
    return _MADE.setdefault(cls, made)
