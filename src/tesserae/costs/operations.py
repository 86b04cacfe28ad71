"""Operations on tensors without data, worked out by PyTorch once for each shape of their operands.

A network does the same few dozen operations in all its blocks, and a forecast counts many networks of the same sizes;
PyTorch's fake tensors would work each of them out anew. What is remembered is what came out, so that nothing about an
operation is known here that PyTorch did not say.
"""

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode

from tesserae.costs.flops import NAMES, flop
from tesserae.costs.memory import Live

CPU = torch.device("cpu")  # where all fake tensors of a count are said to be
# What decides beside tensors, each with its type: 1, 1.0 and True are equal, and not the same.
PLAIN = (int, float, bool, str, type(None), torch.dtype, torch.device, torch.layout, torch.memory_format)


class Result(NamedTuple):
    """A tensor that came out: the operand at `place` itself, a view of its storage, or (None) one with its own."""

    place: int | None
    itself: bool
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int
    dtype: torch.dtype


class Outcome(NamedTuple):
    """What an operation does: its results, in a `container` if it has several, and FLOP in a precision ("": none).

    A result that is no tensor (a length, a gradient that nobody asked for) is kept as it is.
    """

    container: type | None
    results: tuple[Any, ...]
    precision: str
    flop: float


class NotPlain(Exception):
    """A tensor of which more matters than its shape, or that is no fake one of a CPU."""


# (operation, operands) -> its outcome, or None where one has to look each time. It follows from PyTorch alone.
_outcomes: dict[tuple, Outcome | None] = {}


class Operations(TorchDispatchMode):
    """Counts what is done under it, and under a FakeTensorMode: `flops` by precision, and the bytes that are `live`.

    The tensors of `outside` do not count as bytes.
    """

    def __init__(self, outside: Iterable[Tensor] = ()) -> None:
        super().__init__()
        self.flops, self.live = dict.fromkeys(NAMES.values(), 0.0), Live(outside)

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False  # nothing is compiled under it, and the guard against that costs as much as all of the rest

    def __enter__(self) -> "Operations":
        fake = torch._C._get_dispatch_mode(torch._C._TorchDispatchModeKey.FAKE)
        if not isinstance(fake, FakeTensorMode):
            raise RuntimeError("operations are counted on tensors without data: enter a FakeTensorMode first")
        with torch._C._DisableTorchDispatch():
            self._fields = dict(FakeTensor(fake, torch.empty(0, device="meta"), CPU).__dict__)
        return super().__enter__()

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if func is torch.ops.prim.device.default and isinstance(args[0], FakeTensor):
            return args[0].fake_device  # two of three calls
        kwargs, operands = kwargs or {}, []
        try:
            key = func, _described((args, *kwargs.items()), operands)
        except NotPlain:
            key = None
        outcome = _outcomes.get(key)
        if outcome is not None:
            made = [self._make(result, operands) for result in outcome.results]
            out, precision, work = outcome.container(made) if outcome.container else made[0], *outcome[2:]
        else:
            out = func(*args, **kwargs)
            precision, work = flop(func, args, kwargs, out)
            if key is not None and key not in _outcomes:
                untouched = key[1] == _described((args, *kwargs.items()), [])
                _outcomes[key] = _outcome(out, operands, precision, work) if untouched else None
        if precision:
            self.flops[precision] += work
        self.live.follow(out)
        return out

    def _make(self, result: Any, operands: list[FakeTensor]) -> Any:
        """A fake tensor as the present FakeTensorMode makes them, without its checks of what is known here."""
        if type(result) is not Result:
            return result
        if result.itself:
            return operands[result.place]
        with torch._C._DisableTorchDispatch():
            if result.place is None:
                meta = torch.empty_strided(result.shape, result.stride, dtype=result.dtype, device="meta")
            else:
                meta = torch.empty(0, dtype=result.dtype, device="meta")
                storage = operands[result.place].untyped_storage()
                meta.set_(storage, result.offset, result.shape, result.stride)
        made = Tensor._make_subclass(FakeTensor, meta, False, dispatch_device=True, device_for_backend_keys=CPU)
        torch._C._set_throw_on_mutable_data_ptr(made)
        made.__dict__.update(self._fields)
        return made


def _described(operands: Iterable[Any], tensors: list[FakeTensor]) -> tuple:
    """All that decides what comes out of an operation, hashable; `tensors` gets those among the operands."""
    found = []
    for operand in operands:
        kind = type(operand)
        if isinstance(operand, Tensor):
            found.append(_shape(operand))
            tensors.append(operand)
        elif kind is tuple or kind is list:
            found.append((kind, _described(operand, tensors)))
        elif kind in PLAIN:
            found.append((kind, operand))
        else:
            raise NotPlain
    return tuple(found)


def _shape(tensor: Tensor) -> tuple:
    plain = isinstance(tensor, FakeTensor) and tensor.constant is None and tensor.fake_device == CPU
    if not plain or tensor.layout is not torch.strided or tensor.is_conj() or tensor.is_neg():
        raise NotPlain
    return tensor.shape, tensor.stride(), tensor.storage_offset(), tensor.dtype


def _outcome(out: Any, operands: list[FakeTensor], precision: str, work: float) -> Outcome | None:
    """What to remember of an operation; None if it cannot be made again from that alone."""
    container = type(out) if isinstance(out, tuple | list) else None
    outs = out if container else [out]
    try:
        results = tuple(_result(one, operands) for one in outs)
    except NotPlain:
        return None
    made = [one for one, result in zip(outs, results, strict=True) if type(result) is Result and result.place is None]
    own = [one.untyped_storage()._cdata for one in made]
    return Outcome(container, results, precision, work) if len(own) == len(set(own)) else None


def _result(out: Any, operands: list[FakeTensor]) -> Any:
    if type(out) in PLAIN:
        return out
    if not isinstance(out, Tensor):
        raise NotPlain
    described = _shape(out)
    same = [i for i, operand in enumerate(operands) if operand is out]
    if out.requires_grad and not same:
        raise NotPlain
    storage = out.untyped_storage()
    shared = [i for i, operand in enumerate(operands) if operand.untyped_storage()._cdata == storage._cdata]
    if not shared and storage.nbytes() != _bytes(*described):
        raise NotPlain
    return Result((same or shared or [None])[0], bool(same), *described)


def _bytes(shape: tuple[int, ...], stride: tuple[int, ...], offset: int, dtype: torch.dtype) -> int:
    """Of a tensor that has a storage to itself."""
    last = sum((side - 1) * step for side, step in zip(shape, stride, strict=True)) if math.prod(shape) else -1
    return dtype.itemsize * (last + 1) if offset == 0 else -1
