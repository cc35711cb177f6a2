"""Convolutions in a row, side by side and in groups."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.toys.toy import CLASSES, Between, normed, pooled, toy


@toy("net.0[0:8]", "net.3[0:16]")
class Chain(nn.Module):
    """Two convolutions in a row; the batch size is read from the tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(*normed(3, 8, 3), nn.ReLU(), *normed(8, 16, 3), nn.ReLU())
        self.linear = nn.Linear(16, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Pool and reshape before the head."""
        x = F.adaptive_avg_pool2d(self.net(x), 1)
        return self.linear(x.reshape([x.shape[0], -1]))


@toy("a[0:16]", "b[0:12]", original=(), input_size=(3, 20))
class Signal(nn.Module):
    """Convolutions over one axis."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Conv1d(3, 16, 3, padding=1), nn.Conv1d(16, 12, 3, padding=1)
        self.fc = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """The mean over the signal."""
        return self.fc(F.relu(self.b(F.relu(self.a(x)))).mean(2))


@toy("net.0[0:48]=net.3[0:48]")
class Depthwise(nn.Module):
    """A depthwise convolution hands its channels through."""

    def __init__(self) -> None:
        super().__init__()
        first, second = normed(3, 48, 3), normed(48, 48, 3, groups=48)
        self.net = nn.Sequential(*first, nn.ReLU(), *second, nn.ReLU())
        self.linear = nn.Linear(48, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """One layer before it."""
        return self.linear(pooled(self.net(x)))


@toy(
    *("a[0:8]=d[0:16]/2", "d[0:16]", "b[0:12]"),
    original=("d[0:16]%2", "b[0:12]"),
)
class DepthwiseMultiplier(nn.Module):
    """Two filters for every channel: channels may go, or one of the two filters of each.

    MMRazor removes the same of the two everywhere, and never a channel.
    """

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.d = nn.Conv2d(8, 16, 3, padding=1, groups=8)
        self.b = nn.Conv2d(16, 12, 3, padding=1)
        self.fc = nn.Linear(12, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """The depthwise layer in the middle."""
        return self.fc(pooled(self.b(self.d(self.a(x)))))


@toy(
    *("op1[0:8]/4=op2[0:16]/8", "op1[0:8]", "op2[0:16]", "op3[0:32]"),
    original=("op1[0:8]%4", "op2[0:16]%8", "op3[0:32]"),
)
class Grouped(nn.Module):
    """Two groups: whole ones may go, or equally many channels of each.

    MMRazor removes the same positions of each group.
    """

    def __init__(self) -> None:
        super().__init__()
        self.op1, self.bn1 = normed(3, 8, 3)
        self.op2, self.bn2 = normed(8, 16, 3, groups=2)
        self.op3 = nn.Conv2d(16, 32, 3, padding=1)
        self.fc = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """The grouped layer in the middle."""
        x = self.bn2(self.op2(self.bn1(self.op1(x))))
        return self.fc(pooled(self.op3(x)))


@toy("a[0:16]", "t[0:8]", "b[0:12]", original=("b[0:12]",))
class Transposed(Between):
    """A transposed convolution, whose weight has its axes the other way round."""

    def __init__(self) -> None:
        super().__init__(8)
        self.t = nn.ConvTranspose2d(16, 8, 2, 2)

    def between(self, x: Tensor) -> Tensor:
        """Twice the size."""
        return F.relu(self.t(x))


@toy(
    "conv0[0:8]=conv1[0:8]=conv2[0:8]=conv3[0:8]",
    "shared[0:16]",
    "last[0:32]",
    wrong="its backward tracer sees one use of the shared layer",
)
class SharedConvolution(nn.Module):
    """Four stems go through one convolution; its four results are joined."""

    def __init__(self) -> None:
        super().__init__()
        self.conv0, self.conv1, self.conv2, self.conv3 = (
            nn.Conv2d(3, 8, 3, padding=1) for _ in range(4)
        )
        self.shared = nn.Conv2d(8, 16, 3, padding=1)
        self.last = nn.Conv2d(64, 32, 3, padding=1)
        self.linear = nn.Linear(32, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """One layer, four times."""
        stems = (self.conv0, self.conv1, self.conv2, self.conv3)
        x = torch.cat([self.shared(stem(x)) for stem in stems], 1)
        return self.linear(pooled(self.last(x)))


@toy("net.0[0:8]", "net.3[0:16]")
class FlattenedImage(nn.Module):
    """Every channel becomes four neighbouring features of the linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(*normed(3, 8, 3), nn.ReLU(), *normed(8, 16, 3), nn.ReLU())
        self.linear = nn.Linear(64, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Pool to 2x2."""
        x = F.adaptive_avg_pool2d(self.net(x), 2)
        return self.linear(x.reshape([x.shape[0], -1]))


@toy("a[0:6]", wrong="it takes the features of a channel for neighbours, and they are six apart")
class FlattenedChannelsLast(nn.Module):
    """Every channel becomes features that lie apart."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 6, 3, padding=1)
        self.fc = nn.Linear(24, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        """Pool to 2x2, channels last."""
        return self.fc(F.adaptive_avg_pool2d(self.a(x), 2).permute(0, 2, 3, 1).flatten(1))


@toy("a[0:16]", "b[0:12]", original=())
class ReflectPadding(Between):
    """A convolution that mirrors the border; MMRazor gives up on the whole model."""

    def __init__(self) -> None:
        super().__init__()
        self.b = nn.Conv2d(16, 12, 3, padding=1, padding_mode="reflect")


@toy("a[0:16]", "b[0:12]", original=("b[0:12]",))
class Slopes(Between):
    """An activation with a slope for every channel."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.PReLU(16)

    def between(self, x: Tensor) -> Tensor:
        """PReLU."""
        return self.slope(x)


@toy("a[0:16]", "b[0:12]", original=("b[0:12]",))
class ChannelConstant(Between):
    """A parameter that no layer owns is added to every channel."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(1, 16, 1, 1))

    def between(self, x: Tensor) -> Tensor:
        """Add."""
        return F.relu(x + self.shift)


@toy("a[0:16]/4", "a[0:16]%4", "b[0:12]", original=("b[0:12]",))
class GroupNorm(Between):
    """Statistics over four groups: whole groups may go, or the same positions of each.

    Torch writes it as an InstanceNormalization over the merged channels and pixels of a group.
    """

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(4, 16)

    def between(self, x: Tensor) -> Tensor:
        """Normalise."""
        return F.relu(self.norm(x))


@toy("a[0:16]", "c[0:16]", "b[0:12]", original=("c[0:16]", "b[0:12]"))
class LayerNorm(Between):
    """A statistic over the channels is one over those that are left."""

    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(16)
        self.c = nn.Linear(16, 16)

    def between(self, x: Tensor) -> Tensor:
        """With the channels last."""
        return self.c(self.norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2).contiguous()
