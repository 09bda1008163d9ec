"""Relations between companies."""

from __future__ import annotations

from cfcre.data.demo_corpus.relation import DemoRelation

__all__ = ["ACQUIRED", "SUBSIDIARY_OF", "SUPPLIES"]

ACQUIRED = DemoRelation(
    name="acquired",
    description="The head is a company that bought the company named by the tail.",
    head="company",
    tail="company",
    details=(
        "the price was {money}",
        "the shareholders agreed to the deal",
        "the takeover was cleared by the authorities",
        "the bid had been raised twice",
        "the purchase was paid in cash",
        "the deal was completed within a month",
    ),
    train=(
        "{h} acquired {t} in {y}",
        "{t} was bought by {h} for {money}",
        "{h} paid {money} for {t}, a maker of {prod}",
        "{h} completed the purchase of {t} in {m} {y}",
        "The owners of {t} sold the company to {h}",
        "{h} took over {t} after a long fight with {o}",
        "{t} passed into the hands of {h} in {y}",
        "The acquisition of {t} by {h} was announced in {c}",
        "With {t}, {h} has bought its third maker of {prod}",
        "Shareholders of {t} accepted the offer of {h}",
        "{h} swallowed its smaller rival {t}",
        "{p}, who leads {h}, decided to buy {t}",
    ),
    validation=(
        "{h} snapped up {t} for {money}",
        "A takeover of {t} by {h} closed on {d}",
    ),
    test=(
        "{h} outbid {o} and walked away with {t}",
        "The sale of {t} to {h} brought its founders {money}",
        "In {y} {h} purchased all shares in {t}",
        "Since the deal with {o} failed, {h} has taken control of {t} instead",
    ),
)

SUBSIDIARY_OF = DemoRelation(
    name="subsidiary of",
    description="The head is a company that belongs to the company named by the tail.",
    head="company",
    tail="company",
    details=(
        "the group publishes one balance sheet",
        "the profits are transferred every year",
        "the parent appoints the directors",
        "the brand has its own logo within the group",
        "the shares are held by the parent alone",
        "the division has {n} employees",
    ),
    train=(
        "{h} is a subsidiary of {t}",
        "{h}, a unit of {t}, makes {prod} in {c}",
        "{t} owns {h}, a maker of {prod}",
        "{h} has belonged to {t} since {y}",
        "The parent company of {h} is {t}",
        "{h} operates as a division of {t} in {c}",
        "{t} holds all shares in {h}",
        "Within the {t} group, {h} is responsible for {prod}",
        "{h} reports its results to its parent {t} in {c}",
        "{t} controls its daughter company {h} through a holding",
        "{h} is wholly owned by {t}",
        "{p}, who leads {h}, works on behalf of the owner {t}",
    ),
    validation=(
        "{h} is one of the many brands of {t}",
        "The accounts of {t} include those of its branch {h}",
    ),
    test=(
        "{h}, part of {t} since {y}, employs {n} people in {c}",
        "Profits of {h} flow to the parent company, {t}",
        "{t} is the holding company above {h}",
        "Like {o}, the firm {h} is run as an arm of {t}",
    ),
)

SUPPLIES = DemoRelation(
    name="supplies",
    description="The head is a company that delivers goods to the company named by the tail.",
    head="company",
    tail="company",
    details=(
        "the goods arrive by lorry",
        "the order was worth {money}",
        "the delivery contract runs for two years",
        "the parts are checked at the gate",
        "the invoices are paid every month",
        "the shipments began in {y}",
    ),
    train=(
        "{h} supplies {t} with {prod}",
        "{t} buys its {prod} from {h}",
        "{h} delivers {prod} to {t} every week",
        "{h} signed a contract to provide {prod} to {t}",
        "The {prod} used by {t} are made by {h}",
        "{h} has been a supplier of {t} since {y}",
        "{t} ordered {prod} worth {money} from {h}",
        "Without the {prod} of {h}, {t} would have to stop its plant in {c}",
        "{t} depends on {h} for {prod}",
        "{h} ships {prod} to {t} in {c}",
        "{h} won the order of {t} for {prod} after a long fight with {o}",
        "{p}, who leads {h}, negotiated the deliveries to {t}",
    ),
    validation=(
        "{h} counts {t} among its best customers",
        "The plant of {t} in {c} runs on parts from {h}",
    ),
    test=(
        "{h}, a vendor of {t}, raised its prices in {y}",
        "{t} sources {prod} from {h} and from {o}",
        "Trucks of {h} bring {prod} to the gates of {t}",
        "In {y} {t} paid {h} {money} for {prod}",
    ),
)
