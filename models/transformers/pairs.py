"""From one sequence to another: an encoder, and a decoder that attends to it."""

from __future__ import annotations

from models.transformers.architecture import Architecture, Input
from models.transformers.causal import NO_CACHE
from models.transformers.text import TEXT

PAIR = {
    **TEXT,
    "decoder_input_ids": Input((12,), "token", {1: "target"}),
}
BART = {
    **NO_CACHE,
    **{"vocab_size": 100, "d_model": 48, "max_position_embeddings": 64},
    **{"encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 80},
    **{"decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 80},
    **{"decoder_start_token_id": 2, "forced_eos_token_id": 2},
}
T5 = {
    **{"vocab_size": 100, "d_model": 48, "d_kv": 12, "d_ff": 80, "num_layers": 2, "num_heads": 4},
    **{"relative_attention_num_buckets": 8, "use_cache": False, "decoder_start_token_id": 0},
}

PAIRS: tuple[Architecture, ...] = (
    Architecture("t5", "T5ForConditionalGeneration", T5, PAIR),
    Architecture(
        "t5_gated",
        "T5ForConditionalGeneration",
        {**T5, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False},
        PAIR,
    ),
    Architecture("bart", "BartForConditionalGeneration", BART, PAIR),
    Architecture("marian", "MarianMTModel", {**BART, "pad_token_id": 99}, PAIR),
)
