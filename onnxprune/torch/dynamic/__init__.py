"""Dynamic operators: torch layers that honour channel masks, train, and turn back into plain ones.

`register` tells a model which channels own which indices of its tensors; from then on the model
computes without the channels that are removed at the moment. `to_static` gives the smaller model.

Example::

    >>> from torch import nn
    >>> from onnxprune.units.mutable import SimpleMutableChannel
    >>> model = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2))
    >>> mutable = SimpleMutableChannel(6)
    >>> for tensor, axis in [("0.weight", 0), ("0.bias", 0), ("2.weight", 1)]:
    ...     register(model, tensor, axis, mutable, range(6))
    >>> mutable.current_choice = [0, 2, 5]
    >>> to_static(model)
    Sequential(
      (0): Linear(in_features=4, out_features=3, bias=True)
      (1): ReLU()
      (2): Linear(in_features=3, out_features=2, bias=True)
    )
"""

from onnxprune.torch.dynamic.attention import DynamicMultiheadAttention
from onnxprune.torch.dynamic.container import MutableChannelContainer
from onnxprune.torch.dynamic.convert import register, to_static
from onnxprune.torch.dynamic.convolution import (
    DynamicConv1d,
    DynamicConv2d,
    DynamicConv3d,
    DynamicConvTranspose1d,
    DynamicConvTranspose2d,
    DynamicConvTranspose3d,
)
from onnxprune.torch.dynamic.linear import DynamicEmbedding, DynamicLinear, DynamicPReLU
from onnxprune.torch.dynamic.normalization import (
    DynamicBatchNorm1d,
    DynamicBatchNorm2d,
    DynamicBatchNorm3d,
    DynamicGroupNorm,
    DynamicInstanceNorm1d,
    DynamicInstanceNorm2d,
    DynamicInstanceNorm3d,
    DynamicLayerNorm,
    DynamicRMSNorm,
    DynamicSyncBatchNorm,
)
from onnxprune.torch.dynamic.op import DYNAMIC_OPS, DynamicOp, dynamic_op
from onnxprune.torch.dynamic.parameters import DynamicParameter
from onnxprune.torch.dynamic.recurrent import DynamicGRU, DynamicLSTM, DynamicRNN
from onnxprune.torch.dynamic.sliced_attention import SlicedMultiheadAttention

__all__ = [
    "DYNAMIC_OPS",
    "DynamicBatchNorm1d",
    "DynamicBatchNorm2d",
    "DynamicBatchNorm3d",
    "DynamicConv1d",
    "DynamicConv2d",
    "DynamicConv3d",
    "DynamicConvTranspose1d",
    "DynamicConvTranspose2d",
    "DynamicConvTranspose3d",
    "DynamicEmbedding",
    "DynamicGRU",
    "DynamicGroupNorm",
    "DynamicInstanceNorm1d",
    "DynamicInstanceNorm2d",
    "DynamicInstanceNorm3d",
    "DynamicLSTM",
    "DynamicLayerNorm",
    "DynamicLinear",
    "DynamicMultiheadAttention",
    "DynamicOp",
    "DynamicPReLU",
    "DynamicParameter",
    "DynamicRMSNorm",
    "DynamicRNN",
    "DynamicSyncBatchNorm",
    "MutableChannelContainer",
    "SlicedMultiheadAttention",
    "dynamic_op",
    "register",
    "to_static",
]
