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
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from onnxprune.torch.dynamic.container import Mask
from onnxprune.torch.dynamic.cuts import on

__all__ = ["PresentTensor", "mark"]


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
        options = dict(kwargs or {})
        if not args and (first := next((k for k in ("input", "tensors") if k in options), None)):
            args = (options.pop(first),)
        call = Call(func, _name(func), args, options)
        with torch._C.DisableTorchFunctionSubclass():
            return _in_place(call) if _is_in_place(call) else _out_of_place(call)


def mark(x: Tensor, axis: int, kept: Mask) -> Tensor:
    """A tensor without some of its entries, which become 0; itself if none is missing.

    Args:
        x: The tensor.
        axis: An axis.
        kept: (n,) which entries along it are present.
    """
    if kept.all():
        return x
    shape = [1] * x.ndim
    shape[axis] = len(kept)
    present = on(x, kept).reshape(shape)
    with torch._C.DisableTorchFunctionSubclass():
        if torch._C._get_tracing_state() or torch.compiler.is_compiling():
            return x.masked_fill(~present, 0)
        return _wrap(x, present & x.present if isinstance(x, PresentTensor) else present)


@dataclass(frozen=True)
class Call:
    """A function and what it is given; torch's own functions treat what they get as plain."""

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
        """The arguments after the first by name; those that are given by position have these."""
        options = dict(zip(names.split(), self.args[1:], strict=False)) | dict(self.kwargs)
        for other, name in (("axis", "dim"), ("keepdims", "keepdim")):
            if other in options:
                options[name] = options.pop(other)
        return options

    @property
    def first(self) -> PresentTensor:
        """The first argument.

        Raises:
            TypeError: If everything is present of it.
        """
        if isinstance(self.args[0], PresentTensor):
            return self.args[0]
        raise TypeError


Handler = Callable[[Call], Any]


def _name(func: Callable[..., Any]) -> str:
    """The name of a function; that of a property, of an operator without underscores."""
    name = str(getattr(func, "__name__", ""))
    return str(func.__self__.__name__) if name == "__get__" else name  # type: ignore[attr-defined]


def _out_of_place(call: Call) -> Any:
    handler = HANDLERS.get(call.name) or _by_pattern(call.name)
    try:
        if handler is None:
            handler = _elementwise if _is_pointwise(call) else _drop
        return handler(call)
    except Exception:  # of what is present nothing is known; what is wrong otherwise is raised here
        return _drop(call)


def _drop(call: Call) -> Any:
    """What the function makes of zeros."""
    if call.name in ("__deepcopy__", "__repr__", "__reduce_ex__"):
        return call.mapped(lambda x: x.as_subclass(Tensor))
    return call.run()


def _is_in_place(call: Call) -> bool:
    return call.kwargs.get("inplace") is True or bool(re.fullmatch(r"\w*[^_]_", call.name))


def _in_place(call: Call) -> Any:
    """Compute anew, then copy: presence stays with the object, and gradients are right."""
    x = call.args[0]
    if not isinstance(x, PresentTensor) or call.name == "requires_grad_":
        return call.run()
    name = call.name.removesuffix("_")
    places = [at for at in (Tensor, F, torch) if hasattr(at, name)]
    func = call.func if name == call.name else getattr(places[0], name) if places else None
    if call.name == "copy_":
        result = _wrap(call.args[1].expand(x.shape), _presence(call.args[1]))
        x.copy_(result)
    elif func is None:  # fill_, zero_, random numbers
        call.run()
        return x.masked_fill_(~x.present, 0)
    else:
        kwargs = {k: v for k, v in call.kwargs.items() if k != "inplace"}
        result = _out_of_place(Call(func, name, call.args, kwargs))
        if result.shape == x.shape and name not in MOVES:
            x.copy_(result)
        else:
            call.run()
    x.present = _presence(result)
    return x


def _set_item(call: Call) -> None:
    """Presence of what is put into a tensor."""
    x, index, value = call.args
    call.run()
    if isinstance(x, PresentTensor):
        gone = _missing(x).contiguous()
        gone[index] = _missing(value) if isinstance(value, Tensor) else 0
        x.present = _tidy(gone == 0)


# What is present.


def _everything(x: Tensor) -> Tensor:
    return torch.ones((1,) * x.ndim, dtype=torch.bool, device=x.device)


def _presence(x: Tensor) -> Tensor:
    return x.present if isinstance(x, PresentTensor) else _everything(x)


def _missing(x: Tensor) -> Tensor:
    """1 where missing, else 0, of the shape of the tensor; written to only by its owner."""
    gone = (~_presence(x)).float()
    return gone.expand(x.shape) if gone.numel() != x.numel() else gone


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


def _filled(x: Tensor, number: float, dim: Any = None) -> Tensor:
    """A number where entries are missing, but not where all along an axis are."""
    present = _presence(x)
    if not x.dtype.is_floating_point and math.isinf(number):
        info = torch.iinfo(x.dtype)
        number = info.max if number > 0 else info.min
    gone = ~present
    if dim is not None:
        gone = gone & present.amax(dim, keepdim=True)
    return x.masked_fill(gone, number)


# Entry by entry.

HARMLESS = {
    *("_prelu_kernel", "_to_copy", "alias", "detach", "empty_like", "expand", "hardswish"),
    *("lift_fresh", "log_sigmoid_forward", "ones_like", "rrelu_with_noise", "scalar_tensor"),
    *("zeros_like",),
}
"""ATen operators that are not tagged as point-wise, and may be part of what is."""

_known: dict[str, bool] = {}


class _Recorder(TorchDispatchMode):
    """Finds out whether a function is made of point-wise operators only."""

    def __init__(self) -> None:
        super().__init__()
        self.pointwise = True

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        tagged = torch.Tag.pointwise in func.tags
        self.pointwise &= tagged or func.overloadpacket.__name__ in HARMLESS
        return func(*args, **(kwargs or {}))


def _is_pointwise(call: Call) -> bool:
    if call.name not in _known:
        with _Recorder() as seen, torch.no_grad():
            result = call.mapped(lambda x: x.detach())
        _known[call.name] = seen.pointwise and isinstance(result, Tensor)
    return _known[call.name]


def _elementwise(call: Call) -> Any:
    """Missing in, missing out. What is missing is given as 1/2, of which nothing is infinite."""
    given = [x for x in tree_leaves((call.args, dict(call.kwargs))) if isinstance(x, Tensor)]
    shape = torch.broadcast_shapes(*(x.shape for x in given))
    present = _everything(given[0])
    for x in given:
        present = present & _presence(x)
    result = call.mapped(_half)
    return _wrap(result, present) if result.shape == shape else result


def _half(x: Tensor) -> Tensor:
    if not isinstance(x, PresentTensor) or x.dtype == torch.bool:
        return x
    return _filled(x, 0.5 if x.dtype.is_floating_point or x.dtype.is_complex else 1)


def _same(neutral: float = 0) -> Handler:
    """What has the shape of its input, and is that of another one where a number is missing."""

    def handler(call: Call) -> Any:
        x = call.first
        dim = call.options("dim").get("dim") if math.isinf(neutral) else None
        return _wrap(call.run(_filled(x, neutral, dim) if neutral else x), x.present)

    return handler


def _glu(call: Call) -> Any:
    dim = call.options("dim").get("dim", -1)
    one, other = (~_missing(call.first).bool()).chunk(2, dim)
    return _wrap(call.run(), one & other)


# Movements.


def _move(call: Call) -> Any:
    """Of the first argument."""
    gone = call.run(_missing(call.first))
    return _paired(call.run(), gone)


def _join(call: Call) -> Any:
    """Of all arguments but indices."""

    def moved(x: Tensor) -> Tensor:
        return x if call.name == "index_copy" and x.dtype == torch.int64 else _missing(x)

    return _paired(call.run(), call.mapped(moved))


def _pad(call: Call) -> Any:
    """What is padded with is present, but not along axes along which presence does not vary."""
    x = call.first
    still = replace(call, args=call.args[:3], kwargs={**call.kwargs, "value": None})
    gone = still.run(_missing(x))
    pads = call.args[1] if len(call.args) > 1 else call.kwargs["pad"]
    for i, before in enumerate(pads[::2], 1):
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


def _iter(call: Call) -> Any:
    return iter(_move(Call(Tensor.unbind, "unbind", call.args, {})))


def _paired(result: Any, gone: Any) -> Any:
    """A result, or several of them, beside what is missing of each."""
    left = iter(tree_leaves(gone))
    return tree_map(
        lambda x: _wrap(x, next(left) == 0, True) if isinstance(x, Tensor) else x, result
    )


def _pool(call: Call) -> Any:
    """Over spatial axes, along which presence must not vary."""
    x = call.first
    found = re.search(r"([123])d", call.name)
    axes = int(found[1]) if found else x.ndim - 2
    result = call.run()
    if any(size > 1 for size in x.present.shape[x.ndim - axes :]):
        return result
    return tree_map(lambda y: _wrap(y, x.present), result)


# Statistics.

POSITIONS = {
    **dict.fromkeys(("var", "std", "var_mean", "std_mean"), "dim unbiased keepdim"),
    **dict.fromkeys(("norm", "linalg_norm", "linalg_vector_norm"), "p dim keepdim"),
}
"""How arguments are called that reductions are given by position, where not `dim keepdim`."""


def _axes(x: Tensor, dim: Any) -> list[int]:
    dims = [dim] if isinstance(dim, int) else list(dim or range(x.ndim))
    return [d % x.ndim for d in dims]


def _reduced(call: Call, result: Any, options: Mapping[str, Any]) -> Any:
    """Present is that of which something was."""
    x = call.first
    if not x.ndim:
        return result
    present = x.present.amax(_axes(x, options.get("dim")), options.get("keepdim", False))
    return tree_map(lambda y: _wrap(y, present), result)


def _reduce(neutral: float) -> Handler:
    """A reduction that a number does not change."""

    def handler(call: Call) -> Any:
        if len(call.args) > 1 and isinstance(call.args[1], Tensor):
            return _elementwise(call)  # max and min of two
        options = call.options(POSITIONS.get(call.name, "dim keepdim"))
        order = options.get("p", options.get("ord"))
        if isinstance(order, int | float) and order <= 0:
            return call.run()
        dim = options.get("dim")
        many = _axes(call.first, dim)
        return _reduced(call, call.run(_filled(call.first, neutral, many)), options)

    return handler


def _moments(x: Tensor, present: Tensor, dims: list[int], less: float) -> tuple[Tensor, Tensor]:
    """Mean and variance along axes, of which there is 1 left."""
    size = [x.shape[a] if a in dims else n for a, n in enumerate(present.shape)]
    count = present.expand(size).sum(dims, keepdim=True).to(x.dtype)
    count = count.masked_fill(count == 0, 1 + less)
    mean = x.masked_fill(~present, 0).sum(dims, keepdim=True) / count
    away = (x - mean).masked_fill(~present, 0)
    return mean, away.abs().square().sum(dims, keepdim=True) / (count - less)


def _moment(call: Call) -> Any:
    """A mean, a variance, a standard deviation, or two of them."""
    x = call.first
    options = call.options(POSITIONS.get(call.name, "dim keepdim"))
    if isinstance(options.get("dim"), bool):
        options["unbiased"] = options.pop("dim")
    less = options.get("correction")
    less = float(options.get("unbiased", True)) if less is None else less
    dims = _axes(x, options.get("dim"))
    if call.name == "mean":
        mean, _ = _moments(x.to(options.get("dtype") or x.dtype), x.present, dims, 0)
        made = [mean]
    else:
        mean, var = _moments(x, x.present, dims, less)
        there = x.present.amax(dims, keepdim=True)
        spread = _filled_at(var, there).sqrt() if "std" in call.name else var
        made = [spread, mean] if "mean" in call.name else [spread]
    if not options.get("keepdim", False):
        made = [y.squeeze(dims) for y in made]
    return _reduced(call, made[0] if len(made) == 1 else tuple(made), options)


def _filled_at(x: Tensor, present: Tensor) -> Tensor:
    return x.masked_fill(~present, 1)


# Norms.


def _norm(call: Call) -> Any:
    """Over the last axes."""
    x = call.first
    square = call.name == "rms_norm"
    options = call.options(f"normalized_shape weight {'' if square else 'bias'} eps")
    shape = options["normalized_shape"]
    dims = list(range(x.ndim - len(shape), x.ndim))
    mean, spread = _moments(x.square() if square else x, x.present, dims, 0)
    if square:
        mean, spread = torch.zeros_like(mean), mean
    eps = options.get("eps", None if square else 1e-5)
    y = (x - mean) * (spread + (torch.finfo(x.dtype).eps if eps is None else eps)).rsqrt()
    return _wrap(_affine(y, options, shape), x.present)


def _affine(y: Tensor, options: Mapping[str, Any], shape: Iterable[int]) -> Tensor:
    for name, apply in (("weight", torch.mul), ("bias", torch.add)):
        if options.get(name) is not None:
            y = apply(y, options[name].reshape(*shape))
    return y


def _group_norm(call: Call) -> Any:
    x = call.first
    options = call.options("num_groups weight bias eps")
    shape = (len(x), options["num_groups"], -1)
    groups = x.reshape(shape)
    mean, var = _moments(groups, (_missing(x) == 0).reshape(shape), [2], 0)
    y = ((groups - mean) * (var + options.get("eps", 1e-5)).rsqrt()).reshape(x.shape)
    return _wrap(_affine(y, options, (x.shape[1], *[1] * (x.ndim - 2))), x.present)


def _channel_norm(call: Call) -> Any:
    """A norm of each channel by itself."""
    x = call.first
    result = call.run()
    if any(size > 1 for axis, size in enumerate(x.present.shape) if axis != 1):
        return result
    return _wrap(result, x.present)


# Sums of products.


def _there(x: Tensor, axes: int) -> Tensor:
    """1 where present, else 0, of full size along the last axes."""
    present = _presence(x).float()
    lead = max(x.ndim - axes, 0)
    return present.expand(*present.shape[:lead], *x.shape[lead:])


def _matmul(call: Call) -> Any:
    a, b = call.args[:2]
    return _wrap(call.run(), torch.matmul(_there(a, 2), _there(b, 2)) != 0)


def _add_matmul(call: Call) -> Any:
    start, a, b = call.args[:3]
    return _wrap(call.run(), (torch.matmul(_there(a, 2), _there(b, 2)) != 0) & _presence(start))


def _einsum(call: Call) -> Any:
    return _wrap(call.run(), call.mapped(lambda x: _presence(x).float()) != 0)


def _tensordot(call: Call) -> Any:
    return _wrap(call.run(), call.mapped(lambda x: 1 - _missing(x)) != 0)


def _linear(call: Call) -> Any:
    options = call.options("weight bias")
    return _wrap(call.run(), F.linear(_there(call.args[0], 1), _there(options["weight"], 2)) != 0)


def _convolution(call: Call) -> Any:
    """Outside of the input everything is present."""
    args, kwargs = list(call.args), dict(call.kwargs)
    weight = kwargs["weight"] if "weight" in kwargs else args[1]
    given = _there(args[0], weight.ndim - 1)
    alone = {k: v for k, v in kwargs.items() if k not in ("weight", "bias")}

    def ones(x: Tensor) -> Tensor:
        return call.func(x, 1 - _missing(weight), None, *args[3:], **alone)  # type: ignore[no-any-return]

    return _wrap(call.run(), (ones(given) != 0) | (ones(1 - given) == 0))


def _attention(call: Call) -> Any:
    """Missing keys do not take part."""
    query, key, value = call.args[:3]
    options = call.options("key value attn_mask dropout_p is_causal")
    mask, causal = options.pop("attn_mask", None), options.pop("is_causal", False)
    rows, columns = (_presence(x).any(axis) for x, axis in ((query, -1), (value, -2)))
    keys = (_presence(key).amax(-1) & _presence(value).amax(-1)).unsqueeze(-2)
    if causal:
        mask = query.new_ones(query.shape[-2], key.shape[-2], dtype=torch.bool).tril()
    if keys.shape[-1] > 1:
        if mask is None:
            mask = keys.expand(*keys.shape[:-2], query.shape[-2], -1)
        else:
            mask = mask & keys if mask.dtype == torch.bool else mask.masked_fill(~keys, -math.inf)
    rest = {k: v for k, v in options.items() if k not in ("key", "value")}
    result = F.scaled_dot_product_attention(query, key, value, mask, **rest)
    return _wrap(result, rows.unsqueeze(-1) & columns.unsqueeze(-2))


MOVES = set(
    "view reshape flatten unflatten permute transpose swapaxes swapdims movedim moveaxis t T mT H "
    "mH unsqueeze squeeze expand expand_as view_as reshape_as broadcast_to ravel chunk split "
    "split_with_sizes tensor_split hsplit vsplit dsplit unsafe_chunk unsafe_split narrow select "
    "__getitem__ index_select gather take_along_dim flip fliplr flipud roll rot90 tile repeat "
    "repeat_interleave pixel_shuffle pixel_unshuffle channel_shuffle contiguous clone to type "
    "type_as float double half bfloat16 int long bool cpu cuda detach data unbind diagonal "
    "atleast_1d atleast_2d atleast_3d real imag".split()
)


def _table() -> dict[str, Handler]:
    """By the name of a function, what it does to presence."""
    inf = math.inf
    families: list[tuple[Handler, str]] = [
        (_join, "cat concat concatenate stack hstack vstack dstack column_stack index_copy"),
        (_join, "slice_scatter select_scatter broadcast_tensors"),
        (_same(), "dropout dropout1d dropout2d dropout3d alpha_dropout feature_dropout prelu"),
        (_same(), "feature_alpha_dropout tril triu normalize cumsum zeros_like ones_like"),
        (_same(), "full_like rand_like randn_like empty_like"),
        (_same(1), "cumprod"),
        (_same(-inf), "softmax log_softmax gumbel_softmax logcumsumexp"),
        (_same(inf), "softmin"),
        (_reduce(0), "sum nansum any count_nonzero norm linalg_norm linalg_vector_norm"),
        (_reduce(1), "prod all"),
        (_reduce(-inf), "amax max argmax logsumexp"),
        (_reduce(inf), "amin min argmin"),
        (_moment, "mean var std var_mean std_mean"),
        (_norm, "layer_norm rms_norm"),
        (_channel_norm, "batch_norm instance_norm"),
        (_matmul, "matmul mm bmm mv dot"),
        (_add_matmul, "addmm addmv baddbmm"),
        (_pool, "interpolate upsample upsample_nearest upsample_bilinear grid_sample"),
        (_convolution, "conv1d conv2d conv3d"),
        (_convolution, "conv_transpose1d conv_transpose2d conv_transpose3d"),
        (_move, " ".join(MOVES)),
    ]
    table = {name: handler for handler, names in families for name in names.split()}
    return table | {
        "__iter__": _iter,
        "__setitem__": _set_item,
        "einsum": _einsum,
        "fold": _fold,
        "glu": _glu,
        "group_norm": _group_norm,
        "linear": _linear,
        "pad": _pad,
        "unfold": _unfold,
        "scaled_dot_product_attention": _attention,
        "tensordot": _tensordot,
    }


def _by_pattern(name: str) -> Handler | None:
    return _pool if re.search(r"(avg|max|lp)_pool[123]d", name) else None


HANDLERS = _table()
