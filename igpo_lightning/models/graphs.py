"""CUDA graphs: a function's kernels recorded once and started together, where launching takes the time."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

_WARM_UPS = 2


class Graphed:
    """A function of tensors, recorded at its first call and replayed at the others.

    Everything else that it reads must stay at its address. Its result is overwritten by the next call.

    Args:
        function: Tensors to a tensor; it must not wait for the device, nor depend on values by branches.
    """

    def __init__(self, function: Callable[..., Tensor]):
        self.function = function
        self._graph: torch.cuda.CUDAGraph | None = None
        self._inputs: list[Tensor] = []
        self._result: Tensor | None = None

    def __call__(self, *inputs: Tensor) -> Tensor:
        """The function's result; every call must be given tensors of the same shapes."""
        if self._graph is None:
            self._record(inputs)
        for mine, given in zip(self._inputs, inputs, strict=True):
            mine.copy_(given)
        assert self._graph is not None and self._result is not None
        self._graph.replay()
        return self._result

    def _record(self, inputs: tuple[Tensor, ...]) -> None:
        self._inputs = [given.clone() for given in inputs]
        device = inputs[0].device
        aside = torch.cuda.Stream(device)
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):  # libraries allocate their workspaces at a first call
            for _ in range(_WARM_UPS):
                self.function(*self._inputs)
        torch.cuda.current_stream(device).wait_stream(aside)
        self._graph = torch.cuda.CUDAGraph()
        # Of this device, which need not be the current one; other threads may use it meanwhile: rewards do.
        record = torch.cuda.graph(self._graph, stream=aside, capture_error_mode="thread_local")
        with torch.cuda.device(device), record:
            self._result = self.function(*self._inputs)
