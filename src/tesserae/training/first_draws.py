"""First weights that follow from the seed, and from the name and shape of each alone: networks that differ in one part
start alike in all others, so that less of the difference between two trainings is chance.

A network is built twice: the first time says which parameter each draw is for, the second time each draw has a stream
of its own. (PyTorch's other way to look at every call, TorchDispatchMode, costs 1.6 s of imports in every process.)
"""

import hashlib
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

UNNAMED = ""  # drawn for no parameter or buffer: known by its shape, and how many such there were


def build_alike(make: Callable[[], nn.Module], seed: int) -> nn.Module:
    """What `make` returns, with draws from torch's global stream that follow from `seed`, names and shapes alone.

    Draws from generators that `make` brings stay what they are; a parameter that is worked out from what was drawn,
    such as `0.02 * torch.randn(...)`, is known by the shape of the draw and how many such came before it. Afterwards
    the global stream starts at `seed`.
    RuntimeError if `make` draws differently the second time: then it depends on something else than its stream.
    """
    torch.manual_seed(seed)
    with _Noting() as noting:
        network = make()
    names = {
        tensor.untyped_storage()._cdata: name
        for name, tensor in (*network.named_parameters(), *network.named_buffers())
    }
    drawn = [
        (names.get(call.storage._cdata, UNNAMED) if call.storage else UNNAMED, call.shape) for call in noting.drawn
    ]
    functions = noting.functions
    del network, noting
    with _Seeding(functions, drawn, seed) as seeding:
        network = make()
    if seeding.calls != len(drawn):
        raise RuntimeError(f"a network is drawn in {len(drawn)} calls once, and in {seeding.calls} the next time")
    torch.manual_seed(seed)
    return network


class _Call(NamedTuple):
    """What a call filled: its storage is kept, so that none takes the place of another. None: no tensor."""

    function: Any
    storage: torch.UntypedStorage | None
    shape: tuple[int, ...]


def _begins(arguments: tuple, named: dict) -> bool:
    """Whether a call fills a parameter or makes a tensor.

    Others go on with the stream of the last one that does: `trunc_normal_` draws again what lies too far out, into
    tensors of its own, and how often depends on what was drawn.
    """
    target = arguments[0] if arguments else named.get("tensor")
    return isinstance(target, nn.Parameter) or not isinstance(target, Tensor)


class _Noting(TorchFunctionMode):
    """Notes all calls of the functions that draw from the global stream."""

    def __init__(self) -> None:
        super().__init__()
        self._calls: list[_Call] = []
        self.functions: set[Any] = set()  # that drew at least once

    @property
    def drawn(self) -> list[_Call]:
        return [call for call in self._calls if call.function in self.functions]

    def __torch_function__(self, function: Any, types: Any, arguments: tuple = (), named: dict | None = None) -> Any:
        named = named or {}
        if not _begins(arguments, named):
            return function(*arguments, **named)
        before = torch.get_rng_state()
        found = function(*arguments, **named)
        if not torch.equal(before, torch.get_rng_state()):
            self.functions.add(function)
        if isinstance(found, Tensor):
            self._calls.append(_Call(function, found.untyped_storage(), tuple(found.shape)))
        else:
            self._calls.append(_Call(function, None, ()))
        return found


class _Seeding(TorchFunctionMode):
    """Starts the global stream anew before each call of the functions that draw."""

    def __init__(self, functions: set[Any], drawn: list[tuple[str, tuple[int, ...]]], seed: int) -> None:
        super().__init__()
        self.calls = 0
        self._functions, self._drawn, self._seed = functions, drawn, seed
        self._times: Counter[tuple[str, tuple[int, ...]]] = Counter()

    def __torch_function__(self, function: Any, types: Any, arguments: tuple = (), named: dict | None = None) -> Any:
        named = named or {}
        if function in self._functions and _begins(arguments, named):
            if self.calls < len(self._drawn):
                key = self._drawn[self.calls]
                # A weight may be filled twice. (torch.manual_seed would seed devices, too, where nothing is drawn.)
                torch.default_generator.manual_seed(_seed_of(self._seed, *key, self._times[key]))
                self._times[key] += 1
            self.calls += 1
        return function(*arguments, **named)


def _seed_of(seed: int, name: str, shape: tuple[int, ...], time: int) -> int:
    text = f"{seed} {name} {'x'.join(map(str, shape))} {time}"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8]) >> 1  # manual_seed takes 63 bits
