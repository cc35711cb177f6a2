"""Decoders of text: each token is told from those before it."""

from __future__ import annotations

from typing import Any

from models.transformers.architecture import Architecture, Input
from models.transformers.text import IDS, SMALL, TEXT

NO_CACHE = {"use_cache": False, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
CAUSAL: dict[str, Any] = {
    **{key: value for key, value in SMALL.items() if key != "num_labels"},
    **NO_CACHE,
}
GROUPED: dict[str, Any] = {**CAUSAL, "num_key_value_heads": 2}
EXPERTS: dict[str, Any] = {**GROUPED, "num_experts_per_tok": 2}
OF_GPT = {"vocab_size": 100, "n_embd": 48, "n_layer": 2, "n_head": 4, "n_positions": 64, **NO_CACHE}


def past(heads: int, size: int, layers: int = 2) -> dict[str, Input]:
    """One token, and the keys and values of five before it."""
    cached = Input((heads, 5, size), open={2: "past"})
    names = [f"past_{kind}_{i}" for i in range(layers) for kind in ("key", "value")]
    return {"input_ids": Input((1,), "token"), **dict.fromkeys(names, cached)}


PRESENT = tuple(f"present_{kind}_{i}" for i in range(2) for kind in ("key", "value"))
HANDED_ON = "keys and values are inputs and outputs of the graph"

DECODERS: tuple[Architecture, ...] = (
    Architecture("gpt2", "GPT2LMHeadModel", OF_GPT, TEXT),
    Architecture("gpt2_untied", "GPT2LMHeadModel", {**OF_GPT, "tie_word_embeddings": False}, IDS),
    Architecture(
        "gpt2_cached",
        "GPT2LMHeadModel",
        OF_GPT,
        past(4, 12),
        ("logits", *PRESENT),
        note=HANDED_ON,
    ),
    Architecture("gpt_neox", "GPTNeoXForCausalLM", {**CAUSAL, "rotary_pct": 0.5}, TEXT),
    Architecture("gptj", "GPTJForCausalLM", {**OF_GPT, "rotary_dim": 8}, TEXT),
    Architecture(
        "opt",
        "OPTForCausalLM",
        {**CAUSAL, "ffn_dim": 80, "word_embed_proj_dim": 24},
        TEXT,
    ),
    Architecture(
        "bloom",
        "BloomForCausalLM",
        {"vocab_size": 100, "hidden_size": 48, "n_layer": 2, "n_head": 4, **NO_CACHE},
        TEXT,
    ),
    Architecture("falcon", "FalconForCausalLM", {**CAUSAL, "multi_query": True}, TEXT),
    Architecture("llama", "LlamaForCausalLM", GROUPED, TEXT),
    Architecture(
        "llama_cached",
        "LlamaForCausalLM",
        GROUPED,
        past(2, 12),
        ("logits", *PRESENT),
        note=HANDED_ON,
    ),
    Architecture("qwen2", "Qwen2ForCausalLM", GROUPED, TEXT),
    Architecture("qwen3", "Qwen3ForCausalLM", {**GROUPED, "head_dim": 16}, TEXT),
    Architecture("mistral", "MistralForCausalLM", {**GROUPED, "sliding_window": 8}, TEXT),
    Architecture(
        "mixtral",
        "MixtralForCausalLM",
        {**EXPERTS, "num_local_experts": 4},
        TEXT,
        experts="batched_mm",
    ),
    Architecture(
        "qwen2_moe",
        "Qwen2MoeForCausalLM",
        {
            **EXPERTS,
            "num_experts": 4,
            "moe_intermediate_size": 32,
            "shared_expert_intermediate_size": 40,
        },
        TEXT,
        experts="batched_mm",
    ),
    Architecture("gemma", "GemmaForCausalLM", {**GROUPED, "head_dim": 16}, TEXT),
    Architecture(
        "gemma2",
        "Gemma2ForCausalLM",
        {**GROUPED, "head_dim": 16, "sliding_window": 8, "query_pre_attn_scalar": 16},
        TEXT,
    ),
    Architecture(
        "gemma3",
        "Gemma3ForCausalLM",
        {**GROUPED, "head_dim": 16, "sliding_window": 8, "query_pre_attn_scalar": 16},
        TEXT,
    ),
    Architecture("phi", "PhiForCausalLM", {**CAUSAL, "partial_rotary_factor": 0.5}, TEXT),
    Architecture("phi3", "Phi3ForCausalLM", {**GROUPED, "pad_token_id": 0}, TEXT),
    Architecture("cohere", "CohereForCausalLM", GROUPED, TEXT),
    Architecture("olmo2", "Olmo2ForCausalLM", GROUPED, TEXT),
    Architecture(
        "gpt_neo",
        "GPTNeoForCausalLM",
        {
            **{"vocab_size": 100, "hidden_size": 48, "num_layers": 2, "num_heads": 4, **NO_CACHE},
            **{"attention_types": [[["global", "local"], 1]], "window_size": 8},
            **{"max_position_embeddings": 64, "intermediate_size": 80},
        },
        TEXT,
    ),
    Architecture(
        "mpt",
        "MptForCausalLM",
        {
            **{"vocab_size": 100, "d_model": 48, "n_layers": 2, "n_heads": 4, **NO_CACHE},
            **{"max_seq_len": 64, "expansion_ratio": 2},
        },
        TEXT,
    ),
    Architecture("gpt_bigcode", "GPTBigCodeForCausalLM", {**OF_GPT, "multi_query": True}, TEXT),
    Architecture("nemotron", "NemotronForCausalLM", {**GROUPED, "head_dim": 12}, TEXT),
    Architecture(
        "gpt_oss",
        "GptOssForCausalLM",
        {**EXPERTS, "num_local_experts": 4, "head_dim": 12, "sliding_window": 8},
        TEXT,
        experts="batched_mm",
    ),
    Architecture(
        "deepseek_v3",
        "DeepseekV3ForCausalLM",
        {
            **{**CAUSAL, "q_lora_rank": 24, "kv_lora_rank": 16, "qk_rope_head_dim": 8},
            **{"qk_nope_head_dim": 8, "v_head_dim": 12, "num_key_value_heads": 4},
            **{"n_routed_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32},
            **{"n_shared_experts": 1, "first_k_dense_replace": 1, "n_group": 1, "topk_group": 1},
        },
        TEXT,
        experts="batched_mm",
    ),
    Architecture(
        "mamba",
        "MambaForCausalLM",
        {"vocab_size": 100, "hidden_size": 32, "num_hidden_layers": 2, "state_size": 4, **NO_CACHE},
        {"input_ids": Input((16,), "token")},
    ),
)
