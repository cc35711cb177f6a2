"""Tensors that know which of their entries are zeros in place of removed channels.

Where a model's forward computes with fixed sizes, removed channels stay in place as zeros. A zero
does no harm to a sum, but a mean, a variance or a softmax over it is another one. A `PresentTensor`
carries along what is present of it, through every torch function that a forward calls:

* entry by entry: what is missing of one argument is missing of the result;
* movements: presence moves the same way, and padding is present;
* statistics: over what is present; missing is what nothing was present for;
* sums of products: missing is what no product of present entries belongs to.

What is missing is always 0. A result of which nothing is missing is a plain tensor, and so is that
of a function that is not understood.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from onnxprune.torch.dynamic.container import Mask
from onnxprune.torch.dynamic.cuts import on

__all__ = ["PresentTensor", "mark"]


class Call(NamedTuple):
    """A torch function and what it is given. What it is given here it takes for plain."""

    func: Callable[..., Any]
    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]

    def run(self, *first: Any) -> Any:
        """The result, with other first arguments if any are given."""
        return self.func(*first, *self.args[len(first) :], **self.kwargs)

    def mapped(self, change: Callable[[Tensor], Any]) -> Any:
        """The result for other tensors."""
        args, kwargs = _tensors(change, (list(self.args), dict(self.kwargs)))
        return self.func(*args, **kwargs)

    def options(self, names: str) -> dict[str, Any]:
        """The arguments after the first; those that are given by position have these names."""
        return dict(zip(names.split(), self.args[1:], strict=False)) | dict(self.kwargs)


class PresentTensor(Tensor):
    """A tensor of which some entries are missing; these are 0.

    Attributes:
        present: Which entries are there: bool, of the same rank, of size 1 where it is constant.
    """

    present: Tensor

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Any torch function: the result, and what is present of it."""
        names = {"axis": "dim", "keepdims": "keepdim"}
        options = {names.get(name, name): value for name, value in (kwargs or {}).items()}
        args = args or tuple(options.pop(n) for n in ("input", "tensors") if n in options)
        name = str(getattr(func, "__name__", ""))
        name = func.__self__.__name__ if name == "__get__" else name  # of a property
        call = Call(func, name, args, options)
        with torch._C.DisableTorchFunctionSubclass():
            in_place = options.get("inplace") is True or re.fullmatch(r"\w*[^_]_", name)
            return _in_place(call) if in_place else _out_of_place(call)


def mark(x: Tensor, axis: int, kept: Mask) -> Tensor:
    """A tensor without some of its entries, which become 0; itself if none is missing.

    Args:
        x: The tensor.
        axis: An axis.
        kept: (n,) which entries along it are present.
    """
    if kept.all():
        return x
    present = on(x, kept).reshape([-1 if i == axis % x.ndim else 1 for i in range(x.ndim)])
    with torch._C.DisableTorchFunctionSubclass():
        if torch._C._get_tracing_state() or torch.compiler.is_compiling():
            return x.masked_fill(~present, 0)
        return _wrap(x, present & _presence(x))


def _out_of_place(call: Call) -> Any:
    try:
        if call.name in COMPOSITES:
            with torch._C._EnableTorchFunction():
                return COMPOSITES[call.name](*call.args, **call.kwargs)
        pool = re.search(r"(avg|max|lp)_pool[123]d", call.name)
        handler = _each if pool else HANDLERS.get(call.name)
        if handler is None:
            handler = _elementwise if _is_pointwise(call) else _drop
        return handler(call)
    except Exception:  # nothing is known of presence then; of other errors, the next line tells
        return _drop(call)


def _drop(call: Call) -> Any:
    """What the function makes of zeros."""
    plain = call.name in ("__deepcopy__", "__repr__", "__reduce_ex__")
    return call.mapped(lambda x: x.as_subclass(Tensor)) if plain else call.run()


def _in_place(call: Call) -> Any:
    """Compute anew, then copy: presence stays with the object, and gradients are right."""
    x, name = call.args[0], call.name.removesuffix("_")
    if not isinstance(x, PresentTensor) or name == "requires_grad":
        return call.run()
    places = [place for place in (Tensor, F, torch) if hasattr(place, name)]
    func = call.func if name == call.name else getattr(places[0], name) if places else None
    if name == "copy":
        result = _wrap(call.args[1].expand(x.shape), _presence(call.args[1]))
    elif func is None:  # fill_, zero_, random numbers
        result = _wrap(call.run().clone(), x.present)
    else:
        kwargs = {k: v for k, v in call.kwargs.items() if k != "inplace"}
        result = _out_of_place(Call(func, name, call.args, kwargs))
    if HANDLERS.get(name) is _move:
        call.run()
    else:
        x.copy_(result)
    x.present = _presence(result)
    return x


def _tensors(change: Callable[[Tensor], Any], tree: Any) -> Any:
    return tree_map(lambda leaf: change(leaf) if isinstance(leaf, Tensor) else leaf, tree)


def _presence(x: Tensor) -> Tensor:
    ones = (1,) * x.ndim
    return x.present if isinstance(x, PresentTensor) else x.new_ones(ones, dtype=torch.bool)


def _missing(x: Tensor) -> Tensor:
    """1 where missing, else 0, of the shape of the tensor."""
    return (~_presence(x)).float().expand(x.shape)


def _wrap(x: Tensor, present: Tensor, zero: bool = False) -> Tensor:
    """A result, with zeros where it is missing; they may be there already."""
    present = present.reshape((1,) * (x.ndim - present.ndim) + tuple(present.shape))
    for axis, size in enumerate(present.shape):
        one = present.narrow(axis, 0, 1) if size > 1 else present
        present = one if present.stride(axis) == 0 or bool((present == one).all()) else present
    if not x.numel() or bool(present.all()):
        return x.as_subclass(Tensor) if isinstance(x, PresentTensor) else x
    made = (x if zero else x.masked_fill(~present, 0)).as_subclass(PresentTensor)
    made.present = present
    return made


def _filled(x: Tensor, number: float, dim: Any = None) -> Tensor:
    """A number where entries are missing, but not where all along an axis are."""
    if not isinstance(x, PresentTensor) or not number:
        return x
    gone = ~x.present if dim is None else ~x.present & x.present.amax(dim, keepdim=True)
    return x.masked_fill(gone, number if x.dtype.is_floating_point else math.ceil(number))


NEUTRAL = {
    **dict.fromkeys(("prod", "all", "cumprod"), 1),
    **dict.fromkeys(("softmin", "amin", "min", "argmin"), math.inf),
    **dict.fromkeys(("softmax", "log_softmax", "gumbel_softmax", "logcumsumexp"), -math.inf),
    **dict.fromkeys(("amax", "max", "argmax", "logsumexp"), -math.inf),
}
"""What makes no difference to a statistic, where that is not 0."""

HARMLESS = {
    *("_prelu_kernel", "_to_copy", "alias", "detach", "empty_like", "expand", "hardswish"),
    *("lift_fresh", "log_sigmoid_forward", "rrelu_with_noise", "scalar_tensor", "zeros_like"),
}
"""ATen operators that are not tagged as point-wise, and may be part of what is."""

_known: dict[str, bool] = {}


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Finds out whether a function is made of point-wise operators only."""

    pointwise = True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tagged = torch.Tag.pointwise in func.tags
        self.pointwise &= tagged or func.overloadpacket.__name__ in HARMLESS
        return func(*args, **(kwargs or {}))


def _is_pointwise(call: Call) -> bool:
    if call.name not in _known:
        seen = _Recorder()  # type: ignore[no-untyped-call]
        with seen, torch.no_grad():
            result = call.mapped(lambda x: x.detach())
        _known[call.name] = seen.pointwise and isinstance(result, Tensor)
    return _known[call.name]


def _elementwise(call: Call) -> Any:
    """Missing in, missing out. What is missing is given as 1/2, of which nothing is infinite."""
    present: Any = True
    shape = torch.Size()
    for x in tree_leaves((call.args, dict(call.kwargs))):
        if isinstance(x, Tensor):
            present = present & _presence(x)
            shape = torch.broadcast_shapes(shape, x.shape)  # type: ignore[no-untyped-call]
    result = call.mapped(lambda x: _filled(x, 0.5))
    return _wrap(result, present) if result.shape == shape else result


def _same(call: Call) -> Any:
    """What has the shape of its input."""
    x, neutral = call.args[0], NEUTRAL.get(call.name, 0)
    dim = call.options("dim").get("dim") if math.isinf(neutral) else None
    return _wrap(call.run(_filled(x, neutral, dim)), x.present)


def _move(call: Call) -> Any:
    """Of the first argument."""
    return _paired(call.run(), call.run(_missing(call.args[0])))


def _join(call: Call) -> Any:
    """Of all arguments but indices."""
    indices = call.name == "index_copy"
    gone = call.mapped(lambda x: x if indices and x.dtype == torch.int64 else _missing(x))
    return _paired(call.run(), gone)


def _paired(result: Any, gone: Any) -> Any:
    """A result, or several of them, beside what is missing of each."""
    left = iter(tree_leaves(gone))
    return _tensors(lambda x: _wrap(x, next(left) == 0, True), result)


def _pad(call: Call) -> Any:
    """What is padded with is present, but not along axes along which presence does not vary."""
    x, options = call.args[0], call.options("pad mode")
    gone = F.pad(_missing(x), options["pad"], options.get("mode", "constant"))
    for i, before in enumerate(options["pad"][::2], 1):
        if x.present.shape[-i] == 1:
            gone = gone.narrow(-i, max(before, 0), 1)
    return _wrap(call.run(), gone == 0)


def _set_item(call: Call) -> None:
    """What is put into a tensor is there."""
    x, index, value = call.args
    call.run()
    if isinstance(x, PresentTensor):
        gone = _missing(x).contiguous()
        gone[index] = _missing(value) if isinstance(value, Tensor) else 0
        x.present = gone == 0


def _each(call: Call) -> Any:
    """By channel, over spatial axes, along which presence must not vary."""
    x, found = call.args[0], re.search(r"([123])d", call.name)
    spatial = x.present.shape[x.ndim - int(found[1]) if found else 2 :]
    present = _presence(x.new_ones(())) if math.prod(spatial) > 1 else x.present
    return _tensors(lambda y: _wrap(y, present), call.run())


def _reduce(call: Call) -> Any:
    """A reduction; its result is present where something of its input is."""
    if len(call.args) > 1 and isinstance(call.args[1], Tensor):
        return _elementwise(call)  # max and min of two
    x, options = call.args[0], call.options("p " * ("norm" in call.name) + "dim keepdim")
    order, dim = options.get("p", options.get("ord")), options.get("dim")
    if isinstance(order, int | float) and order <= 0:
        return call.run()
    dims = [dim] if isinstance(dim, int) else list(dim or range(x.ndim))
    present = x.present.amax(dims, options.get("keepdim", False))
    result = call.run(_filled(x, NEUTRAL.get(call.name, 0), dims))
    return tree_map(lambda y: _wrap(y, present), result)


def _mean(x: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    return (x / torch.ones_like(x).sum(dim, True)).sum(dim, keepdim, dtype=dtype)


def _var(
    x: Any, dim: Any = None, unbiased: Any = True, keepdim: bool = False, correction: Any = None
) -> Any:
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    count = torch.ones_like(x).sum(dim, keepdim)
    away = (x - _mean(x, dim, True)).square().sum(dim, keepdim)
    return away / (count - (float(unbiased) if correction is None else correction))


def _affine(y: Any, weight: Any, bias: Any, shape: Iterable[int]) -> Any:
    y = y if weight is None else y * weight.reshape(*shape)
    return y if bias is None else y + bias.reshape(*shape)


def _layer_norm(x: Any, shape: Any, weight: Any = None, bias: Any = None, eps: Any = 1e-5) -> Any:
    dims = tuple(range(-len(shape), 0))
    y = (x - _mean(x, dims, True)) * (_var(x, dims, False, True) + eps).rsqrt()
    return _affine(y, weight, bias, shape)


def _rms_norm(x: Any, shape: Any, weight: Any = None, eps: Any = None) -> Any:
    square = _mean(x.square(), tuple(range(-len(shape), 0)), True)
    y = x * (square + (torch.finfo(x.dtype).eps if eps is None else eps)).rsqrt()
    return _affine(y, weight, None, shape)


def _group_norm(x: Any, groups: int, weight: Any = None, bias: Any = None, eps: Any = 1e-5) -> Any:
    y = x.reshape(len(x), groups, -1)
    y = _layer_norm(y, y.shape[2:], eps=eps).reshape(x.shape)
    return _affine(y, weight, bias, (-1, *[1] * (x.ndim - 2)))


def _attention(
    q: Any, k: Any, v: Any, attn_mask: Any = None, dropout_p: Any = 0.0, **more: Any
) -> Any:
    products = q @ k.mT * (more.get("scale") or q.shape[-1] ** -0.5)
    if more.get("is_causal"):
        attn_mask = torch.ones(products.shape[-2:], dtype=torch.bool, device=q.device).tril()
    if attn_mask is not None:
        forbids = attn_mask.dtype == torch.bool
        products = products.masked_fill(~attn_mask, -math.inf) if forbids else products + attn_mask
    return F.dropout(products.softmax(-1), dropout_p) @ v


COMPOSITES: dict[str, Callable[..., Any]] = {
    "mean": _mean,
    "var": _var,
    "std": lambda *args, **kwargs: _var(*args, **kwargs).sqrt(),
    "layer_norm": _layer_norm,
    "rms_norm": _rms_norm,
    "group_norm": _group_norm,
    "scaled_dot_product_attention": _attention,
    "glu": lambda x, dim=-1: x.chunk(2, dim)[0] * x.chunk(2, dim)[1].sigmoid(),
    "linear": lambda x, weight, bias=None: x @ weight.mT + (0 if bias is None else bias),
    "addmm": lambda x, a, b, beta=1, alpha=1: beta * x + alpha * (a @ b),
    "baddbmm": lambda x, a, b, beta=1, alpha=1: beta * x + alpha * (a @ b),
}
"""Made of other functions, each of which knows what to do; they take what torch's own take."""


def _contract(call: Call) -> Any:
    """Present is what a product of present entries belongs to."""
    return _wrap(call.run(), call.mapped(lambda x: 1 - _missing(x)) != 0)


def _convolution(call: Call) -> Any:
    """Outside of the input everything is present."""
    options = call.options("weight bias")
    rest = {k: v for k, v in call.kwargs.items() if k not in ("weight", "bias")}
    kernel, gone = 1 - _missing(options["weight"]), _missing(call.args[0])
    ones, zeros, every = (
        call.func(x, kernel, None, *call.args[3:], **rest)
        for x in (1 - gone, gone, torch.ones_like(gone))
    )
    made = every.amax(tuple(range(2, every.ndim)), True) != 0
    return _wrap(call.run(), (ones != 0) | ((zeros == 0) & made))


_FAMILIES: list[tuple[Callable[[Call], Any], str]] = [
    (_move, "view reshape flatten unflatten permute transpose swapaxes swapdims movedim moveaxis"),
    (_move, "t T mT H mH unsqueeze squeeze expand expand_as view_as reshape_as broadcast_to ravel"),
    (_move, "chunk split split_with_sizes tensor_split hsplit vsplit dsplit unbind narrow select"),
    (_move, "__getitem__ index_select gather unfold take_along_dim flip fliplr flipud roll rot90"),
    (_move, "tile repeat repeat_interleave pixel_shuffle pixel_unshuffle channel_shuffle diagonal"),
    (_move, "contiguous clone detach data to type type_as float double half bfloat16 long int"),
    (_move, "bool"),
    (_join, "cat concat concatenate stack hstack vstack index_copy broadcast_tensors"),
    (_same, "dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout prelu tril"),
    (_same, "triu normalize cumsum cumprod zeros_like ones_like full_like rand_like randn_like"),
    (_same, "softmax log_softmax softmin gumbel_softmax logcumsumexp"),
    (_reduce, "sum nansum any all count_nonzero norm linalg_norm linalg_vector_norm prod"),
    (_reduce, "logsumexp amax max argmax amin min argmin"),
    (_each, "batch_norm instance_norm interpolate upsample grid_sample"),
    (_contract, "matmul mm bmm mv dot inner einsum tensordot"),
    (_convolution, "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d"),
    (_pad, "pad"),
    (_set_item, "__setitem__"),
    (lambda call: iter(_move(Call(Tensor.unbind, "unbind", call.args, {}))), "__iter__"),
]
"""What functions of these names do to presence."""

HANDLERS = {name: handler for handler, names in _FAMILIES for name in names.split()}
