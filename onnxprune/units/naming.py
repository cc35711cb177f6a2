"""What to call a weight: the module it belongs to, the same however torch exported it.

Torch's exporters agree on the names of parameters, as long as they keep them. Where one has folded
a batch norm into a weight or transposed it, the name is lost (``onnx::Conv_193``, ``val_12``), and
what is left is the place in the module tree that the node was traced at: the dynamo exporter writes
it into the metadata of the node, the legacy one into its name (``/layer1/layer1.0/conv1/Conv``).

Models of other frameworks have neither; there a weight is called after its node.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import onnx_ir as ir

__all__ = ["module_name"]

_SCOPES = "pkg.torch.onnx.name_scopes"

_PARAMETER = re.compile(
    r"""(?P<module>.+)\.(?:
        weight | bias | weight_bias | running_mean | running_var
        | (?:in|q|k|v)_proj_weight | in_proj_bias | bias_[kv]
        | (?:weight|bias)_(?:ih|hh|hr)_l\d+(?:_reverse)?
        | weight_(?:g|v|orig) | parametrizations\.\w+\.original\d*
    )""",
    re.VERBOSE,
)
"""A parameter of a layer of torch; ``weight_bias`` is what a batch norm left in a convolution."""

_LAYERS = frozenset(
    {"Conv", "ConvTranspose", "DeformConv", "Gemm", "MatMul", "LSTM", "GRU", "RNN"}
    | {"BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization"}
)
"""Operators all of whose weights belong to one module."""

_AGAIN = re.compile(r"(\.\d+)_\d+(?=/)")
"""What the legacy exporter adds to an indexed module (``net.0_1``) where it is called again."""


def module_name(tensor: ir.Value, node: ir.Node) -> str:
    """What to call a weight that a node reads: after its module, if it is known.

    Args:
        tensor: The weight, or what was computed from it alone.
        node: The node that reads it.

    Returns:
        The path of the module in the module tree (``layer1.0.conv1``). For a parameter that is no
        layer's its own path (``layer1.scale``). Else the name of the node, or of the tensor.
    """
    return (
        _of_parameter(tensor)
        or _own(tensor, node)
        or _of_neighbours(node)
        or _of_scope(node)
        or node.name
        or tensor.name
        or ""
    )


def _of_parameter(tensor: ir.Value) -> str:
    match = _PARAMETER.fullmatch(tensor.name or "")
    return match["module"] if match else ""


def _own(tensor: ir.Value, node: ir.Node) -> str:
    """The name of a parameter that is no layer's, as far as one can tell it from a result's."""
    name, scope = tensor.name or "", _scope(node)
    if scope is None or not all(p.isidentifier() or p.isdecimal() for p in name.split(".")):
        return ""
    if "." in name:
        return "" if re.search(r"__\d+\Z", name) else name  # a copy
    return "" if scope or re.search(r"_\d+\Z", name) else name  # an exporter's, such as val_3


def _of_neighbours(node: ir.Node) -> str:
    """The module that another weight of the same layer belongs to."""
    if node.op_type not in _LAYERS or node.domain != "":
        return ""
    for value in _neighbours(node):
        if value is not None and value.const_value is not None and (name := _of_parameter(value)):
            return name
    return ""


def _neighbours(node: ir.Node) -> Iterator[ir.Value | None]:
    yield from node.inputs
    if node.op_type == "MatMul":
        users = [use.node for use in node.outputs[0].uses()]
        if len(users) == 1 and users[0].op_type == "Add":
            yield from users[0].inputs


def _of_scope(node: ir.Node) -> str:
    """The module that a node was traced in, unless other modules are in that one."""
    scope = _scope(node)
    if not scope or node.graph is None:
        return ""
    if any(_is_below(other, node) for other in node.graph):
        return ""
    return scope


def _is_below(other: ir.Node, node: ir.Node) -> bool:
    """Whether a node was traced in a module that is in the module of another node."""
    theirs, ours, gap = (
        (other.metadata_props.get(_SCOPES, ""), node.metadata_props[_SCOPES], ", ")
        if _SCOPES in node.metadata_props
        else (other.name or "", node.name or "", "/")
    )
    scope, _, _ = ours.rpartition(gap)
    return theirs.startswith(scope + gap) and theirs.count(gap) > ours.count(gap)


def _scope(node: ir.Node) -> str | None:
    """The path of the module that a node was traced in, None if torch did not export it."""
    if _SCOPES in node.metadata_props:
        try:
            scopes = ast.literal_eval(node.metadata_props[_SCOPES])
            return str(scopes[-2])
        except (ValueError, SyntaxError, TypeError, LookupError, RecursionError, MemoryError):
            return None
    if not (node.name or "").startswith("/"):
        return None
    path, parent = "", ""
    for part in _AGAIN.sub(r"\1", str(node.name)).split("/")[1:-1]:
        # The children of a container repeat its name: net, net.0, net.0.1.
        inside = part.startswith(f"{parent}.") and parent
        path = path + part[len(parent) :] if inside else f"{path}.{part}".strip(".")
        parent = part
    return path
