"""Exporting modules: both exporters, their names and their quirks."""

from __future__ import annotations

import itertools
import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
import onnxruntime as ort
import pytest

pytest.importorskip("torch")

import torch
from torch import Tensor, nn

from models import ZOO, randomise
from models.toys import TOYS
from onnxprune.errors import OnnxPruneError
from onnxprune.graph import load
from onnxprune.torch import export
from onnxprune.torch.export import EXPORTERS, Exporter
from onnxprune.units.naming import module_name

pytestmark = pytest.mark.torch


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(6, 8)
        self.attn = nn.MultiheadAttention(8, 2, batch_first=True)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        return self.head(self.layer(x + self.attn(x, x, x, need_weights=False)[0]))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(6, 8, 2, batch_first=True, bidirectional=True)
        self.gru = nn.GRU(16, 4, batch_first=True)
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.gru(self.lstm(x)[0])[0])


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(20, 8)
        self.fc = nn.Linear(8, 8)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        tokens = (x * 19).long()[..., 0]
        return self.head(torch.relu(self.fc(self.embedding(tokens))))


class Odd(nn.Module):
    """Equal tensors, a module called twice, a buffer called as its result, a 3-D convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv3d(1, 8, 1, bias=False)
        self.twice = nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6))
        self.last = nn.Sequential(nn.Linear(6, 6), nn.LayerNorm(6))
        self.norm = nn.BatchNorm1d(8)
        self.register_buffer("mean", torch.rand(6))
        self.scale = nn.Parameter(torch.rand(8))

    def forward(self, x: Tensor) -> Tensor:
        x = self.twice(self.twice(x - self.mean))
        x = self.conv(self.last(x)[:, None, None]).mean((2, 3))
        return self.norm(x.mean(2)) * self.scale


MODULES = {"attention": Attention, "recurrent": Recurrent, "tied": Tied, "odd": Odd}


def answers(path: Path, feeds: dict[str, np.ndarray]) -> np.ndarray:
    return ort.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feeds)[0]


def check(module: nn.Module, example: Tensor, path: Path, exporter: Exporter) -> None:
    """All parameters are there, as they are and under their names; the model answers."""
    example = torch.cat([example, example])[:3]
    assert export(module, example, path, exporter=exporter) == path
    model = ir.load(path)
    state = module.state_dict(keep_vars=True)
    unique = {id(tensor): name for name, tensor in reversed(state.items())}
    for name, tensor in state.items():
        if tensor.is_floating_point() and unique[id(tensor)] == name:
            value = model.graph.initializers[name].const_value
            assert value is not None
            np.testing.assert_array_equal(value.numpy(), tensor.detach().numpy())
    (name,) = (value.name for value in model.graph.inputs)
    with torch.no_grad():
        expected = module(example[:2])
    got = answers(path, {str(name): example[:2].numpy()})
    np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-5)
    assert b"stack_trace" not in path.read_bytes()
    whole = load(path, untouched=module.state_dict().keys())
    for name, value in whole.initializers.items():
        if name in state and value.const_value is not None:
            expected = state[name].detach().numpy()
            np.testing.assert_array_equal(value.const_value.numpy(), expected)


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("name", MODULES)
def test_parameters_keep_their_names(name: str, exporter: Exporter, tmp_path: Path) -> None:
    module = MODULES[name]().eval()
    check(module, torch.rand(2, 7, 6), tmp_path / "model.onnx", exporter)


@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("name", ["Residual", "Concat", "GroupNorm", "SqueezeExcite"])
def test_parameters_of_toys_keep_their_names(name: str, exporter: Exporter, tmp_path: Path) -> None:
    toy = TOYS[name]
    check(randomise(toy.build(), 1), toy.example(2)[0], tmp_path / "model.onnx", exporter)


def exports(module: nn.Module, example: Any, opset: int | None = None) -> list[ir.Model]:
    return [
        export(module, example, exporter=exporter, keep_names=keep, opset=opset)
        for exporter, keep in itertools.product(EXPORTERS, (True, False))
    ]


def names(model: ir.Model) -> set[str]:
    return {
        module_name(value, node)
        for node in load(model).nodes
        if node.op_type in ("Conv", "ConvTranspose", "Gemm", "MatMul", "LSTM", "GRU")
        for value in node.inputs
        if value is not None and value.const_value is not None and value.const_value.size > 1
    }


@pytest.mark.parametrize("name", ["resnet18", "unet"])
def test_modules_of_the_zoo_are_called_alike_in_all_exports(name: str) -> None:
    entry = ZOO[name]
    module = entry.randomised()
    first, *others = map(names, exports(module, entry.example(2), entry.opset))
    assert first <= dict(module.named_modules()).keys()
    assert others == [first] * 3


@pytest.mark.parametrize("name", ["Residual", "NestedConcat", "Inception", "SqueezeExcite"])
def test_modules_of_toys_are_called_alike_in_all_exports(name: str) -> None:
    toy = TOYS[name]
    first, *others = map(names, exports(randomise(toy.build(), 1), toy.example(2)))
    assert others == [first] * 3


@pytest.mark.parametrize("name", ["attention", "recurrent", "tied"])
def test_modules_of_sequences_are_called_alike_in_all_exports(name: str) -> None:
    module = MODULES[name]()
    first, *others = map(names, exports(module, torch.rand(2, 7, 6)))
    assert first <= dict(module.named_modules()).keys()
    assert others == [first] * 3


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_a_module_is_left_as_it_was_and_nothing_is_said(
    exporter: Exporter, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    module = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Dropout()).train()
    module[1].eval()
    model = export(module, torch.rand(1, 3, 4, 4), exporter=exporter)
    assert [child.training for child in module] == [True, False, True]
    assert "Dropout" not in {node.op_type for node in load(model).nodes}
    assert torch.backends.mha.get_fastpath_enabled()
    with pytest.raises(OnnxPruneError, match=f"the {exporter} exporter cannot export"):
        export(Unknown(), torch.rand(2, 4), exporter=exporter)
    assert module.training
    assert logging.root.manager.disable == 0
    assert capfd.readouterr() == ("", "")
    # Torch's own trace, which no logger shows, is at the level of debugging.
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


def test_a_model_in_memory_has_weights_of_its_own() -> None:
    module = nn.Linear(2, 2)
    for model in exports(module, torch.rand(1, 2)):
        before = model.graph.initializers["bias"].const_value
        assert before is not None
        kept = before.numpy().copy()
        with torch.no_grad():
            module.bias += 1
        np.testing.assert_array_equal(before.numpy(), kept)


class Unknown(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.linalg.eigvals(x @ x.T).real


class Several(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.rand(4))

    def forward(
        self, weight: Tensor, pair: Any, scale: float = 2.0, *, more: Tensor | None = None
    ) -> Tensor:
        result = weight * self.weight * scale + pair[0] - pair[1]
        return result if more is None else result / more


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_examples_of_every_kind(exporter: Exporter, tmp_path: Path) -> None:
    a, b, c, d = (torch.rand(1, 4) + 1 for _ in range(4))
    module = Several()
    for example, inputs in (
        ((a, (b, c)), "weight_input pair_0 pair_1"),
        ([a, [b, c], 3.0], "weight_input pair_0 pair_1"),
        ({"more": d, "pair": (b, c), "weight": a}, "weight_input pair_0 pair_1 more"),
    ):
        path = export(module, example, tmp_path / "m.onnx", exporter=exporter)
        model = ir.load(path)
        assert [value.name for value in model.graph.inputs] == inputs.split()
        assert {str(value.shape) for value in model.graph.inputs} == {"[batch,4]"}
        feeds = dict(zip(inputs.split(), (x.numpy() for x in (a, b, c, d)), strict=False))
        with torch.no_grad():
            expected = module(**example) if isinstance(example, dict) else module(*example)
        np.testing.assert_allclose(answers(path, feeds), expected, rtol=1e-5)


def test_names_and_static_sizes_can_be_asked_for() -> None:
    for exporter in EXPORTERS:
        model = export(
            nn.Linear(4, 4),
            torch.rand(1, 4),
            exporter=exporter,
            dynamic=False,
            inputs=["x"],
            outputs=["y"],
            opset=18,
        )
        (x,), (y,) = model.graph.inputs, model.graph.outputs
        assert (x.name, str(x.shape), y.name) == ("x", "[1,4]", "y")
        assert model.opset_imports[""] == 18


class Fixed(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.shape[0] == 2 else x


def test_refusals() -> None:
    with pytest.raises(OnnxPruneError, match=r"the batch .* is not open.*dynamic=False"):
        export(Fixed(), torch.rand(2, 4))
    export(Fixed(), torch.rand(2, 4), dynamic=False)
    with pytest.raises(OnnxPruneError, match="2 and 3 along axis 0"):
        export(Several(), (torch.rand(2, 4), (torch.rand(3, 4), torch.rand(2, 4))))
    with pytest.raises(OnnxPruneError, match="does not fit"):
        export(nn.Linear(4, 4), (torch.rand(2, 4), torch.rand(2, 4)))
    with pytest.raises(OnnxPruneError, match="no exporter"):
        export(nn.Linear(4, 4), torch.rand(2, 4), exporter="other")  # type: ignore[arg-type]
