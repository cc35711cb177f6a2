"""Models that onnxruntime has optimised keep the units that they had, and prune as well."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import small_nhwc  # noqa: F401 - registers its models
import small_ops  # noqa: F401 - registers its models
import small_shapes  # noqa: F401 - registers its models
from helpers import check_model, choose, proto, units_of
from small import MODELS

import onnxprune as op
from onnxprune.ops import RULES
from onnxprune.verification import Verifier


def optimized(model: onnx.ModelProto, path: Path) -> onnx.ModelProto:
    """The model as onnxruntime runs it, but for layouts that are of one processor."""
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.optimized_model_filepath = str(path)
    options.log_severity_level = 4
    ort.InferenceSession(
        model.SerializeToString(),
        options,
        providers=["CPUExecutionProvider"],
        disabled_optimizers=["NchwcTransformer"],
    )
    return onnx.load(path)


def reasons(model: onnx.ModelProto) -> str:
    return "; ".join(map(str, units_of(model).barriers()))


@pytest.mark.parametrize("name", MODELS)
def test_optimized_models_keep_their_units(name: str, tmp_path: Path) -> None:
    fused = optimized(MODELS[name](), tmp_path / "fused.onnx")
    before, after = units_of(MODELS[name]()), units_of(fused)
    assert sorted(u.num_channels for u in after.mutable) == sorted(
        u.num_channels for u in before.mutable
    )


@pytest.mark.torch
@pytest.mark.parametrize("name", MODELS)
def test_optimized_models_are_pruned_alike(name: str, tmp_path: Path) -> None:
    units = units_of(optimized(MODELS[name](), tmp_path / "fused.onnx"))
    assert units.mutable
    for seed in range(2):
        choose(units, seed)
        verdict = Verifier(units, None).verify(op.prune(units), "auto")
        assert verdict.passed, verdict.problems


def test_every_fusion_is_met(tmp_path: Path) -> None:
    """What the models above are optimised to is not what they were."""
    met = set()
    for made in MODELS.values():
        fused = optimized(made(), tmp_path / "fused.onnx")
        met |= {node.op_type for node in fused.graph.node if node.domain == "com.microsoft"}
    assert met >= {"BiasGelu", "FusedConv", "FusedGemm", "FusedMatMul"}


def test_what_is_added_by_a_convolution_belongs_to_its_result() -> None:
    model = proto(
        """(float[N,3,6,6] x) => (float[N,2,6,6] y) {
            a = Conv(x, w0, b0)
            s = com.microsoft.FusedConv<pads=[1,1,1,1], activation="Relu">(a, w1, b1, a)
            t = com.microsoft.FusedConv<group=8, pads=[1,1,1,1]>(s, w2)
            y = Conv(t, w3)
        }""",
        "w0 8 3 1 1, b0 8, w1 8 8 3 3, b1 8, w2 8 1 3 3, w3 2 8 1 1",
    )
    assert [unit.num_channels for unit in check_model(model).mutable] == [8]


def test_products_cost_what_they_cost_before(tmp_path: Path) -> None:
    for name in ("chain", "residual"):
        fused = optimized(MODELS[name](), tmp_path / "fused.onnx")
        assert any(node.domain for node in fused.graph.node)
        assert op.cost(op.load(fused)).macs == op.cost(op.load(MODELS[name]())).macs > 0
    model = proto(
        """(float[6,2,4] x) => (float[2,6,5] y) {
            y = com.microsoft.FusedMatMul<transBatchA=1>(x, w)
        }""",
        "w 2 4 5",
    )
    assert op.cost(op.load(model)).macs == 2 * 6 * 5 * 4


def test_channels_in_blocks_are_refused_with_advice() -> None:
    model = proto(
        """(float[N,16,8,8] x) => (float[N,16,8,8] y) {
            b = com.microsoft.nchwc.ReorderInput(x)
            c = com.microsoft.nchwc.Conv<pads=[1,1,1,1]>(b, w)
            y = com.microsoft.nchwc.ReorderOutput<channels=16>(c)
        }""",
        "w 16 16 3 3",
    )
    assert "level ORT_ENABLE_EXTENDED" in reasons(model)


@pytest.mark.parametrize(
    ("node", "weights", "why"),
    [
        (
            'FusedGemm<activation="Softmax">(x, w)',
            {"w": (4, 5)},
            "nothing is known of Softmax, which is fused into it",
        ),
        (
            "NhwcConv(x, w)",
            {"w": (8, 4, 3, 4)},
            "not known which axis of its weight is that of the channels",
        ),
        (
            "MaxpoolWithMask<kernel_shape=[2,2]>(x, m)",
            {"m": np.ones((1, 4, 4, 4), np.int32)},
            "reads the masks of several channels in an order of its own",
        ),
    ],
)
def test_what_is_not_understood_says_why(node: str, weights: dict[str, object], why: str) -> None:
    shape = "4,4" if "Gemm" in node else "1,4,4,4"
    text = f"(float[{shape}] x) => (float[a] y) {{ t0 = com.microsoft.{node} y = Flatten(t0) }}"
    assert why in reasons(proto(text, **weights))


def test_nothing_is_known_while_a_model_trains() -> None:
    text = """(float[N,4] x) => (float[N,4] y) {
        h = MatMul(x, w)
        y = com.microsoft.BiasDropout(h, b, , , t)
    }"""
    assert "it runs in training mode" in reasons(proto(text, "w 4 4, b 4", t=np.array(True)))


def test_masks_of_bits_stay_whole() -> None:
    text = """(float[N,4] x) => (float[N,4] y, uint32[a] m) {
        h = MatMul(x, w)
        y, m = com.microsoft.BitmaskDropout(h)
    }"""
    assert "its mask has a bit for each entry" in reasons(proto(text, "w 4 4"))


def test_models_of_other_kinds_than_networks_are_refused_with_a_reason() -> None:
    learnt = [operator for operator in RULES if operator.startswith("ai.onnx.ml::")]
    assert len(learnt) == 19
    text = """(float[N,4] x) => (float[N,3] y) {
        h = MatMul(x, w)
        y = ai.onnx.ml.Scaler<offset=[0.0], scale=[1.0]>(h)
    }"""
    assert "its weights are attributes, which are not sliced" in reasons(proto(text, "w 4 3"))
