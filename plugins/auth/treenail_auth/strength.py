"""Which passwords are refused: too short, or quickly guessed by whoever knows the person.

zxcvbn (Wheeler, USENIX Security 2016) estimates the guesses from lists of the most common
passwords, words and names, and the patterns people make of them. No composition is asked
for (NIST SP 800-63B, section 5.1.1.2).
"""

import re

from treenail.errors import Invalid
from zxcvbn import (  # type: ignore[import-untyped]  # it has no types
    feedback,
    matching,
    scoring,
    time_estimates,
)

SHORTEST, LONGEST = 8, 256
SCORED = 72
LEAST_SCORE = 2  # of 4: a hundred million guesses wouldn't do, a million would for 1
MOST_SUBSTITUTES = 6
SUBSTITUTES = frozenset("".join(sub for subs in matching.L33T_TABLE.values() for sub in subs))
MATCHERS = (
    matching.dictionary_match,
    matching.reverse_dictionary_match,
    matching.spatial_match,
    matching.sequence_match,
    matching.regex_match,
    matching.date_match,
)
MATCHERS_OF_FEW = (matching.l33t_match, matching.repeat_match)


def check(password: str, *about: str) -> None:
    """Raise `Invalid` for a bad password; ``about`` is the person's e-mail and name."""
    problem = weakness(password, *about)
    if problem:
        raise Invalid({"password": [problem]}, problem)


def weakness(password: str, *about: str) -> str | None:
    """What is wrong with a password, for people; None for a good one."""
    if not SHORTEST <= len(password) <= LONGEST:
        return f"A password has {SHORTEST} to {LONGEST} characters."
    found = scoring.most_guessable_match_sequence(password[:SCORED], _matches(password, about))
    score = time_estimates.guesses_to_score(found["guesses"])
    if score >= LEAST_SCORE:
        return None
    said = feedback.get_feedback(score, found["sequence"])
    hints = [said["warning"], *said["suggestions"]]
    return " ".join(["This password is easy to guess.", *filter(None, hints)])


def _matches(password: str, about: tuple[str, ...]) -> list[object]:
    """Everything recognised in it.

    zxcvbn's own function keeps the words about the person in a global that threads share,
    and tries every reading of a password full of substitutes (1.5 s for one of 72 characters).
    """
    scored = password[:SCORED]
    words = {word: rank for rank, word in enumerate(_words(about), 1)}
    dictionaries = {**matching.RANKED_DICTIONARIES, "user_inputs": words}
    few = len(SUBSTITUTES.intersection(scored)) <= MOST_SUBSTITUTES
    matchers = MATCHERS + MATCHERS_OF_FEW if few else MATCHERS
    found = [
        match for find in matchers for match in find(scored, _ranked_dictionaries=dictionaries)
    ]
    return sorted(found, key=lambda match: (match["i"], match["j"]))


def _words(about: tuple[str, ...]) -> list[str]:
    """The texts and their words; pieces of one or two letters are in every password."""
    texts = [text.lower() for text in about]
    parts = [part for text in texts for part in re.split(r"[\W_]+", text)]
    joined = ["".join(text.split()) for text in texts]
    return list(dict.fromkeys(w for w in [*texts, *joined, *parts] if len(w) > 2))
