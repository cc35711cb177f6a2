"""What torch's two exporters write: dynamic batch, both ways to say it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from graph_models import floats, run

from onnxprune.graph import Graph, load, save

torch = pytest.importorskip("torch")

pytestmark = [pytest.mark.torch, pytest.mark.filterwarnings("ignore")]


def network(recurrent: bool) -> Any:
    nn = torch.nn

    class Convolutional(nn.Module):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.stem = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU())
            self.depthwise = nn.Conv2d(8, 8, 3, 1, 1, groups=8)
            self.norm = nn.GroupNorm(2, 8)
            self.head = nn.Linear(8, 5)

        def forward(self, x: Any) -> Any:
            x = self.stem(x)
            x = self.norm(self.depthwise(x)) + x
            b, c, h, w = x.shape
            x = x.view(b, 2, c // 2, h, w).transpose(1, 2).reshape(b, c, h, w)
            return self.head(x.mean((2, 3)))

    class Recurrent(nn.Module):  # type: ignore[name-defined,misc]
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.Linear(6, 8)
            self.rnn = nn.LSTM(8, 4, batch_first=True, bidirectional=True)
            self.head = nn.Linear(8, 5)

        def forward(self, x: Any) -> Any:
            return self.head(self.rnn(self.first(x))[0])

    torch.manual_seed(0)
    model = Recurrent() if recurrent else Convolutional()
    for parameter in model.parameters():
        nn.init.normal_(parameter, 0.0, 0.5)
    return model.eval()


def export(recurrent: bool, dynamo: bool, path: Path) -> Graph:
    example = torch.ones(2, 7, 6) if recurrent else torch.ones(2, 3, 16, 16)
    how: dict[str, Any] = {"dynamic_axes": {"x": {0: "batch"}}, "opset_version": 17}
    if dynamo:
        how = {"dynamic_shapes": ({0: torch.export.Dim("batch")},), "verbose": False}
    torch.onnx.export(network(recurrent), (example,), path, input_names=["x"], dynamo=dynamo, **how)
    return load(path)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Callable[[bool, bool], Graph]:
    folder = tmp_path_factory.mktemp("exports")

    @cache
    def get(recurrent: bool, dynamo: bool) -> Graph:
        return export(recurrent, dynamo, folder / f"{recurrent}-{dynamo}.onnx")

    return get


Exported = Callable[[bool, bool], Graph]


@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
@pytest.mark.parametrize("recurrent", [False, True], ids=["cnn", "lstm"])
def test_shapes_are_known_and_answers_are_kept(
    exported: Exported, tmp_path: Path, recurrent: bool, dynamo: bool
) -> None:
    graph = exported(recurrent, dynamo)
    values = [value for node in graph.nodes for value in node.outputs if value.name]
    shapes = [graph.shape(value) for value in values]
    assert None not in shapes
    symbols = {dim.symbol for shape in shapes if shape for dim in shape if dim.symbol}
    assert not any(symbol.startswith("?") for symbol in symbols)
    assert graph.source.path is not None
    save(graph, tmp_path / "saved.onnx")
    feeds = {"x": floats(3, 7, 6) if recurrent else floats(3, 3, 16, 16)}
    expected = network(recurrent)(torch.from_numpy(feeds["x"])).detach().numpy()
    for path in (graph.source.path, tmp_path / "saved.onnx"):
        np.testing.assert_allclose(run(path, feeds)[0], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
def test_weights_of_an_lstm_are_initializers(exported: Exported, dynamo: bool) -> None:
    graph = exported(True, dynamo)
    (lstm,) = (node for node in graph.nodes if node.op_type == "LSTM")
    weights = [value for value in lstm.inputs[1:4] if value is not None]
    assert [value.is_initializer() for value in weights] == [True] * 3
    assert [dim.size for dim in graph.shape(weights[0]) or ()] == [2, 16, 8]


@pytest.mark.parametrize("dynamo", [False, True], ids=["torchscript", "dynamo"])
def test_the_targets_of_reshapes_are_told(exported: Exported, dynamo: bool) -> None:
    graph = exported(False, dynamo)
    targets = [node.inputs[1] for node in graph.nodes if node.op_type == "Reshape"]
    assert len(targets) >= 2
    assert all(target is not None and graph.elements(target) for target in targets)
    assert "Constant" not in {node.op_type for node in graph.nodes}
