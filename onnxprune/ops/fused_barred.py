"""Operators of other domains behind which everything stays whole, and why."""

from __future__ import annotations

from collections.abc import Mapping

from onnxprune.ops.barred import bar

_MICROSOFT = {
    "its subgraph is not looked into": (
        *("BeamSearch", "GreedySearch", "Sampling", "WhisperBeamSearch"),
    ),
    "its result depends on the position of every entry of an axis": ("Irfft", "Rfft"),
    "it compares whole slices, and how many differ is known only at run time": ("Unique",),
    "the position of each entry gives its value": ("Range",),
    "it works on text": ("Tokenizer",),
}

_LEARNT = {
    "its weights are attributes, which are not sliced": (
        *("Imputer", "LinearClassifier", "LinearRegressor", "SVMClassifier", "SVMRegressor"),
        *("Scaler", "TreeEnsemble", "TreeEnsembleClassifier", "TreeEnsembleRegressor"),
    ),
    "it works on words, categories or dictionaries": (
        *("CastMap", "CategoryMapper", "DictVectorizer", "LabelEncoder", "OneHotEncoder", "ZipMap"),
    ),
    "it picks from all columns by number": ("ArrayFeatureExtractor",),
    "it joins columns by sizes that are attributes": ("FeatureVectorizer",),
}

_EXPERIMENTAL = {
    "its weights are attributes, which are not sliced": ("ImageScaler",),
    "the part of each axis that it takes is computed while the model runs": ("DynamicSlice",),
}

_BLOCKED = (
    "its channels are laid out in blocks for one kind of processor; "
    "optimise the model at level ORT_ENABLE_EXTENDED instead of ORT_ENABLE_ALL"
)

_NCHWC = (
    *("AveragePool", "Conv", "GlobalAveragePool", "GlobalMaxPool", "MaxPool", "ReorderInput"),
    *("ReorderOutput", "Upsample"),
)

_PROVIDED = (
    "it is written for one execution provider, with channels last; "
    "optimise the model for the CPU, or not at all"
)

_NHWC = (
    *("AveragePool", "BatchNormalization", "Conv", "ConvTranspose", "DepthToSpace"),
    *("GlobalAveragePool", "GlobalLpPool", "GlobalMaxPool", "GridSample"),
    *("InstanceNormalization", "LRN", "LpPool", "MaxPool", "MaxUnpool", "QLinearAveragePool"),
    *("QLinearConv", "QLinearConvTranspose", "Resize", "SpaceToDepth"),
)


def _bar(domain: str, reasons: Mapping[str, tuple[str, ...]]) -> None:
    for reason, operators in reasons.items():
        bar(reason, tuple(f"{domain}{operator}" for operator in operators))


_bar("com.microsoft::", _MICROSOFT)
_bar("ai.onnx.ml::", _LEARNT)
_bar("com.microsoft.nchwc::", {_BLOCKED: _NCHWC})
_bar("com.ms.internal.nhwc::", {_PROVIDED: _NHWC})
_bar("", _EXPERIMENTAL)
