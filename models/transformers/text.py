"""Encoders of text."""

from __future__ import annotations

from models.transformers.architecture import Architecture, Input

SEQUENCE = {1: "sequence"}
IDS = {"input_ids": Input((16,), "token", SEQUENCE)}
TEXT = {**IDS, "attention_mask": Input((16,), "mask", SEQUENCE)}
SMALL = {
    "vocab_size": 100,
    "hidden_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "max_position_embeddings": 64,
    "num_labels": 5,
}

ENCODERS: tuple[Architecture, ...] = (
    Architecture("bert", "BertForSequenceClassification", SMALL, TEXT),
    Architecture("bert_tokens", "BertForTokenClassification", SMALL, TEXT),
    Architecture("bert_masked", "BertForMaskedLM", SMALL, TEXT),
    Architecture(
        "distilbert",
        "DistilBertForSequenceClassification",
        {
            **{"vocab_size": 100, "dim": 48, "n_layers": 2, "n_heads": 4, "hidden_dim": 80},
            **{"max_position_embeddings": 64, "num_labels": 5},
        },
        TEXT,
    ),
    Architecture("roberta", "RobertaForSequenceClassification", SMALL, TEXT),
    Architecture(
        "albert", "AlbertForSequenceClassification", {**SMALL, "embedding_size": 24}, TEXT
    ),
    Architecture(
        "electra", "ElectraForSequenceClassification", {**SMALL, "embedding_size": 24}, TEXT
    ),
    Architecture(
        "deberta_v2",
        "DebertaV2ForSequenceClassification",
        {
            **SMALL,
            **{"relative_attention": True, "position_buckets": 8, "norm_rel_ebd": "layer_norm"},
            **{"share_att_key": True, "pos_att_type": ["p2c", "c2p"], "type_vocab_size": 0},
            **{"position_biased_input": False, "pooler_hidden_size": 48},
        },
        TEXT,
    ),
    Architecture(
        "mpnet",
        "MPNetForSequenceClassification",
        {**SMALL, "relative_attention_num_buckets": 32, "pad_token_id": 1},
        TEXT,
    ),
    Architecture(
        "modernbert",
        "ModernBertForSequenceClassification",
        {**SMALL, "pad_token_id": 0, "local_attention": 8, "global_attn_every_n_layers": 2},
        TEXT,
    ),
    Architecture(
        "convbert",
        "ConvBertForSequenceClassification",
        {**SMALL, "embedding_size": 48, "head_ratio": 2, "conv_kernel_size": 3},
        TEXT,
    ),
    Architecture(
        "squeezebert",
        "SqueezeBertForSequenceClassification",
        {
            **SMALL,
            "embedding_size": 48,
            "q_groups": 2,
            "k_groups": 2,
            "v_groups": 2,
            "post_attention_groups": 1,
            "intermediate_groups": 2,
            "output_groups": 2,
        },
        TEXT,
    ),
    Architecture(
        "mobilebert",
        "MobileBertForSequenceClassification",
        {
            **SMALL,
            "embedding_size": 24,
            "intra_bottleneck_size": 32,
            "true_hidden_size": 32,
            "num_feedforward_networks": 2,
        },
        TEXT,
    ),
    Architecture("fnet", "FNetForSequenceClassification", SMALL, IDS),
    Architecture(
        "roformer", "RoFormerForSequenceClassification", {**SMALL, "embedding_size": 48}, TEXT
    ),
    Architecture(
        "xlnet",
        "XLNetForSequenceClassification",
        {
            "vocab_size": 100,
            "d_model": 48,
            "n_layer": 2,
            "n_head": 4,
            "d_inner": 80,
            "num_labels": 5,
        },
        TEXT,
    ),
    Architecture(
        "funnel",
        "FunnelForSequenceClassification",
        {
            **{"vocab_size": 100, "block_sizes": [1, 1], "num_decoder_layers": 1, "d_model": 48},
            **{"n_head": 4, "d_head": 12, "d_inner": 80, "num_labels": 5},
        },
        TEXT,
    ),
    Architecture(
        "longformer",
        "LongformerForSequenceClassification",
        {**SMALL, "attention_window": [8, 8]},
        TEXT,
    ),
    Architecture(
        "canine",
        "CanineForSequenceClassification",
        {**SMALL, "num_hash_functions": 4, "num_hash_buckets": 64, "local_transformer_stride": 8},
        TEXT,
    ),
)
