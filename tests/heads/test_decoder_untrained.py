"""A decoder pruned without training: one command, and numbers that threads do not change."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from commands import answer
from heads.test_language import SPEC
from tiny_decoder import decoder, llama_config, text, tokenizer, write_decoder, write_texts
from torch import nn

from rpmask.errors import RpmaskError
from rpmask.heads.language import LANGUAGE
from rpmask.heads.splits import Encoded
from rpmask.masks.mask import Mask
from rpmask.masks.packed_format import load_mask
from rpmask.masks.weights import TensorWeights, find_prunable, weights_digest
from rpmask.randomized_masks.calibrate import calibrate
from rpmask.randomized_masks.input_statistics import InputSums
from rpmask.randomized_masks.mask_generation import draw_mask
from rpmask.records import ROW_ALLOCATION, MaskRecipe
from rpmask.tasks.passages import read_language
from rpmask.train.block_passes import watching
from rpmask.train.evaluate import evaluate
from rpmask.train.observer import Silent
from rpmask.train.refit import refit, refit_batches


def run_untrained(folder: Path, *levels: str) -> dict[str, Any]:
    """What one command makes of a tiny Llama without a training."""
    model = write_decoder(folder / "llama")
    train, dev = write_texts(folder)
    return answer(
        [
            *("run", "-t", "story", "-m", str(model), "--kind", "language"),
            *("--train", str(train), "--dev", str(dev), "--max-length", "16"),
            *(*levels, "--epochs", "0", "--threads", "1"),
        ],
        folder,
    )


def test_one_command_prunes_within_rows(tmp_path: Path) -> None:
    """Three candidates, none trained; every row of the result keeps half of its weights."""
    found = run_untrained(tmp_path, "--one-shot", "--sparsity", "0.5")
    (level,) = found["levels"]
    drawn = [(c["importance"], c["allocation"]) for c in level["sample"]["candidates"]]
    assert drawn == [
        ("magnitude", 0.0),
        ("wanda", ROW_ALLOCATION),
        ("sparsegpt", ROW_ALLOCATION),
    ]
    assert level["finetune"]["steps"] == 0
    (kept,) = tmp_path.rglob(f"{level['finetune']['run_id']}/artifacts/**/mask.safetensors")
    mask = load_mask(kept)
    rows = {int(count) for name in mask.names for count in mask.keep(name).sum(1)}
    winner = level["select"]["winner"]
    assert winner == 0 or rows == {8, 16}  # of 16 and of 32 inputs


def test_the_last_refit_tightens_the_mask(tmp_path: Path) -> None:
    """Masks are compared at 30 %, and the selected one loses 60 % of its weights without a training."""
    found = run_untrained(tmp_path, "--levels", "0.3", "--sparsity", "0.6")
    (level,) = found["levels"]
    trained = level["finetune"]
    assert (level["sparsity"], trained["sparsity"], trained["steps"]) == (0.3, 0.6, 0)
    (kept,) = tmp_path.rglob(f"{trained['run_id']}/artifacts/**/mask.safetensors")
    mask = load_mask(kept)
    assert mask.kept() == round(0.4 * mask.total())
    between = answer(
        ["mask", "diff", trained["run_id"], level["select"]["run_id"]],
        tmp_path,
    )
    assert between["inside"]


def test_the_last_refit_makes_two_of_four_of_three_of_four(tmp_path: Path) -> None:
    levels = ("--granularity", "2:4", "--levels", "0.25", "--sparsity", "0.5")
    found = run_untrained(tmp_path, *levels)
    (level,) = found["levels"]
    kept = {}
    for step in ("select", "finetune"):
        (path,) = tmp_path.rglob(f"{level[step]['run_id']}/artifacts/**/mask.safetensors")
        mask = load_mask(path)
        kept[step] = {
            int(count) for name in mask.names for count in mask.keep(name).view(-1, 4).sum(1)
        }
    assert kept == {"select": {3}, "finetune": {2}}


def blocks(folder: Path, lines: int, seed: int) -> Encoded:
    path = folder / "some.txt"
    path.write_text(text(lines, seed))
    rows = read_language("story", [str(path)] * 2, "text").dev["dev"]
    return LANGUAGE.inputs.encode(rows, tokenizer(), SPEC, 16)


def pruned(model: nn.Module, data: Encoded, granularity: str = "weight") -> tuple[Mask, nn.Module]:
    tensors = find_prunable(model)
    names = [tensor.name for tensor in tensors]
    found = calibrate(model, data, SPEC, names, ["sparsegpt"], seed=0, observer=Silent())
    source = TensorWeights(model)
    recipe = MaskRecipe(
        weights_digest=weights_digest(source, tensors),
        seed=0,
        sparsity=0.5,
        temperature=0.0,
        importance="sparsegpt",
        importance_digest=found["sparsegpt"].digest,
        allocation=ROW_ALLOCATION if granularity == "weight" else 0.0,
        granularity=granularity,
    )
    mask = draw_mask(recipe, source, tensors, statistics=found)
    refitted = copy.deepcopy(model)
    refit(refitted, mask, refit_batches(data, len(data), 0), Silent())
    return mask, refitted


@pytest.mark.parametrize("granularity", ["weight", "2:4"])
def test_threads_change_no_perplexity(granularity: str, tmp_path: Path) -> None:
    model = decoder(llama_config(hidden_size=64, intermediate_size=96)).eval()
    data, dev = blocks(tmp_path, 60, 0), blocks(tmp_path, 20, 1)
    before, found = torch.get_num_threads(), []
    for threads in (1, 2):
        torch.set_num_threads(threads)
        mask, network = pruned(model, data, granularity)
        found.append((mask.digest, evaluate(network, dev, SPEC).metrics["perplexity"]))
    torch.set_num_threads(before)
    assert found[0][0] == found[1][0]
    assert found[0][1] == pytest.approx(found[1][1], rel=1e-5)


@pytest.mark.parametrize("kinds", [["wanda"], ["wanda", "sparsegpt"]])
def test_importances_block_by_block_are_those_of_whole_passes(
    kinds: list[str], tmp_path: Path
) -> None:
    model, data = decoder(llama_config()).eval(), blocks(tmp_path, 60, 0)
    names = [tensor.name for tensor in find_prunable(model)]
    found = calibrate(model, data, SPEC, names, kinds, seed=0, observer=Silent())
    sums = InputSums(model.model, kinds)
    with watching(model.model, names, sums.add):
        for start in range(0, len(data), 4):
            model.model(data.batch(np.arange(start, min(start + 4, len(data))))["input_ids"])
    for kind, expected in sums.statistics().items():
        assert set(found[kind].tensors) == set(names) == set(expected)
        for name in names:
            assert torch.equal(found[kind].tensors[name], expected[name]), name


def test_a_refit_through_files_gives_the_same_weights(tmp_path: Path) -> None:
    """And the files are gone, though the model is still read from them."""
    model, data = decoder(llama_config()).eval(), blocks(tmp_path, 60, 0)
    mask, in_memory = pruned(model, data)
    through = copy.deepcopy(model)
    folder = tmp_path / "blocks"
    folder.mkdir()
    refit(through, mask, refit_batches(data, len(data), 0), Silent(), folder=folder)
    assert list(folder.iterdir()) == []
    for (name, one), other in zip(in_memory.named_parameters(), through.parameters(), strict=True):
        assert torch.equal(one, other), name


def test_weights_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    model = decoder(llama_config()).eval()
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[0, 0] = torch.nan
    with pytest.raises(RpmaskError, match="NaN, infinite or negative values"):
        pruned(model, blocks(tmp_path, 20, 0))


def test_blocks_of_one_length_are_refitted_in_one_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And to the same weights as batch by batch, but for rounding."""
    from rpmask.train import block_passes

    model, data = decoder(llama_config()).eval(), blocks(tmp_path, 200, 0)
    batches = refit_batches(data, 90, 0)
    assert len(batches) > 1
    assert len(block_passes.merged(batches)) == 1
    mask, together = pruned(model, data.take(np.arange(90)))
    monkeypatch.setattr(block_passes, "MERGED_TOKENS", 1)
    assert len(block_passes.merged(batches)) == len(batches)
    _, apart = pruned(model, data.take(np.arange(90)))
    for (name, one), other in zip(together.named_parameters(), apart.parameters(), strict=True):
        assert torch.allclose(one, other, atol=1e-3), name
    perplexities = [
        evaluate(network, blocks(tmp_path, 20, 1), SPEC).metrics["perplexity"]
        for network in (together, apart)
    ]
    assert perplexities[0] == pytest.approx(perplexities[1], rel=1e-5)
    assert all(not together.model.get_parameter(n)[~mask.keep(n)].any() for n in mask.names)
