"""Models that answer for every place of an image: detectors, segmenters, depth."""

from __future__ import annotations

from typing import Any

from models.transformers.architecture import Architecture, Input
from models.transformers.vision import LARGER, VIT

RESNET: dict[str, Any] = {
    **{"model_type": "resnet", "embedding_size": 16, "hidden_sizes": [16, 24, 32, 48]},
    **{"depths": [1, 1, 1, 1], "layer_type": "basic"},
}
DETR = {
    **{"use_timm_backbone": False, "backbone": None, "use_pretrained_backbone": False},
    **{"backbone_config": {**RESNET, "out_features": ["stage4"]}, "d_model": 48, "num_queries": 8},
    **{"encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 80},
    **{"decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 80, "num_labels": 5},
}

DENSE: tuple[Architecture, ...] = (
    Architecture(
        "segformer",
        "SegformerForSemanticSegmentation",
        {
            **{"hidden_sizes": [16, 24, 32, 48], "depths": [1, 1, 1, 1], "num_labels": 5},
            **{"num_attention_heads": [1, 2, 2, 4], "decoder_hidden_size": 32},
        },
        LARGER,
    ),
    Architecture(
        "mobilevit_deeplab",
        "MobileViTForSemanticSegmentation",
        {
            **{"image_size": 64, "patch_size": 2, "hidden_sizes": [24, 32, 40], "num_labels": 5},
            **{"neck_hidden_sizes": [8, 12, 16, 20, 24, 28, 64], "num_attention_heads": 4},
            **{"aspp_out_channels": 32, "output_stride": 32},
        },
        LARGER,
    ),
    Architecture(
        "detr",
        "DetrForObjectDetection",
        DETR,
        LARGER,
        ("logits", "pred_boxes"),
    ),
    Architecture(
        "conditional_detr",
        "ConditionalDetrForObjectDetection",
        DETR,
        LARGER,
        ("logits", "pred_boxes"),
    ),
    Architecture(
        "yolos",
        "YolosForObjectDetection",
        {**VIT, "image_size": [64, 64], "patch_size": 16, "num_detection_tokens": 8},
        LARGER,
        ("logits", "pred_boxes"),
    ),
    Architecture(
        "dpt",
        "DPTForDepthEstimation",
        {
            **{key: value for key, value in VIT.items() if key != "num_labels"},
            **{"image_size": 64, "patch_size": 16, "num_hidden_layers": 4},
            **{"backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [16, 24, 32, 48]},
            **{"fusion_hidden_size": 32, "is_hybrid": False, "readout_type": "project"},
        },
        LARGER,
        ("predicted_depth",),
    ),
    Architecture(
        "depth_anything",
        "DepthAnythingForDepthEstimation",
        {
            "backbone_config": {
                **{"model_type": "dinov2", "hidden_size": 48, "num_hidden_layers": 4},
                **{"num_attention_heads": 4, "image_size": 56, "patch_size": 14, "mlp_ratio": 2},
                **{
                    "out_indices": [1, 2, 3, 4],
                    "apply_layernorm": True,
                    "reshape_hidden_states": False,
                },
            },
            **{"reassemble_hidden_size": 48, "patch_size": 14, "fusion_hidden_size": 32},
            **{"neck_hidden_sizes": [16, 24, 32, 48], "head_hidden_size": 16},
        },
        {"pixel_values": Input((3, 56, 56))},
        ("predicted_depth",),
    ),
    Architecture(
        "sam_encoder",
        "SamVisionModel",
        {
            **{"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4, "mlp_dim": 80},
            **{"image_size": 64, "patch_size": 8, "window_size": 3, "global_attn_indexes": [1]},
            **{"output_channels": 24, "use_rel_pos": True},
        },
        LARGER,
        ("last_hidden_state",),
    ),
    Architecture(
        "upernet",
        "UperNetForSemanticSegmentation",
        {
            "backbone_config": {
                **{"model_type": "convnext", "hidden_sizes": [16, 24, 32, 48]},
                **{"depths": [1, 1, 1, 1]},
                "out_features": ["stage1", "stage2", "stage3", "stage4"],
            },
            **{"hidden_size": 32, "pool_scales": [1, 2], "auxiliary_in_channels": 32},
            **{"auxiliary_channels": 16, "num_labels": 5},
        },
        LARGER,
    ),
    Architecture(
        "swin2sr",
        "Swin2SRForImageSuperResolution",
        {
            **{"image_size": 16, "patch_size": 1, "embed_dim": 24, "depths": [2], "num_heads": [4]},
            **{"window_size": 4, "upscale": 2, "upsampler": "pixelshuffle"},
        },
        {"pixel_values": Input((3, 16, 16))},
        ("reconstruction",),
    ),
)
