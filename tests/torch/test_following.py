"""Torch modules that follow their units: prepared, trained, made smaller, exported again."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

import onnxruntime as ort
import torch
from torch import Tensor, nn

import onnxprune as op
import onnxprune.torch as ot
from models import randomise
from models.toys import TOYS
from onnxprune.errors import ChoiceError, OnnxPruneError, RefusedError
from onnxprune.torch.dynamic import DynamicConv2d, DynamicLinear, MutableChannelContainer
from onnxprune.units import L1MutableChannelUnit, SequentialMutableChannelUnit
from onnxprune.verification.compare import compare

pytestmark = pytest.mark.torch


class Net(nn.Module):
    """Two convolutions with a norm, a residual sum and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.conv = nn.Conv2d(8, 8, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(8)
        self.shift = nn.Parameter(torch.zeros(1, 8, 1, 1))
        self.wide = nn.Conv2d(8, 12, 1)
        self.head = nn.Linear(12, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = torch.relu(x + self.norm(self.conv(x)) + self.shift)
        return self.head(torch.sigmoid(self.wide(x)).mean((2, 3)))


STREAM, WIDE = "stem_(0, 8)_8", "wide_(0, 12)_12"
KEEP = {STREAM: [1, 4, 6], WIDE: [0, 2, 3, 7, 11]}


@pytest.fixture
def net() -> nn.Module:
    return randomise(Net(), seed=2)


@pytest.fixture
def x() -> Tensor:
    return torch.rand(4, 3, 6, 6, generator=torch.Generator().manual_seed(3))


def choose(units: op.Units) -> None:
    for name, kept in KEEP.items():
        units[name].current_choice = kept


def run(model: object, x: Tensor) -> np.ndarray:
    """The answer of an ONNX graph in onnxruntime."""
    graph = model if isinstance(model, op.Graph) else op.load(model)  # type: ignore[arg-type]
    import onnx_ir as ir

    session = ort.InferenceSession(
        ir.to_proto(graph.model).SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return session.run(None, {session.get_inputs()[0].name: x.numpy()})[0]


def same(a: Tensor | np.ndarray, b: Tensor | np.ndarray) -> None:
    arrays = [t.detach().numpy() if isinstance(t, Tensor) else t for t in (a, b)]
    found = compare({"": arrays[0]}, {"": arrays[1]})
    assert found.agrees, found
    assert found.varied


def test_preparing_changes_neither_weights_nor_answers(net: nn.Module, x: Tensor) -> None:
    before, state = net(x), {k: v.clone() for k, v in net.state_dict().items()}
    weight = net.stem.weight
    units = ot.prepare_for_pruning(net, x)
    assert [unit.name for unit in units.mutable] == [STREAM, WIDE]
    assert torch.equal(net(x), before)
    assert isinstance(net.stem, DynamicConv2d)
    assert net.stem.weight is weight
    for name, tensor in state.items():
        found = net.state_dict().get(
            name, net.state_dict().get(f"parametrizations.{name}.original")
        )
        assert torch.equal(found, tensor)


def test_units_are_followed_as_they_are_chosen(net: nn.Module, x: Tensor) -> None:
    units = ot.prepare_for_pruning(net, x)
    choose(units)
    assert net.stem(x).shape[1] == 3
    same(net(x), run(op.prune(units), x))
    units.reset()
    assert net.stem(x).shape[1] == 8


def test_one_unit_alone_can_be_prepared(net: nn.Module, x: Tensor) -> None:
    units = SequentialMutableChannelUnit.init_from_graph(net, x)
    unit = units[WIDE]
    unit.prepare_for_pruning(net)
    assert type(net.stem) is nn.Conv2d
    assert isinstance(net.head, DynamicLinear)
    unit.current_choice = 5
    same(net(x), run(op.prune(units), x))


def test_training_reaches_the_full_weights_and_what_is_pruned_is_trained(
    net: nn.Module, x: Tensor
) -> None:
    units = ot.prepare_for_pruning(net, x)
    choose(units)
    net.train()
    before = net.stem.weight.detach().clone()
    mean = net.norm.running_mean.clone()
    optimizer = torch.optim.SGD(net.parameters(), 0.1)
    for _ in range(3):
        optimizer.zero_grad()
        net(x).square().sum().backward()
        optimizer.step()
    net.eval()
    moved = (net.stem.weight != before).flatten(1).any(1)
    assert moved.tolist() == [i in KEEP[STREAM] for i in range(8)]
    assert (net.norm.running_mean != mean).tolist() == moved.tolist()
    same(net(x), run(op.prune(units), x))  # the graph has the module's own tensors
    same(net(x), ot.to_static(net)(x))


def test_static_modules_are_plain_and_small_and_can_be_exported_again(
    net: nn.Module, x: Tensor
) -> None:
    units = ot.prepare_for_pruning(net, x)
    choose(units)
    small = ot.to_static(net)
    types = [type(part) for part in small.modules()][1:]
    assert types == [nn.Conv2d, nn.Conv2d, nn.BatchNorm2d, nn.Conv2d, nn.Linear]
    assert small.shift.shape == (1, 3, 1, 1)
    assert small.wide.weight.shape == (5, 3, 1, 1)
    same(small(x), net(x))
    again = ot.export(small, x)
    same(run(again, x), run(op.prune(units), x))
    ot.assert_parity(small, x, 3)


def test_choices_are_applied_to_the_source_module(net: nn.Module, x: Tensor) -> None:
    choices = op.Choices({STREAM: 3, WIDE: 0.5})
    small = ot.apply_choices(net, choices, x)
    assert type(net.stem) is nn.Conv2d, "the module itself is left alone"
    assert net.stem.out_channels == 8
    assert small.stem.out_channels == 3
    assert small.wide.out_channels == 6
    units = op.find_units(ot.trace(net, x))
    choices.apply(units)
    same(small(x), run(op.prune(units), x))
    small.train()
    small(x).sum().backward()
    assert small.stem.weight.grad is not None


def test_choices_made_on_the_exported_file_fit_the_module(
    net: nn.Module, x: Tensor, tmp_path
) -> None:
    for exporter in ("dynamo", "legacy"):
        path = ot.export(net, x, tmp_path / f"{exporter}.onnx", exporter=exporter, keep_names=False)
        choices = op.choose(path, op.ratio(0.5))
        choices.fingerprint = None  # batch norm is folded in the file
        small = ot.apply_choices(net, choices, x)
        same(small(x), run(op.prune(path, choices), x))


def test_fixed_sizes_cannot_become_smaller() -> None:
    module, example = randomise(TOYS["Chunk"].build(), 1), TOYS["Chunk"].example(2)
    units = op.find_units(ot.trace(module, example))
    name = units.mutable[0].name
    with pytest.raises(RefusedError, match="hard-coded"):
        ot.apply_choices(module, op.Choices({name: 3}), example)


def test_a_mutator_prepares_a_module(net: nn.Module, x: Tensor) -> None:
    mutator = op.ChannelMutator("l1")
    mutator.prepare_from_supernet(net, x)
    mutator.set_choices({STREAM: 4, WIDE: 0.25})
    assert net.stem(x).shape[1] == 4
    assert mutator.current_choices == {STREAM: 4, WIDE: 3}
    template = mutator.config_template(True, True, True)
    again = op.ChannelMutator.init_from_config(template)
    other = randomise(Net(), seed=2)
    again.prepare_from_supernet(other, x)
    same(other(x), net(x))


def test_scores_are_those_of_the_weights_of_the_moment(net: nn.Module, x: Tensor) -> None:
    unit = L1MutableChannelUnit.init_from_graph(net, x)[WIDE]
    with torch.no_grad():
        net.wide.weight[5] = 100
    unit.current_choice = 1
    assert np.flatnonzero(unit.mask).tolist() == [5]


class Predefined(nn.Module):
    """Dynamic operators with derived channels: every feature map becomes four features."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = DynamicConv2d(3, 8, 3, padding=1)
        self.head = DynamicLinear(32, 5)
        mutable = op.SquentialMutableChannel(8)
        register = MutableChannelContainer.register_mutable_channel_to_module
        register(self.conv, mutable, is_to_output_channel=True)
        register(self.head, mutable * 4, is_to_output_channel=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(nn.functional.adaptive_avg_pool2d(self.conv(x), 2).flatten(1))


def test_predefined_units_with_derived_channels(x: Tensor) -> None:
    module = randomise(Predefined())
    whole = module(x)
    [unit] = L1MutableChannelUnit.init_from_predefined_model(module)
    assert unit.name == "conv_(0, 8)_8"
    assert str(unit.input_related[0]) == (
        "Channel(head, index=(0, 32), is_output_channel=false, expand_ratio=4)"
    )
    scores = module.conv.weight.detach().abs().flatten(1).mean(1).numpy()
    np.testing.assert_allclose(unit.scores(), scores, rtol=1e-5)
    unit.current_choice = 3
    kept = np.flatnonzero(unit.mask)
    assert set(kept) == set(np.argsort(-scores)[:3])
    assert not torch.equal(module(x), whole)
    weight = module.conv.weight[kept]
    maps = nn.functional.conv2d(x, weight, module.conv.bias[kept], padding=1)
    features = nn.functional.adaptive_avg_pool2d(maps, 2).flatten(1)
    columns = (kept[:, None] * 4 + np.arange(4)).ravel()
    same(module(x), features @ module.head.weight[:, columns].T + module.head.bias)
    assert isinstance(ot.to_static(module).head, nn.Linear)


def test_a_module_without_units_of_its_own(net: nn.Module) -> None:
    with pytest.raises(ChoiceError, match="no dynamic operators with mutable channels"):
        SequentialMutableChannelUnit.init_from_predefined_model(net)


def test_a_module_that_follows_choices_is_not_exported(net: nn.Module, x: Tensor) -> None:
    units = ot.prepare_for_pruning(net, x)
    ot.assert_parity(net, x, 2)  # whole, it is what it was
    units[WIDE].current_choice = 3
    for use in (ot.export, ot.trace, ot.assert_parity):
        with pytest.raises(OnnxPruneError, match=r"'wide' keeps 3 of 12 channels.*to_static"):
            use(net, x)


def test_units_of_a_file_cannot_be_prepared(net: nn.Module, x: Tensor) -> None:
    units = op.find_units(ot.export(net, x))
    with pytest.raises(ChoiceError, match="was not found in a torch module"):
        units[WIDE].prepare_for_pruning(net)


def test_another_module_than_the_one_that_was_traced(net: nn.Module, x: Tensor) -> None:
    units = SequentialMutableChannelUnit.init_from_graph(net, x)
    with pytest.raises(ChoiceError, match=r"no parameter or buffer 'wide\.weight'"):
        units[WIDE].prepare_for_pruning(nn.Sequential(nn.Conv2d(3, 8, 1)))


@pytest.mark.parametrize("example", ["image", 3, (), {}, torch])
def test_examples_that_are_none(net: nn.Module, example: object) -> None:
    with pytest.raises(OnnxPruneError, match="An example is a tensor"):
        ot.trace(net, example)  # type: ignore[arg-type]


def test_an_example_that_does_not_fit(net: nn.Module) -> None:
    with pytest.raises(OnnxPruneError, match="cannot export the module"):
        ot.trace(net, (1, 5, 6, 6))
