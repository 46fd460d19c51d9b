"""Questions have one right answer, found here by parsing them and looking at the picture."""

import re
from collections import Counter

import pytest

from janusflow.worlds.questions import WORDINGS, ask, question_kinds, sample_question
from janusflow.worlds.vocabulary import BACKGROUNDS, CELL_NAMES, COLORS, NUMBER_WORDS, RELATIONS, plural
from tests.worlds.reading import (
    CELL,
    COLOR,
    NO_SINGULAR,
    WORLDS,
    Seen,
    box_relations,
    held_out_scenes,
    look,
    rng_of,
    the,
    train_scenes,
)

ANY_RELATION = "|".join(RELATIONS)
PLACE = rf"(?:at|in) the (?P<cell>{CELL})"
# Kind of fact -> how it is asked, with {noun}, {nouns}: of the world; {name}, {names}: of a thing.
ASKED = {
    "only": r"(?:what|which) {noun} (?:is in the picture|is this|do you see)\?|what is shown here\?|name the {noun}\."
    r"|what does the picture show\?",
    "of color": rf"(?:(?:what|which) {{noun}} is|what is|name the) (?P<color>{COLOR})(?:\?| {{noun}}\.)",
    "at": rf"(?:what {{noun}} is|what is|which {{noun}} do you see) {PLACE}\?",
    "beside": rf"(?:what is|which {{noun}} is|what do you see) (?P<relation>{ANY_RELATION}) the (?P<name>{{name}})\?",
    "color": r"(?:what|which) colou?r (?P<are>is|are) the (?P<name>{names})\?"
    r"|(?:what is|tell me) the colou?r of the (?P<name2>{names})[?.]"
    r"|the (?P<name3>{names}) (?P<are2>is|are) of which colou?r\?"
    r"|in which colou?r (?P<are3>is|are) the (?P<name4>{names}) drawn\?",
    "count all": r"how many {nouns} (?:are there|are in the picture|do you see in total)\?|count all {nouns}\.",
    "count": r"how many (?P<name>{names}) (?:are there|are in the picture|do you see|does the image show)\?"
    r"|count the (?P<name2>{names})\.|what is the number of (?P<name3>{names})\?",
    "relation": r"(?:where|on which side|how) (?P<are>is|are) the (?P<name>{name})"
    r" (?:relative to|of|placed relative to) the (?P<other>{name})\?"
    r"|seen from the (?P<other2>{name}), where (?P<are2>is|are) the (?P<name2>{name})\?",
    "where": r"(?:where|where in the picture|at which place|in which part of the picture) (?P<are>is|are)"
    r" the (?P<name>{name})\?",
    "anything": rf"(?:is there|do you see) anything {PLACE}\?",
    "exists": rf"(?:is there|do you see|does the picture show|can you see) (?P<article>an? |)(?:(?P<color>{COLOR}) )?"
    r"(?P<name>{name})(?: in the picture| here)?\?",
    "larger": r"(?:which is|which one is|what is) (?P<more>larger|bigger|smaller)[,:] the (?P<name>{name})"
    r" or the (?P<other>{name})\?",
    "background": r"what is the background\?|which background is it\?|what colou?r is the background\?"
    r"|on what background (?P<are>is|are) the (?P<name>{names}) drawn\?",
    "style": r"which style is this\?|what style is the picture drawn in\?|in which style is it drawn\?"
    r"|what is the style of the drawing\?",
}  # fmt: skip
FACTS = {
    "what": {"only", "of color", "at"}, "color": {"color"}, "count": {"count", "count all"},
    "where": {"relation", "where", "anything"}, "exists": {"exists"}, "beside": {"beside"}, "larger": {"larger"},
    "background": {"background"}, "style": {"style"},
}  # fmt: skip


def asked(text, world):
    """Which fact a question is about, and of what."""
    cast = world.things
    singular = "|".join(sorted(cast.names, key=len, reverse=True))
    both = "|".join(sorted({form for name in cast.names for form in (name, plural(name))}, key=len, reverse=True))
    words = {"noun": cast.noun, "nouns": plural(cast.noun), "name": singular, "names": both}
    [(fact, match)] = [
        (fact, match)
        for fact, pattern in ASKED.items()
        if (match := re.fullmatch(re.sub(r"{(nouns?|names?)}", lambda found: words[found[1]], pattern), text))
    ]
    said = {key.rstrip("2345"): value for key, value in match.groupdict().items() if value is not None}
    for key in ("name", "other"):
        if key in said:
            said[key] = next(name for name in cast.names if said[key] in (name, plural(name)))
    return fact, said


def answers(fact, said, scene):
    """Every answer that the picture allows."""
    seen = look(scene)
    named = [one for one in seen if one.name == said.get("name")]
    if "are" in said:
        assert said["are"] == ("are" if len(named) > 1 or said["name"] in NO_SINGULAR else "is")
    if fact == "only":
        return {one.name for one in seen}
    if fact == "of color":
        return {one.name for one in seen if one.color in (said["color"], None)}
    if fact == "at":
        return {one.name for one in seen if one.reaches(said["cell"])}
    if fact == "color":
        return {one.color for one in named}
    if fact == "count all":
        return {NUMBER_WORDS[len(seen)]}
    if fact == "count":
        return {NUMBER_WORDS[len(named)]}
    if fact == "where":
        return {one.cell for one in named}
    if fact == "anything":
        reaching = [one for one in seen if one.reaches(said["cell"])]
        assert not reaching or any(one.cell == said["cell"] for one in reaching), "hardly there"
        return {"yes" if reaching else "no"}
    if fact == "exists":
        assert said["article"] == ("" if said["name"] in NO_SINGULAR else article(said))
        assert "color" not in said or all(one.color for one in named), "nobody knows whether it is, say, red"
        return {"yes" if any(said.get("color") in (one.color, None) for one in named) else "no"}
    if fact == "background":
        return {scene.background.name}
    return {scene.style} if fact == "style" else of_two(fact, said, scene)


def article(said):
    return "an " if (said.get("color") or said["name"])[0] in "aeiou" else "a "


def of_two(fact, said, scene):
    """Answers about how two things stand to each other, by the scene's own boxes: the oracle's are a little off."""
    boxes = {thing.name: Seen(thing.name, thing.color, thing.box) for thing in scene.objects}
    one = boxes[said["name"]]
    if fact == "beside":
        return {name for name, it in boxes.items() if it is not one and said["relation"] in box_relations(it, one)}
    other = boxes[said["other"]]
    assert the(one.name, scene) and the(other.name, scene)
    if fact == "relation":
        return {relation.removesuffix(" of") for relation in box_relations(one, other)}
    small, large = sorted((one, other), key=lambda item: max(item.box[2] - item.box[0], item.box[3] - item.box[1]))
    return {small.name if said["more"] == "smaller" else large.name}


@pytest.mark.parametrize(
    ("world", "kind"), [(world, kind) for world in WORLDS for kind in question_kinds(world)], ids=str
)
def test_every_answer_is_the_only_one(world, kind):
    given, facts, cannot = Counter(), Counter(), 0
    for index, scene in enumerate((*train_scenes(world), *held_out_scenes(world))):
        rng = rng_of(4, index)
        for _ in range(2):
            question = ask(scene, rng, kind)
            if question is None:
                cannot += 1
                continue
            fact, said = asked(question.text, world)
            assert question.kind == kind and fact in FACTS[kind], question
            assert answers(fact, said, scene) == {question.answer}, (question, scene)
            given[question.answer] += 1
            facts[fact] += 1
    assert set(facts) == FACTS[kind] and given.total() > cannot / 8
    if kind == "exists":
        assert 0.4 < given["yes"] / given.total() < 0.6
    expected = {
        "color": set(COLORS), "count": set(NUMBER_WORDS), "exists": {"yes", "no"}, "background": set(BACKGROUNDS),
        "style": set(world.things.styles),
        # On the grid, no thing that stands alone in its group is ever in the other two corners.
        "where": {"left", "right", "above", "below", "yes", "no", *CELL_NAMES}
        - (set() if world.free else {"top right", "bottom left"}),
    }.get(kind, set(world.things.names))  # fmt: skip
    assert set(given) <= expected and len(set(given)) > 0.5 * len(expected)
    assert world.cast == "objects" or set(given) >= expected - {"five"}


@pytest.mark.parametrize("world", WORLDS, ids=str)
def test_all_kinds_and_wordings_are_used(world):
    found = [sample_question(train_scenes(world)[index % 160], rng_of(19, index)) for index in range(2000)]
    kinds = Counter(question.kind for question in found)
    assert set(kinds) == set(question_kinds(world)) and min(kinds.values()) > 20
    texts = {question.text for question in found}
    absent = {wording for wording in ("larger", "smaller", "background") if not world.free}
    absent |= {"style"} if not world.things.styles else set()
    for wording in WORDINGS.keys() - absent:
        for form in WORDINGS[wording]:
            pattern = re.sub(r"\\{\w+\\}", ".+", re.escape(form))
            assert any(re.fullmatch(pattern, text) for text in texts), form
