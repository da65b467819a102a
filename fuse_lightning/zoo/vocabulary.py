"""Words of the scene language: attribute values and their synonyms.

No word stands for two values, so a text names at most one value of an attribute at a place.
"""

SHAPES: dict[str, tuple[tuple[str, str], ...]] = {
    "circle": (("circle", "circles"), ("disc", "discs"), ("ball", "balls"), ("dot", "dots")),
    "square": (("square", "squares"), ("box", "boxes"), ("block", "blocks"), ("tile", "tiles")),
    "triangle": (("triangle", "triangles"), ("wedge", "wedges"), ("pyramid", "pyramids")),
    "star": (("star", "stars"), ("pentagram", "pentagrams"), ("starfish", "starfishes")),
    "cross": (("cross", "crosses"), ("plus", "pluses"), ("crucifix", "crucifixes")),
}
"""Shape to its nouns, each as (singular, plural)."""

COLORS: dict[str, tuple[str, ...]] = {
    "red": ("red", "crimson", "scarlet", "ruby"),
    "orange": ("orange", "tangerine", "apricot", "amber"),
    "yellow": ("yellow", "golden", "lemon", "canary"),
    "green": ("green", "emerald", "olive", "jade"),
    "turquoise": ("turquoise", "teal", "cyan", "aqua"),
    "blue": ("blue", "navy", "cobalt", "sapphire"),
    "purple": ("purple", "violet", "plum", "indigo"),
    "pink": ("pink", "rosy", "salmon", "fuchsia"),
}

SIZES: dict[str, tuple[str, ...]] = {
    "small": ("small", "tiny", "little", "miniature", "petite"),
    "large": ("large", "big", "huge", "giant", "enormous"),
}

COUNTS: dict[int, tuple[str, ...]] = {
    1: ("a", "one", "a single", "a lone"),
    2: ("two", "a pair of", "a couple of", "twin"),
    3: ("three", "a trio of", "a triple of", "a threesome of"),
}
"""Words of each count; a leading "a" becomes "an" before a vowel."""

RELATIONS: dict[str, tuple[str, ...]] = {
    "left of": ("left of", "to the left of", "on the left side of", "west of"),
    "right of": ("right of", "to the right of", "on the right side of", "east of"),
    "above": ("above", "over", "atop", "higher than"),
    "below": ("below", "under", "beneath", "underneath", "lower than"),
}
"""Relation of the first-named kind to the second; each is followed by what it relates to."""

BACKGROUNDS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "snow": (
        ("in the snow", "on white ground", "on a pale backdrop"),
        ("snowy", "wintry", "icy"),
    ),
    "night": (
        ("at night", "in the dark", "after midnight"),
        ("nocturnal", "moonless", "midnight"),
    ),
    "sand": (
        ("on the sand", "on a beach", "in the desert"),
        ("sandy", "dusty", "beige"),
    ),
    "fog": (
        ("in the fog", "in grey mist", "among clouds"),
        ("foggy", "misty", "cloudy"),
    ),
    "sky": (
        ("in the sky", "in clear air", "up in the heavens"),
        ("airy", "breezy", "skyward"),
    ),
    "grass": (
        ("on the grass", "on a lawn", "in a meadow"),
        ("grassy", "leafy", "rural"),
    ),
}
"""Background to (phrases that end a caption, adjectives of a scene)."""

MOODS: dict[str, tuple[str, ...]] = {
    "positive": (
        *("lovely", "charming", "beautiful", "cheerful", "delightful", "pretty", "wonderful"),
        *("happy", "gorgeous", "sweet", "joyful", "splendid", "adorable", "pleasant", "brilliant"),
        *("graceful", "magnificent", "sunny", "radiant", "glorious", "superb", "elegant"),
        *("friendly", "jolly", "merry", "fabulous", "marvelous", "exquisite", "peaceful"),
        *("stunning", "dazzling", "inviting", "heavenly", "blissful", "enchanting"),
    ),
    "negative": (
        *("ugly", "gloomy", "awful", "dreadful", "terrible", "horrible", "sad", "nasty", "grim"),
        *("dismal", "bleak", "miserable", "hideous", "ghastly", "boring", "dull", "creepy"),
        *("shabby", "lousy", "unpleasant", "sinister", "filthy", "depressing", "disgusting"),
        *("wretched", "tragic", "hostile", "rotten", "dreary", "revolting", "somber", "ominous"),
        *("appalling", "repulsive", "mournful"),
    ),
}
"""Sentiment to the adjectives that carry it; nothing in an image shows them."""

SCENE_NOUNS = ("scene", "picture", "view", "landscape", "setting", "image")
SCENE_LINKS = ("with", "showing", "of", "containing")

OPENERS = (
    *("An image of", "A picture of", "A photo of", "A drawing of", "A painting of"),
    *("A sketch of", "An illustration of", "A snapshot of", "Here is", "There stands"),
    *("This shows", "We see", "You can see", "I found", "Look at", "Behold"),
)
"""Words before a caption in the language model's training text."""
