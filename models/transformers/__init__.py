"""Architectures of Hugging Face `transformers` at toy sizes, their weights random.

Example::

    from models.transformers import ARCHITECTURES, export

    export(ARCHITECTURES["bert"], "bert.onnx", exporter="dynamo", dynamic=True)
"""

from __future__ import annotations

from models.transformers.architecture import Answers, Architecture, Input
from models.transformers.causal import DECODERS
from models.transformers.dense import DENSE
from models.transformers.export import export
from models.transformers.joint import JOINT
from models.transformers.pairs import PAIRS
from models.transformers.sound import SOUND
from models.transformers.text import ENCODERS
from models.transformers.vision import CLASSIFIERS

__all__ = ["ARCHITECTURES", "Answers", "Architecture", "Input", "export"]

ARCHITECTURES: dict[str, Architecture] = {
    architecture.name: architecture
    for architecture in (
        *(*ENCODERS, *DECODERS, *PAIRS),
        *(*CLASSIFIERS, *DENSE, *JOINT, *SOUND),
    )
}
