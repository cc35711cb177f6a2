"""Inputs without labels, and what is measured with them."""

from onnxprune.calibration.calibration import Calibration
from onnxprune.calibration.dataset import Dataset, read_dataset
from onnxprune.calibration.preprocess import CROPS, LAYOUTS, ORDERS, Preprocess

__all__ = ["CROPS", "LAYOUTS", "ORDERS", "Calibration", "Dataset", "Preprocess", "read_dataset"]
