"""Relations of the two public benchmarks, in the order on which the literature's rule works.

The rule of :mod:`cfcre.benchmarking.orders` permutes positions of a list, so the five task orders
are those of published results only with the list that published code uses. Source: the relation
lists published with RP-CRE and CRL.
"""

from __future__ import annotations

__all__ = ["FEWREL_RELATIONS", "TACRED_LEFT_OUT", "TACRED_RELATIONS"]

#: The 80 public relations of FewRel, as Wikidata properties.
FEWREL_RELATIONS: tuple[str, ...] = tuple(
    """
    P931 P4552 P140 P1923 P150 P6 P27 P449 P1435 P175 P1344 P39 P527 P740 P706 P84 P495 P123 P57
    P22 P178 P241 P403 P1411 P135 P991 P156 P176 P31 P1877 P102 P1408 P159 P3373 P1303 P17 P106
    P551 P937 P355 P710 P137 P674 P466 P136 P306 P127 P400 P974 P1346 P460 P86 P118 P264 P750 P58
    P3450 P105 P276 P101 P407 P1001 P800 P131 P177 P364 P2094 P361 P641 P59 P413 P206 P412 P155
    P26 P410 P25 P463 P40 P921
    """.split()
)

#: The 40 relations of TACRED that continual relation extraction uses.
TACRED_RELATIONS: tuple[str, ...] = tuple(
    """
    org:founded_by per:employee_of org:alternate_names per:cities_of_residence per:children
    per:title per:siblings per:religion per:age org:website per:stateorprovinces_of_residence
    org:member_of org:top_members/employees per:countries_of_residence org:city_of_headquarters
    org:members org:country_of_headquarters per:spouse org:stateorprovince_of_headquarters
    org:number_of_employees/members org:parents org:subsidiaries per:origin
    org:political/religious_affiliation per:other_family per:stateorprovince_of_birth org:dissolved
    per:date_of_death org:shareholders per:alternate_names per:parents per:schools_attended
    per:cause_of_death per:city_of_death per:stateorprovince_of_death org:founded
    per:country_of_birth per:date_of_birth per:city_of_birth per:charges
    """.split()
)

#: Labels of TACRED that are left out: the negative class, and the rarest relation.
TACRED_LEFT_OUT = ("no_relation", "per:country_of_death")
