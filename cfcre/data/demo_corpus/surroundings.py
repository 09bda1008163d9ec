"""Clauses around the fact that is asked for; they tell other facts, about other entities."""

from __future__ import annotations

__all__ = ["AFTER", "BEFORE"]

BEFORE = (
    "According to {p}, ",
    "As {p} recalled, ",
    "Few people in {c} know that ",
    "Reports from {c} say that ",
    "While {p} worked for {o}, ",
    "Long after {p} had died in {c}, ",
    "In the weeks when {o} bought {o2}, ",
    "A letter that {p} wrote in {c} says that ",
    "The founder of {o}, {p}, was told that ",
)

AFTER = (
    ", while {p} stayed in {c}",
    ", as {p} later wrote in {w}",
    ", in the year in which {o} bought {o2}",
    "; {p}, who was born in {c}, disagreed",
    ", according to {p}, who leads {o}",
    ", and {p} died in {c} soon afterwards",
    ", long before {p} founded {o}",
    ", to the surprise of {p}, the mayor of {c}",
    ", said {p}, a {job} at {o}",
    ", months before {w}, directed by {p}, opened in {c}",
    "; a student of {p} found the letters in {c}",
    ", as the owners of {o} confirmed",
    ", a fact that {w}, a story about {p}, leaves out",
    ", although {p}, a child of {p2}, denies it",
    ", reported {p} from {c}",
    ", when {o} still supplied {o2} with {prod}",
    "; {p}, who lives in {c}, kept a photograph",
    ", as the parent company of {o} announced",
)
