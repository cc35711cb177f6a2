"""The encoder of the Vision Transformer (https://arxiv.org/abs/2010.11929) after a small stem."""

from __future__ import annotations

from torch import Tensor, nn


class SelfAttention(nn.Module):
    """Softmax attention of every token to every token; queries, keys and values apart."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.head_size = width // heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        """The tokens (n, t, width), each a mixture of all."""
        query = self.split(self.query(x) * self.head_size**-0.5)
        scores = query @ self.split(self.key(x)).transpose(2, 3)
        mixed = scores.softmax(3) @ self.split(self.value(x))
        return self.out(mixed.transpose(1, 2).flatten(2))

    def split(self, x: Tensor) -> Tensor:
        """(n, t, heads * size) as (n, heads, t, size)."""
        return x.unflatten(2, (self.heads, self.head_size)).transpose(1, 2)


class EncoderBlock(nn.Module):
    """Attention and two linear layers with GELU, each after a norm and beside a shortcut."""

    def __init__(self, width: int, heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = SelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, hidden)
        self.gelu = nn.GELU()
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """The tokens (n, t, width) after both steps."""
        x = x + self.attention(self.norm1(x))
        return x + self.fc2(self.gelu(self.fc1(self.norm2(x))))


def convolutional_stem(width: int, steps: int = 2) -> nn.Sequential:
    """Strided 3x3 convolutions that halve the image, then 1x1: https://arxiv.org/abs/2106.14881."""
    layers: list[nn.Module] = []
    inputs = 3
    for step in range(steps):
        outputs = width // 2 ** (steps - 1 - step)
        conv = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        layers += [conv, nn.BatchNorm2d(outputs), nn.ReLU()]
        inputs = outputs
    return nn.Sequential(*layers, nn.Conv2d(inputs, width, 1))
