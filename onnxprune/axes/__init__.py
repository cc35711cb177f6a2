"""The axis language: what a sentence is, and what a graph full of them says."""

from onnxprune.axes.atoms import Atoms, Ids
from onnxprune.axes.factors import Factor, Factors
from onnxprune.axes.flow import Flow, Link
from onnxprune.axes.labels import Barrier, Bound, Labels
from onnxprune.axes.propagate import propagate
from onnxprune.axes.rule import Barred, Rule
from onnxprune.axes.sentence import Sentence, parse

__all__ = [
    "Atoms",
    "Barred",
    "Barrier",
    "Bound",
    "Factor",
    "Factors",
    "Flow",
    "Ids",
    "Labels",
    "Link",
    "Rule",
    "Sentence",
    "parse",
    "propagate",
]
