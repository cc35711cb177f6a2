"""Recurrent layers."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence

from onnxprune.errors import RefusedError
from onnxprune.torch.dynamic.container import Ids, MutableChannelContainer
from onnxprune.torch.dynamic.cuts import Cut, Pick, Take, take, where
from onnxprune.torch.dynamic.op import DynamicOp, Sites, dynamic_op, straight
from onnxprune.units.mutable import BaseMutableChannel

__all__ = ["DynamicGRU", "DynamicLSTM", "DynamicRNN"]


class _Recurrent(DynamicOp):
    """All layers, both directions and all gates share the channels of the hidden state."""

    input_attr = "input_size"
    output_attr = "hidden_size"
    input_size: int
    hidden_size: int
    proj_size: int
    bidirectional: bool
    _flat_weights_names: list[str]
    _flat_weights: list[Tensor | None]

    def widths(self) -> Mapping[str, int]:
        """The input and the hidden state."""
        return {"input_size": self.input_size, "hidden_size": self.hidden_size}

    def sites(self, grouped: bool) -> Sites:
        """Rows are gates of channels; columns are inputs, or the hidden state of each direction."""
        if self.proj_size:
            first = [name for name in self._flat_weights_names if "weight_ih_l0" in name]
            return {(name, 1): {"input_size": straight(self.input_size)} for name in first}
        sites: dict[tuple[str, int], dict[str, Ids]] = {}
        for name in self._flat_weights_names:
            for axis, size in enumerate(self._parameter(name).shape):
                if _of_input(name, axis):
                    sites[name, axis] = {"input_size": straight(size)}
                else:
                    sites[name, axis] = {"hidden_size": straight(size) % self.hidden_size}
        return sites

    def routes(
        self,
        parameter: str,
        axis: int,
        mutable: BaseMutableChannel,
        positions: Any,
        grouped: bool = False,
    ) -> list[tuple[MutableChannelContainer, Ids]]:
        """Which indices of which containers a mutable channel owns; see `register`.

        Args:
            parameter: The name of a parameter of the layer.
            axis: An axis of it.
            mutable: The mutable channel.
            positions: (mutable.num_channels, repeats) the indices of that axis that it owns.
            grouped: Of no meaning here.

        Raises:
            RefusedError: If they are channels of a hidden state that is projected.
            ChoiceError: If the axis holds no channels, or the positions do not fit.
        """
        if self.proj_size and parameter in self._parameters and not _of_input(parameter, axis):
            raise RefusedError(self._why())
        return super().routes(parameter, axis, mutable, positions, grouped)

    def cut(self) -> Cut:
        """The layer of the inputs and hidden channels that are left.

        Raises:
            ChoiceError: If there are none.
            RefusedError: If hidden channels are removed that are projected.
        """
        kept = {name: self.mask(name) for name in ("input_size", "hidden_size")}
        if self.proj_size and not kept["hidden_size"].all():
            raise RefusedError(self._why())
        picks: dict[str, Pick] = {}
        for name in self._flat_weights_names:
            picks[name] = {
                axis: where(kept["input_size"])
                if _of_input(name, axis)
                else where(np.tile(kept["hidden_size"], size // self.hidden_size))
                for axis, size in enumerate(self._parameter(name).shape)
                if not self.proj_size or _of_input(name, axis)
            }
        return Cut(
            kept=kept,
            attributes={name: int(mask.sum()) for name, mask in kept.items()},
            picks=picks,
        )

    def shell(self, cut: Cut, cut_with: Take = take) -> nn.Module:
        """The plain layer without the removed channels.

        Args:
            cut: What it is.
            cut_with: How slices of tensors are taken.
        """
        shell = super().shell(cut, cut_with)
        weights = [shell._parameters.get(name) for name in self._flat_weights_names]
        shell.__dict__["_flat_weights"] = weights
        shell.__dict__["_flat_weight_refs"] = [w if w is None else weakref.ref(w) for w in weights]
        return shell

    @classmethod
    def convert_from(cls, module: nn.Module) -> DynamicOp:
        """The dynamic operator of a plain layer: the same parameters, hooks and attributes.

        Args:
            module: The plain layer, which stays as it is.

        Raises:
            ChoiceError: If it is of another class; a subclass of the plain class is.
        """
        op = super().convert_from(module)
        op.__dict__["_flat_weights"] = list(op.__dict__["_flat_weights"])
        return op

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """See the plain layer: (input, hidden state) -> (output, hidden state).

        Raises:
            OnnxPruneError: If an input has another width, or nothing is left.
        """
        if self.is_whole:
            return self.plain.forward(self, *args, **kwargs)
        return self._sliced(*args, **kwargs)

    def _sliced(self, input: Tensor | PackedSequence, hx: Any = None) -> tuple[Any, Any]:
        cut = self.cut()
        if isinstance(input, PackedSequence):
            input = input._replace(data=self.gather(input.data, -1, "input_size", cut))
        else:
            input = self.gather(input, -1, "input_size", cut)
        if isinstance(hx, tuple):
            hx = tuple(self._given(h, cut) for h in hx)
        elif hx is not None:
            hx = self._given(hx, cut)
        y, hidden = self.shell(cut).forward(input, hx)
        if isinstance(hidden, tuple):
            hidden = tuple(self._wide(h, 1, cut) for h in hidden)
        else:
            hidden = self._wide(hidden, 1, cut)
        directions = 2 if self.bidirectional else 1
        if isinstance(y, PackedSequence):
            return y._replace(data=self._wide(y.data, directions, cut)), hidden
        return self._wide(y, directions, cut), hidden

    def _given(self, hidden: Tensor, cut: Cut) -> Tensor:
        """The kept channels of a hidden state."""
        return hidden if self.proj_size else self.gather(hidden, -1, "hidden_size", cut)

    def _wide(self, y: Tensor, directions: int, cut: Cut) -> Tensor:
        """Hidden channels of each direction, as wide as their container says."""
        if self.proj_size:
            return y
        y = y.reshape(*y.shape[:-1], directions, -1)
        return self.scatter(y, -1, "hidden_size", cut).flatten(-2)

    def _parameter(self, name: str) -> Tensor:
        found = self._parameters[name]
        assert found is not None
        return found

    def _why(self) -> str:
        return (
            f"The hidden channels of a {type(self).__name__} with proj_size are projected; they "
            "stay whole."
        )


def _of_input(name: str, axis: int) -> bool:
    """Whether an axis of a parameter holds the channels of the layer's input."""
    return axis == 1 and name in ("weight_ih_l0", "weight_ih_l0_reverse")


@dynamic_op(nn.RNN)
class DynamicRNN(_Recurrent, nn.RNN):
    """An Elman network."""


@dynamic_op(nn.LSTM)
class DynamicLSTM(_Recurrent, nn.LSTM):
    """A long short-term memory; with `proj_size` only its inputs can be removed."""


@dynamic_op(nn.GRU)
class DynamicGRU(_Recurrent, nn.GRU):
    """Gated recurrent units."""
