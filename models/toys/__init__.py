"""Small structures, one way of coupling channels each, and the units that they have.

Every toy ends in a linear head.
"""

from __future__ import annotations

from models.toys import joined, moved, plain  # noqa: F401 - importing a file registers its toys
from models.toys.toy import TOYS, Toy

__all__ = ["TOYS", "Toy"]
