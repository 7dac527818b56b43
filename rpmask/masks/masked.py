"""Hold a model to a mask: pruned weights are zero before, during and after training.

The kept positions are stored outside the module, one byte per weight, so any library can copy, save or
wrap the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from rpmask.errors import RpmaskError, RunFailed
from rpmask.masks.mask import Mask
from rpmask.masks.weights import WeightSource, base_of

# A kept weight may be zero, for example at a dead input, but few are; more means that weights were lost.
ZEROS_AMONG_KEPT = 0.01
INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}  # by the bytes of a weight


class MaskHold:
    """The kept positions of a model's parameters, on the parameters' devices."""

    def __init__(self, model: nn.Module, mask: Mask) -> None:
        self.mask = mask
        self._held = [
            (name, parameter, _bits(mask.keep(name)).to(parameter.device))
            for name, parameter in masked_parameters(model, mask).items()
        ]

    @property
    def kept(self) -> dict[nn.Parameter, torch.Tensor]:
        """The kept positions of each masked parameter."""
        return {parameter: bits.bool() for _, parameter, bits in self._held}

    @torch.no_grad()
    def apply(self) -> None:
        """Set every pruned weight to zero."""
        for _, parameter, bits in self._held:
            _zero_where_dropped(parameter, bits)

    def tighten(self, mask: Mask) -> None:
        """Hold the model to a mask that lies inside this one."""
        if not self.mask.contains(mask):
            raise ValueError("the mask does not lie inside the one before it")
        self.mask = mask
        for name, _, bits in self._held:
            bits.copy_(_bits(mask.keep(name)))  # in place: the hooks below hold these tensors
        self.apply()

    @contextmanager
    def gradients_masked(self) -> Iterator[None]:
        """Inside this context, pruned weights receive no gradient.

        They neither count in the gradient's norm nor enter the optimizer's moments, so a candidate's
        training state can be stored at the mask's size.
        """
        # In place on the accumulated gradient: changing it before accumulation would need a copy.
        handles = [
            parameter.register_post_accumulate_grad_hook(
                lambda held, bits=bits: _zero_where_dropped(held.grad, bits)
            )
            for _, parameter, bits in self._held
        ]
        try:
            yield
        finally:
            for handle in handles:
                handle.remove()

    def verify(self) -> int:
        """Number of non-zero weights under the mask; fails if it disagrees with the mask."""
        nonzero = 0
        for name, parameter, bits in self._held:
            alive = int(torch.count_nonzero(parameter.detach()))
            refilled = alive - int(torch.count_nonzero(parameter.detach()[bits.bool()]))
            if refilled:
                raise RunFailed(
                    f"{refilled} pruned weights of '{name}' are not zero.",
                    "Something refilled the zeros after the mask was put on; nothing was saved.",
                )
            if _too_few(alive, self.mask.kept(name)):
                raise RunFailed(
                    f"'{name}' has {alive} non-zero weights where the mask keeps "
                    f"{self.mask.kept(name)}.",
                    "The model is sparser than its recipe: weights were lost; nothing was saved.",
                )
            nonzero += alive
        return nonzero


def masked_parameters(model: nn.Module, mask: Mask) -> dict[str, nn.Parameter]:
    """The parameters that a mask is for, by the mask's names."""
    base, found = base_of(model), {}
    for name in mask.names:
        try:
            found[name] = base.get_parameter(name)
        except AttributeError as error:
            raise RpmaskError(
                f"The mask names the tensor '{name}', which this model does not have.",
                "A mask fits only the architecture it was drawn for.",
            ) from error
        if tuple(found[name].shape) != tuple(mask.shape(name)):
            raise RpmaskError(
                f"The mask of '{name}' has shape {tuple(mask.shape(name))}, "
                f"the model's tensor {tuple(found[name].shape)}.",
                "A mask fits only the architecture it was drawn for.",
            )
    return found


def check_alive(masks: Sequence[Mask], source: WeightSource) -> None:
    """Refuse masks that keep weights which are zero already: such weights would count as lost."""
    for name in masks[0].names:
        weights = source.load(name)
        for mask in masks:
            alive = int(torch.count_nonzero(weights[mask.keep(name)]))
            if _too_few(alive, mask.kept(name)):
                raise RpmaskError(
                    f"A mask keeps {mask.kept(name):,} weights of '{name}', and {mask.kept(name) - alive:,} "
                    "of those are zero already.",
                    "Ask for a sparsity above the model's own, or leave the tensor out: --exclude NAME.",
                )


def _too_few(alive: int, kept: int) -> bool:
    return alive < (1.0 - ZEROS_AMONG_KEPT) * kept


def _bits(keep: torch.Tensor) -> torch.Tensor:
    """A byte per weight: all of its bits are set where the weight is kept."""
    return -keep.to(torch.int8)


@torch.no_grad()
def _zero_where_dropped(values: torch.Tensor, bits: torch.Tensor) -> None:
    """In place, and also for NaN; quicker than torch.where."""
    values.view(INTEGERS[values.element_size()]).bitwise_and_(bits)
