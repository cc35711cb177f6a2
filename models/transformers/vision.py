"""Classifiers of images."""

from __future__ import annotations

from models.transformers.architecture import Architecture, Input

IMAGE = {"pixel_values": Input((3, 32, 32))}
LARGER = {"pixel_values": Input((3, 64, 64))}
VIT = {
    **{"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4},
    **{"intermediate_size": 80, "image_size": 32, "patch_size": 8, "num_labels": 5},
}
WINDOWS = {
    **{"image_size": 32, "patch_size": 2, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4]},
    **{"window_size": 4, "num_labels": 5},
}
STAGES = {"hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 2, 1], "num_labels": 5}

CLASSIFIERS: tuple[Architecture, ...] = (
    Architecture("vit", "ViTForImageClassification", VIT, IMAGE),
    Architecture("deit", "DeiTForImageClassification", VIT, IMAGE),
    Architecture("deit_distilled", "DeiTForImageClassificationWithTeacher", VIT, IMAGE),
    Architecture(
        "beit",
        "BeitForImageClassification",
        {**VIT, "use_relative_position_bias": True, "layer_scale_init_value": 0.1},
        IMAGE,
    ),
    Architecture("dinov2", "Dinov2ForImageClassification", {**VIT, "mlp_ratio": 2}, IMAGE),
    Architecture("swin", "SwinForImageClassification", WINDOWS, IMAGE),
    Architecture("swinv2", "Swinv2ForImageClassification", WINDOWS, IMAGE),
    Architecture("convnext", "ConvNextForImageClassification", STAGES, IMAGE),
    Architecture("convnextv2", "ConvNextV2ForImageClassification", STAGES, IMAGE),
    Architecture(
        "mobilevit",
        "MobileViTForImageClassification",
        {
            **{"image_size": 64, "patch_size": 2, "hidden_sizes": [24, 32, 40], "num_labels": 5},
            **{"neck_hidden_sizes": [8, 12, 16, 20, 24, 28, 64], "num_attention_heads": 4},
        },
        LARGER,
    ),
    Architecture(
        "resnet",
        "ResNetForImageClassification",
        {**STAGES, "embedding_size": 16, "hidden_sizes": [32, 48, 64, 80]},
        IMAGE,
    ),
    Architecture(
        "regnet",
        "RegNetForImageClassification",
        {**STAGES, "embedding_size": 16, "groups_width": 8, "hidden_sizes": [16, 24, 32, 48]},
        IMAGE,
    ),
    Architecture(
        "mobilenet_v2",
        "MobileNetV2ForImageClassification",
        {"depth_multiplier": 0.35, "image_size": 64, "num_labels": 5},
        LARGER,
    ),
    Architecture(
        "efficientnet",
        "EfficientNetForImageClassification",
        {
            **{"image_size": 64, "width_coefficient": 0.25, "depth_coefficient": 0.3},
            **{"hidden_dim": 320, "num_labels": 5},
        },
        LARGER,
    ),
    Architecture(
        "levit",
        "LevitForImageClassification",
        {
            **{"image_size": 64, "hidden_sizes": [32, 48, 64], "num_attention_heads": [2, 3, 4]},
            **{"depths": [1, 1, 1], "key_dim": [8, 8, 8], "num_labels": 5},
        },
        LARGER,
    ),
    Architecture(
        "poolformer",
        "PoolFormerForImageClassification",
        {"hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 1, 1], "num_labels": 5},
        LARGER,
    ),
    Architecture(
        "pvt_v2",
        "PvtV2ForImageClassification",
        {
            **{"image_size": 64, "hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 1, 1]},
            **{"num_attention_heads": [1, 2, 2, 4], "mlp_ratios": [2, 2, 2, 2], "num_labels": 5},
        },
        LARGER,
    ),
    Architecture(
        "cvt",
        "CvtForImageClassification",
        {
            "embed_dim": [16, 24, 32],
            "num_heads": [1, 2, 4],
            "depth": [1, 2, 3],
            "num_labels": 5,
            "drop_path_rate": [0.0, 0.0, 0.0],
        },
        LARGER,
    ),
    Architecture(
        "focalnet",
        "FocalNetForImageClassification",
        {
            **{"image_size": 64, "embed_dim": 16, "depths": [1, 1], "focal_levels": [2, 2]},
            **{"focal_windows": [3, 3], "hidden_sizes": [16, 32], "num_labels": 5},
        },
        LARGER,
    ),
)
