"""What developers run: the demo, benchmarks, sweeps, and the training of the zoo's models."""
