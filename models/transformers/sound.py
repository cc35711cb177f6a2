"""Models of speech and sound."""

from __future__ import annotations

from models.transformers.architecture import Architecture, Input
from models.transformers.causal import NO_CACHE

WAVE = {"input_values": Input((1600,), "real", {1: "samples"})}
SPEECH = {
    **{"vocab_size": 20, "hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4},
    **{"intermediate_size": 80, "conv_dim": [16, 16, 24], "conv_stride": [5, 4, 2]},
    **{"conv_kernel": [10, 8, 4], "num_conv_pos_embeddings": 8},
    **{"num_conv_pos_embedding_groups": 4, "mask_time_prob": 0.0, "layerdrop": 0.0},
}
WHISPER = {
    **NO_CACHE,
    **{"vocab_size": 100, "d_model": 48, "num_mel_bins": 20, "max_source_positions": 20},
    **{"encoder_layers": 2, "encoder_attention_heads": 4, "encoder_ffn_dim": 80},
    **{"decoder_layers": 2, "decoder_attention_heads": 4, "decoder_ffn_dim": 80},
    **{"max_target_positions": 32, "decoder_start_token_id": 3, "suppress_tokens": None},
    **{"begin_suppress_tokens": None, "num_labels": 5, "classifier_proj_size": 24},
}
MEL = {"input_features": Input((20, 40))}

SOUND: tuple[Architecture, ...] = (
    Architecture(
        "whisper",
        "WhisperForConditionalGeneration",
        WHISPER,
        {
            **MEL,
            "decoder_input_ids": Input((12,), "token", {1: "target"}),
            "decoder_attention_mask": Input((12,), "mask", {1: "target"}),
        },
    ),
    Architecture("whisper_encoder", "WhisperForAudioClassification", WHISPER, MEL),
    Architecture("wav2vec2", "Wav2Vec2ForCTC", SPEECH, WAVE),
    Architecture(
        "wav2vec2_stable",
        "Wav2Vec2ForCTC",
        {**SPEECH, "do_stable_layer_norm": True, "feat_extract_norm": "layer", "conv_bias": True},
        WAVE,
    ),
    Architecture("hubert", "HubertForCTC", SPEECH, WAVE),
    Architecture("sew", "SEWForCTC", {**SPEECH, "squeeze_factor": 2}, WAVE),
    Architecture(
        "ast",
        "ASTForAudioClassification",
        {
            **{"hidden_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4},
            **{"intermediate_size": 80, "patch_size": 8, "frequency_stride": 8, "time_stride": 8},
            **{"max_length": 32, "num_mel_bins": 16, "num_labels": 5},
        },
        {"input_values": Input((32, 16))},
    ),
)
