"""Names for runs that got none: an adjective and an animal, easy to say and to tell apart."""

from collections.abc import Callable
from random import Random

_ADJECTIVES = (
    "able amber azure bold brave brief bright brisk broad calm candid clever cosmic crisp curious dapper daring "
    "deep eager early fair fancy fleet fluent fond frank fresh gentle giddy glad golden grand green handy happy "
    "hardy honest humble jolly keen kind lively loyal lucid lucky mellow merry mighty mild modest neat nimble "
    "noble patient plain plucky polite proud quick quiet rapid ready robust rosy royal silent silver smart solid "
    "steady stout subtle sunny swift tidy tough vivid warm wise witty young zesty"
)

_ANIMALS = (
    "adder auk badger bat bear beaver bee bison boar bream bunting carp cod coot crab crane cricket crow curlew "
    "deer dipper dolphin dove duck eagle eel egret elk falcon ferret finch fox frog gannet gecko goose grebe gull "
    "hare hawk hedgehog heron ibis jackdaw jay kestrel kite lapwing lark linnet lizard lynx magpie marten merlin "
    "mole moose moth mouse newt osprey otter owl perch pike plover pony puffin quail raven robin rook ruff salmon "
    "seal shrew shrike skua snail snipe sparrow squid starling stork swallow swan swift tench tern thrush toad "
    "trout turtle viper vole wagtail walrus weasel whale wolf wren"
)

_DRAWS = 5


def make_up_name(chance: Random, is_taken: Callable[[str], bool]) -> str:
    """Make up a name that is not taken, such as "brisk-otter".

    When a few draws are all taken, the last one gets the lowest free number from 2: "brisk-otter-2".
    """
    adjectives, animals = _ADJECTIVES.split(), _ANIMALS.split()
    name = ""
    for _ in range(_DRAWS):
        name = f"{chance.choice(adjectives)}-{chance.choice(animals)}"
        if not is_taken(name):
            return name
    number = 2
    while is_taken(f"{name}-{number}"):
        number += 1
    return f"{name}-{number}"
