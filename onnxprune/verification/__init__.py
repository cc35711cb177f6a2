"""The proof: the pruned model answers as the original does without the removed channels."""

from onnxprune.verification.bench import Latency, bench
from onnxprune.verification.references import REFERENCES, reference, why_inexact
from onnxprune.verification.verify import Verdict, Verifier, verify

__all__ = [
    "REFERENCES",
    "Latency",
    "Verdict",
    "Verifier",
    "bench",
    "reference",
    "verify",
    "why_inexact",
]
