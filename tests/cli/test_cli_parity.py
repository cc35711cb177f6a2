"""parity: a torch module out of the user's own file."""

from __future__ import annotations

from pathlib import Path

import pytest
from commands import Refused, Run

pytest.importorskip("torch")

pytestmark = pytest.mark.torch

FILE = """
import torch
from torch import nn

def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 1), nn.Flatten(),
                         nn.Linear(4 * 16, 5))

def with_example():
    return net(), torch.rand(2, 3, 6, 6)

class Deaf(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(4, 8), nn.Linear(8, 3)

    def forward(self, x):
        return self.b((x @ self.a.weight.T).softmax(1)) * self.b.weight.sum()

def broken():
    return 1 / 0

number = lambda: 3
"""


@pytest.fixture(autouse=True)
def file(folder: Path) -> str:
    (folder / "my_nets.py").write_text(FILE)
    return "my_nets"


def test_the_table(run: Run) -> None:
    out = run("parity", "my_nets:net", "--input", "2,3,6,6", "--choices", "4").out
    assert out.count("agreed: |difference| <= 1e-05 + 0.0001 * |reference|") == 2
    assert "Sequential, exported by dynamo: 2 units" in out
    assert "Sequential, exported by legacy: 2 units" in out


def test_json(run: Run) -> None:
    arguments = ("--exporter", "legacy", "--choices", "3", "--format", "json")
    [report] = run("parity", "my_nets:with_example", *arguments).json
    assert report["schema"] == "onnxprune.parity/1"
    assert report["exporter"] == "legacy"
    assert [choice["kept"] for choice in report["choices"]][:1] == [12]
    assert all(a["agrees"] for choice in report["choices"] for a in choice["answers"].values())


def test_a_module_that_does_not_agree(run: Run) -> None:
    arguments = ("--input", "2,4", "--choices", "2", "--exporter", "dynamo")
    answer = run("parity", "my_nets:Deaf", *arguments, code=1)
    assert "FAILED" in answer.out
    assert "with a_(0, 8)_8 alone it fails as well" in answer.out


@pytest.mark.parametrize(
    ("factory", "says"),
    [
        ("my_nets", "'my_nets' is not of the form MODULE:FACTORY"),
        (":net", "is not of the form MODULE:FACTORY"),
        ("no_nets:net", "no_nets:net: the module cannot be imported (No module named 'no_nets')"),
        ("my_nets:nett", "has no attribute 'nett'"),
        ("my_nets:broken", "it cannot be built (ZeroDivisionError: division by zero)"),
        ("my_nets:number", "it gives a int, not a torch module"),
    ],
)
def test_factories_that_are_none(refused: Refused, factory: str, says: str) -> None:
    assert says in refused("parity", factory)


@pytest.mark.parametrize("sizes", ["", "a", "1,,3", "0,3", "1x3x6x6"])
def test_sizes_that_are_none(refused: Refused, sizes: str) -> None:
    assert "are no sizes; write them as 1,3,224,224" in refused(
        "parity", "my_nets:net", "--input", sizes
    )


def test_sizes_that_do_not_fit(refused: Refused) -> None:
    said = refused("parity", "my_nets:net", "--input", "1,4,6,6")
    assert "cannot export the module" in said
