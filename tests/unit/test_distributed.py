"""NCCL as far as it differs from gloo: it sends only what is on the GPU of the process that calls."""

import dataclasses
from types import SimpleNamespace

import pytest
import torch
from fakes import rollout_fit, tiny_policy
from torch._subclasses.fake_tensor import FakeTensorMode

from igpo_lightning import distributed
from igpo_lightning.types import Rollout

OWN = torch.device("cuda", 1)


class Sent(Exception):
    """A collective was called with tensors that NCCL would send."""


class Nccl:
    """Refuses what NCCL refuses, and stops there: of fake tensors there are no numbers to go on with."""

    ReduceOp = torch.distributed.ReduceOp
    is_available = is_initialized = staticmethod(lambda: True)
    get_world_size, get_rank = staticmethod(lambda: 2), staticmethod(lambda: 1)

    @staticmethod
    def _send(*tensors):
        for tensor in tensors:
            if tensor.device != OWN:
                raise RuntimeError(f"No backend type associated with device type {tensor.device.type}")
        raise Sent

    def all_reduce(self, tensor, op=None):
        self._send(tensor)

    def all_gather(self, parts, tensor):
        self._send(*parts, tensor)

    def barrier(self, device_ids=None):
        assert device_ids == [OWN.index], "NCCL would guess a GPU"
        raise Sent

    def all_gather_object(self, gathered, mine):
        assert distributed.current == OWN, "sent by way of the current GPU, which is another one"
        for tensor in tensors_of(mine):
            assert tensor.device.type == "cpu", "comes back on the GPU of another process"
        raise Sent

    def broadcast_object_list(self, box, src):
        assert distributed.current == OWN
        raise Sent


def tensors_of(value):
    if isinstance(value, torch.Tensor):
        yield value
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors_of(part)


@pytest.fixture
def nccl(monkeypatch):
    """Two processes under NCCL, of which this is the second; tensors on its GPU have no numbers."""

    class Current:
        def __init__(self, device):
            self.device = torch.device(device)

        def __enter__(self):
            distributed.current = self.device

        def __exit__(self, *error):
            distributed.current = None

    monkeypatch.setattr(distributed, "dist", Nccl())
    monkeypatch.setattr(distributed, "current", None, raising=False)
    monkeypatch.setattr(torch.cuda, "device", Current)
    with FakeTensorMode(allow_non_fake_inputs=True):
        yield


CALLS = {
    "agree_max": lambda: distributed.agree_max(3, OWN),
    "agree_any": lambda: distributed.agree_any(True, OWN),
    "reduce": lambda: distributed.reduce([0.5, 1.5], "mean", OWN),
    "gather": lambda: distributed.gather(torch.zeros(2, device=OWN), OWN),
    "gather of what is on the host": lambda: distributed.gather(torch.zeros(2, device="cpu"), OWN),
    "gather_objects": lambda: distributed.gather_objects({"rows": 3}, OWN),
    "of_first": lambda: distributed.of_first("folder", OWN),
    "barrier": lambda: distributed.barrier(OWN),
}


@pytest.mark.parametrize("name", CALLS)
def test_every_collective_sends_from_the_gpu_of_its_process(nccl, name):
    with pytest.raises(Sent):
        CALLS[name]()


def test_all_of_them_are_tried():
    tried = {name.split()[0] for name in CALLS}
    public = {n for n, f in vars(distributed).items() if callable(f) and getattr(f, "__module__", "") ==
              distributed.__name__ and not n.startswith("_")}  # fmt: skip
    assert public - {"world_size", "rank", "ended", "disconnect"} == tried


@pytest.fixture
def data():
    """Made before tensors are fake: a copy of real weights made among fake ones has no memory of its own."""
    return rollout_fit(tiny_policy())[1]


def test_rollouts_go_to_the_host_before_a_checkpoint_gathers_them(data, nccl):
    shape = {"prompt_ids": (2, 5), "tokens": (2, 4, 8)}
    values = {
        f.name: torch.zeros(shape.get(f.name, (2,)), device=OWN)
        for f in dataclasses.fields(Rollout)
        if f.type.startswith("Per")
    }
    values["parts"] = {"accuracy": torch.zeros(2, 4, device=OWN)}
    data.trainer = SimpleNamespace(lightning_module=SimpleNamespace(device=OWN))
    data.rollout = Rollout(**values)
    assert data.rollout.tokens.device == OWN
    with pytest.raises(Sent):
        data.state_dict()


def test_one_process_sends_nothing_and_makes_no_tensor():
    nowhere = torch.device("cuda", 7)
    assert distributed.agree_max(3, nowhere) == 3 and distributed.agree_any(False, nowhere) is False
    assert distributed.reduce([1, 2.5], "mean", nowhere) == [1.0, 2.5]
    assert distributed.gather_objects("me", nowhere) == ["me"]
    assert distributed.of_first("me", nowhere) == "me"
    assert distributed.barrier(nowhere) is None


def test_the_connection_ends_with_the_program_even_after_an_error(tmp_path, monkeypatch):
    at_exit = []
    monkeypatch.setattr("atexit.register", at_exit.append)
    for number, error in enumerate((None, ValueError)):
        store = f"file://{tmp_path / str(number)}"
        torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
        try:
            with distributed.ended():
                if error:
                    raise error
        except ValueError:
            assert torch.distributed.is_initialized()  # the message comes first
            at_exit[-1]()
        assert not torch.distributed.is_initialized()
    with distributed.ended():  # where there is none
        pass
