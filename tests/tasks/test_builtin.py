"""The built-in demo as it ships: whole, balanced, unleaked, worth pruning, refused when altered."""

import json
import shutil
from collections import Counter
from pathlib import Path

import pytest

from rpmask.errors import RpmaskError
from rpmask.tasks.builtin import DEMO_FOLDER, demo_model_dir, load_card, read_demo


def rows_of(split: str) -> list[dict[str, object]]:
    demo = read_demo()
    return (demo.train if split == "train" else demo.dev[split]).to_list()


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEMO_FOLDER, tmp_path / "demo"))


def test_every_row_is_a_labelled_pair_and_each_label_is_half():
    for split in ("train", "dev"):
        rows = rows_of(split)
        assert all(set(row) == {"text", "text_pair", "label", "row"} for row in rows), split
        assert all(row["text"] and row["text_pair"] for row in rows), split
        labels = Counter(row["label"] for row in rows)
        assert set(labels) == {0, 1}
        assert labels[0] == labels[1], split


def test_no_premise_of_dev_is_in_train_and_no_row_twice():
    rows = {split: rows_of(split) for split in ("train", "dev")}
    premises = {split: {row["text"] for row in rows[split]} for split in rows}
    assert not premises["train"] & premises["dev"]
    for split, examples in rows.items():
        pairs = {(row["text"], row["text_pair"]) for row in examples}
        assert len(pairs) == len(examples), split


def test_the_tokenizer_knows_every_word_and_joins_the_pair():
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(demo_model_dir(), local_files_only=True)
    rows = {split: rows_of(split) for split in ("train", "dev")}
    both = rows["train"] + rows["dev"]
    ids = tokenizer([row["text"] for row in both], [row["text_pair"] for row in both])["input_ids"]
    assert all(tokenizer.unk_token_id not in sequence for sequence in ids)
    assert max(map(len, ids)) <= 32
    assert all(sequence.count(tokenizer.sep_token_id) == 2 for sequence in ids)


def test_the_model_is_as_accurate_as_its_card_says():
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    folder = demo_model_dir()
    model = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True)
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    assert model.config.id2label == {0: "not_entailment", 1: "entailment"}
    dev = rows_of("dev")
    batch = tokenizer(
        [row["text"] for row in dev],
        [row["text_pair"] for row in dev],
        padding=True,
        return_tensors="pt",
    )
    with torch.no_grad():
        said = model(**batch).logits.argmax(-1)  # (rows,)
    accuracy = (said == torch.tensor([row["label"] for row in dev])).double().mean().item()
    assert accuracy >= 0.93
    assert accuracy == pytest.approx(load_card()["dense"]["accuracy"], abs=0.003)


def test_a_bag_of_words_does_not_solve_it():
    from scipy.sparse import hstack
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.linear_model import LogisticRegression

    rows = {split: rows_of(split) for split in ("train", "dev")}
    bags: dict[str, list[object]] = {"train": [], "dev": []}
    for side in ("text", "text_pair"):
        counter = CountVectorizer(ngram_range=(1, 2), token_pattern=r"\S+")
        bags["train"].append(counter.fit_transform([row[side] for row in rows["train"]]))
        bags["dev"].append(counter.transform([row[side] for row in rows["dev"]]))
    labels = {split: [row["label"] for row in rows[split]] for split in rows}
    baseline = LogisticRegression(max_iter=2000).fit(hstack(bags["train"]), labels["train"])
    assert baseline.score(hstack(bags["dev"]), labels["dev"]) < 0.70


def test_the_package_carries_at_most_six_megabytes_and_a_digest_of_each_file():
    files = [path for path in DEMO_FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= 6_000_000
    names = {path.relative_to(DEMO_FOLDER).as_posix() for path in files}
    assert names == {"card.json", *load_card()["sha256"]}


@pytest.mark.parametrize("name", ["card.json", "train.jsonl", "dev.jsonl"])
def test_a_missing_file_is_named(copy: Path, name: str):
    (copy / name).unlink()
    with pytest.raises(RpmaskError, match=f"lacks its file .*{name}") as caught:
        read_demo(copy)
    assert "make_demo.py" in caught.value.hint


def test_an_altered_file_is_refused(copy: Path):
    with (copy / "dev.jsonl").open("a") as file:
        file.write(json.dumps({"text": "a", "text_pair": "b", "label": 1}) + "\n")
    with pytest.raises(RpmaskError, match=r"dev\.jsonl' has digest [0-9a-f]{16}, not the recorded"):
        read_demo(copy)


def test_other_weights_are_refused(copy: Path):
    weights = copy / "model" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-4] + b"\0\0\0\1")
    with pytest.raises(RpmaskError, match=r"model\.safetensors' has digest"):
        demo_model_dir(copy)


@pytest.mark.parametrize(
    ("content", "reason"), [("{", "is not JSON"), ("[]", "lists no digests"), ("{}", "lists no")]
)
def test_a_damaged_card_is_said_so(copy: Path, content: str, reason: str):
    (copy / "card.json").write_text(content)
    with pytest.raises(RpmaskError, match=reason):
        read_demo(copy)
