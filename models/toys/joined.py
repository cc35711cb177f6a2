"""Tensors that are added, multiplied or concatenated."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.toys.toy import CLASSES, normed, pooled, toy


@toy("op1[0:8]=op2[0:8]", "op3[0:8]")
class Residual(nn.Module):
    """An identity shortcut ties what one layer reads to what it writes."""

    def __init__(self) -> None:
        super().__init__()
        self.op1, self.bn1 = normed(3, 8)
        self.op2, self.bn2 = normed(8, 8)
        self.op3 = nn.Conv2d(8, 8, 1)
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """The sum of both."""
        x = self.bn1(self.op1(x))
        return self.fc(pooled(self.op3(x + self.bn2(self.op2(x)))))


@toy("conv1[0:8]=conv2[0:8]=conv3[0:8]")
class ChainedAdds(nn.Module):
    """Sums of sums tie everything."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = (nn.Conv2d(3, 8, 3, padding=1) for _ in range(2))
        self.conv3 = nn.Conv2d(8, 8, 3, padding=1)
        self.linear = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Two sums."""
        x = self.conv1(x) + self.conv2(x)
        return self.linear(pooled(x + self.conv3(x)))


@toy("op1[0:8]=op2[0:8]", "op3[0:16]=op4[0:16]")
class Product(nn.Module):
    """A product of two branches feeds two layers that are added."""

    def __init__(self) -> None:
        super().__init__()
        self.op1, self.op2 = (nn.Conv2d(3, 8, 3, padding=1) for _ in range(2))
        self.op3, self.op4 = (nn.Conv2d(8, 16, 3, padding=1) for _ in range(2))
        self.fc = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """An X."""
        x = self.op1(x) * self.op2(x)
        return self.fc(pooled(self.op3(x) + self.op4(x)))


@toy("a[0:16]=b[8:24]", "b[0:8]+b[24:32]", original=())
class PaddedShortcut(nn.Module):
    """A shortcut widened by channels of zeros: ResNet's option A."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 16, 3, padding=1)
        self.b = nn.Conv2d(16, 32, 3, 2, padding=1)
        self.fc = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Every second pixel, eight channels more on either side."""
        x = self.a(x)
        shortcut = F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 8, 8))
        return self.fc(pooled(F.relu(self.b(x) + shortcut)))


@toy("op1[0:8]", "op2[0:8]", "op3[0:8]")
class Concat(nn.Module):
    """Two branches side by side."""

    def __init__(self) -> None:
        super().__init__()
        self.op1, self.bn1 = normed(3, 8)
        self.op2, self.bn2 = normed(3, 8)
        self.op3 = nn.Conv2d(16, 8, 1)
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Join on the channels."""
        x = torch.cat([self.bn1(self.op1(x)), self.bn2(self.op2(x))], 1)
        return self.fc(pooled(self.op3(x)))


@toy("op1[0:8]", "op2[0:8]", "op3[0:8]", "op4[0:8]")
class ConcatBeforeHead(nn.Module):
    """A joined tensor is a branch of the next one, which the linear layer reads."""

    def __init__(self) -> None:
        super().__init__()
        self.op1, self.op2, self.op4 = (nn.Conv2d(3, 8, 1) for _ in range(3))
        self.op3 = nn.Conv2d(16, 8, 1)
        self.fc = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Join twice."""
        y = self.op3(torch.cat([self.op1(x), self.op2(x)], 1))
        return self.fc(pooled(torch.cat([y, self.op4(x)], 1)))


@toy("op1[0:8]", "op2[0:8]", "op3[0:8]", "op4[0:8]")
class NestedConcat(nn.Module):
    """A joined tensor joined with a third."""

    def __init__(self) -> None:
        super().__init__()
        self.op1, self.op2, self.op3 = (nn.Conv2d(3, 8, 1) for _ in range(3))
        self.op4 = nn.Conv2d(24, 8, 1)
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Join the first two, then the third."""
        y = torch.cat([torch.cat([self.op1(x), self.op2(x)], 1), self.op3(x)], 1)
        return self.fc(pooled(self.op4(y)))


@toy("op1[0:2]=op3[0:2]", "op2[0:2]=op3[2:4]", "op2[2:6]=op4[0:4]", "op5[0:16]")
class UnequalConcats(nn.Module):
    """2 + 6 channels added to 4 + 4: the units are cut inside the layers."""

    def __init__(self) -> None:
        super().__init__()
        widths = (2, 6, 4, 4)
        self.op1, self.op2, self.op3, self.op4 = (nn.Conv2d(3, w, 3, padding=1) for w in widths)
        self.op5 = nn.Conv2d(8, 16, 3, padding=1)
        self.fc = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """The sum of two joined tensors."""
        left = torch.cat([self.op1(x), self.op2(x)], 1)
        right = torch.cat([self.op3(x), self.op4(x)], 1)
        return self.fc(pooled(self.op5(left + right)))


@toy("a[0:16]", "b[0:12]", wrong="it takes the two copies of a channel for neighbours")
class ConcatWithItself(nn.Module):
    """A tensor joined with itself."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 16, 3, padding=1)
        self.b = nn.Conv2d(32, 12, 3, padding=1)
        self.fc = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Each channel is read twice."""
        x = self.a(x)
        return self.fc(pooled(self.b(torch.cat([x, x], 1))))


@toy("a[0:16]=d[0:16]", "b[0:12]", original=("b[0:12]",))
class ConcatOverHeight(nn.Module):
    """Two images below each other; MMRazor takes every concatenation for one of channels."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.d = (nn.Conv2d(3, 16, 3, padding=1) for _ in range(2))
        self.b = nn.Conv2d(16, 12, 3, padding=1)
        self.fc = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Join on axis 2."""
        return self.fc(pooled(self.b(torch.cat([self.a(x), self.d(x)], 2))))


class Branches(nn.Module):
    """Four convolutions side by side."""

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.op1, self.op2, self.op3, self.op4 = (
            nn.Conv2d(inputs, width, 3, padding=1) for _ in range(4)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(n, 4 width, h, w)."""
        return torch.cat([self.op1(x), self.op2(x), self.op3(x), self.op4(x)], 1)


@toy(*(f"icps.{i}.op{j}[0:8]" for i in range(2) for j in range(1, 5)), "op[0:8]")
class Inception(nn.Module):
    """Two blocks of four branches."""

    def __init__(self) -> None:
        super().__init__()
        self.icps = nn.Sequential(Branches(3, 8), Branches(32, 8))
        self.op = nn.Conv2d(32, 8, 1)
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """One layer after the blocks."""
        return self.fc(pooled(self.op(self.icps(x))))


@toy("conv[0:8]", "conv2[0:16]")
class PooledGate(nn.Module):
    """A tensor times the sigmoid of its own means."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, 3, padding=1)
        self.linear = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """The gate is (n, c, 1, 1)."""
        x = self.conv(x)
        x = x * torch.sigmoid(F.adaptive_avg_pool2d(x, 1))
        return self.linear(pooled(self.conv2(x)))


@toy("a[0:16]=e[0:16]", "d[0:4]", "b[0:12]")
class SqueezeExcite(nn.Module):
    """A gate of two layers."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 16, 3, padding=1)
        self.d, self.e = nn.Conv2d(16, 4, 1), nn.Conv2d(4, 16, 1)
        self.b = nn.Conv2d(16, 12, 3, padding=1)
        self.fc = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Squeeze, excite, multiply."""
        x = self.a(x)
        gate = self.e(F.relu(self.d(F.adaptive_avg_pool2d(x, 1))))
        return self.fc(pooled(self.b(x * torch.sigmoid(gate))))


@toy("a[0:16]", "b[0:12]", original=("b[0:12]",))
class SpatialGate(nn.Module):
    """A gate with one channel. MMRazor ties all that it multiplies into one."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 16, 3, padding=1)
        self.s = nn.Conv2d(16, 1, 3, padding=1)
        self.b = nn.Conv2d(16, 12, 3, padding=1)
        self.fc = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """The gate is (n, 1, h, w)."""
        x = self.a(x)
        return self.fc(pooled(self.b(x * torch.sigmoid(self.s(x)))))


@toy("c[0:16]", "a[0:24]=g[0:24]", "o[0:12]")
class GatedLinear(nn.Module):
    """Two linear branches are multiplied."""

    def __init__(self) -> None:
        super().__init__()
        self.c = nn.Conv2d(3, 16, 3, padding=1)
        self.a, self.g, self.o = nn.Linear(16, 24), nn.Linear(16, 24), nn.Linear(24, 12)
        self.fc = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """A gated MLP on the means."""
        x = pooled(self.c(x))
        return self.fc(self.o(self.a(x) * torch.sigmoid(self.g(x))))


@toy(
    "stem[0:32]=proj[0:32]",
    "qkv[0:32]/8=qkv[32:64]/8=qkv[64:96]/8",
    "qkv[0:96]%8",
    original=(),
)
class SelfAttention(nn.Module):
    """Heads may go, or the same features of every head.

    One reshape deals out queries, keys and values, so they are a table of (3, heads, features).
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 4, 4)
        self.qkv, self.proj = nn.Linear(32, 96), nn.Linear(32, 32)
        self.linear = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Four heads of eight features."""
        x = self.stem(x).flatten(2).transpose(1, 2)
        n, s, d = x.shape
        q, k, v = self.qkv(x).reshape(n, s, 3, 4, d // 4).permute(2, 0, 3, 1, 4)
        weights = torch.softmax(q @ k.transpose(-2, -1) / (d // 4) ** 0.5, -1)
        x = x + self.proj((weights @ v).transpose(1, 2).reshape(n, s, d))
        return self.linear(x.mean(1))
