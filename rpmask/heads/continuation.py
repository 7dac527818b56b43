"""Continue texts: the likeliest next token, again and again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rpmask.errors import RpmaskError
from rpmask.heads.blocks import prompt

if TYPE_CHECKING:
    from torch import nn

NEW_TOKENS = 32


def continuations(
    model: nn.Module, reader: Any, rows: Sequence[Any], new_tokens: int, longest: int | None
) -> Iterator[dict[str, Any]]:
    """`{text, continuation}` of each row, one row after another, so that none depends on the others.

    Of a text longer than the model has positions for, the end is read.
    """
    import torch
    from transformers import GenerationConfig

    network: Any = model
    if longest is not None:
        new_tokens = min(new_tokens, longest - 1)
    end = network.config.eos_token_id
    # The model's own settings, such as a penalty for repetition, would fill what these leave out, and not
    # every form of a model has them.
    network.generation_config = GenerationConfig(
        max_new_tokens=new_tokens,
        do_sample=False,
        eos_token_id=end,
        pad_token_id=reader.pad_token_id,
    )
    for row in rows:
        ids = reader(prompt(row), return_tensors="pt", verbose=False)["input_ids"]
        if not ids.numel():
            raise RpmaskError(
                f"The tokenizer finds no token in {row!r}.", "Leave the row out, or give it a word."
            )
        if longest is not None:
            ids = ids[:, new_tokens - longest :]
        ids = ids.to(network.device)
        with torch.inference_mode():
            found = network.generate(ids, attention_mask=torch.ones_like(ids))
        made = reader.decode(found[0, ids.shape[1] :], skip_special_tokens=True)
        yield {"text": row, "continuation": made}
