"""Training what was pruned: as a torch module, and back into the ONNX graph."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from helpers import Arrays, close, feeds_of, ints, proto, run, to_proto
from small import MODELS as SMALL
from small_attention import ATTENTION
from small_quantized import WAYS, channels

torch = pytest.importorskip("torch")

import onnxprune as op  # noqa: E402
from onnxprune.calibration import read_dataset  # noqa: E402
from onnxprune.errors import RefusedError  # noqa: E402
from onnxprune.graph import Graph  # noqa: E402
from onnxprune.rewrite.weights import learned  # noqa: E402
from onnxprune.rewrite.weights import with_weights as with_arrays  # noqa: E402
from onnxprune.torch.finetune import (  # noqa: E402
    Batch,
    _shuffled,
    as_module,
    finetune,
    with_weights,
)

pytestmark = pytest.mark.torch

MODELS = Path(__file__).resolve().parents[2] / "models"
MARK = "pkg.onnxprune.refitted"

CHAIN = """(float[N,3,6,6] x) => (float[N,4] y) {
    a = Conv<pads=[1,1,1,1]>(x, w0, b0)
    n = BatchNormalization(a, scale, shift, mean, var)
    r = Relu(n)
    c = Conv(r, w1, b1)
    p = GlobalAveragePool(c)
    f = Flatten(p)
    y = Gemm<transB=1>(f, head, bias)
}"""
SHAPES = "w0 8 3 3 3, b0 8, scale 8, shift 8, mean 8, w1 6 8 3 3, b1 6, head 4 6, bias 4"
VARIANCES = np.linspace(0.5, 2, 8, dtype=np.float32)


def chain(seed: int = 0) -> onnx.ModelProto:
    return proto(CHAIN, SHAPES, seed=seed, var=VARIANCES)


def half(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same model in float16."""
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.elem_type = onnx.TensorProto.FLOAT16
    for tensor in model.graph.initializer:
        array = onnx.numpy_helper.to_array(tensor)
        tensor.CopyFrom(onnx.numpy_helper.from_array(array.astype(np.float16), tensor.name))
    return model


def batches(graph: Graph, count: int = 4, size: int = 8) -> list[Arrays]:
    return [feeds_of(to_proto(graph), size, seed) for seed in range(count)]


def pruned(model: onnx.ModelProto) -> tuple[op.Units, Graph]:
    units = op.find_units(model)
    op.choose(units, op.ratio(0.5))
    return units, op.prune(units)


def elements(graph: Graph) -> dict[str, bytes]:
    return {name: v.const_value.tobytes() for name, v in graph.initializers.items()}


def marked(graph: Graph) -> dict[str, str]:
    said = {name: v.const_value.metadata_props for name, v in graph.initializers.items()}
    return {name: props[MARK] for name, props in said.items() if MARK in props}


def shifted(module: torch.nn.Module) -> torch.nn.Module:
    """The module, every parameter of it changed."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in module.parameters():
            parameter += 0.05 * torch.rand(parameter.shape, generator=generator)
    return module


def answers(module: torch.nn.Module, feeds: Arrays) -> Arrays:
    return {name: y.detach().numpy() for name, y in module(feeds).items()}


@pytest.fixture(scope="module")
def fashion() -> tuple[op.Units, Graph]:
    units = op.find_units(MODELS / "fashion.onnx")
    op.choose(units, op.ratio(0.3), protect=["stem.*", "*.conv2"])
    return units, op.prune(units)


def test_what_is_written_back_answers_as_the_module_does(fashion: tuple[op.Units, Graph]) -> None:
    _, small = fashion
    module = shifted(as_module(small))
    written = with_weights(small, module)
    feeds = {"image": np.random.default_rng(0).random((5, 1, 28, 28), np.float32)}
    close(run(to_proto(written), feeds), answers(module, feeds))
    assert (
        np.abs(answers(module, feeds)["logits"] - answers(as_module(small), feeds)["logits"]).max()
        > 0.1
    )


@pytest.mark.parametrize("build", [*SMALL.values(), *(a.build for a in ATTENTION.values())])
def test_any_graph_can_be_written_back(build: Callable[[], onnx.ModelProto]) -> None:
    model = build()
    graph = op.load(model)
    module = shifted(as_module(graph))
    written = with_weights(graph, module)
    assert marked(written).keys() >= module.weights.keys() > set()
    feeds = feeds_of(model)
    close(run(to_proto(written), feeds), answers(module, feeds))


def test_a_pruned_model_learns_from_its_original_and_stays_proven(
    fashion: tuple[op.Units, Graph], tmp_path: Path
) -> None:
    units, small = fashion
    data = read_dataset(MODELS / "fashion_calibration.npz", units.graph, samples=96, batch=16)
    steps: list[tuple[int, int]] = []
    found = finetune(
        small, units.graph, data, epochs=6, lr=3e-3, observe=lambda i, n, _: steps.append((i, n))
    )
    assert steps == [(i, 36) for i in range(1, 37)]
    assert found.after < found.before / 2

    test = np.load(MODELS / "fashion_test.npz")["images"][:200, None].astype(np.float32) / 255
    teacher, before, after = (
        run(to_proto(graph), {"image": test})["logits"]
        for graph in (units.graph, small, found.graph)
    )
    assert np.square(after - teacher).mean() < np.square(before - teacher).mean() / 2
    agrees = [(logits.argmax(1) == teacher.argmax(1)).mean() for logits in (before, after)]
    assert agrees[1] > agrees[0] + 0.1

    op.save(found.graph, tmp_path / "tuned.onnx")
    op.verify(units, tmp_path / "tuned.onnx").check()


def test_names_types_and_metadata_stay_and_changes_are_marked() -> None:
    units, small = pruned(chain())
    small.model.metadata_props["author"] = "somebody"
    found = finetune(small, units.graph, batches(units.graph), epochs=3)
    assert found.graph.model.metadata_props == small.model.metadata_props
    record = op.read_record(found.graph.model)
    assert record is not None
    assert record == op.read_record(small.model)
    assert list(found.graph.initializers) == list(small.initializers)
    old, new = elements(small), elements(found.graph)
    changed = {name for name in old if old[name] != new[name]}
    assert marked(found.graph) == dict.fromkeys(changed, "finetune")
    assert changed == set(found.trained) == {*old} - {"mean", "var"}
    assert marked(small) == {}
    op.verify(units, found.graph).check()


def test_what_is_frozen_stays_bit_for_bit() -> None:
    units, small = pruned(chain())
    found = finetune(small, units.graph, batches(units.graph), freeze=["w0", "b*"])
    assert set(found.frozen) == {"w0", "b0", "b1", "bias", "mean", "var"}
    assert set(found.trained) == {"scale", "shift", "w1", "head"} == set(marked(found.graph))
    old, new = elements(small), elements(found.graph)
    assert {name for name in old if old[name] == new[name]} == set(found.frozen)


def test_a_module_that_was_not_trained_changes_nothing() -> None:
    graph = op.load(chain())
    written = with_weights(graph, as_module(graph))
    assert elements(written) == elements(graph)
    assert marked(written) == {}


def test_what_two_nodes_share_is_one_parameter_and_one_tensor(tmp_path: Path) -> None:
    model = proto(
        """(float[N,6] x) => (float[N,6] y) {
            a = Gemm<transB=1>(x, w, b)
            r = Relu(a)
            y = Gemm<transB=1>(r, w, b)
        }""",
        "w 6 6, b 6",
    )
    graph = op.load(model)
    assert set(graph.initializers) == {"w", "b", "b__2"}
    module = shifted(as_module(graph))
    assert list(module.weights) == ["w", "b"]
    assert len(list(module.parameters())) == 2
    op.save(with_weights(graph, module), tmp_path / "y.onnx")
    saved = onnx.load(tmp_path / "y.onnx")
    assert {tensor.name for tensor in saved.graph.initializer} == {"w", "b"}
    feeds = feeds_of(model)
    close(run(saved, feeds), answers(module, feeds))


def test_half_precision_is_trained_wide_and_written_half() -> None:
    units, small = pruned(half(chain()))
    module = as_module(small)
    assert {p.dtype for p in module.parameters()} == {torch.float32}
    found = finetune(small, units.graph, batches(units.graph), epochs=3)
    assert found.after < found.before
    tensors = [v.const_value for v in found.graph.initializers.values()]
    assert {t.dtype for t in tensors if t.dtype.is_floating_point()} == {ir.DataType.FLOAT16}
    feeds = batches(units.graph, 1)[0]
    told = run(to_proto(found.graph), feeds)["y"]
    wanted = answers(as_module(found.graph), feeds)["y"]
    np.testing.assert_allclose(told, wanted, rtol=2.0**-7, atol=2.0**-7)


def test_casts_to_half_precision_do_not_narrow_what_is_trained() -> None:
    model = proto(
        """(float[N,4] x) => (float[N,3] y) {
            h = Cast<to=10>(x)
            a = MatMul(h, w)
            y = Cast<to=1>(a)
        }""",
        w=np.random.default_rng(0).standard_normal((4, 3)).astype(np.float16),
    )
    module, x = as_module(op.load(model)), np.full((2, 4), 1e-6, np.float32)
    module({"x": x})["y"].sum().backward()
    np.testing.assert_allclose(module.weights["w"].grad, np.full((4, 3), 2e-6), rtol=1e-5)


def test_the_same_seed_gives_the_same_weights() -> None:
    units, small = pruned(chain())
    data = batches(units.graph)
    first, again, other = (
        elements(finetune(small, units.graph, data, epochs=2, seed=seed).graph)
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other


def test_labels_add_the_cross_entropy_of_the_first_output() -> None:
    units, small = pruned(chain())
    feeds = batches(units.graph, 1)[0]
    labels = np.arange(8) % 4
    plain = finetune(small, units.graph, [feeds], epochs=20)
    told = finetune(small, units.graph, [(feeds, labels)], epochs=20)
    logits = run(to_proto(small), feeds)["y"].astype(np.float64)
    entropy = np.log(np.exp(logits).sum(1)) - logits[np.arange(8), labels]
    assert told.before - plain.before == pytest.approx(entropy.mean(), rel=1e-4)
    likely = [
        torch.log_softmax(torch.tensor(run(to_proto(f.graph), feeds)["y"]), 1).numpy()
        for f in (plain, told)
    ]
    assert likely[1][np.arange(8), labels].mean() > likely[0][np.arange(8), labels].mean()


def test_samples_are_shuffled_across_batches_with_their_labels() -> None:
    data: list[Batch] = [
        ({"x": np.arange(i, i + 4.0)[:, None], "flag": np.arange(i, i + 4)}, np.arange(i, i + 4))
        for i in range(0, 12, 4)
    ]
    data.insert(0, ({"x": np.array([[12.0]]), "flag": np.array([12])}, np.array([12])))
    seen = list(_shuffled(data, np.random.default_rng(0)))
    assert [len(labels) for _, labels in seen] == [4, 4, 4, 1]
    order = np.concatenate([labels for _, labels in seen])
    assert sorted(order) == list(range(13)) != list(order)
    assert len({number // 4 for number in seen[0][1]}) > 1
    for feeds, labels in seen:
        assert (feeds["x"][:, 0] == labels).all()
        assert (feeds["flag"] == labels).all()


def test_batches_of_different_shapes_stay_whole() -> None:
    data: list[Batch] = [{"x": np.full((2, n), n), "k": np.array(n)} for n in range(1, 9)]
    seen = [feeds["x"].shape for feeds in _shuffled(data, np.random.default_rng(0))]
    assert sorted(seen) == [(2, n) for n in range(1, 9)] != seen


@pytest.mark.parametrize(
    ("nodes", "weights", "expected"),
    [
        ("y = MatMul(x, w)", {"w": (4, 4)}, {"w"}),
        ("a = Add(x, one)  y = Mul(a, w)", {"one": (1,), "w": (4,)}, {"w"}),
        ("y = PRelu(x, slope)", {"slope": (1,)}, {"slope"}),
        ("y = Clip(x, low, high)", {"low": (), "high": ()}, set()),
        ("y = Pow(x, w)", {"w": (4,)}, set()),
        ("a = Mul(x, w)  y = Add(a, mask)", {"w": (4,), "mask": np.full(4, -3e38, "f")}, {"w"}),
        ("y = Gemm(x, w, b)", {"w": (4, 1), "b": (1,)}, {"w", "b"}),
        ("y = Where(c, x, w)", {"w": (4,), "c": np.arange(4) > 1}, set()),
        ("i = Gather(e, n)  y = Add(x, i)", {"e": (7, 4), "n": ints(1)}, {"e"}),
        (
            "q = DequantizeLinear<axis=0>(w, s)  y = MatMul(x, q)",
            {"w": np.ones((4, 4), np.int8), "s": (4,)},
            set(),
        ),
    ],
)
def test_which_initializers_are_learned(
    nodes: str, weights: dict[str, object], expected: set[str]
) -> None:
    graph = op.load(proto(f"(float[N,4] x) => (float[N,M] y) {{ {nodes} }}", **weights))
    assert set(learned(graph)) & set(weights) == expected


def bad(change: Callable[[Arrays], object]) -> Callable[[list[Arrays]], object]:
    return lambda data: [change(feeds) for feeds in data]


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda data: [], "no data"),
        (iter, "only once"),
        (bad(lambda feeds: {"z": feeds["x"]}), "'?z'?"),
        (bad(lambda feeds: {"x": feeds["x"][:, :2]}), "does not run with the data"),
        (bad(lambda feeds: {"x": feeds["x"].astype(str)}), "element type"),
        (bad(lambda feeds: feeds["x"]), "A batch is a dict"),
        (bad(lambda feeds: {"x": feeds["x"] * np.float32(np.nan)}), "not finite before"),
        (bad(lambda feeds: (feeds, np.full(8, 4))), "classes 0 to 3"),
        (bad(lambda feeds: (feeds, np.full(8, -1))), "classes 0 to 3"),
        (bad(lambda feeds: (feeds, np.zeros(8))), "Labels are integers"),
        (bad(lambda feeds: (feeds, np.zeros(3, int))), "Labels are integers"),
    ],
)
def test_data_that_do_not_fit(spoil: Callable[[list[Arrays]], object], said: str) -> None:
    units, small = pruned(chain())
    with pytest.raises(op.OnnxPruneError, match=said) as caught:
        finetune(small, units.graph, spoil(batches(units.graph, 2)))  # type: ignore[arg-type]
    assert str(caught.value).count("\n") == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"epochs": 0}, "0 epochs"),
        ({"lr": 0.0}, "learning rate"),
        ({"lr": float("nan")}, "learning rate"),
        ({"lr": float("inf")}, "learning rate"),
        ({"seed": -1}, "seed"),
        ({"freeze": ["nothing"]}, "matches 'nothing'"),
        ({"freeze": ["*"]}, "no floating point weights"),
        ({"lr": 1e30}, "not finite at step 2 of 4; try a smaller learning rate"),
    ],
)
def test_options_that_cannot_work(options: dict[str, object], said: str) -> None:
    units, small = pruned(chain())
    with pytest.raises(op.OnnxPruneError, match=said):
        finetune(small, units.graph, batches(units.graph, 2), **{"epochs": 2, **options})  # type: ignore[arg-type]


def test_training_that_makes_it_worse_is_refused() -> None:
    units, small = pruned(chain())
    with pytest.raises(RefusedError, match="try a smaller learning rate"):
        finetune(small, units.graph, batches(units.graph, 2), epochs=1, lr=100.0)


def test_a_teacher_that_is_another_model() -> None:
    units, small = pruned(chain())
    other = proto(
        "(float[N,3,6,6] z) => (float[N,4] y) { a = Flatten(z)  y = MatMul(a, w) }", "w 108 4"
    )
    with pytest.raises(op.OnnxPruneError, match=r"inputs of the pruned model are x .* z"):
        finetune(small, other, batches(units.graph))
    wide = proto(
        CHAIN.replace("float[N,4] y", "float[N,5] y"), SHAPES.replace("4", "5"), var=VARIANCES
    )
    with pytest.raises(op.OnnxPruneError, match=r"'y' .* \(8, 4\) .* \(8, 5\)"):
        finetune(small, wide, batches(units.graph))


def test_outputs_that_teach_nothing() -> None:
    whole = proto(
        "(float[N,4] x) => (int64[N,1] y) { a = MatMul(x, w)  y = ArgMax<axis=1>(a) }", "w 4 3"
    )
    with pytest.raises(op.OnnxPruneError, match="no floating point output"):
        finetune(whole, whole, [{"x": np.ones((2, 4), np.float32)}])
    apart = proto("(float[N,4] x) => (float[N,3] y) { a = MatMul(x, w)  y = Round(a) }", "w 4 3")
    other = proto(
        "(float[N,4] x) => (float[N,3] y) { a = MatMul(x, w)  y = Sign(a) }", "w 4 3", seed=1
    )
    with pytest.raises(RefusedError, match="did not bring"):  # gradients are 0 everywhere
        finetune(other, apart, [{"x": np.ones((2, 4), np.float32)}])


def test_a_quantised_model_has_nothing_to_train() -> None:
    model = WAYS["qdq-channel"](channels())
    with pytest.raises(op.OnnxPruneError, match="no floating point weights to train"):
        finetune(model, model, [{"x": np.ones((2, 3, 8, 8), np.float32)}])


@pytest.mark.parametrize(
    ("weights", "said"),
    [
        ({"nothing": np.zeros(8)}, "no initializer 'nothing'"),
        ({"b0": np.zeros(3)}, r"'b0' has the shape \(8,\)"),
        ({"b0": np.full(8, np.nan)}, "'b0': .* finite"),
        ({"b0": np.full(8, 1e300)}, "'b0': .* finite in FLOAT"),
    ],
)
def test_weights_that_do_not_fit(weights: Arrays, said: str) -> None:
    with pytest.raises(op.OnnxPruneError, match=said):
        with_arrays(op.load(chain()), weights, {})
