"""The model card of a folder for the Hugging Face hub: README.md with a `model-index` of its metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rpmask.deploy.manifest import CARD, Manifest
from rpmask.heads.registry import head_of
from rpmask.tasks.glue import GLUE
from rpmask.words import percent

UNNAMED = "ORG/NAME"  # stands for the repository until `--repo` names it
LIBRARY = "rpmask"


@dataclass(frozen=True)
class CardFacts:
    """What the card says of a model beside its manifest. commands: what is typed to make the model again."""

    model: str  # the dense model's name
    description: str
    dev: Mapping[str, float]
    dense: Mapping[str, float]
    evidence: str = ""
    commands: tuple[str, ...] = ()
    run_files: Mapping[str, str] = field(default_factory=dict)


def write_card(folder: Path, manifest: Manifest, facts: CardFacts) -> None:
    """Write README.md and the run files that it names."""
    for name, text in facts.run_files.items():
        (folder / name).write_text(text, encoding="utf-8")
    (folder / CARD).write_text(card(manifest, facts), encoding="utf-8")


def name_repository(folder: Path, repository: str) -> None:
    """Write a repository's name into the card, which may have been edited since."""
    path = folder / CARD
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace(UNNAMED, repository), encoding="utf-8")


def card(manifest: Manifest, facts: CardFacts) -> str:
    """The text of the card."""
    head = head_of(manifest)
    kept = f"{percent(manifest.sparsity)} of its prunable weights are zero"
    parts = [
        f"---\n{_metadata(manifest, facts)}\n---",
        f"# {manifest.task}, {percent(manifest.sparsity)} sparse",
        f"`{facts.model}` for `{manifest.task}`, pruned with {LIBRARY}: {kept}.",
        _table(facts),
        facts.description,
    ]
    if manifest.mask_digest:
        parts.append(
            f"`mask.safetensors` says which weights are kept; its digest is `{manifest.mask_digest}`. "
            "The pruned weights are exact zeros in `model.safetensors`, which any tool of transformers "
            "reads; it is as large and as fast as the dense model. "
            f"`{LIBRARY} export --to packed` and `--to csr` write smaller and faster forms."
        )
    if facts.evidence:
        parts += ["## Evidence", facts.evidence]
    parts += ["## Use", _snippet(head.auto_class.__name__, head.inputs.are_text)]
    if facts.commands:
        commands = "\n".join(facts.commands)
        parts += ["## Reproduce", f"```bash\n{commands}\n```"]
    made = ", ".join(f"{name} {version}" for name, version in manifest.versions.items())
    parts.append(f"Made with {made}.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _metadata(manifest: Manifest, facts: CardFacts) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    inputs, task = head_of(manifest).inputs, manifest.task
    hub = GLUE[task].on_hub if task in GLUE else None
    results = [
        EvalResult(
            task_type=inputs.pipeline_task,
            dataset_type=hub.repository if hub else task,
            dataset_config=hub.config if hub else None,
            dataset_name=task,
            dataset_split="validation",
            metric_type=name,
            metric_value=value,
        )
        for name, value in facts.dev.items()
    ]
    public = not facts.model.startswith((".", "/", "models:", "runs:")) and task != facts.model
    data = ModelCardData(
        library_name="transformers",
        pipeline_tag=inputs.pipeline_task,
        tags=[LIBRARY, "pruned", "sparse"],
        base_model=facts.model if public else None,
        model_name=f"{task} {percent(manifest.sparsity)}",
        eval_results=results,
    )
    text: str = data.to_yaml()
    return text


def _table(facts: CardFacts) -> str:
    rows = [
        f"| {name} | {facts.dense[name]:.4f} | {value:.4f} |"
        for name, value in facts.dev.items()
        if name in facts.dense
    ]
    return "\n".join(["| on dev | dense | this model |", "| --- | ---: | ---: |", *rows])


def _snippet(auto_class: str, are_text: bool) -> str:
    reader = "AutoTokenizer" if are_text else "AutoImageProcessor"
    name = "tokenizer" if are_text else "processor"
    return f"""```python
from transformers import {reader}, {auto_class}

{name} = {reader}.from_pretrained("{UNNAMED}")
model = {auto_class}.from_pretrained("{UNNAMED}")
zeros = sum(int((weight == 0).sum()) for weight in model.parameters())
print(f"{{zeros:,}} weights are zero")
```

With {LIBRARY}, which checks every file and answers rows:

```python
import rpmask
from huggingface_hub import snapshot_download

model = rpmask.load(snapshot_download("{UNNAMED}"))
```"""
