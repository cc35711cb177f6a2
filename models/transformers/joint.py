"""Models of images and text."""

from __future__ import annotations

from typing import Any

from models.transformers.architecture import Architecture
from models.transformers.text import TEXT
from models.transformers.vision import IMAGE

TOWER: dict[str, Any] = {
    **{"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4},
    **{"intermediate_size": 80, "projection_dim": 32},
}
WORDS = {
    **TOWER,
    **{"vocab_size": 100, "max_position_embeddings": 64, "eos_token_id": 2, "pad_token_id": 0},
}
PATCHES = {**TOWER, "image_size": 32, "patch_size": 8}
BOTH = {"text_config": WORDS, "vision_config": PATCHES}

JOINT: tuple[Architecture, ...] = (
    Architecture("clip_text", "CLIPTextModelWithProjection", WORDS, TEXT, ("text_embeds",)),
    Architecture("clip_vision", "CLIPVisionModelWithProjection", PATCHES, IMAGE, ("image_embeds",)),
    Architecture(
        "clip",
        "CLIPModel",
        {**BOTH, "projection_dim": 32},
        {**TEXT, **IMAGE},
        ("logits_per_image", "logits_per_text"),
        batch=2,
    ),
    Architecture(
        "siglip",
        "SiglipModel",
        BOTH,
        {**TEXT, **IMAGE},
        ("logits_per_image", "logits_per_text"),
        batch=2,
    ),
)
