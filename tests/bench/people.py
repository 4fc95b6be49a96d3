"""Made-up people, always the same: person ``n`` has a name, an email and properties with a believable skew.

Some names and domains are common and most are rare, as in real address books; no two people share an email.
"""

# ruff: noqa: SIM905, RUF001 - names read better as a text, and some have letters of other alphabets

from collections.abc import Sequence
from typing import TypeVar

import msgspec

from kith.model.contacts import LifecycleStage

Choice = TypeVar("Choice")

GIVEN = """
    James Mary Robert Patricia John Jennifer Michael Linda David Elizabeth William Barbara Richard Susan Joseph
    Jessica Thomas Sarah Christopher Karen Charles Lisa Daniel Nancy Matthew Betty Anthony Sandra Mark Margaret
    Donald Ashley Steven Kimberly Andrew Emily Paul Donna Joshua Michelle Kenneth Carol Kevin Amanda Brian Melissa
    Timothy Deborah Anna Lukas Marie Felix Sofia Matteo Giulia Hugo Chloé Zoë José María Luís João Beatriz Søren
    Freja Åsa Björn Jürgen Käthe Łukasz Agnieszka Jiří Zuzana Dmitri Olga Mehmet Ayşe Priya Arjun Ananya Rohan Wei
    Mei Hiroshi Yuki Min-jun Seo-yeon Fatima Omar Layla Yusuf Chidi Amara Kwame Zainab Thabo Nomsa Nguyen Linh
""".split()
FAMILY = """
    Smith Johnson Williams Brown Jones Garcia Miller Davis Rodriguez Martinez Hernandez Lopez Gonzalez Wilson
    Anderson Thomas Taylor Moore Jackson Martin Lee Perez Thompson White Harris Sanchez Clark Ramirez Lewis Robinson
    Walker Young Allen King Wright Scott Torres Nguyen Hill Flores Green Adams Nelson Baker Hall Rivera Campbell
    Mitchell Müller Schmidt Schneider Fischer Weber Meyer Rossi Russo Ferrari Bianchi Dubois Moreau Laurent Lefèvre
    O'Brien O'Connor Murphy Kelly Jensen Nielsen Hansen Kowalski Nowak Novák Dvořák Ivanov Petrov Yılmaz Kaya Sharma
    Patel Singh Kumar Wang Li Zhang Liu Chen Tanaka Suzuki Kim Park Choi Haddad Okafor Mensah Dlamini
""".split()
STEMS = """
    Ander Berg Carl Dal Ek Fried Grün Holm Is Kal Lind Mont Nor Ost Pel Quint Ros Stein Tor Ul Vin West Zell
""".split()
ENDS = """
    mann sen son ova ski dottir feld hardt heim ini kamp lund meier qvist rup strand thal vik wald zadeh
""".split()
DOMAINS = ("gmail.com", "outlook.com", "yahoo.com", "icloud.com", "hotmail.com", "gmx.de", "orange.fr", "proton.me")
STAGES: Sequence[LifecycleStage] = (
    "LEAD",
    "SUBSCRIBER",
    "CUSTOMER",
    "MARKETING_QUALIFIED",
    "SALES_QUALIFIED",
    "OPPORTUNITY",
    "EVANGELIST",
)
PLANS = ("Free", "Starter", "Growth", "Enterprise")
ASCII = str.maketrans("éèëïíóöøüúåäãáçşřžýłğıñÅŁØ", "eeeiiooouuaaaacsrzylginALO", "'")


class Person(msgspec.Struct, frozen=True, rename="camel"):
    """A body of a create, as the reference of the API shows one."""

    email: str
    name: str
    given_name: str
    family_name: str
    phone: str
    lifecycle_stage: LifecycleStage
    properties: dict[str, int | str]


def make_person(n: int) -> Person:
    """The person of this number."""
    chance = Chance(n)
    given = chance.pick(GIVEN, 1.6)
    family = chance.pick(FAMILY, 1.8) if chance.roll(100) < 70 else chance.pick(STEMS, 1) + chance.pick(ENDS, 1)
    company = f"{chance.pick(STEMS, 1.5)}{chance.pick(ENDS, 1.5)}-{chance.roll(20)}.example"
    domain = chance.pick(DOMAINS, 2.5) if chance.roll(100) < 55 else company
    return Person(
        email=f"{given}.{family}.{n}@{domain}".lower().translate(ASCII),
        name=f"{given} {family}",
        given_name=given,
        family_name=family,
        phone=f"+1202{n % 10_000_000:07d}",
        lifecycle_stage=chance.pick(STAGES, 2),
        properties={"mrr": chance.roll(20_000), "plan": chance.pick(PLANS, 1.5)},
    )


class Chance:
    """Numbers that look drawn by chance and follow from the seed (splitmix64)."""

    def __init__(self, seed: int) -> None:
        self._state = seed

    def roll(self, sides: int) -> int:
        """From 0 to ``sides`` - 1, each as likely."""
        self._state = (self._state + 0x9E3779B97F4A7C15) & 0xFFFFFFFFFFFFFFFF
        mixed = (self._state ^ (self._state >> 30)) * 0xBF58476D1CE4E5B9 & 0xFFFFFFFFFFFFFFFF
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EB & 0xFFFFFFFFFFFFFFFF
        return (mixed ^ (mixed >> 31)) % sides

    def pick(self, choices: Sequence[Choice], skew: float) -> Choice:
        """One of them; the larger ``skew``, the more the first are preferred. 1 prefers none."""
        share: float = (self.roll(1_000_000) / 1_000_000) ** skew
        return choices[int(share * len(choices))]
