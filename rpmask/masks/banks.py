"""The units of a model's tensors under a granularity, in banks that are drawn together.

Units of several tensors are found by the names that architectures give to their layers.
"""

from __future__ import annotations

from collections.abc import Sequence

from rpmask.errors import RpmaskError
from rpmask.masks.granularity import Granularity, parse_granularity
from rpmask.masks.tiling import Bank, Tiling
from rpmask.masks.weights import Prunable, some_of

# Names of the up-projections (two if one gates the other) and of the down-projection.
FEED_FORWARD = (
    (("intermediate.dense",), "output.dense"),  # BERT, RoBERTa, ELECTRA, DeBERTa
    (("ffn.lin1",), "ffn.lin2"),  # DistilBERT
    (("ffn",), "ffn_output"),  # ALBERT
    (("mlp.c_fc",), "mlp.c_proj"),  # GPT-2
    (("mlp.fc1",), "mlp.fc2"),  # ViT
    (("mlp.gate_proj", "mlp.up_proj"), "mlp.down_proj"),  # Llama, Mistral, Qwen2
    (("mlp.dense_h_to_4h",), "mlp.dense_4h_to_h"),  # GPT-NeoX
)

# Names of the tensors split into heads by rows, of the one split by columns, and the number of matrices that
# the first tensor stacks.
ATTENTION = (
    (
        ("attention.self.query", "attention.self.key", "attention.self.value"),
        "attention.output.dense",
        1,
    ),  # BERT, RoBERTa, ELECTRA
    (
        ("attention.self.query_proj", "attention.self.key_proj", "attention.self.value_proj"),
        "attention.output.dense",
        1,
    ),  # DeBERTa
    (("attention.q_lin", "attention.k_lin", "attention.v_lin"), "attention.out_lin", 1),
    (("attention.query", "attention.key", "attention.value"), "attention.dense", 1),  # ALBERT
    (("attention.q_proj", "attention.k_proj", "attention.v_proj"), "attention.o_proj", 1),  # ViT
    (("attn.c_attn",), "attn.c_proj", 3),  # GPT-2
    (("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"), "self_attn.o_proj", 1),  # Llama
    # GPT-NeoX: query, key and value of a head follow one another.
    (("attention.query_key_value",), "attention.dense", 1),
)
# DeBERTa's optional projections of relative positions are split like its queries and keys.
POSITIONS = ("attention.self.pos_key_proj", "attention.self.pos_query_proj")


def plan_banks(text: str, tensors: Sequence[Prunable]) -> tuple[Bank, ...]:
    """The banks of a granularity; an error if a tensor does not divide into its tiles."""
    granularity = parse_granularity(text)
    if granularity.kind == "neuron":
        return neuron_banks(tensors)
    if granularity.kind == "head":
        return head_banks(tensors)
    return tuple(_bank_of(granularity, tensor) for tensor in tensors)


def _bank_of(granularity: Granularity, tensor: Prunable) -> Bank:
    if granularity.kind == "weight":
        return Bank(tensor.name, (Tiling(tensor),))
    _check_divides(tensor, "inputs", tensor.inputs, granularity.second)
    if granularity.kind == "n:m":
        return Bank(tensor.name, (Tiling(tensor),), (granularity.first, granularity.second))
    _check_divides(tensor, "outputs", tensor.outputs, granularity.first)
    return Bank(tensor.name, (Tiling(tensor, granularity.first, granularity.second),))


def _check_divides(tensor: Prunable, what: str, size: int, part: int) -> None:
    if size % part:
        raise RpmaskError(
            f"The {size} {what} of '{tensor.name}' {tensor.shape} do not divide by {part}.",
            "Choose a granularity that divides it, or exclude the tensor.",
        )


def neuron_banks(tensors: Sequence[Prunable]) -> tuple[Bank, ...]:
    """One bank per feed-forward block; a unit is a row of the up- and a column of the down-projection."""
    known = {tensor.name: tensor for tensor in tensors}
    banks = []
    for tensor in tensors:
        for (first, *others), down in FEED_FORWARD:
            layer = _layer(tensor.name, first)
            names = [f"{layer}{part}.weight" for part in (*others, down)]
            if layer is None or not all(name in known for name in names):
                continue
            *ups, last = [tensor, *(known[name] for name in names)]
            rows = [Tiling(up, columns=up.inputs) for up in ups]
            banks.append(_checked(f"{layer}neurons", (*rows, Tiling(last, rows=last.outputs))))
    return _some(banks, "feed-forward", tensors)


def head_banks(tensors: Sequence[Prunable]) -> tuple[Bank, ...]:
    """One bank per attention layer; a unit is a head's rows of query, key, value and columns of output."""
    known = {tensor.name: tensor for tensor in tensors}
    banks = []
    for tensor in tensors:
        for (first, *others), output, stacked in ATTENTION:
            layer = _layer(tensor.name, first)
            names = [f"{layer}{part}.weight" for part in (*others, output)]
            if layer is None or not all(name in known for name in names):
                continue
            if tensor.heads < 1 or tensor.outputs % (tensor.heads * stacked):
                raise RpmaskError(
                    f"'{tensor.name}' {tensor.shape} cannot be split into {tensor.heads} heads.",
                    "The model's configuration must give num_attention_heads.",
                )
            width = tensor.outputs // (tensor.heads * stacked)
            positions = [f"{layer}{part}.weight" for part in POSITIONS]
            *split, last = [tensor, *(known[name] for name in names)]
            split += [known[name] for name in positions if name in known]
            if shared := [part for part in split if part.outputs < tensor.outputs]:
                raise RpmaskError(
                    f"{tensor.heads} query heads share {shared[0].outputs // width} heads of "
                    f"'{shared[0].name}', so that no head can be dropped by itself.",
                    "Use the granularity 'weight', N:M, 'block RxC' or 'neuron' for this model.",
                )
            rows = [Tiling(part, width, part.inputs, stacked) for part in split]
            columns = Tiling(last, last.outputs, last.inputs // tensor.heads)
            banks.append(_checked(f"{layer}heads", (*rows, columns)))
    return _some(banks, "attention", tensors)


def _layer(name: str, part: str) -> str | None:
    """The path before a part of a layer, with its dot."""
    layer = name.removesuffix(f".{part}.weight")
    return f"{layer}." if layer != name else None


def _checked(name: str, tilings: tuple[Tiling, ...]) -> Bank:
    units = {tiling.units for tiling in tilings}
    if len(units) != 1:
        shapes = ", ".join(f"{t.tensor.name} {t.tensor.shape}" for t in tilings)
        raise RpmaskError(
            f"The tensors of '{name}' do not have the same units: {shapes}.",
            "Use the granularity 'weight' or 'block RxC' for this model.",
        )
    return Bank(name, tilings)


def _some(banks: list[Bank], what: str, tensors: Sequence[Prunable]) -> tuple[Bank, ...]:
    if not banks:
        raise RpmaskError(
            f"No {what} layer is known among the {len(tensors)} tensors to prune.",
            f"They are named like {some_of([tensor.name for tensor in tensors])}; "
            "use the granularity 'weight' or 'block RxC' instead.",
        )
    return tuple(banks)
