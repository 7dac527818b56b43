"""Every form: it answers as the model does, and no byte of it can change unnoticed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from deploy.small import BATCHES, LABELS, batch, exported, masked, tokenizer
from toy import tiny_bert
from transformers import AutoModelForSequenceClassification

import rpmask
from rpmask.deploy import csr_routes, writing
from rpmask.deploy import load as loading
from rpmask.deploy.exported import Exported
from rpmask.deploy.manifest import FILE, FORMS, Manifest, open_export, read_manifest, seal
from rpmask.deploy.writing import Source, write_export
from rpmask.errors import RpmaskError, RunFailed

forms = pytest.mark.parametrize("form", FORMS)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, torch.nn.Module]]:
    found = {}
    for form in FORMS:
        folder = tmp_path_factory.mktemp(form)
        found[form] = folder, exported(folder, form)[0]
    return found


Written = dict[str, tuple[Path, torch.nn.Module]]


@forms
def test_it_answers_as_the_model_does(written: Written, form: str) -> None:
    folder, model = written[form]
    found = rpmask.load(folder)
    # Shapes that the export never saw: another number of rows and tokens.
    inputs = batch(5, 11)
    with torch.no_grad():
        expected = model(**inputs).logits
    torch.testing.assert_close(found.logits(inputs), expected, rtol=0, atol=1e-5)
    assert found.manifest.check is not None
    assert found.manifest.check.same_answers == 1.0
    assert found.manifest.form == form


def test_a_regression_has_no_classes_to_agree_on() -> None:
    model = tiny_bert(labels=1).eval()
    found = Exported(Manifest("dense", "own", "here"), tokenizer(), lambda b: model(**b).logits)
    assert writing.compare(found, model, BATCHES, 0.0, LABELS).same_answers is None


@forms
def test_every_damaged_byte_of_a_header_is_noticed(
    written: Written, form: str, tmp_path: Path
) -> None:
    folder, _ = written[form]
    for path in folder.rglob("*"):
        content = path.read_bytes()
        places = [0, 1, 7, len(content) // 2, len(content) - 1]
        if path.name == FILE:
            places = list(range(len(content)))
        elif path.suffix == ".safetensors":
            header = 8 + int.from_bytes(content[:8], "little")
            places += [*range(16), *range(16, header, 11)]
        elif path.suffix == ".onnx":
            places += list(range(200))
        try:
            for place in places:
                changed = bytearray(content)
                changed[place] ^= 1 << place % 8
                path.unlink()  # some file systems wait for the disk when a file is overwritten
                path.write_bytes(changed)
                with pytest.raises(RpmaskError):
                    open_export(folder)
            for size in (0, 1, len(content) // 2, len(content) - 1):
                path.write_bytes(content[:size])
                with pytest.raises(RpmaskError):
                    rpmask.load(folder)
            path.unlink()
            if path.name != FILE:
                with pytest.raises(RpmaskError, match="cannot be read"):
                    rpmask.load(folder)
        finally:
            path.write_bytes(content)
    rpmask.load(folder)


def test_a_record_cannot_name_files_elsewhere(tmp_path: Path) -> None:
    _, manifest = exported(tmp_path, "dense")
    entry = next(iter(manifest.files.values()))
    hostile = replace(manifest, files={"../secret": entry}, digest="")
    from rpmask.jsonrecord import canonical_json, digest_of

    hostile = replace(hostile, digest=digest_of(hostile.to_dict()))
    (tmp_path / FILE).write_bytes(canonical_json(hostile.to_dict()).encode() + b"\n")
    with pytest.raises(RpmaskError, match="outside itself"):
        open_export(tmp_path)


def test_a_newer_format_says_upgrade(tmp_path: Path) -> None:
    seal(tmp_path, Manifest(form="dense", task="toy", source="x", schema_version=9))
    with pytest.raises(RpmaskError, match="export format 9"):
        read_manifest(tmp_path)


def test_dense_is_a_plain_model_with_exact_zeros(written: Written) -> None:
    folder, model = written["dense"]
    config = json.loads((folder / "config.json").read_text())
    assert not any("spars" in key or "quantiz" in key for key in config)
    plain = AutoModelForSequenceClassification.from_pretrained(folder)
    for name, expected in model.state_dict().items():
        assert torch.equal(plain.state_dict()[name], expected)
    (folder / "rpmask.json").rename(folder.parent / "aside")
    try:
        found = rpmask.load(folder)
    finally:
        (folder.parent / "aside").rename(folder / "rpmask.json")
    assert found.manifest.standard
    assert found.manifest.labels == ("LABEL_0", "LABEL_1")


def test_an_export_that_answers_otherwise_is_refused(tmp_path: Path) -> None:
    model = tiny_bert().eval()
    source = Source(model, tokenizer(), masked(model), (batch(),))
    described = Manifest(form="packed", task="toy", source="x", values="int8")
    with pytest.raises(RunFailed, match="does not answer as the model does"):
        write_export(source, tmp_path, described, tolerance=1e-9)


def test_answers_that_are_not_numbers_are_refused(tmp_path: Path) -> None:
    exported(tmp_path, "packed")
    found, model = rpmask.load(tmp_path), tiny_bert().eval()
    with torch.no_grad():
        model.classifier.weight.fill_(float("nan"))
    with pytest.raises(RunFailed):
        writing.compare(found, model, (batch(),), 1e9)


@pytest.mark.parametrize("form", ["packed", "csr"])
def test_a_model_without_a_mask_has_nothing_to_pack(tmp_path: Path, form: str) -> None:
    source = Source(tiny_bert(), tokenizer(), None, (batch(),))
    with pytest.raises(RpmaskError, match="no mask"):
        write_export(source, tmp_path, Manifest(form=form, task="toy", source="x"))


def test_routes_of_another_machine_are_measured_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, manifest = exported(tmp_path, "csr")
    asked: list[int] = []
    monkeypatch.setattr(csr_routes, "choose_routes", lambda *_: asked.append(1) or {})
    rpmask.load(tmp_path)
    assert not asked
    seal(tmp_path, replace(manifest, machine="a slower one"))
    loading.load(tmp_path)
    assert asked == [1]


def test_texts_and_pairs(written: Written, tmp_path: Path) -> None:
    single = rpmask.load(written["packed"][0])
    with pytest.raises(RpmaskError, match="Some rows are single texts"):
        single.encode(["one", ("two", "texts")])
    with pytest.raises(RpmaskError, match="This model reads single texts"):
        single.encode([("somebody", "cooks")])
    exported(tmp_path, "packed", pair=True)
    paired = rpmask.load(tmp_path)
    with pytest.raises(RpmaskError, match="This model reads pairs of texts"):
        paired.predict(["somebody"])
    tokens = paired.encode([("somebody", "cooks"), ("a", "b")])
    assert tokens["input_ids"].shape == tokens["attention_mask"].shape
    assert single.predict([]) == paired.predict([]) == []


def test_a_folder_that_is_not_there_and_a_device_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(RpmaskError, match="no folder"):
        rpmask.load(tmp_path / "none")
    with pytest.raises(RpmaskError, match="no device"):
        rpmask.load(tmp_path, device="tpu")


def test_import_is_light() -> None:
    code = (
        "import sys, rpmask; assert 'load' not in vars(rpmask); "
        "assert not {'torch', 'transformers', 'numpy', 'mlflow'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError):
        _ = rpmask.nothing
