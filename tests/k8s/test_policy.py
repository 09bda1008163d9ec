"""The policy holds for every overlay, and notices when a setting is taken away."""

from __future__ import annotations

import pytest
from k8s_bundle import BUNDLES, Bundle
from k8s_mutations import MUTATIONS, Mutation, removals
from k8s_rules import RULES, Rule, problems


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
@pytest.mark.parametrize("name", BUNDLES)
def test_the_policy_holds(bundles: dict[str, Bundle], name: str, rule: Rule) -> None:
    assert list(rule.check(bundles[name])) == []


@pytest.mark.parametrize("name", BUNDLES)
def test_each_setting_taken_away_is_noticed(bundles: dict[str, Bundle], name: str) -> None:
    missed, count = [], 0
    for what, rule, broken in removals(bundles[name]):
        count += 1
        if not problems(broken, rule):
            missed.append(f"{what} ({rule})")
    assert not missed, "\n".join(missed)
    print(f"{name}: {count} settings taken away, one at a time, each noticed")
    # Every container of every pod has at least its security settings and its six amounts.
    containers = sum(len(list(pod.containers())) for pod in bundles[name].pods())
    assert count >= 12 * containers


@pytest.mark.parametrize(("what", "rule", "mutate"), MUTATIONS, ids=[m[0] for m in MUTATIONS])
def test_each_fault_is_noticed(
    bundles: dict[str, Bundle], what: str, rule: str, mutate: Mutation
) -> None:
    broken = bundles["production"].copy()
    mutate(broken)
    assert problems(broken, rule), f"{what} passes {rule}"


def test_every_rule_is_shown_to_fail() -> None:
    shown = {rule for _, rule, _ in MUTATIONS}
    # These two are shown by what is taken away.
    shown |= {"policies_say_their_direction", "jobs_are_bounded"}
    assert shown == {rule.name for rule in RULES}
    assert len({rule.text for rule in RULES}) == len(RULES)
