"""A candidate continues from its captured state: parameters, moments and step counts."""

from __future__ import annotations

import torch
from toy import tiny_bert

from rpmask.masks.mask import Mask
from rpmask.masks.masked import MaskHold
from rpmask.randomized_masks.race_state import captured, restore


def optimizer_of(model: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)


def test_all_of_the_state_is_where_its_parameter_is() -> None:
    """Fused optimizers refuse a step counter on another device; meta stands for one here."""
    model = tiny_bert()
    optimizer = optimizer_of(model)
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    nothing = Mask.from_bools({})
    content = captured(model, optimizer, MaskHold(model, nothing))
    elsewhere = tiny_bert().to("meta")
    other = torch.optim.AdamW(elsewhere.parameters(), lr=1e-3)
    restore(elsewhere, other, MaskHold(elsewhere, nothing), content)
    assert len(other.state) == len(list(elsewhere.parameters()))
    for parameter, parts in other.state.items():
        assert set(parts) == {"step", "exp_avg", "exp_avg_sq"}
        assert all(value.device == parameter.device for value in parts.values())


def test_training_goes_on_as_if_it_had_not_been_captured() -> None:
    model = tiny_bert()
    optimizer = optimizer_of(model)
    names = [
        name for name, _ in model.base_model.named_parameters() if name.endswith("dense.weight")
    ]
    mask = Mask.from_bools(
        {name: torch.rand(model.base_model.get_parameter(name).shape) < 0.5 for name in names}
    )

    def step(network: torch.nn.Module, optimizer: torch.optim.Optimizer, seed: int) -> None:
        torch.manual_seed(seed)
        for parameter in network.parameters():
            parameter.grad = torch.randn_like(parameter)
        base = network.base_model
        for name in names:
            base.get_parameter(name).grad.mul_(mask.keep(name))
        optimizer.step()
        with torch.no_grad():
            for name in names:
                base.get_parameter(name).mul_(mask.keep(name))

    step(model, optimizer, 0)
    content = captured(model, optimizer, MaskHold(model, mask))
    again = tiny_bert()
    other = optimizer_of(again)
    restore(again, other, MaskHold(again, mask), content)
    for network, its in ((model, optimizer), (again, other)):
        step(network, its, 1)
    for name, value in model.state_dict().items():
        assert torch.equal(value, again.state_dict()[name]), name
