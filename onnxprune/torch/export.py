"""One call for both of torch's ONNX exporters, which differ in most of their options.

Example::

    >>> from torch import nn, rand
    >>> from onnxprune.torch import export
    >>> model = export(nn.Conv2d(3, 8, 3), rand(1, 3, 8, 8))
    >>> sorted(model.graph.initializers)
    ['bias', 'weight']
"""

from __future__ import annotations

import contextlib
import inspect
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeAlias, overload
from unittest import mock

import onnx_ir as ir
import torch
from torch import Tensor, nn
from torch.onnx import TrainingMode
from torch.utils import _pytree as pytree

from onnxprune.errors import OnnxPruneError
from onnxprune.graph import save
from onnxprune.torch.dynamic.convert import refuse_removed
from onnxprune.torch.exported import (
    BATCH,
    FIXED,
    drop_zero_biases,
    name_batch,
    own,
    rename_tied,
    restore,
    size,
    strip,
    tell_apart,
)
from onnxprune.torch.silence import silent

__all__ = ["EXPORTERS", "Example", "Exporter", "export"]

Exporter = Literal["dynamo", "legacy"]

Example: TypeAlias = Tensor | Sequence[Any] | Mapping[str, Any]
"""What ``forward`` is called with: one tensor, all arguments in order, or by their names."""

EXPORTERS: tuple[Exporter, ...] = ("dynamo", "legacy")

_LARGEST_SINGLE_FILE = 2**31 - 2**20
"""Bytes of weights in one file: the limit of protobuf, with room for the graph itself."""

_SAYS_FIXED = ("user-specified ranges", "Constraints violated", "specialized")


@overload
def export(
    module: nn.Module,
    example: Example,
    path: None = None,
    *,
    exporter: Exporter = "dynamo",
    dynamic: bool = True,
    keep_names: bool = True,
    opset: int | None = None,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
) -> ir.Model: ...


@overload
def export(
    module: nn.Module,
    example: Example,
    path: str | os.PathLike[str],
    *,
    exporter: Exporter = "dynamo",
    dynamic: bool = True,
    keep_names: bool = True,
    opset: int | None = None,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
) -> Path: ...


def export(
    module: nn.Module,
    example: Example,
    path: str | os.PathLike[str] | None = None,
    *,
    exporter: Exporter = "dynamo",
    dynamic: bool = True,
    keep_names: bool = True,
    opset: int | None = None,
    inputs: Sequence[str] | None = None,
    outputs: Sequence[str] | None = None,
) -> ir.Model | Path:
    """Export a module as it answers in eval mode, without a word on the console.

    Args:
        module: What to export; it is left as it was, every submodule in its own mode.
        example: What ``forward`` is called with: one tensor, a tuple of all arguments in order, or
            a dictionary of them by name.
        path: The file to write; an existing one is replaced. External data appear beside it only
            above 2 GB. Without a path the model stays in memory, with weights of its own.
        exporter: "dynamo" (torch.export, the default of torch) or "legacy" (tracing).
        dynamic: Leave axis 0 of all tensors that ``forward`` takes open, under the name "batch".
            The legacy exporter cannot tell if ``forward`` computes with the batch of the example.
        keep_names: Whether all parameters and buffers that are used stay as they are, under their
            names in ``state_dict()``. Otherwise the exporter may optimise: it folds batch norms
            into convolutions, and constants into one another.
        opset: The ONNX opset; None leaves it to the exporter.
        inputs: Names of the inputs; None names them as ``forward`` does.
        outputs: Names of the outputs; None leaves them to the exporter.

    Returns:
        The path if there is one, else the model.

    Raises:
        OnnxPruneError: If the exporter cannot export the module, or not with an open batch; or the
            module follows units that have lost channels, of which `to_static` makes a smaller one.
        SaveError: If the file cannot be written.
    """
    if exporter not in EXPORTERS:
        raise OnnxPruneError(f"there is no exporter {exporter!r}; use 'dynamo' or 'legacy'")
    refuse_removed(module)
    args, kwargs = _arguments(module, example)
    if dynamic:
        args, kwargs = pytree.tree_map_only(Tensor, _doubled, (args, kwargs))
        _check_example(args, kwargs)
    names = {*module.state_dict(), *dict(module.named_buffers())}
    common = {
        "input_names": list(inputs or _input_names(module, args, kwargs, names)),
        "output_names": list(outputs) if outputs else None,
        "opset_version": opset,
        "verbose": False,
    }
    with _evaluated(module), silent(), torch.no_grad():
        model = _run(exporter, module, args, kwargs, dynamic, not keep_names, common)
        _put_right(model, module, dynamic, names if keep_names else None)
        if path is None:
            own(model)
            return model
        save(model, path, force=True, external=size(model) > _LARGEST_SINGLE_FILE)
    return Path(path)


def _run(
    exporter: Exporter,
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    dynamic: bool,
    optimize: bool,
    common: dict[str, Any],
) -> ir.Model:
    run = _dynamo if exporter == "dynamo" else _legacy
    try:
        return run(module, args, kwargs, dynamic, optimize, common)
    except Exception as error:
        raise OnnxPruneError(_sentence(exporter, dynamic, error)) from error


def _put_right(model: ir.Model, module: nn.Module, dynamic: bool, names: set[str] | None) -> None:
    """Give an exported model the form that is promised."""
    if dynamic:
        name_batch(model)
    strip(model)
    if names is not None:
        restore(model, names)
        drop_zero_biases(model)
    rename_tied(model, module.state_dict(keep_vars=True))
    tell_apart(model)


def _dynamo(
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    dynamic: bool,
    optimize: bool,
    common: dict[str, Any],
) -> ir.Model:
    shapes: Any = None
    if dynamic:
        shapes = pytree.tree_map(_dynamic_shape, _bound(module, args, kwargs))
    program = torch.onnx.export(
        *(module, args),
        kwargs=kwargs,
        dynamo=True,
        optimize=optimize,
        dynamic_shapes=shapes,
        **common,
    )
    assert program is not None
    return program.model


def _legacy(
    module: nn.Module,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    dynamic: bool,
    optimize: bool,
    common: dict[str, Any],
) -> ir.Model:
    leaves, spec = pytree.tree_flatten((args, kwargs))
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    axes = {
        name: {0: BATCH}
        for name, tensor in zip(common["input_names"], tensors, strict=False)
        if tensor.ndim
    }
    axes |= {name: {0: BATCH} for name in common["output_names"] or ()}

    original = module.forward

    def forward(*given: Tensor) -> Any:
        left = iter(given)
        whole = [next(left) if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        args, kwargs = pytree.tree_unflatten(whole, spec)
        return original(*args, **kwargs)

    # Numbers would become inputs, and lists and names are not understood everywhere.
    plain = not kwargs and len(args) == len(tensors) == len(leaves)
    with (
        tempfile.TemporaryDirectory(prefix="onnxprune-") as folder,
        contextlib.nullcontext() if plain else mock.patch.object(module, "forward", forward),
    ):
        file = str(Path(folder) / "model.onnx")  # only a string may have external data
        torch.onnx.export(
            *(module, tuple(tensors), file),
            dynamo=False,
            # Batch norms are folded in any mode EVAL, whatever do_constant_folding says.
            training=TrainingMode.EVAL if optimize else TrainingMode.PRESERVE,
            do_constant_folding=optimize,
            dynamic_axes=axes if dynamic else None,
            **common,
        )
        return ir.external_data.load_to_model(ir.load(file))


def _arguments(module: nn.Module, example: Example) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of ``forward`` in its order: all that may be positional are."""
    bind = inspect.signature(module.forward).bind
    try:
        if isinstance(example, Mapping):
            bound = bind(**example)
        else:
            bound = bind(*((example,) if isinstance(example, Tensor) else example))
    except TypeError as error:
        raise OnnxPruneError(
            f"the example does not fit the module's forward ({error}); give all of its arguments "
            "in a tuple, or by name in a dictionary"
        ) from None
    return bound.args, bound.kwargs


def _bound(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments by the names that ``forward`` has for them."""
    return dict(inspect.signature(module.forward).bind(*args, **kwargs).arguments)


def _doubled(tensor: Tensor) -> Tensor:
    """A batch of two instead of one: a size of 1 would be taken for a constant."""
    return torch.cat([tensor, tensor]) if tensor.ndim and len(tensor) == 1 else tensor


def _dynamic_shape(leaf: object) -> dict[int, str] | None:
    if not isinstance(leaf, Tensor):
        return None
    return {0: BATCH} if leaf.ndim else {}


def _input_names(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], taken: set[str]
) -> Iterator[str]:
    """The name of every tensor among the arguments; those of one parameter are numbered."""
    for name, argument in _bound(module, args, kwargs).items():
        leaves, _ = pytree.tree_flatten_with_path(argument)
        for number, (path, leaf) in enumerate(leaves):
            if isinstance(leaf, Tensor):
                unique = f"{name}_{number}" if path else name
                yield f"{unique}_input" if unique in taken else unique


def _check_example(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    tensors = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    sizes = sorted({len(tensor) for tensor in tensors if tensor.ndim})
    if len(sizes) > 1:
        raise OnnxPruneError(
            f"the tensors of the example have {' and '.join(map(str, sizes))} along axis 0, which "
            "would be one open batch; export with dynamic=False"
        )


def _sentence(exporter: Exporter, dynamic: bool, error: BaseException) -> str:
    """Why an export failed, and what to try."""
    while error.__cause__ is not None:
        error = error.__cause__
    text, _, _ = str(error).partition("[Caused by")
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if dynamic and any(words in text for words in _SAYS_FIXED):
        return FIXED.format("the batch of the module is not open")
    reason = " ".join(lines[: 2 if lines and lines[0].endswith(":") else 1])
    cause = f"{type(error).__name__}: {reason[:300]}" if reason else type(error).__name__
    other = "legacy" if exporter == "dynamo" else "dynamo"
    advice = f"try exporter={other!r}" + (", or dynamic=False" if dynamic else "")
    return f"the {exporter} exporter cannot export the module ({cause}); {advice}"


@contextlib.contextmanager
def _evaluated(module: nn.Module) -> Iterator[None]:
    """Put a module into eval mode, and the fast path of attention, which has no ONNX, out of it."""
    modes = {child: child.training for child in module.modules()}
    fast = torch.backends.mha.get_fastpath_enabled()
    try:
        torch.backends.mha.set_fastpath_enabled(False)
        module.eval()
        yield
    finally:
        for child, training in modes.items():
            child.training = training
        torch.backends.mha.set_fastpath_enabled(fast)
