"""How well a model answers: against labels, and against the original."""

from onnxprune.evaluation.evaluate import evaluate
from onnxprune.evaluation.labels import read_labels
from onnxprune.evaluation.result import Accuracy, Evaluation, Fidelity, Share

__all__ = ["Accuracy", "Evaluation", "Fidelity", "Share", "evaluate", "read_labels"]
