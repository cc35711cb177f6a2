"""Running graphs in onnxruntime."""

from onnxprune.runtime.feeds import Feeds, find_feeds, integer_range
from onnxprune.runtime.session import RuntimeRefusal, first_line, open_session

__all__ = ["Feeds", "RuntimeRefusal", "find_feeds", "first_line", "integer_range", "open_session"]
