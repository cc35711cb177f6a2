"""A ResNet-18 of any width (https://arxiv.org/abs/1512.03385) that gives its maps, not logits."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from models.resnet import BasicBlock


class Backbone(nn.Module):
    """A 7x7 stem and four stages of two residual blocks.

    Args:
        width: Channels of the first stage; each later one has twice as many.
        dilations: Of the 3x3 convolutions, for each stage. A dilated stage does not stride
            (https://arxiv.org/abs/1606.00915).
    """

    def __init__(self, width: int, dilations: Sequence[int] = (1, 1, 1, 1)) -> None:
        super().__init__()
        self.widths = tuple(width * 2**stage for stage in range(4))
        self.stem = nn.Sequential(
            nn.Conv2d(3, width, 7, 2, padding=3, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, padding=1),
        )
        stages, inputs = [], width
        for stage, (outputs, dilation) in enumerate(zip(self.widths, dilations, strict=True)):
            stride = 2 if stage > 0 and dilation == 1 else 1
            blocks = BasicBlock(inputs, outputs, stride), BasicBlock(outputs, outputs, 1)
            stages.append(nn.Sequential(*blocks))
            dilate(stages[-1], dilation)
            inputs = outputs
        self.stages = nn.ModuleList(stages)

    def forward(self, image: Tensor) -> list[Tensor]:
        """The maps (n, c, h, w) of the four stages, finest first, of the images (n, 3, h, w)."""
        maps = [self.stem(image)]
        for stage in self.stages:
            maps.append(stage(maps[-1]))
        return maps[1:]


def dilate(module: nn.Module, dilation: int) -> None:
    """Spread the taps of every 3x3 convolution in place; the sizes stay."""
    for conv in module.modules():
        if isinstance(conv, nn.Conv2d) and conv.kernel_size == (3, 3):
            conv.dilation = conv.padding = (dilation, dilation)


def conv_bn_relu(
    inputs: int, outputs: int, kernel: int = 1, stride: int = 1, dilation: int = 1
) -> nn.Sequential:
    """Convolution that keeps the size (but for its stride), batch norm, ReLU."""
    padding = dilation * (kernel // 2)
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, padding, dilation, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )
