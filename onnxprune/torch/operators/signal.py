"""Fourier transforms and what belongs to them."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from onnxprune.torch.masked import Masked
from onnxprune.torch.registry import Call, operator
from onnxprune.torch.structure import whole
from onnxprune.torch.tensors import dtype_of


def _complex(x: Tensor) -> Tensor:
    """Real and imaginary parts, or real ones alone, on the last axis, as one complex number."""
    if x.shape[-1] == 1:
        return torch.complex(x[..., 0], torch.zeros_like(x[..., 0]))
    return torch.view_as_complex(x.contiguous())


@operator("DFT")
def _fourier(call: Call) -> Masked:
    x, length = call[0], call.optional_setting(1)
    rank = x.value.ndim
    given = call.optional_setting(2)
    axis = call.attribute("axis", 1) if call.opset < 20 else -2 if given is None else given
    axis = int(axis) % rank
    x = whole(x, [axis, rank - 1], "which is transformed as a whole")
    signal = _complex(x.value)
    onesided = bool(call.attribute("onesided", 0))
    size = None if length is None else int(length)
    if not call.attribute("inverse", 0):
        spectrum = torch.fft.fft(signal, size, axis)
        if onesided:
            spectrum = spectrum.narrow(axis, 0, spectrum.shape[axis] // 2 + 1)
        value = torch.view_as_real(spectrum)
    elif onesided:
        value = torch.fft.irfft(signal, size, axis).unsqueeze(-1)
    else:
        value = torch.view_as_real(torch.fft.ifft(signal, size, axis))
    return Masked(value.to(x.value.dtype), x.levels, x.born - {axis, rank - 1})


@operator("STFT")
def _short_time_fourier(call: Call) -> Masked:
    x = whole(call[0], [1, 2], "which is transformed as a whole")
    step, window, given = int(call.setting(1)), call.optional_setting(2), call.optional_setting(3)
    length = x.shape[1] if given is None else int(given)
    length = length if window is None else window.numel()
    frames = _complex(x.value).unfold(1, length, step)
    if window is not None:
        frames = frames * window
    spectrum = torch.fft.fft(frames, dim=-1)
    if call.attribute("onesided", 1):
        spectrum = spectrum[..., : length // 2 + 1]
    levels = None if x.levels is None else x.levels.unsqueeze(-1)
    return Masked(torch.view_as_real(spectrum).to(x.value.dtype), levels, x.born & {0})


@operator("MelWeightMatrix")
def _mel_weights(call: Call) -> Masked:
    """Triangular filters, equally wide on the mel scale, (spectrum, filters)."""
    count, length, rate, low, high = (call.setting(i).item() for i in range(5))
    low, high = (2595 * np.log10(1 + hertz / 700) for hertz in (low, high))
    mel = low + np.arange(count + 2) * (high - low) / (count + 2)
    hertz = 700 * (10 ** (mel / 2595) - 1)
    edges = ((length + 1) * hertz // rate).astype(np.int64)
    weights = np.zeros((int(length) // 2 + 1, int(count)))
    for i, (left, centre, right) in enumerate(zip(edges, edges[1:], edges[2:], strict=False)):
        rising, falling = np.arange(left, centre + 1), np.arange(centre, right)
        weights[rising, i] = (rising - left) / (centre - left) if centre > left else 1
        weights[falling, i] = (right - falling) / max(right - centre, 1)
    return Masked(torch.from_numpy(weights).to(dtype_of(call.attribute("output_datatype", 1))))
