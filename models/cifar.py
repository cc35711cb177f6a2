"""Networks for the 32 x 32 colour images of CIFAR-10.

ResNets as in https://arxiv.org/abs/1512.03385, 4.2; a vision transformer that is small enough to
be trained from nothing, after https://arxiv.org/abs/2104.05704.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from models.resnet import BasicBlock
from models.vit import EncoderBlock, convolutional_stem

# of the 50,000 training images, scaled to 0..1
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)


class CifarResNet(nn.Module):
    """A 3x3 stem, three stages of basic blocks (16, 32 and 64 channels), pool, one linear layer.

    Shortcuts are projected where the shape changes, so all channels of a stage are coupled. The
    input is float32 in 0..1, shaped (batch, 3, 32, 32); the network normalises it itself.
    """

    def __init__(self, blocks: int, width: int = 16, classes: int = 10) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).reshape(1, 3, 1, 1))
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.relu = nn.ReLU()
        inputs = width
        for stage in range(3):
            layers: list[BasicBlock] = []
            for index in range(blocks):
                stride = 2 if stage > 0 and index == 0 else 1
                layers.append(BasicBlock(inputs, width * 2**stage, stride))
                inputs = layers[-1].outputs
            setattr(self, f"layer{stage + 1}", nn.Sequential(*layers))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(inputs, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (n, classes) of the images (n, 3, 32, 32) in 0..1."""
        x = self.relu(self.bn1(self.conv1((image - self.mean) / self.std)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.fc(self.avgpool(x).flatten(1))


class CifarViT(nn.Module):
    """A convolutional stem to 8 x 8 tokens, encoder blocks, the mean of the tokens, one layer.

    The input is float32 in 0..1, shaped (batch, 3, 32, 32); the network normalises it itself.
    """

    def __init__(self, depth: int, width: int, heads: int, hidden: int, classes: int = 10) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN).reshape(1, 3, 1, 1))
        self.register_buffer("std", torch.tensor(STD).reshape(1, 3, 1, 1))
        self.stem = convolutional_stem(width)
        self.positions = nn.Parameter(nn.init.trunc_normal_(torch.empty(1, 64, width), std=0.02))
        self.blocks = nn.Sequential(*(EncoderBlock(width, heads, hidden) for _ in range(depth)))
        self.norm = nn.LayerNorm(width)
        self.fc = nn.Linear(width, classes)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (n, classes) of the images (n, 3, 32, 32) in 0..1."""
        x = self.stem((image - self.mean) / self.std)
        x = self.blocks(x.flatten(2).transpose(1, 2) + self.positions)
        return self.fc(self.norm(x).mean(1))


def resnet20() -> CifarResNet:
    """ResNet-20: 272,474 parameters, 41 million multiply-accumulates."""
    return CifarResNet(3)


def resnet56() -> CifarResNet:
    """ResNet-56: 855,770 parameters, 126 million multiply-accumulates."""
    return CifarResNet(9)


def vit() -> CifarViT:
    """6 blocks with 3 heads of 32: 508,378 parameters, 37 million multiply-accumulates."""
    return CifarViT(depth=6, width=96, heads=3, hidden=192)
