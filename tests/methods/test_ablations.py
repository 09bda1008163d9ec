"""EMAR, EMAR-ACA and the ablations are CF-CRE with losses left out, which then cost nothing."""

from __future__ import annotations

import pytest
import torch
from method_streams import stream_settings

from cfcre.config import load_settings
from cfcre.errors import ConfigurationError
from cfcre.methods.state import LearnerState
from cfcre.methods.task import learn_task
from cfcre.modeling.projection import Projection

LINEAGE = {"batch": "b", "batch_name": "b"}


@pytest.fixture(scope="module")
def learn(tiny_encoder, relation_rows, tmp_path_factory):
    """Function from a method and settings to a learner of two small tasks and its last losses."""
    home = tmp_path_factory.mktemp("home")

    def run(name, **changes):
        settings = load_settings(
            home=home,
            base=stream_settings(name, tiny_encoder, home).portable(),
            overrides={
                "method.epoch1": 1,
                "method.epoch2": 2,
                **{k.replace("__", "."): v for k, v in changes.items()},
            },
            environ={},
        )
        state = LearnerState.fresh(settings)
        before = [p.detach().clone() for p in state.projection.parameters()]
        for k, relations in enumerate((["owns", "wrote"], ["founded", "born in"])):
            facts = learn_task(state, relation_rows(relations, 12, k), settings, LINEAGE)
        moved = any(
            not torch.equal(a, b)
            for a, b in zip(before, state.projection.parameters(), strict=True)
        )
        losses = {key for entry in facts["consolidate"]["losses"] for key in entry}
        return state, losses - {"phase", "step", "loss"}, moved

    return run


def same(one, two):
    return all(torch.equal(a, b) for a, b in zip(one.tensors(), two.tensors(), strict=True))


OFF = {
    "method__lambda1": 0,
    "method__lambda2": 1,
    "method__gamma1": 0,
    "method__gamma2": 1,
}


def test_emar_aca_is_cf_cre_without_its_two_losses(learn):
    emar_aca, losses, _ = learn("emar-aca")
    assert losses == {"L_rp", "L_rs"}
    assert same(emar_aca, learn("cf-cre", **OFF)[0])
    assert not same(emar_aca, learn("cf-cre")[0])


def test_emar_is_emar_aca_without_augmentation(learn):
    emar, losses, _ = learn("emar")
    assert losses == {"L_rp", "L_rs"}
    plain = {"augmentation__hybrid": False, "augmentation__reversed": False}
    assert same(emar, learn("emar-aca", **plain)[0])
    assert not same(emar, learn("emar-aca")[0])


def test_a_method_that_fixes_its_weights_does_not_read_them(learn):
    odd = {"method__lambda1": 5, "method__gamma1": 5}
    assert same(learn("emar", **odd)[0], learn("emar")[0])


@pytest.mark.parametrize("name", ["emar", "emar-aca"])
def test_the_projection_is_neither_computed_nor_trained(name, learn, monkeypatch):
    def refuse(self, representations):
        raise AssertionError("the projection was computed")

    monkeypatch.setattr(Projection, "forward", refuse)
    _, _, moved = learn(name)
    assert not moved


def test_the_ablations_are_settings(learn):
    contrastive, losses, moved = learn("cf-cre", method__gamma1=0, method__gamma2=1)
    assert losses == {"L_cl", "L_rp", "L_rs"} and moved
    focal, losses, moved = learn("cf-cre", method__lambda1=0, method__lambda2=1)
    assert losses == {"L_rp", "L_fl", "L_rs"} and not moved
    everything, losses, moved = learn("cf-cre")
    assert losses == {"L_cl", "L_rp", "L_fl", "L_rs"} and moved
    assert not same(contrastive, focal)
    assert not same(everything, contrastive)


def test_a_phase_without_a_loss_is_refused(tmp_path):
    with pytest.raises(ConfigurationError, match=r"lambda1 and lambda2 are both 0.*set iter1 to 0"):
        load_settings(
            home=tmp_path, assignments=["method.lambda1=0", "method.lambda2=0"], environ={}
        )
    with pytest.raises(ConfigurationError, match=r"gamma1 and gamma2 are both 0.*set iter2 to 0"):
        load_settings(home=tmp_path, assignments=["method.gamma1=0", "method.gamma2=0"], environ={})
