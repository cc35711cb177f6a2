"""WaveNet (https://arxiv.org/abs/1609.03499): dilated causal convolutions, gates, skips."""

from __future__ import annotations

from torch import Tensor, nn

DILATIONS = (1, 2, 4, 8, 16, 32)
STACKS = 3


class Layer(nn.Module):
    """A causal dilated convolution of two taps, a gate, and what goes on and what goes out."""

    def __init__(self, width: int, skip: int, dilation: int) -> None:
        super().__init__()
        self.pad = nn.ConstantPad1d((dilation, 0), 0.0)
        self.conv = nn.Conv1d(width, 2 * width, 2, dilation=dilation)
        self.residual = nn.Conv1d(width, width, 1)
        self.skip = nn.Conv1d(width, skip, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The next layer's input (n, width, t) and this layer's skip (n, skip, t)."""
        signal, gate = self.conv(self.pad(x)).chunk(2, 1)
        y = signal.tanh() * gate.sigmoid()
        return x + self.residual(y), self.skip(y)


class WaveNet(nn.Module):
    """Three stacks of six layers; their skips are summed and answered by two 1x1 convolutions.

    Args:
        width: Channels of the residual stream.
        skip: Channels of the skips.
        levels: Values of a sample after mu-law companding.
    """

    def __init__(self, width: int, skip: int, levels: int = 256) -> None:
        super().__init__()
        self.stem = nn.Conv1d(1, width, 1)
        self.layers = nn.ModuleList(
            Layer(width, skip, dilation) for _ in range(STACKS) for dilation in DILATIONS
        )
        self.head = nn.Sequential(
            nn.ReLU(),
            nn.Conv1d(skip, skip, 1),
            nn.ReLU(),
            nn.Conv1d(skip, levels, 1),
        )

    def forward(self, samples: Tensor) -> Tensor:
        """Logits (n, levels, t) of each next sample, of the samples (n, 1, t)."""
        x = self.stem(samples)
        x, total = self.layers[0](x)
        for layer in self.layers[1:]:
            x, skip = layer(x)
            total = total + skip
        return self.head(total)


def wavenet() -> WaveNet:
    """WaveNet of 64 residual and 256 skip channels."""
    return WaveNet(64, 256)
