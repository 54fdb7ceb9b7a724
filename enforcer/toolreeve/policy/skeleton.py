"""What a name looks like, so that names that only look alike can be told.

Names are compared letter for letter wherever something is decided; a person who reads them sees
less. The fold is a small one, of the letters that fonts draw alike: after compatibility
normalisation (NFKC) the capitals that are drawn like Latin ones, then case, then small letters,
digits and dashes. Marks that are not drawn are left out. Unicode's own table of confusables has
thousands of entries more; what is missed here is compared letter for letter all the same.
"""

import unicodedata

_CAPITALS = str.maketrans(
    "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧАВЕЅІЈКМНОРСТХҮԌԚԜՏՍՕ",
    "ABEZHIKMNOPTYXABESIJKMHOPCTXYGQWSUO",
)
_SMALL = str.maketrans(
    "αγεικνορτυχѕіјаеорсухһԁԛԝӏվօսցհɑɡıɩʋ01|з",  # noqa: RUF001
    "ayeikvoptuxsijaeopcyxhdqwlvoughagiivoll3",
)
_DASHES = dict.fromkeys((*range(0x2010, 0x2016), 0x2212, 0xFE58), "-")
_PAIRS = (("rn", "m"), ("vv", "w"))


def skeletons(name: str) -> tuple[str, str]:
    """What a name looks like, twice: with a capital I as an i, and as the l it is drawn like.

    Two names can be taken for one another where either of the two is the same.
    """
    if name.isascii():
        drawn = name
    else:
        normal = unicodedata.normalize("NFKC", name)
        seen = "".join(one for one in normal if unicodedata.category(one) != "Cf")
        drawn = seen.translate(_CAPITALS)
    return _folded(drawn), _folded(drawn.replace("I", "l"))


def _folded(drawn: str) -> str:
    folded = drawn.casefold().translate(_SMALL).translate(_DASHES)
    for pair, letter in _PAIRS:
        folded = folded.replace(pair, letter)
    return folded
