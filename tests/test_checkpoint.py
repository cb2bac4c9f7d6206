"""Restorers on disk: what comes back, what is refused, and that nothing in a file is executed."""

from __future__ import annotations

import json
import sys
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file

from ssl_restore import discover, weights
from ssl_restore.errors import UserError
from ssl_restore.networks import unet
from ssl_restore.training import checkpoint, warm_start
from ssl_restore.training.checkpoint import Header
from ssl_restore.types import Average, Recipe

KEYWORDS = {"width": 4, "blocks": (1, 2)}
HEADER = Header("derain", "unet", KEYWORDS, step=7, data={"clean": "ab"})


def restorer(seed=0, **keywords):
    """A network whose every weight and statistic is random."""
    torch.manual_seed(seed)
    net = unet.build(**{**KEYWORDS, **keywords})
    for value in net.state_dict().values():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape) + 1e-3)
        else:
            value.fill_(123_456_789)
    return net


def recipe_of(keywords, task="derain"):
    net, ema = restorer(1, **keywords), restorer(2, **keywords)
    return Recipe(
        task=task, network="unet", keywords=keywords, restorer=net, players=(),
        averages=(Average(ema, net),),
    )  # fmt: skip


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "restorer.safetensors"
    checkpoint.save(path, restorer(), HEADER)
    return path


def rewritten(path, fields):
    """A copy of a checkpoint under a changed header."""
    header = {**vars(checkpoint.read_header(path)), **fields}
    other = path.with_name("other.safetensors")
    save_file(load_file(path), other, metadata={"ssl_restore": json.dumps(header)})
    return other


def test_vectors_come_back_exactly_and_matrices_to_half_precision(saved):
    back, _ = checkpoint.load(saved)
    original = restorer().state_dict()
    assert original.keys() == back.state_dict().keys()
    for name, value in back.state_dict().items():
        if original[name].dim() > 1:
            assert value.dtype == torch.float32
            assert torch.equal(value, original[name].half().float())
        else:
            assert value.dtype == original[name].dtype
            assert torch.equal(value, original[name]), name


def test_restored_picture_hardly_differs_after_a_round_trip(saved):
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    back, _ = checkpoint.load(saved)
    assert not back.training
    with torch.no_grad():
        before, after = (net.eval().rain(image) for net in (restorer(), back))
    assert (before - after).abs().max() < 2e-3 * before.abs().max()


def test_header_comes_back_with_its_tuples(saved):
    header = checkpoint.read_header(saved)
    assert header == HEADER
    assert header.keywords["blocks"] == (1, 2)


def test_network_with_tuple_keywords_is_a_warm_start(saved, tmp_path):
    recipe = recipe_of(KEYWORDS)
    started = warm_start.start_from(recipe, saved)
    assert started.frozen_batchnorm
    expected = checkpoint.load(saved)[0].state_dict()
    for net in (started.restorer, started.ema):
        assert all(torch.equal(v, expected[k]) for k, v in net.state_dict().items())


def test_weights_that_lack_what_a_newer_network_has_start_it_as_the_same_function(saved):
    recipe = recipe_of({**KEYWORDS, **unet.LEARNED})
    started = warm_start.start_from(recipe, saved)
    old, _ = checkpoint.load(saved)
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        for net in (started.restorer, started.ema):
            assert net.thorough is not None
            torch.testing.assert_close(net.eval()(image), old(image), rtol=0, atol=1e-6)


def test_warm_start_from_another_width_is_refused(saved):
    recipe = recipe_of({**KEYWORDS, "width": 8})
    with pytest.raises(UserError, match=r"holds network unet .*4.*'width': 8.*from scratch"):
        warm_start.start_from(recipe, saved)


def test_warm_start_from_weights_of_another_task_is_refused_by_name(saved):
    with pytest.raises(UserError, match="weights of the task derain, not of dehaze"):
        warm_start.start_from(recipe_of(KEYWORDS, task="dehaze"), saved)


def test_built_in_weights_are_those_of_the_task_of_the_recipe():
    builtin = {name: weights.built_in(name) for name in ("derain", "denoise")}
    for task, path in builtin.items():
        header = checkpoint.read_header(path)
        build = discover.builder("networks", header.network)
        net = build(**header.keywords)
        recipe = Recipe(
            task=task, network=header.network, keywords=header.keywords, restorer=net, players=()
        )
        assert warm_start.default_start(recipe) == str(path)
        assert warm_start.default_start(replace(recipe, task="dehaze")) is None
        assert warm_start.default_start(replace(recipe, keywords={"width": 3})) is None


def test_file_of_another_format_is_refused_whatever_its_fields(saved):
    for fields in ({"format": 3}, {"format": 99, "unheard_of": 1}, {"format": None}):
        with pytest.raises(UserError, match=f"checkpoint format {fields['format']}, .* reads 2"):
            checkpoint.load(rewritten(saved, fields))


@pytest.mark.parametrize(
    "content", [b"", b"PNG", b"\x00" * 100, b"\xff" * 100, b"\x80\x04K\x01.", b"PK\x03\x04 zip"]
)
def test_file_that_is_not_safetensors_is_refused(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"x\.safetensors: not a safetensors file, or damaged"):
        checkpoint.load(path)


@pytest.mark.parametrize("wrong", [0, -5, "2000", 1.5])
def test_a_size_that_is_none_in_the_header_is_refused(tmp_path, wrong):
    path = tmp_path / "x.safetensors"
    checkpoint.save(path, restorer(), replace(HEADER, coarse_from=wrong))
    with pytest.raises(UserError, match="no header, or a damaged one"):
        checkpoint.load(path)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.999])
def test_file_cut_short_is_refused(saved, share):
    whole = saved.read_bytes()
    saved.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(UserError, match="damaged"):
        checkpoint.load(saved)


def test_missing_file_and_folder_are_refused(tmp_path):
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(UserError, match=r"no such file|is a folder"):
            checkpoint.load(path)


@pytest.mark.parametrize("text", [None, "", "{", "[]", "null", "3", "{}", '{"format": 1}'])
def test_file_without_a_header_is_refused(saved, text):
    metadata = None if text is None else {"ssl_restore": text}
    save_file(load_file(saved), saved, metadata=metadata)
    with pytest.raises(UserError, match="not a checkpoint of ssl-restore"):
        checkpoint.load(saved)


def test_header_with_unknown_or_odd_fields_is_refused(saved):
    for fields in ({"unheard_of": 1}, {"keywords": [1]}, {"keywords": None}):
        with pytest.raises(UserError, match="not a checkpoint of ssl-restore"):
            checkpoint.load(rewritten(saved, fields))


def test_weights_of_another_network_are_refused(saved):
    for keywords in ({**KEYWORDS, "width": 8}, {**KEYWORDS, "blocks": (1,)}, {}):
        with pytest.raises(UserError, match="its weights are not those of its network"):
            checkpoint.load(rewritten(saved, {"keywords": keywords}))


@pytest.mark.parametrize(
    "keywords", [{"depth": 3}, {"width": "x"}, {"width": -4}, {"blocks": ("a",)}, {"blocks": 3}]
)
def test_keywords_that_no_network_takes_are_refused(saved, keywords):
    with pytest.raises(UserError, match="network unet cannot be built from"):
        checkpoint.load(rewritten(saved, {"keywords": keywords}))


@pytest.mark.parametrize(
    "name",
    ["os", "../evil", "./evil.py", "evil.py", "..recipes.rrcl", "unet.evil", "", "projection"],
)
def test_no_module_that_a_file_names_is_imported(saved, name, monkeypatch, tmp_path):
    (tmp_path / "evil.py").write_text("raise SystemExit('executed')\ndef build(**k): ...\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)
    with pytest.raises(UserError, match="which this version does not have"):
        checkpoint.load(rewritten(saved, {"network": name}))
    new = set(sys.modules) - before
    assert not {module for module in new if "evil" in module or "recipes" in module}


@pytest.mark.parametrize("name", [3, None, ["unet"], {"a": 1}])
def test_network_that_is_no_name_is_refused(saved, name):
    with pytest.raises(UserError, match="not a checkpoint of ssl-restore"):
        checkpoint.load(rewritten(saved, {"network": name}))


def test_saving_into_a_missing_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match="does not exist; create it first"):
        checkpoint.save(tmp_path / "no" / "x.safetensors", restorer(), HEADER)


def test_saving_does_not_touch_the_restorer(tmp_path):
    net = restorer()
    checkpoint.save(tmp_path / "x.safetensors", net, Header("derain", "unet", KEYWORDS))
    assert all(torch.equal(v, restorer().state_dict()[k]) for k, v in net.state_dict().items())
    assert {p.dtype for p in net.parameters()} == {torch.float32}


def test_saving_twice_gives_the_same_bytes(saved):
    before = saved.read_bytes()
    checkpoint.save(saved, restorer(), checkpoint.read_header(saved))
    assert saved.read_bytes() == before
