"""What pruning costs deployed models on real inputs: ``python -m tools.quality PAGE.md``."""
