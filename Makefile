# Everything runs in a virtual environment of its own; `make demo` and `make test` set it up.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: demo test lint format rules table parity transformers variants real quality recovery bench clean

demo: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.demo

test: .venv/ready
	$(BIN)/python -m pytest -n 2

lint: .venv/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: .venv/ready
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# The table of docs/operators.md: what every rule says, from the rules themselves.
rules: .venv/ready
	$(BIN)/onnxprune rules --format markdown > docs/operators.md

# The table of docs/zoo.md: every model of the zoo, exported, pruned and checked. An hour or so.
table: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.zoo_table docs/zoo.md --jobs 2

# docs/parity.md: torch and onnxruntime, masked and pruned, over the whole zoo. An hour or so.
parity: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.parity_table docs/parity.md --jobs 2 --results parity.jsonl

# docs/transformers.md: architectures of Hugging Face transformers, pruned and checked. Half an hour.
transformers: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.transformers_table docs/transformers.md --jobs 2 \
		--exports build/transformers --results build/transformers.jsonl

# docs/variants.md: quantised, halved and fused models, pruned and checked. Ten minutes or so.
variants: .venv/ready
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.variants docs/variants.md

# docs/real-models.md: trained models out of public packages, pruned and checked.
real: .venv/ready
	$(BIN)/python -m tools.real_models docs/real-models.md

# docs/quality.md: what pruning costs trained models, on real inputs.
quality: .venv/ready
	mkdir -p build
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.quality docs/quality.md --files build/quality \
		--results build/quality.jsonl

# docs/recovery.md: accuracy that is left on CIFAR-10 without training. Hours.
recovery: .venv/ready
	mkdir -p build
	OMP_NUM_THREADS=1 $(BIN)/python -m tools.recovery_table models/resnet20_cifar10.onnx \
		models/resnet56_cifar10.onnx models/vit_cifar10.onnx --page docs/recovery.md

# docs/benchmark.md: time and memory beside Torch-Pruning.
bench: .venv/ready
	$(BIN)/python -m tools.bench_peers docs/benchmark.md

.venv/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "onnxprune needs Python 3.11 or newer: make PYTHON=python3.11")'
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet -c constraints.txt -e ".[cpu,torch]" --group dev
	touch $@

clean:
	rm -rf .venv build dist demo .pytest_cache .mypy_cache .ruff_cache .hypothesis
