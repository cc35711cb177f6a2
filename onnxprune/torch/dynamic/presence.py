"""Tensors that know which of their entries are zeros in place of removed channels.

Where a model's forward computes with fixed sizes, removed channels stay in place as zeros. A zero
does no harm to a sum, but a mean, a variance or a softmax over it is another one. A `PresentTensor`
carries along what is present of it, through every torch function that a forward calls, so that
these are taken over what is present:

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

SYNONYMS = {"axis": "dim", "keepdims": "keepdim"}


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
        args, kwargs = tree_map(
            lambda leaf: change(leaf) if isinstance(leaf, Tensor) else leaf,
            (list(self.args), dict(self.kwargs)),
        )
        return self.func(*args, **kwargs)

    def options(self, names: str) -> dict[str, Any]:
        """The arguments after the first; those that are given by position have these names."""
        return dict(zip(names.split(), self.args[1:], strict=False)) | dict(self.kwargs)

    @property
    def first(self) -> PresentTensor:
        """The first argument.

        Raises:
            TypeError: If all of it is present.
        """
        if isinstance(self.args[0], PresentTensor):
            return self.args[0]
        raise TypeError


Handler = Callable[[Call], Any]


class PresentTensor(Tensor):
    """A tensor of which some entries are missing; these are 0.

    Attributes:
        present: Which entries are there: bool, of the same rank, of size 1 along axes along which
            that does not vary.
    """

    present: Tensor

    @classmethod
    def __torch_function__(
        cls,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Any torch function: the result, and what is present of it."""
        options = {SYNONYMS.get(name, name): value for name, value in (kwargs or {}).items()}
        if not args:
            args = (options.pop(next(iter({"input", "tensors"} & options.keys()))),)
        call = Call(func, _name(func), args, options)
        with torch._C.DisableTorchFunctionSubclass():
            in_place = options.get("inplace") is True or re.fullmatch(r"\w*[^_]_", call.name)
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


def _name(func: Callable[..., Any]) -> str:
    """The name of a function, or of a property."""
    name = str(getattr(func, "__name__", ""))
    return str(getattr(func, "__self__").__name__) if name == "__get__" else name  # noqa: B009


def _out_of_place(call: Call) -> Any:
    try:
        if call.name in COMPOSITES:
            with torch._C._EnableTorchFunction():
                return COMPOSITES[call.name](*call.args, **call.kwargs)
        handler = HANDLERS.get(call.name) or _of_pattern(call.name)
        if handler is None:
            handler = _elementwise if _is_pointwise(call) else _drop
        return handler(call)
    except Exception:  # nothing is known of presence then; of other errors, the next line tells
        return _drop(call)


def _drop(call: Call) -> Any:
    """What the function makes of zeros."""
    if call.name in ("__deepcopy__", "__repr__", "__reduce_ex__"):
        return call.mapped(lambda x: x.as_subclass(Tensor))
    return call.run()


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


# What is present.


def _everything(x: Tensor) -> Tensor:
    return torch.ones((1,) * x.ndim, dtype=torch.bool, device=x.device)


def _presence(x: Tensor) -> Tensor:
    return x.present if isinstance(x, PresentTensor) else _everything(x)


def _missing(x: Tensor) -> Tensor:
    """1 where missing, else 0, of the shape of the tensor."""
    return (~_presence(x)).float().expand(x.shape)


def _tidy(present: Tensor) -> Tensor:
    """Presence in as few numbers as it needs."""
    for axis, size in enumerate(present.shape):
        one = present.narrow(axis, 0, 1) if size > 1 else present
        if present.stride(axis) == 0 or bool((present == one).all()):
            present = one
    return present


def _wrap(x: Tensor, present: Tensor, zero: bool = False) -> Tensor:
    """A result, with zeros where it is missing; they may be there already."""
    present = _tidy(present.reshape((1,) * (x.ndim - present.ndim) + tuple(present.shape)))
    if not x.numel() or bool(present.all()):
        return x.as_subclass(Tensor) if isinstance(x, PresentTensor) else x
    made = (x if zero else x.masked_fill(~present, 0)).as_subclass(PresentTensor)
    made.present = present
    return made


def _filled(x: PresentTensor, number: float, dim: Any = None) -> Tensor:
    """A number where entries are missing, but not where all along an axis are."""
    if math.isinf(number) and not x.dtype.is_floating_point:
        info = torch.iinfo(x.dtype)
        number = info.max if number > 0 else info.min
    gone = ~x.present
    return x.masked_fill(gone if dim is None else gone & x.present.amax(dim, keepdim=True), number)


# Entry by entry.

HARMLESS = {
    *("_prelu_kernel", "_to_copy", "alias", "detach", "empty_like", "expand", "hardswish"),
    *("lift_fresh", "log_sigmoid_forward", "rrelu_with_noise", "scalar_tensor", "zeros_like"),
}
"""ATen operators that are not tagged as point-wise, and may be part of what is."""

_known: dict[str, bool] = {}


class _Recorder(TorchDispatchMode):
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
    present = torch.ones((), dtype=torch.bool, device=call.args[0].device)
    shape = torch.Size()
    for x in tree_leaves((call.args, dict(call.kwargs))):
        if isinstance(x, Tensor):
            present = present & _presence(x)
            shape = torch.broadcast_shapes(shape, x.shape)  # type: ignore[no-untyped-call]
    result = call.mapped(_half)
    return _wrap(result, present) if result.shape == shape else result


def _half(x: Tensor) -> Tensor:
    if not isinstance(x, PresentTensor) or x.dtype == torch.bool:
        return x
    return _filled(x, 0.5 if x.dtype.is_floating_point else 1)


def _same(neutral: float = 0) -> Handler:
    """What has the shape of its input, and is that of another one where a number is missing."""

    def handler(call: Call) -> Any:
        x = call.first
        dim = call.options("dim").get("dim") if math.isinf(neutral) else None
        return _wrap(call.run(_filled(x, neutral, dim) if neutral else x), x.present)

    return handler


# Movements.


def _move(call: Call) -> Any:
    """Of the first argument."""
    return _paired(call.run(), call.run(_missing(call.first)))


def _join(call: Call) -> Any:
    """Of all arguments but indices."""
    indices = call.name == "index_copy"
    gone = call.mapped(lambda x: x if indices and x.dtype == torch.int64 else _missing(x))
    return _paired(call.run(), gone)


def _paired(result: Any, gone: Any) -> Any:
    """A result, or several of them, beside what is missing of each."""
    left = iter(tree_leaves(gone))
    return tree_map(
        lambda x: _wrap(x, next(left) == 0, True) if isinstance(x, Tensor) else x, result
    )


def _pad(call: Call) -> Any:
    """What is padded with is present, but not along axes along which presence does not vary."""
    x, options = call.first, call.options("pad mode")
    gone = F.pad(_missing(x), options["pad"], options.get("mode", "constant"))
    for i, before in enumerate(options["pad"][::2], 1):
        if x.present.shape[-i] == 1:
            gone = gone.narrow(-i, max(before, 0), 1)
    return _wrap(call.run(), gone == 0)


def _unfold(call: Call) -> Any:
    """Both functions of that name; the padding of missing channels is missing."""
    if call.func is not F.unfold:
        return _move(call)
    if max(call.first.present.shape[2:]) > 1:
        return call.run()
    return _wrap(call.run(), call.run(_missing(call.first)).amax(2, keepdim=True) == 0)


def _fold(call: Call) -> Any:
    """A sum of what was unfolded."""
    gone = _missing(call.first)
    return _wrap(call.run(), (call.run(1 - gone) != 0) | (call.run(gone) == 0))


def _set_item(call: Call) -> None:
    """What is put into a tensor is there."""
    x, index, value = call.args
    call.run()
    if isinstance(x, PresentTensor):
        gone = _missing(x).contiguous()
        gone[index] = _missing(value) if isinstance(value, Tensor) else 0
        x.present = _tidy(gone == 0)


def _each(call: Call) -> Any:
    """By channel, over spatial axes, along which presence must not vary."""
    x, found = call.first, re.search(r"([123])d", call.name)
    spatial = x.present.shape[x.ndim - int(found[1]) if found else 2 :]
    if any(size > 1 for size in spatial):
        return call.run()
    return tree_map(lambda y: _wrap(y, x.present), call.run())


# Statistics.


def _reduce(neutral: float) -> Handler:
    """A reduction that a number does not change."""

    def handler(call: Call) -> Any:
        x = call.first
        if isinstance(call.args[-1], Tensor) and len(call.args) > 1:
            return _elementwise(call)  # max and min of two
        options = call.options(f"{'order ' if 'norm' in call.name else ''}dim keepdim")
        order = next((options[k] for k in ("order", "p", "ord") if k in options), None)
        if isinstance(order, int | float) and order <= 0:
            return call.run()
        dim = options.get("dim")
        dims = [dim] if isinstance(dim, int) else list(dim or range(x.ndim))
        present = x.present.amax(dims, options.get("keepdim", False))
        return tree_map(lambda y: _wrap(y, present), call.run(_filled(x, neutral, dims)))

    return handler


# Made of other functions, each of which knows what to do.


def _mean(x: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    count = torch.ones_like(x).sum(dim, True)
    return (x / count).sum(dim, keepdim, dtype=dtype)


def _var_mean(
    x: Any, dim: Any = None, unbiased: Any = True, keepdim: bool = False, correction: Any = None
) -> tuple[Any, Any]:
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    less = float(unbiased) if correction is None else correction
    count = torch.ones_like(x).sum(dim, keepdim)
    away = (x - _mean(x, dim, True)).square().sum(dim, keepdim)
    return away / (count - less), _mean(x, dim, keepdim)


def _std_mean(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
    var, mean = _var_mean(*args, **kwargs)
    return var.sqrt(), mean


def _affine(y: Any, weight: Tensor | None, bias: Tensor | None, shape: Iterable[int]) -> Any:
    y = y if weight is None else y * weight.reshape(*shape)
    return y if bias is None else y + bias.reshape(*shape)


def _layer_norm(x: Any, shape: Any, weight: Any = None, bias: Any = None, eps: float = 1e-5) -> Any:
    dims = tuple(range(-len(shape), 0))
    away = x - _mean(x, dims, True)
    return _affine(away * (_mean(away.square(), dims, True) + eps).rsqrt(), weight, bias, shape)


def _rms_norm(x: Any, shape: Any, weight: Any = None, eps: float | None = None) -> Any:
    eps = torch.finfo(x.dtype).eps if eps is None else eps
    square = _mean(x.square(), tuple(range(-len(shape), 0)), True)
    return _affine(x * (square + eps).rsqrt(), weight, None, shape)


def _group_norm(
    x: Any, groups: int, weight: Any = None, bias: Any = None, eps: float = 1e-5
) -> Any:
    y = x.reshape(len(x), groups, -1)
    y = _layer_norm(y, y.shape[2:], eps=eps).reshape(x.shape)
    return _affine(y, weight, bias, (-1, *[1] * (x.ndim - 2)))


def _attention(
    q: Any,
    k: Any,
    v: Any,
    attn_mask: Any = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    if enable_gqa:
        k, v = (x.repeat_interleave(q.shape[-3] // x.shape[-3], -3) for x in (k, v))
    products = q @ k.mT * (q.shape[-1] ** -0.5 if scale is None else scale)
    if is_causal:
        attn_mask = torch.ones(products.shape[-2:], dtype=torch.bool, device=q.device).tril()
    if attn_mask is not None and attn_mask.dtype == torch.bool:
        products = products.masked_fill(~attn_mask, -math.inf)
    elif attn_mask is not None:
        products = products + attn_mask
    return F.dropout(products.softmax(-1), dropout_p) @ v


def _glu(x: Any, dim: int = -1) -> Any:
    one, other = x.chunk(2, dim)
    return one * other.sigmoid()


def _linear(x: Any, weight: Any, bias: Any = None) -> Any:
    y = x @ weight.mT
    return y if bias is None else y + bias


def _add_product(x: Any, a: Any, b: Any, beta: float = 1, alpha: float = 1) -> Any:
    return beta * x + alpha * (a @ b)


COMPOSITES: dict[str, Callable[..., Any]] = {
    "mean": _mean,
    "var": lambda *args, **kwargs: _var_mean(*args, **kwargs)[0],
    "std": lambda *args, **kwargs: _std_mean(*args, **kwargs)[0],
    "var_mean": _var_mean,
    "std_mean": _std_mean,
    "layer_norm": lambda x, normalized_shape, *rest, **kwargs: _layer_norm(
        x, normalized_shape, *rest, **kwargs
    ),
    "rms_norm": lambda x, normalized_shape, *rest, **kwargs: _rms_norm(
        x, normalized_shape, *rest, **kwargs
    ),
    "group_norm": _group_norm,
    "scaled_dot_product_attention": _attention,
    "glu": _glu,
    "linear": _linear,
    **dict.fromkeys(("addmm", "addmv", "baddbmm"), _add_product),
}
"""By name, functions of what may be marked; they take what torch's own take."""


# Sums of products.


def _there(x: Tensor, axes: int) -> Tensor:
    """1 where present, else 0, of full size along the last axes."""
    present = _presence(x).float()
    lead = max(x.ndim - axes, 0)
    return present.expand(*present.shape[:lead], *x.shape[lead:])


def _matmul(call: Call) -> Any:
    a, b = call.args
    return _wrap(call.run(), torch.matmul(_there(a, 2), _there(b, 2)) != 0)


def _contract(call: Call) -> Any:
    """Einsum and tensordot; the former broadcasts presence."""
    size = 0 if call.name == "einsum" else math.inf
    return _wrap(call.run(), call.mapped(lambda x: _there(x, int(min(size, x.ndim)))) != 0)


def _convolution(call: Call) -> Any:
    """Outside of the input everything is present."""
    options = call.options("weight bias")
    weight, given = options["weight"], _there(call.args[0], options["weight"].ndim - 1)
    rest = {k: v for k, v in call.kwargs.items() if k not in ("weight", "bias")}
    kernel = 1 - _missing(weight)
    ones, zeros = (call.func(x, kernel, None, *call.args[3:], **rest) for x in (given, 1 - given))
    return _wrap(call.run(), (ones != 0) | (zeros == 0))


# By name, what a function does to presence.

_FAMILIES: list[tuple[Handler, str]] = [
    (_move, "view reshape flatten unflatten permute transpose swapaxes swapdims movedim moveaxis"),
    (_move, "t T mT H mH unsqueeze squeeze expand expand_as view_as reshape_as broadcast_to ravel"),
    (_move, "chunk split split_with_sizes tensor_split hsplit vsplit dsplit unbind narrow select"),
    (_move, "__getitem__ index_select gather take_along_dim flip fliplr flipud roll rot90 tile"),
    (_move, "repeat repeat_interleave pixel_shuffle pixel_unshuffle channel_shuffle diagonal"),
    (_move, "contiguous clone detach data to type type_as float double half bfloat16 int long"),
    (_move, "bool cpu cuda"),
    (_join, "cat concat concatenate stack hstack vstack dstack column_stack index_copy"),
    (_join, "slice_scatter select_scatter broadcast_tensors"),
    (_same(), "dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout prelu"),
    (_same(), "tril triu normalize cumsum zeros_like ones_like full_like empty_like"),
    (_same(), "rand_like randn_like"),
    (_same(1), "cumprod"),
    (_same(-math.inf), "softmax log_softmax gumbel_softmax logcumsumexp"),
    (_same(math.inf), "softmin"),
    (_reduce(0), "sum nansum any count_nonzero norm linalg_norm linalg_vector_norm"),
    (_reduce(1), "prod all"),
    (_reduce(-math.inf), "amax max argmax logsumexp"),
    (_reduce(math.inf), "amin min argmin"),
    (_each, "batch_norm instance_norm interpolate upsample grid_sample"),
    (_matmul, "matmul mm bmm mv dot"),
    (_contract, "einsum tensordot"),
    (_convolution, "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d"),
    (_pad, "pad"),
    (_fold, "fold"),
    (_unfold, "unfold"),
    (_set_item, "__setitem__"),
    (lambda call: iter(_move(Call(Tensor.unbind, "unbind", call.args, {}))), "__iter__"),
]
HANDLERS = {name: handler for handler, names in _FAMILIES for name in names.split()}


def _of_pattern(name: str) -> Handler | None:
    return _each if re.search(r"(avg|max|lp)_pool[123]d", name) else None
