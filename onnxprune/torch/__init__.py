"""The optional torch wing: torch modules that follow units, and ONNX graphs run in torch.

Example::

    import onnxprune.torch as ot

    ot.assert_parity(module, example)                 # torch, onnxruntime, masked, pruned: the same
    units = ot.prepare_for_pruning(module, example)   # its layers are dynamic operators now
    units["layer1.0.conv1_(0, 64)_64"].current_choice = 32
    module(x)                                         # computes with 32 channels, and trains
    small = ot.to_static(module)                      # plain layers, smaller weights
"""

from onnxprune.torch.base_model import BaseModel
from onnxprune.torch.dynamic import (
    DYNAMIC_OPS,
    DynamicBatchNorm1d,
    DynamicBatchNorm2d,
    DynamicBatchNorm3d,
    DynamicConv1d,
    DynamicConv2d,
    DynamicConv3d,
    DynamicConvTranspose1d,
    DynamicConvTranspose2d,
    DynamicConvTranspose3d,
    DynamicEmbedding,
    DynamicGroupNorm,
    DynamicGRU,
    DynamicInstanceNorm1d,
    DynamicInstanceNorm2d,
    DynamicInstanceNorm3d,
    DynamicLayerNorm,
    DynamicLinear,
    DynamicLSTM,
    DynamicMultiheadAttention,
    DynamicOp,
    DynamicParameter,
    DynamicPReLU,
    DynamicRMSNorm,
    DynamicRNN,
    DynamicSyncBatchNorm,
    MutableChannelContainer,
    SlicedMultiheadAttention,
    dynamic_op,
    to_static,
)
from onnxprune.torch.errors import BadFeeds, BadRemoval, LeakError, UnsupportedOperator
from onnxprune.torch.export import export
from onnxprune.torch.finetune import (
    Finetuned,
    OnnxModule,
    as_module,
    finetune,
    with_weights,
)
from onnxprune.torch.following import apply_choices, prepare_for_pruning
from onnxprune.torch.interpreter import Interpreter
from onnxprune.torch.masked import Masked
from onnxprune.torch.parity import Parity, assert_parity, parity
from onnxprune.torch.trace import ModuleGraph, trace
from onnxprune.torch.twin import masked_twin

__all__ = [
    "DYNAMIC_OPS",
    "BadFeeds",
    "BadRemoval",
    "BaseModel",
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
    "Finetuned",
    "Interpreter",
    "LeakError",
    "Masked",
    "ModuleGraph",
    "MutableChannelContainer",
    "OnnxModule",
    "Parity",
    "SlicedMultiheadAttention",
    "UnsupportedOperator",
    "apply_choices",
    "as_module",
    "assert_parity",
    "dynamic_op",
    "export",
    "finetune",
    "masked_twin",
    "parity",
    "prepare_for_pruning",
    "to_static",
    "trace",
    "with_weights",
]
