"""What is remembered of operations is what PyTorch's fake tensors do without it."""

import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode

from tesserae.costs import networks, operations
from tesserae.costs.operations import Operations
from tests.costs.test_concepts import CONCEPTTOK, CONCEPTTOK_MODULE, LLAMAGEN, LLAMAGEN_MODULE, SAE, SAE_MODULE
from tests.costs.test_counting import MAR, SIT
from tests.small import SMALLER

B = 3


class Forgetful(dict):
    """Remembers nothing."""

    def __setitem__(self, key, value) -> None:
        pass


@pytest.fixture
def afresh(monkeypatch):
    monkeypatch.setattr(operations, "_outcomes", {})


def described(tensor: torch.Tensor) -> tuple:
    return type(tensor), tensor.shape, tensor.stride(), tensor.storage_offset(), tensor.dtype, tensor.device


@pytest.mark.parametrize(
    ("module", "model"),
    [
        ("tesserae.tokenizers.detok", SMALLER),
        (CONCEPTTOK_MODULE, CONCEPTTOK | {"gan_start_step": 5, "discriminator": {"channels": 4, "layers": 1}}),
        (LLAMAGEN_MODULE, LLAMAGEN),
        (SAE_MODULE, SAE),
        ("tesserae.generators.mar", MAR),
        ("tesserae.generators.sit", SIT),
    ],
)
def test_counts_are_those_of_operations_that_run_each_time(monkeypatch, afresh, module, model):
    first, again = (networks.training(module, model, B, "bf16") for _ in range(2))
    monkeypatch.setattr(operations, "_outcomes", Forgetful())
    assert first == again == networks.training(module, model, B, "bf16")


def run(x: torch.Tensor) -> list[torch.Tensor]:
    """Views of views, several results, operations in place, an empty tensor."""
    y = x.transpose(0, 1)[1:].unsqueeze(0)
    one, other = (x * 2).chunk(2, dim=1)
    z = (x + 1).add_(1).relu_()
    values, places = z.max(dim=1)
    return [y, one, other, z, values, places, x[:0], y.expand(3, -1, -1, -1), x.flatten(0, 1), x.to(torch.bfloat16)]


def test_results_are_like_those_that_are_worked_out(afresh):
    x = torch.empty
    with FakeTensorMode():
        expected = [described(one) for one in run(x(4, 6, 2))]
        with Operations():
            for _ in range(2):
                assert [described(one) for one in run(x(4, 6, 2))] == expected
    assert all(kind is FakeTensor for kind, *_ in expected)


def test_views_share_a_storage_and_in_place_is_the_tensor_itself(afresh):
    with FakeTensorMode(), Operations():
        for _ in range(2):
            x = torch.empty(4, 6)
            y, z = x.t()[1:], x.mul_(2)
            assert z is x and y.untyped_storage()._cdata == x.untyped_storage()._cdata


def test_what_changes_a_shape_is_worked_out_each_time(afresh):
    with FakeTensorMode(), Operations():
        for _ in range(2):
            x = torch.empty(4, 6)
            x.t_()
            x.unsqueeze_(0)
            assert x.shape == (1, 6, 4) and x.stride() == (6, 1, 6)


def test_a_known_value_keeps_its_value(afresh):
    with FakeTensorMode(), Operations():
        assert [(torch.tensor(value) * 2).item() for value in (1.5, 2.5)] == [3.0, 5.0]


def test_numbers_of_other_types_are_other_operands(afresh):
    with FakeTensorMode(), Operations():
        whole = torch.empty(2, dtype=torch.int64)
        assert [(whole + number).dtype for number in (1, 1.0, True)] == [torch.int64, torch.float32, torch.int64]


def test_work_and_bytes_are_counted_every_time(afresh):
    layer = nn.Linear(4, 5, bias=False)
    with FakeTensorMode(allow_non_fake_inputs=True):
        x, w = torch.empty(3, 4), torch.empty(5, 4)
        for _ in range(2):
            with Operations([x, w]) as counted:
                y = x @ w.t()
                del y
            assert counted.flops == {"bf16": 0.0, "fp32": 2 * 3 * 4 * 5}
            assert (counted.live.live, counted.live.peak) == (0, 4 * 3 * 5)
        with Operations() as counted, torch.no_grad():
            for _ in range(2):
                layer(torch.empty(3, 4))  # weights with data: worked out each time, and counted
        assert counted.flops["fp32"] == 2 * 2 * 3 * 4 * 5


def test_tensors_with_data_are_refused_as_a_whole():
    with pytest.raises(RuntimeError, match="enter a FakeTensorMode first"), Operations():
        pass
