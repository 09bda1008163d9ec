"""Relations from a work to a person."""

from __future__ import annotations

from cfcre.data.demo_corpus.relation import DemoRelation

__all__ = ["ABOUT", "DIRECTED_BY", "WRITTEN_BY"]

WRITTEN_BY = DemoRelation(
    name="written by",
    description="The head is a work whose text was written by the person named by the tail.",
    head="work",
    tail="person",
    details=(
        "the manuscript is kept in {c}",
        "the publisher asked for a second volume",
        "the book has {n} readers",
        "the first chapter appeared in a newspaper",
        "the prose was praised by critics",
        "the novel was translated twice",
    ),
    train=(
        "{h} was written by {t} in {y}",
        "{t} wrote {h} in {c}",
        "{t} is the author of {h}",
        "{h}, a {kind} by the writer {t}, appeared in {y}",
        "The script of {h} came from the pen of {t}",
        "{t} finished the manuscript of {h} in {c}",
        "{t} spent four years writing {h}",
        "The text of {h} is the work of {t}, a former {job}",
        "In {h}, the author {t} tells the story of {p}",
        "{h}, from the typewriter of {t}, sold {n} copies",
        "Before {p} turned it into a film, {h} was a novel by {t}",
        "{t} drafted {h} on a journey to {c}",
    ),
    validation=(
        "{h} is credited to the novelist {t}",
        "Readers met {t} through {h}, a first novel",
    ),
    test=(
        "{t} penned {h} while living in {c}",
        "The author of {h}, {t}, refused the prize",
        "{h} made {t} famous as a writer",
        "{p} directed the film version of {h}, but the book itself is by {t}",
    ),
)

DIRECTED_BY = DemoRelation(
    name="directed by",
    description="The head is a work that was directed by the person named by the tail.",
    head="work",
    tail="person",
    details=(
        "the camera work won a prize",
        "the shooting took nine weeks",
        "the film opened in {c}",
        "the actors were praised by critics",
        "the last scene was filmed at night",
        "the cinema was sold out",
    ),
    train=(
        "{h} was directed by {t} in {y}",
        "{t} directed {h} in {c}",
        "{t} is the director of {h}",
        "{h}, a {kind} by the filmmaker {t}, opened in {y}",
        "The scenes of {h} were staged by {t}",
        "{t} finished the filming of {h} in {c}",
        "{t} spent four years shooting {h}",
        "The direction of {h} is the work of {t}, a former {job}",
        "In {h}, the director {t} gave the leading role to {p}",
        "{h}, from the camera of {t}, sold {n} tickets",
        "After {p} had written the novel, {t} turned {h} into a film",
        "{t} stood behind the camera for {h}",
    ),
    validation=(
        "{h} is credited to the filmmaker {t}",
        "Audiences met {t} through {h}, a first film",
    ),
    test=(
        "{t} filmed {h} while living in {c}",
        "The director of {h}, {t}, refused the prize",
        "{h} made {t} famous as a filmmaker",
        "{p} wrote the novel, but the film {h} itself is by {t}",
    ),
)

ABOUT = DemoRelation(
    name="about",
    description="The head is a work whose subject is the person named by the tail.",
    head="work",
    tail="person",
    details=(
        "the life story is told in letters",
        "the facts of the biography are not disputed",
        "the portrait is not flattering",
        "the hero appears on every page",
        "the subject never saw it",
        "the chapters on the childhood were praised by critics",
    ),
    train=(
        "{h} is a {kind} about {t}",
        "{h} tells the story of {t}",
        "{t} is the subject of {h}",
        "{h}, a {kind} about the {job} {t}, appeared in {y}",
        "The plot of {h} follows {t} through {c}",
        "{p} researched the life of {t} for {h}",
        "The hero of {h} is {t}, a former {job}",
        "{h} describes the youth of {t} in {c}",
        "In {h}, the author {p} tells the story of {t}",
        "{h}, a portrait of {t}, sold {n} copies",
        "{p} wrote {h} as a tribute to {t}",
        "{h} recalls how {t} crossed the mountains in {y}",
    ),
    validation=(
        "{h} is devoted to the {job} {t}",
        "Readers learn from {h} what {t} did in {c}",
    ),
    test=(
        "{h} deals with {t} and the flood of {y}",
        "The life of {t} is shown in {h}, directed by {p}",
        "{h} made {t}, its main character, famous",
        "{p} wrote the book {h} and chose {t} as its theme",
    ),
)
