"""The classifiers of the zoo."""

from __future__ import annotations

from models.alexnet import alexnet
from models.cbam import cbam_resnet18
from models.convnext import convnext_atto, convnext_v2_atto
from models.cspnet import cspdarknet_small
from models.densenet import densenet121
from models.dpn import dpn68
from models.ecanet import eca_resnet18
from models.efficientnet import efficientnet_b0, mnasnet_a1
from models.entry import Entry
from models.fashion import fashionnet
from models.ghostnet import ghostnet
from models.googlenet import googlenet
from models.hrnet import hrnet_w18_small
from models.inception import inception_v3
from models.mobilenet import mobilenet_v2
from models.mobilenet_v3 import mobilenet_v3_small
from models.regnet import regnet_y_400mf
from models.repvgg import repvgg_a0
from models.res2net import res2net26
from models.resnest import resnest14d
from models.resnet import resnet18, resnet50, resnext50_32x4d
from models.resnetv2 import resnetv2_14
from models.shufflenet import shufflenet_v2
from models.squeezenet import squeezenet1_1
from models.vgg import vgg11_bn, vgg16_bn
from models.vovnet import vovnet19_slim

# 64 is the smallest input at which all taps of the last 3x3 convolutions see a pixel (their maps
# are 2x2), 96 that of 5x5 convolutions at a 32nd (3x3). AlexNet and VGG pool adaptively to 6x6 and
# 7x7, which the legacy exporter only accepts where the pool divides evenly: nothing below 224.
SMALL, MEDIUM, LARGE, FULL = (3, 64, 64), (3, 96, 96), (3, 128, 128), (3, 224, 224)

CLASSIFIERS = (
    Entry("alexnet", alexnet, FULL, units=7),
    Entry("vgg11_bn", vgg11_bn, FULL, units=10),
    Entry("vgg16_bn", vgg16_bn, FULL, units=15),
    Entry("resnet18", resnet18, SMALL, units=12),
    Entry("resnet50", resnet50, SMALL, units=37),
    Entry("resnext50_32x4d", resnext50_32x4d, SMALL, units=53),
    Entry("mobilenet_v2", mobilenet_v2, SMALL, units=25),
    Entry("densenet121", densenet121, SMALL, units=120),
    Entry("googlenet", googlenet, SMALL, units=57),
    Entry("fashionnet", fashionnet, (1, 28, 28), units=10),
    # The derivation of the units below stands with each model.
    Entry("squeezenet1_1", squeezenet1_1, SMALL, units=1 + 8 * 3),
    Entry("inception_v3", inception_v3, (3, 107, 107), units=94),
    Entry("mobilenet_v3_small", mobilenet_v3_small, MEDIUM, units=1 + 5 + 10 + 9 + 2),
    Entry("efficientnet_b0", efficientnet_b0, MEDIUM, units=1 + 7 + 15 + 16 + 1),
    Entry("mnasnet_a1", mnasnet_a1, MEDIUM, units=1 + 7 + 15 + 8 + 1),
    Entry("shufflenet_v2", shufflenet_v2, SMALL, units=31),
    Entry("regnet_y_400mf", regnet_y_400mf, SMALL, units=1 + 4 + 16 * 4),
    Entry("ghostnet", ghostnet, MEDIUM, units=6 + 16 + 7 + 2),
    Entry("res2net26", res2net26, SMALL, units=1 + 4 + 4 * 7 + 4 * 5),
    Entry("convnext_atto", convnext_atto, LARGE, units=4 + 12),
    Entry("convnext_v2_atto", convnext_v2_atto, LARGE, units=4 + 12),
    Entry("hrnet_w18_small", hrnet_w18_small, SMALL, units=2 + 3 + 4 + 2 * 9 + 5 + 8 + 4 + 1),
    Entry("cspdarknet_small", cspdarknet_small, SMALL, units=1 + 5 * 5 + 9),
    Entry("resnest14d", resnest14d, SMALL, units=3 + 4 + 4 * 4),
    Entry("repvgg_a0", repvgg_a0, SMALL, units=5),
    Entry("vovnet19_slim", vovnet19_slim, SMALL, units=3 + 4 * 4),
    Entry("resnetv2_14", resnetv2_14, SMALL, units=2 * (1 + 4 + 8)),
    Entry("dpn68", dpn68, SMALL, units=1 + 4 * 2 + 22 * 4),
    Entry("cbam_resnet18", cbam_resnet18, (3, 112, 112), units=4 + 8 + 8),
    Entry(
        *("eca_resnet18", eca_resnet18, SMALL),
        units=8,
        prunable=0.93,
        barred="the order of the streams' channels matters to the convolutions over them",
    ),
)
