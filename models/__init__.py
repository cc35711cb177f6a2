"""The model zoo: well-known architectures in plain `torch.nn`.

Example::

    from models import ZOO, export

    entry = ZOO["resnet18"]
    export(entry.randomised(seed=0), entry.example(), "resnet18.onnx")
"""

from __future__ import annotations

from models.classifiers import CLASSIFIERS
from models.dense import DENSE
from models.entry import Entry
from models.export import export
from models.randomise import randomise

__all__ = ["ZOO", "Entry", "export", "randomise"]

ZOO: dict[str, Entry] = {entry.name: entry for entry in (*CLASSIFIERS, *DENSE)}
