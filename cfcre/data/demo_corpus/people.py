"""Relations between people."""

from __future__ import annotations

from cfcre.data.demo_corpus.relation import DemoRelation

__all__ = ["CHILD_OF", "STUDENT_OF"]

STUDENT_OF = DemoRelation(
    name="student of",
    description="The head is a person who was taught by the person named by the tail.",
    head="person",
    tail="person",
    details=(
        "the lessons were held in {c}",
        "the thesis was defended in {y}",
        "the teaching took three years",
        "the pupils met every week",
        "the lectures were crowded",
        "the class had nine pupils",
    ),
    train=(
        "{h} was a student of {t} in {c}",
        "{h} studied under {t} from {y}",
        "{t} taught {h} in {c}",
        "{t} supervised the thesis of {h}",
        "{h} learned the trade of a {job} from {t}",
        "The {job} {t} was the teacher of {h}",
        "{h} took lessons with {t} for three years",
        "{t} accepted {h} as a pupil in {y}",
        "In the class of {t}, {h} was the youngest of four",
        "{h} owes an education as a {job} to {t}",
        "{h} was trained by {t} at the academy of {c}",
        "{p} sent {h} to {t} for instruction",
    ),
    validation=(
        "{t} counted {h} among the best pupils",
        "{h} attended the lectures of {t} in {c}",
    ),
    test=(
        "{h}, once a disciple of {t}, became a {job}",
        "Under the guidance of {t}, {h} wrote a first paper in {y}",
        "As a young {job}, {h} was tutored by {t} in {c}",
        "{t} was the proud professor who took {h} to {c}",
    ),
)

CHILD_OF = DemoRelation(
    name="child of",
    description="The head is a person whose mother or father is the person named by the tail.",
    head="person",
    tail="person",
    details=(
        "the parents married in {y}",
        "the family had four children",
        "the mother was strict",
        "the father was often away",
        "the brothers and sisters were older",
        "the inheritance was divided in {y}",
    ),
    train=(
        "{h} was a child of {t} from {c}",
        "{h} is the eldest daughter of {t}",
        "{t} raised {h} in {c}",
        "{t} is the father of {h}",
        "{h} inherited the house in {c} from a parent, {t}",
        "The {job} {t} was the mother of {h}",
        "{h} grew up in the home of the parents, {t} and {p}",
        "{t} became a parent in {y}, when {h} was born",
        "In the family of {t}, {h} was the youngest of four",
        "{h} owes a love of music to a father, {t}",
        "{h} was born to {t} and {p} in {c}",
        "{p} married {t}, and their first child was {h}",
    ),
    validation=(
        "{t} counted {h} as the favourite among the children",
        "{h}, the only son of {t}, left the parental home in {c}",
    ),
    test=(
        "{h}, once the spoilt younger son of {t}, became a {job}",
        "{t} gave birth to {h} in {y}",
        "As a daughter of the {job} {t}, {h} was often in {c}",
        "{t} was the proud father who took {h} to {c}",
    ),
)
