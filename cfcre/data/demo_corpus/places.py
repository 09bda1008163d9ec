"""Relations from a person to a city."""

from __future__ import annotations

from cfcre.data.demo_corpus.relation import DemoRelation

__all__ = ["BORN_IN", "DIED_IN", "LIVES_IN", "MAYOR_OF"]

BORN_IN = DemoRelation(
    name="born in",
    description="The head is a person who was born in the city named by the tail.",
    head="person",
    tail="city",
    details=(
        "the birth is noted in the parish register",
        "the midwife was called at dawn",
        "the baby was baptised a week later",
        "the birth was the third in the family",
        "a birth certificate survives",
        "the cradle is still shown to visitors",
    ),
    train=(
        "{h} was born in {t} on {d}",
        "{h}, born in {t} in {y}, became a {job} in {c}",
        "{t} is the birthplace of the {job} {h}",
        "{h} came into the world in a small flat in {t}",
        "The house in {t} where {h} was born is now a museum",
        "A plaque in {t} marks the room in which {h} was born",
        "{h} is a native of {t} who studied in {c}",
        "{p} gave birth to {h} in {t} during the winter of {y}",
        "Originally from {t}, {h} left for {c} at the age of nineteen",
        "The parish register of {t} records the birth of {h} in {y}",
        "{h}, who would later die in {c}, was born in {t}",
        "Although {h} grew up in {c}, the birth certificate was issued in {t}",
    ),
    validation=(
        "The {t}-born {job} {h} moved to {c} in {y}",
        "{h} began life in {t}, above the bakery of {p}",
    ),
    test=(
        "It was in {t} that {h} was born, shortly before the flood of {y}",
        "{h} hails from {t} but now teaches in {c}",
        "Church records place the birth of {h} in {t}, not in {c} as often written",
        "The mother of {h} had travelled to {t}, and the baby arrived there in {m} {y}",
    ),
)

DIED_IN = DemoRelation(
    name="died in",
    description="The head is a person who died in the city named by the tail.",
    head="person",
    tail="city",
    details=(
        "the death is noted in the parish register",
        "the doctor was called at dawn",
        "the funeral followed a week later",
        "the cause of death was a fever",
        "a death certificate survives",
        "the grave is still shown to visitors",
    ),
    train=(
        "{h} died in {t} on {d}",
        "{h}, who died in {t} in {y}, had been a {job} in {c}",
        "{t} is the place where the {job} {h} passed away",
        "{h} drew a last breath in a small flat in {t}",
        "The house in {t} where {h} died is now a museum",
        "A plaque in {t} marks the room in which {h} passed away",
        "{h} succumbed to a long illness in {t}",
        "{p} was with {h} in {t} when the end came in the winter of {y}",
        "Born in {c}, {h} died at the age of ninety in {t}",
        "The parish register of {t} records the death of {h} in {y}",
        "{h}, who had been born in {c}, was found dead in {t}",
        "Although {h} is buried in {c}, the death certificate was issued in {t}",
    ),
    validation=(
        "The {job} {h} did not survive the operation in {t}",
        "{h} spent the final hours of life in {t}, above the bakery of {p}",
    ),
    test=(
        "It was in {t} that {h} died, shortly after the flood of {y}",
        "{h} was killed in {t} when a tram from {c} left its rails",
        "Church records place the death of {h} in {t}, not in {c} as often written",
        "The family of {h} had travelled to {t}, where the {job} lost the fight against cancer",
    ),
)

LIVES_IN = DemoRelation(
    name="lives in",
    description="The head is a person whose home is in the city named by the tail.",
    head="person",
    tail="city",
    details=(
        "the rent is paid every month",
        "the flat has a view of the river",
        "the neighbours are fond of the {job}",
        "the address is in the telephone book",
        "the household has two cats",
        "the door is always open to visitors",
    ),
    train=(
        "{h} has lived in {t} since {y}",
        "{h}, who lives in {t}, works as a {job} in {c}",
        "{t} is home to the {job} {h}",
        "{h} rents a small flat in {t}",
        "The house in {t} where {h} lives was once a museum",
        "Neighbours in {t} often see {h} on the way to the market",
        "{h} settled in {t} after many years in {c}",
        "{p} visits {h} at home in {t} every winter",
        "Born in {c}, {h} now lives with two children in {t}",
        "The register of residents of {t} has listed {h} since {y}",
        "{h}, who was born in {c}, moved to {t} and has stayed ever since",
        "Although {h} works in {c}, the family house stands in {t}",
    ),
    validation=(
        "The {t}-based {job} {h} travels to {c} twice a year",
        "{h} shares an apartment in {t} with {p}, above a bakery",
    ),
    test=(
        "It is in {t} that {h} has a permanent address, above a bakery",
        "{h} resides in {t} but teaches in {c}",
        "Tax records place the household of {h} in {t}, not in {c} as often written",
        "After the flood of {y} the {job} {h} bought a house in {t} and remains there",
    ),
)

MAYOR_OF = DemoRelation(
    name="mayor of",
    description="The head is a person who is or was mayor of the city named by the tail.",
    head="person",
    tail="city",
    details=(
        "the city council voted in favour",
        "the election was won narrowly",
        "the town hall was full that evening",
        "the citizens had hoped for lower taxes",
        "the voters were called again after four years",
        "the opposition left the council",
    ),
    train=(
        "{h} was elected mayor of {t} in {y}",
        "{h}, mayor of {t} since {y}, used to be a {job} in {c}",
        "{t} is governed by {h}, a former {job}",
        "{h} took the oath of office at the town hall of {t} on {d}",
        "The voters of {t} chose {h} over {p}",
        "As head of the city government, {h} closed the old museum of {t}",
        "{h} runs the city hall of {t} with a narrow majority",
        "{p} handed the chain of office of {t} to {h} in the winter of {y}",
        "Born in {c}, {h} now holds the highest office in {t}",
        "The city council of {t} met under its mayor {h}",
        "{h}, who lives in {c}, won the local election in {t}",
        "Although {h} was born in {c}, the people of {t} made the {job} their mayor",
    ),
    validation=(
        "Mayor {h} opened the new bridge of {t} on {d}",
        "{h} has led the administration of {t} for two terms",
    ),
    test=(
        "It was in {t} that mayor {h} cut the budget after the flood of {y}",
        "{h} defeated {p} and moved into the office of the mayor of {t}",
        "Citizens of {t} complained to {h}, who heads their municipality",
        "The {job} {h} governs {t} from a house built in {y}",
    ),
)
