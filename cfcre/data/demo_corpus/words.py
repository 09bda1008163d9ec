"""Invented names and generic words that fill the slots of the templates."""

from __future__ import annotations

__all__ = [
    "CITIES",
    "COMPANY_ENDINGS",
    "COMPANY_STEMS",
    "FAMILY_NAMES",
    "GIVEN_NAMES",
    "JOBS",
    "KINDS",
    "MONTHS",
    "PRODUCTS",
    "TITLE_FIRST",
    "TITLE_LAST",
    "TITLE_PLACES",
]

GIVEN_NAMES = tuple(
    """Ada Alvar Amina Anselm Beata Bruno Carla Cedric Dalia Dorian Edda Emil Farah Felix Greta
    Gustav Hanna Hector Ilse Ivo Jana Jonas Katia Kofi Leila Levin Marta Milan Nadia Niall Odile
    Oskar Paula Piotr Renata Rufus Salma Selim Tessa Tomas Ulla Viktor Wanda Yusuf Zoe Zoltan
    Ásdís Łucja Øyvind Émile""".split()
)

FAMILY_NAMES = tuple(
    """Abelmann Arkwell Bandoori Belvane Brackwood Castellmore Corvin Dahlquist Delacourt Dunmere
    Eschbach Everlund Falkenrath Fennimore Galloran Grunwick Halvorsen Hartigan Ibarrola Ingleby
    Jankowicz Jessamy Kallistrat Kestrel Lindqvist Lorimer Maddoway Marchetti Nakagome Norwood
    Okonjo Orsini Pelletane Quarrington Quillfeather Rasmunson Rothermel Sandoval Strandberg
    Tarkovan Thornwick Ullmark Underhay Vasquine Velthoven Waverlin Westergaard Yarrowby Zelenko
    Zimmerath Söderlind Ćosavić Nuñedo""".split()
)

CITIES = (
    *"""Ashmere Belgrano-Sur Brenmoor Calverton Dornach-Ost Eastwick Ferrandel Glimmerholt
    Harrowgate Istvanka Jorvelle Kaltenau Larkspur Marisol Northaven Oldbury Pellworm Quenby
    Ravensholm Sandleigh Tarnhout Umberland Velmora Westrich Yellerton Zandvoorden Sørvik Žalena
    Córdala Münzberg""".split(),
    "Port Elsin",
    "San Telmaro",
    "New Hartsdale",
    "Saint Orban",
    "Lower Fenwick",
    "Bad Lindach",
)

COMPANY_STEMS = tuple(
    """Altivane Bexora Brightmoor Cintrella Corvane Daltrex Elmquist Fenwright Galdera Halden
    Ionwell Jarrowmill Kelvane Lumenry Marrowick Nordhaven Octavine Pinebrook Quillon Redfern
    Silvertarn Tolmera Ulverby Vantrell Wexcombe Xandora Yoreham Zephrane""".split()
)

COMPANY_ENDINGS = (
    *"""Systems Foods Motors Textiles Energy Optics Shipping Instruments Steel Media Pharma Robotics
    Glassworks Logistics""".split(),
    "& Sons",
    "AG",
    "Ltd",
    "Group",
)

TITLE_FIRST = tuple(
    """Silent Crimson Hollow Distant Burning Last Paper Winter Golden Broken Hidden Narrow Salt
    Glass Midnight Forgotten""".split()
)

TITLE_LAST = tuple(
    """Orchard Harbour Letters Garden Staircase River Carnival Lantern Meridian Bridge Summer
    Voyage Clockmaker Border Tide Kingdom""".split()
)

TITLE_PLACES = ("of the North", "of Ashes", "at Dawn", "without Doors", "in Blue")

JOBS = tuple(
    """painter surveyor chemist violinist pilot carpenter librarian physicist lawyer sculptor
    geologist journalist nurse botanist singer teacher""".split()
)

KINDS = ("drama", "comedy", "thriller", "tragedy", "fable")

PRODUCTS = (
    "brake pads",
    "lenses",
    "ship engines",
    "glass bottles",
    "wool coats",
    "batteries",
    "microscopes",
    "frozen meals",
    "wind turbines",
    "headphones",
    "steel cables",
    "vaccines",
    "bicycles",
    "solar panels",
)

MONTHS = tuple(
    """January February March April May June July August September October November
    December""".split()
)
