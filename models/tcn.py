"""Temporal convolutional network (https://arxiv.org/abs/1803.01271)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm


class Chomp(nn.Module):
    """Cuts the end off, so that padding on both sides becomes padding on the left."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, t - size) from (n, c, t)."""
        return x[:, :, : -self.size]


class Block(nn.Module):
    """Two causal dilated convolutions with normalised weights, and a shortcut."""

    def __init__(self, inputs: int, outputs: int, kernel: int, dilation: int) -> None:
        super().__init__()
        padding = (kernel - 1) * dilation
        layers: list[nn.Module] = []
        for width in (inputs, outputs):
            conv = nn.Conv1d(width, outputs, kernel, padding=padding, dilation=dilation)
            layers += [weight_norm(conv), Chomp(padding), nn.ReLU(), nn.Dropout(0.2)]
        self.branch = nn.Sequential(*layers)
        self.shortcut = nn.Identity() if inputs == outputs else nn.Conv1d(inputs, outputs, 1)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(n, outputs, t) from (n, inputs, t)."""
        return self.relu(self.branch(x) + self.shortcut(x))


class TCN(nn.Module):
    """Blocks of growing dilation; the last step answers.

    Args:
        inputs: Values of a step.
        widths: Channels of each block.
        classes: Classes of a sequence.
    """

    def __init__(self, inputs: int, widths: Sequence[int], classes: int) -> None:
        super().__init__()
        pairs = zip([inputs, *widths], widths, strict=False)
        self.blocks = nn.Sequential(*(Block(a, b, 7, 2**i) for i, (a, b) in enumerate(pairs)))
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, sequence: Tensor) -> Tensor:
        """Logits (n, classes) of the sequences (n, inputs, t)."""
        return self.classifier(self.blocks(sequence)[:, :, -1])


def tcn() -> TCN:
    """Six blocks that see 757 steps back."""
    return TCN(2, (64, 64, 128, 128, 128, 128), classes=10)
