"""MMRazor's notebook on MutableChannelUnit, its cells with our imports and nothing else changed.

Source: MMRazor, docs of v1.0.0rc1, Apache-2.0. The drawn choice of cell 5 is random.
"""

from __future__ import annotations

import contextlib
import io
import re

import pytest

pytest.importorskip("torch")

pytestmark = pytest.mark.torch

MODEL = """
# define a model
from onnxprune.torch import BaseModel
from torch import nn
import torch
from collections import OrderedDict

class MyModel(BaseModel):

    def __init__(self):
        super().__init__(None, None)
        self.net = nn.Sequential(
            OrderedDict([('conv0', nn.Conv2d(3, 8, 3, 1, 1)),
                         ('relu', nn.ReLU()),
                         ('conv1', nn.Conv2d(8, 16, 3, 1, 1))]))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(16, 1000)

    def forward(self, x):
        feature = self.net(x)
        pool = self.pool(feature).flatten(1)
        return self.head(pool)
"""

FOUND = """
# There are multiple types of MutableChannelUnits. Here, We take SequentialMutableChannelUnit as the example.
from onnxprune import SequentialMutableChannelUnit
from onnxprune.torch import ModuleGraph
from typing import List

model = MyModel()
graph = ModuleGraph.init_from_backward_tracer(model)
units: List[
    SequentialMutableChannelUnit] = SequentialMutableChannelUnit.init_from_graph(graph)  # type: ignore
print(
    f'This model has {len(units)} MutableChannelUnit(SequentialMutableChannelUnit).'
)
"""  # noqa: E501 - as it was written

UNIT = """
unit1=units[1]
print(unit1)
"""

UNIT_TEXT = """\
SequentialMutableChannelUnit(
  name=net.conv0_(0, 8)_8
  (output_related): ModuleList(
    (0): Channel(net.conv0, index=(0, 8), is_output_channel=true, expand_ratio=1)
  )
  (input_related): ModuleList(
    (0): Channel(net.conv1, index=(0, 8), is_output_channel=false, expand_ratio=1)
  )
  (mutable_channel): SquentialMutableChannel(num_channels=8, activated_channels=8)
)
"""

PREPARED = """
# We run "prepare_for_pruning" once before pruning to run step 1 and 2 above.
unit1.prepare_for_pruning(model)
print(f'The current choice of unit1 is {unit1.current_choice}.')
print(model.net.conv0)
print(model.net.conv1)
"""

LAYERS_TEXT = """\
DynamicConv2d(
  3, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1)
  (mutable_attrs): ModuleDict(
    (in_channels): MutableChannelContainer(num_channels=3, activated_channels=3)
    (out_channels): MutableChannelContainer(num_channels=8, activated_channels=%d)
  )
)
DynamicConv2d(
  8, 16, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1)
  (mutable_attrs): ModuleDict(
    (in_channels): MutableChannelContainer(num_channels=8, activated_channels=%d)
    (out_channels): MutableChannelContainer(num_channels=16, activated_channels=16)
  )
)
"""

CHOSEN = """
sampled_choice=unit1.sample_choice()
print(f'We get a sampled choice {sampled_choice}.')
unit1.current_choice=sampled_choice
print(model.net.conv0)
print(model.net.conv1)
"""

TRACER = """
# 1. using tracer
def get_mutable_channel_units_using_tracer(model):
    graph = ModuleGraph.init_from_backward_tracer(model)
    units = SequentialMutableChannelUnit.init_from_graph(graph)
    return units


model = MyModel()
units = get_mutable_channel_units_using_tracer(model)
print(f'The model has {len(units)} MutableChannelUnits.')
"""

CONFIG = """
# 2. using config
config = {
    'init_args': {
        'num_channels': 8,
    },
    'channels': {
        'input_related': [{
            'name': 'net.conv1',
        }],
        'output_related': [{
            'name': 'net.conv0',
        }]
    },
    'choice': 8
}
unit=SequentialMutableChannelUnit.init_from_cfg(model, config)
print(unit)
"""

PREDEFINED = """
# 3. using predefined model

from onnxprune.torch import DynamicConv2d, DynamicLinear, MutableChannelContainer
from onnxprune import MutableChannelUnit, SquentialMutableChannel
from collections import OrderedDict

class MyDynamicModel(BaseModel):

    def __init__(self):
        super().__init__(None, None)
        self.net = nn.Sequential(
            OrderedDict([('conv0', DynamicConv2d(3, 8, 3, 1, 1)),
                         ('relu', nn.ReLU()),
                         ('conv1', DynamicConv2d(8, 16, 3, 1, 1))]))
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = DynamicLinear(16, 1000)

        # register MutableChannelContainer
        MutableChannelUnit._register_channel_container(
            self, MutableChannelContainer)
        self._register_mutables()

    def forward(self, x):
        feature = self.net(x)
        pool = self.pool(feature).flatten(1)
        return self.head(pool)

    def _register_mutables(self):
        mutable1 = SquentialMutableChannel(8)
        mutable2 = SquentialMutableChannel(16)
        MutableChannelContainer.register_mutable_channel_to_module(
            self.net.conv0, mutable1, is_to_output_channel=True)
        MutableChannelContainer.register_mutable_channel_to_module(
            self.net.conv1, mutable1, is_to_output_channel=False)

        MutableChannelContainer.register_mutable_channel_to_module(
            self.net.conv1, mutable2, is_to_output_channel=True)
        MutableChannelContainer.register_mutable_channel_to_module(
            self.head, mutable2, is_to_output_channel=False)
model=MyDynamicModel()
units=SequentialMutableChannelUnit.init_from_predefined_model(model)            
print(f'The model has {len(units)} MutableChannelUnits.')
"""  # noqa: W291 - as it was written

COUNT = "This model has 4 MutableChannelUnit(SequentialMutableChannelUnit).\n"

CELLS = [
    (MODEL, ""),
    (FOUND, COUNT),
    (UNIT, UNIT_TEXT),
    (PREPARED, "The current choice of unit1 is 8.\n" + LAYERS_TEXT % (8, 8)),
    (CHOSEN, None),
    (TRACER, "The model has 4 MutableChannelUnits.\n"),
    (CONFIG, UNIT_TEXT),
    (PREDEFINED, "The model has 2 MutableChannelUnits.\n"),
]


def test_every_cell_prints_what_it_prints() -> None:
    names: dict[str, object] = {"__name__": "notebook"}
    for number, (cell, expected) in enumerate(CELLS, 1):
        written = io.StringIO()
        with contextlib.redirect_stdout(written):
            exec(compile(cell, f"cell {number}", "exec"), names)
        if expected is None:
            drawn = re.match(r"We get a sampled choice (\d)\.\n", written.getvalue())
            assert drawn is not None
            choice = int(drawn[1])
            assert 1 <= choice <= 8
            expected = drawn[0] + LAYERS_TEXT % (choice, choice)
        assert written.getvalue() == expected, f"cell {number}"
