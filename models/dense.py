"""Models of the zoo that answer for every place: detectors, segmenters, generators, sequences."""

from __future__ import annotations

from models.bisenet import bisenet
from models.centernet import centernet
from models.cyclegan import cyclegan
from models.dcgan import dcgan
from models.deeplab import deeplabv3plus
from models.edsr import edsr_baseline
from models.entry import Entry
from models.flownet import flownet
from models.hourglass import hourglass
from models.retinanet import retinanet
from models.ssdlite import ssdlite_mobilenet_v2
from models.stylegan import stylegan2
from models.tcn import tcn
from models.unet import unet
from models.video import r2plus1d_18, r3d_18
from models.wavenet import wavenet
from models.yolov5 import yolov5n
from models.yolov8 import yolov8n
from models.yolox import yolox_nano

BOXES = ("boxes",)
SCORES_AND_BOXES = ("scores", "boxes")

DENSE: tuple[Entry, ...] = (
    # C3 of depth d: d + 3 with shortcuts, which tie; 2 d + 3 without. Backbone: stem 1, strides 4,
    # C3 4 + 5 + 6 + 4, SPPF 2; neck: 4 convolutions, C3 4 x 5; of the heads nothing but the answer
    Entry("yolov5n", yolov5n, (3, 64, 64), units=50, outputs=BOXES),
    # C2f counts as C3: two halves, inside the bottlenecks, the result. Backbone: stem 1, strides 4,
    # C2f 4 + 5 + 5 + 4, SPPF 2; neck: 2 convolutions, C2f 4 x 5; heads 3 x 4; the bins 1 in all
    Entry("yolov8n", yolov8n, (3, 64, 64), units=60, outputs=BOXES),
    # depthwise ones belong to their inputs' units. Backbone: Focus 1, strides 4, C3 4 + 6 + 6 + 5,
    # SPP 2; neck: 4 convolutions, C3 4 x 5; at each scale a stem 1 and two branches of 2
    Entry("yolox_nano", yolox_nano, (3, 64, 64), units=67, outputs=BOXES),
    # backbone 12; laterals 1: they are added; five levels 1: all enter one convolution; 2 heads x 4
    Entry("retinanet", retinanet, (3, 64, 64), units=22, outputs=SCORES_AND_BOXES),
    # MobileNetV2 25; 4 extra scales x 2; depthwise head convolutions belong to their inputs' units
    Entry("ssdlite", ssdlite_mobilenet_v2, (3, 128, 128), units=33, outputs=SCORES_AND_BOXES),
    # 14 convolutions x 2: the groups of their norms, the channels within; transposed convolutions 3
    Entry("unet", unet, (3, 32, 32), units=31),
    # backbone 12, pyramid's branches 5, its projection 1, fine map 1, decoder 2
    Entry("deeplabv3plus", deeplabv3plus, (3, 128, 128), units=21),
    # backbone 12; fine path 4; mean + arm32 1; head32 + arm16 1; head16 1; fusion 1 + 1; head 1
    Entry("bisenet", bisenet, (3, 64, 64), units=22),
    # stem 2; trunk 1: shortcuts tie it; inside each of 14 blocks 2; before the heat maps 1
    Entry("hourglass", hourglass, (3, 64, 64), units=32, outputs=("heatmaps",)),
    # one of each layer but the last, whose channels are the image
    Entry("dcgan", dcgan, (100, 1, 1), units=4, outputs=("image",)),
    # full and half size on the way down 2, trunk 1, inside each of 6 blocks 1, on the way up 2
    Entry("cyclegan", cyclegan, (3, 64, 64), units=11, outputs=("translated",)),
    # trunk 1, inside each of 16 blocks 1, the channels of both pixel shuffles 2
    Entry("edsr_baseline", edsr_baseline, (3, 16, 16), units=19, outputs=("upscaled",)),
    # trunk 1, both halves of each of 18 gates 1, the sum of the skips 1, inside the head 1
    Entry("wavenet", wavenet, (1, 128), units=21),
    # inside each of 6 blocks 1; one trunk for each of two widths
    Entry("tcn", tcn, (2, 128), units=8),
    # as ResNet-18
    Entry("r3d_18", r3d_18, (3, 16, 32, 32), units=12),
    # R3D-18's 12, and inside each of 17 factored convolutions 1
    Entry("r2plus1d_18", r2plus1d_18, (3, 16, 32, 32), units=29),
    # backbone 12, transposed convolutions 3, inside each of three heads 1
    Entry("centernet", centernet, (3, 64, 64), units=18, outputs=("scores", "boxes")),
    # mapping 8 (the last is the style); the constant 1, the first convolution 1, 3 blocks x 2
    Entry("stylegan2", stylegan2, (256,), units=16, outputs=("image",)),
    # one encoder for both frames: 4 levels x 2; inside each of 4 corrections 2
    Entry("flownet", flownet, (6, 64, 64), units=16, outputs=("flow",)),
)
