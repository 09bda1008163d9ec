"""Relations from a person to a company."""

from __future__ import annotations

from cfcre.data.demo_corpus.relation import DemoRelation

__all__ = ["FOUNDED", "LEADS", "WORKS_FOR"]

FOUNDED = DemoRelation(
    name="founded",
    description="The head is a person who founded the company named by the tail.",
    head="person",
    tail="company",
    details=(
        "the new firm had two employees at first",
        "the first office was a garage",
        "the founding capital came from a bank",
        "the founding deed is dated {m} {y}",
        "the young company was poor",
        "the start-up sold its first product in {y}",
    ),
    train=(
        "{h} founded {t} in {y}",
        "{t} was founded by {h} in {c}",
        "{t}, established in {y} by {h}, makes {prod}",
        "{h} set up {t} in a garage in {c}",
        "The {job} {h} started {t} with money from {p}",
        "{h} is the founder of {t}, a maker of {prod}",
        "Together with {p}, {h} created {t} in {m} {y}",
        "{t} began in {y}, when {h} registered the firm in {c}",
        "{h} left {o} to launch {t}",
        "It was {h} who gave {t} its name and its first office",
        "The origins of {t} go back to {h}, who built the first {prod} in {c}",
        "{h}, who once worked for {o}, put all savings into a new company, {t}",
    ),
    validation=(
        "{t} owes its existence to {h}, a {job} from {c}",
        "In {y} {h} opened the doors of {t} for the first time",
    ),
    test=(
        "{h}, who co-founded {t} with {p}, still owns a few shares",
        "The company {t} was the idea of {h}, who incorporated it in {y}",
        "{h} brought {t} into being to sell {prod}",
        "When {h} founded the firm, {t} took on {p} as its first {job}",
    ),
)

WORKS_FOR = DemoRelation(
    name="works for",
    description="The head is a person employed by the company named by the tail.",
    head="person",
    tail="company",
    details=(
        "the salary is paid every month",
        "the employment contract runs for two years",
        "the colleagues speak well of the {job}",
        "the shift begins at six",
        "the job is mostly about {prod}",
        "the employee badge has the number 12",
    ),
    train=(
        "{h} works for {t} in {c}",
        "{h} has been employed by {t} since {y}",
        "{t} hired {h} as a {job}",
        "{h} joined {t} as a {job} in {m} {y}",
        "The {job} {h} has a desk at {t} in {c}",
        "{h} is an employee of {t}, a maker of {prod}",
        "Together with {p}, {h} designs {prod} at {t}",
        "{t} began to pay {h} in {y} for work on {prod}",
        "{h} left {o} for a job at {t}",
        "It was {p} who offered {h} a position at {t}",
        "{h} spends the working week in the laboratory of {t}",
        "{h}, who once founded {o}, now earns a living at {t}",
    ),
    validation=(
        "{t} counts {h} among its staff, as a {job}",
        "In {y} {h} signed a contract with {t} as a junior {job}",
    ),
    test=(
        "{h}, a {job} at {t}, reports to {p}",
        "The company {t} recruited {h} from {o} in {y}",
        "{h} repairs {prod} on the night shift of {t}",
        "When {p} founded the firm, {t} took on {h} as its first {job}",
    ),
)

LEADS = DemoRelation(
    name="leads",
    description="The head is a person who runs the company named by the tail.",
    head="person",
    tail="company",
    details=(
        "the board confirmed the appointment",
        "the directors meet every month",
        "the strategy has changed since",
        "the executive floor was rebuilt",
        "the managers report every week",
        "the former chief resigned in {y}",
    ),
    train=(
        "{h} leads {t} from {c}",
        "{h} has been chief executive of {t} since {y}",
        "{t} named {h} its new director",
        "{h} took over the helm of {t} in {m} {y}",
        "The {job} {h} chairs the board of {t} in {c}",
        "{h} is the head of {t}, a maker of {prod}",
        "Together with {p}, {h} manages {t}",
        "{t} has been run by {h} since {y}",
        "{h} left {o} to become president of {t}",
        "It was {p} who asked {h} to take charge of {t}",
        "Under {h}, {t} doubled its sales of {prod}",
        "{h}, who once worked for {o}, now decides the strategy of {t}",
    ),
    validation=(
        "{t} answers to {h}, its managing director",
        "In {y} {h} succeeded {p} as boss of {t}",
    ),
    test=(
        "{h}, chief executive at {t}, reports only to {p}",
        "The company {t} promoted {h} to the top job in {y}",
        "{h} sits at the top of {t} and signs every order for {prod}",
        "When {p}, who founded the firm, retired, {t} was placed in the charge of {h}",
    ),
)
