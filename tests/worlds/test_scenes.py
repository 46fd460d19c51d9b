"""Scenes and their pictures: what is where, in which colour and size, and what training never shows."""

from collections import Counter

import numpy as np
import pytest
from PIL import Image

from janusflow.worlds import placement
from janusflow.worlds.objects import Objects, drawing, opaque_box
from janusflow.worlds.questions import ask
from janusflow.worlds.scenes import (
    Background,
    Group,
    Scene,
    Thing,
    World,
    compose,
    frame_of,
    groups_held_out,
    held_out_kinds,
    relations_between,
    sample_scene,
)
from janusflow.worlds.shapes import HELD_OUT_COUNTS, HELD_OUT_PAIRS, SHAPES
from janusflow.worlds.vocabulary import BACKGROUNDS, COLORS, KINDS
from tests.worlds.reading import WORLDS, held_out_scenes, look, rng_of, train_scenes

PALETTE = {name: np.array(color, float) for name, color in {**COLORS, **BACKGROUNDS}.items()}
both = pytest.mark.parametrize("world", WORLDS, ids=str)
free = pytest.mark.parametrize("world", [world for world in WORLDS if world.free], ids=str)


def scenes(world):
    return (*train_scenes(world), *held_out_scenes(world))


def nearest(color, names):
    return min(names, key=lambda name: np.linalg.norm(PALETTE[name] - color))


def opacity(thing, scene, side):
    """(side, side) in 0 to 1: the thing alone, exactly, from its pictures on black and on white."""
    grounds = (Background("", (level,) * 3, (level,) * 3) for level in (0, 255))
    alone = (Scene(scene.world, "", (), (thing,), ground, scene.style) for ground in grounds)
    on_black, on_white = (np.asarray(one.render(side), float) for one in alone)
    return 1 - (on_white - on_black).mean(-1) / 255


def sides(mask):
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    return np.array([columns[0], rows[0], columns[-1] + 1, rows[-1] + 1])


# Seeds


@both
def test_a_seed_fixes_scene_and_picture(world):
    pictures = set()
    for index in range(20):
        one, same, other = (sample_scene(rng_of(5, number), world=world) for number in (index, index, index + 100))
        assert one == same != other
        assert one.render().tobytes() == same.render().tobytes()
        pictures.add(one.render().tobytes())
    assert len(pictures) == 20


# Where things are


@both
def test_things_never_touch_and_stay_inside(world):
    least = 0.0199 if world.free else 0.011  # a star is a little wider than its size
    for scene in scenes(world):
        boxes = [thing.box for thing in scene.objects]
        assert all(min(box) >= least and max(box) <= 1 - least for box in boxes), scene
        for index, one in enumerate(boxes):
            for other in boxes[:index]:
                gap = max(one[0] - other[2], other[0] - one[2], one[1] - other[3], other[1] - one[3])
                assert gap >= least, scene


@both
def test_boxes_are_those_of_the_pixels(world):
    """Of turned and mirrored things too."""
    for scene in scenes(world)[::5]:
        for thing in scene.objects:
            found = sides(opacity(thing, scene, 128) > 0.2)
            assert np.abs(found - 128 * np.array(thing.box)).max() < 2, thing


@both
def test_groups_describe_the_things(world):
    for scene in scenes(world):
        groups = Counter({(group.name, group.color): group.count for group in scene.groups})
        assert groups == Counter((thing.name, thing.color) for thing in scene.objects)
        assert groups == Counter((one.name, one.color) for one in look(scene))
        assert len({group.name for group in scene.groups}) == len(scene.groups)
        for index, group in enumerate(scene.groups):
            assert {(thing.name, thing.color) for thing in scene.members(index)} == {(group.name, group.color)}


@pytest.mark.parametrize("cast", ["shapes", "objects"])
def test_on_the_grid_things_fill_an_arrangement_in_reading_order(cast):
    orders = set()
    for scene in scenes(World(cast, "fixed")):
        cells = [thing.cell for thing in scene.objects]
        assert tuple(sorted(cells)) in placement.ARRANGEMENTS[len(cells)]
        assert scene.kind == "position" or cells == sorted(cells)
        orders |= {cells == sorted(cells)} if scene.kind == "position" else set()
        assert all((thing.angle, thing.mirrored, thing.bulk) == (0, False, None) for thing in scene.objects)
    assert orders == {True, False}, "a relation holds in both directions"


@free
def test_free_things_stand_anywhere_in_all_sizes_and_poses(world):
    cast = world.things
    sizes, centers, poses = {}, [], set()
    for index in range(240):
        scene = sample_scene(rng_of(7, index), KINDS[index % len(KINDS)], world=world)
        sizes.setdefault(len(scene.objects), []).extend(thing.size for thing in scene.objects)
        centers += [(thing.x, thing.y) for thing in scene.objects]
        poses |= {(thing.angle, thing.mirrored) for thing in scene.objects}
    assert set(sizes) == set(cast.sizes) and all(max(found) <= cast.sizes[count][1] for count, found in sizes.items())
    assert max(sizes[1]) > 1.9 * min(sizes[1]) and max(map(max, sizes.values())) > 2 * min(map(min, sizes.values()))
    assert poses == {(angle, mirrored) for angle in cast.angles for mirrored in {False, cast.mirrors}}
    counts, _, _ = np.histogram2d(*zip(*centers, strict=True), bins=4, range=[(0.1, 0.9)] * 2)
    assert counts.min() > 0, "some place stays empty"


@both
def test_what_a_caption_leaves_open_varies(world):
    group = Group(world.things.names[0], None if world.cast == "objects" else "red", 1)
    found = [compose(rng_of(8, index), world, "single_object", (group,)) for index in range(60)]
    places = np.array([(scene.objects[0].x, scene.objects[0].y) for scene in found])
    assert (places.std(0) > 0.08).all() if world.free else (places.std(0) < 0.02).all()
    assert {scene.style for scene in found} == set(world.things.styles or [""])
    backgrounds = set(BACKGROUNDS) if world.free else {"grey"}
    assert {scene.background.name for scene in found} == backgrounds
    colors = Counter(scene.groups[0].color for scene in scenes(world) if scene.kind == "two_object")
    assert len(colors) > 5 and (None in colors) == (world.things.paint == "sometimes")


@both
def test_positions_are_those_asked_for(world):
    names = world.things.names
    groups = (Group(names[1], "red", 1), Group(names[2], "blue", 1))
    for relation in ("left of", "right of", "above", "below"):
        for index in range(5):
            assert relation in compose(rng_of(9, index), world, "position", groups, relation).relations()


@pytest.mark.parametrize(
    ("dx", "dy", "expected"),
    [(0.3, 0.0, ["right of"]), (-0.3, 0.1, ["left of"]), (0.0, 0.3, ["below"]), (0.05, -0.3, ["above"]),
     (0.3, 0.3, ["right of", "below"]), (0.10, 0.02, []), (0.0, 0.0, [])],
)  # fmt: skip
def test_the_rule_for_relations(dx, dy, expected):
    # At (0.10, 0.02) the slack decides: without it the offset would count as "right of".
    a, b = (
        Thing("ring", "red", (0, 0, 0), x, y, 0.25, (x - 0.125, y - 0.125, x + 0.125, y + 0.125), 0.5)
        for x, y in ((0.5 + dx, 0.5 + dy), (0.5, 0.5))
    )
    assert relations_between(a, b) == expected


# How they look


@both
def test_pictures_of_any_size_are_of_the_same_scene(world):
    for scene in scenes(world)[::20]:
        large = scene.render(192)
        for side in (32, world.things.image_size, 96):
            assert scene.render(side).size == (side, side)
            small = np.asarray(large.resize((side, side), Image.Resampling.BOX), float)
            assert np.abs(np.asarray(scene.render(side), float) - small).mean() < 4
    assert scene.render().size == (world.things.image_size,) * 2


@both
def test_backgrounds_are_what_they_are_called_and_lie_behind_everything(world):
    gradients = []
    for scene in scenes(world):
        ground = scene.background
        mean = np.mean([ground.start, ground.end], axis=0)
        assert nearest(mean, BACKGROUNDS) == ground.name and np.abs(mean - PALETTE[ground.name]).max() <= 6
        gradients.append(ground.start != ground.end)
        assert np.abs(np.subtract(ground.start, ground.end)).max() <= 33
        side = 48
        bare = np.asarray(Scene(scene.world, "", (), (), ground).render(side), float)
        along = bare if ground.across else bare.transpose(1, 0, 2)
        assert (along == along[:1]).all() and np.abs(along[0, [0, -1]] - [ground.start, ground.end]).max() <= 1
        seen = sum(opacity(thing, scene, side) for thing in scene.objects) if gradients[-1] else 1
        assert np.abs(np.asarray(scene.render(side), float) - bare)[seen == 0].max(initial=0) == 0
    assert 0.25 < np.mean(gradients) < 0.55 if world.free else not any(gradients)


def test_every_color_can_be_told_from_every_other_and_from_the_backgrounds():
    for name, color in COLORS.items():
        others = [other for other_name, other in PALETTE.items() if other_name != name]
        assert min(np.linalg.norm(np.subtract(color, other)) for other in others) > 60, name


@pytest.mark.parametrize("level", ["fixed", "free"])
def test_shapes_have_the_paint_of_their_color(level):
    for scene in scenes(World("shapes", level))[::4]:
        picture = np.asarray(scene.render(96), int)
        for thing in scene.objects:
            assert np.abs(np.subtract(thing.rgb, COLORS[thing.color])).max() <= 5
            inside = opacity(thing, scene, 96) == 1
            assert inside.any() and (picture[inside] == thing.rgb).all()


@pytest.mark.parametrize("color", COLORS)
def test_tinted_objects_have_the_named_color_whatever_their_style(color):
    for name in Objects().names:
        for style in Objects.styles:
            pixels = np.asarray(drawing(name, style, color, 0, False), float)
            mean = np.average(pixels[..., :3].reshape(-1, 3), axis=0, weights=pixels[..., 3].flatten())
            assert nearest(mean, COLORS) == color, (name, style)


def test_drawings_are_mirrored_and_turned():
    for name in Objects().names[::6]:
        for style in Objects.styles:
            upright = drawing(name, style, None, 0, False)
            mirrored = drawing(name, style, None, 0, True)
            assert mirrored.transpose(Image.Transpose.FLIP_LEFT_RIGHT).tobytes() == upright.tobytes()
            turned = drawing(name, style, None, 12, False)
            expected = upright.rotate(12, Image.Resampling.BICUBIC, expand=True)
            assert turned.tobytes() == expected.crop(opaque_box(expected)).tobytes()
            assert opaque_box(turned) == (0, 0, *turned.size)


# What training never shows


def test_what_is_held_out_of_the_shapes():
    assert {shape for _, shape in HELD_OUT_PAIRS} == set(SHAPES) and len({color for color, _ in HELD_OUT_PAIRS}) == 6
    cast = World("shapes").things
    assert cast.held_out(Group("star", "purple", 1)) and cast.held_out(Group("cross", "red", 2))
    assert not cast.held_out(Group("star", "red", 1)) and not cast.held_out_pair("star", "cross")
    assert len(HELD_OUT_COUNTS) == 3


def test_what_is_held_out_of_the_objects():
    """A colour of every class, every colour of some; a number of every third; one pair of eleven."""
    cast = World("objects").things
    colors = {name: [color for color in COLORS if cast.held_out(Group(name, color, 1))] for name in cast.names}
    assert all(len(held) == 1 for held in colors.values()) and {held[0] for held in colors.values()} == set(COLORS)
    counts = [[count for count in range(1, 6) if cast.held_out(Group(name, None, count))] for name in cast.names]
    assert counts.count([]) == 44 and {held[0] for held in counts if held} == {2, 3, 4}
    pairs = [(one, other) for one in cast.names for other in cast.names if one < other]
    held = [cast.held_out_pair(*pair) for pair in pairs]
    assert 0.08 < np.mean(held) < 0.1
    assert held == [cast.held_out_pair(other, one) for one, other in pairs]
    partners = Counter(name for pair, is_held in zip(pairs, held, strict=True) if is_held for name in pair)
    assert set(partners) == set(cast.names), "every class is of some pair"


@both
def test_held_out_scenes_show_what_training_never_shows(world):
    cast = world.things

    def shows_held_out(scene):
        counts = Counter((thing.name, thing.color) for thing in scene.objects)
        names = [*dict.fromkeys(thing.name for thing in scene.objects)]
        alone = any(cast.held_out(Group(name, color, count)) for (name, color), count in counts.items())
        return alone or (len(names) == 2 and cast.held_out_pair(*names))

    for scene in train_scenes(world):
        assert not shows_held_out(scene) and not scene.held_out and not groups_held_out(cast, scene.groups)
    for scene in held_out_scenes(world):
        assert shows_held_out(scene) and scene.held_out
    kinds = {"counting", "colors", "color_attr"} | ({"two_object"} if world.cast == "objects" else set())
    assert {scene.kind for scene in held_out_scenes(world)} == set(held_out_kinds(cast)) == kinds
    assert {scene.kind for scene in train_scenes(world)} == set(KINDS)


# Errors


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: World("shapse"), "unknown cast 'shapse'; did you mean shapes"),
        (lambda: World("objects", "loose"), "a world's level is one of fixed, free, got 'loose'"),
        (lambda: sample_scene(rng_of(0), "pentagon"), "'pentagon' does not exist in the 'train' split"),
        (lambda: sample_scene(rng_of(0), "position", "held_out"), "'position' does not exist in the 'held_out' split"),
        (lambda: sample_scene(rng_of(0), "two_object", "held_out"), "choose from counting, colors, color_attr"),
        (lambda: ask(train_scenes(World())[0], rng_of(0), "smell"), "unknown question kind 'smell'; choose from what"),
        (lambda: ask(train_scenes(World())[0], rng_of(0), "style"), "unknown question kind 'style'"),
        (lambda: ask(train_scenes(World("shapes", "fixed"))[0], rng_of(0), "larger"), "unknown question kind 'larger'"),
    ],
)
def test_what_there_is_not_is_named(call, message):
    with pytest.raises(ValueError, match=message):
        call()


@pytest.mark.parametrize("size", [(32, 64), (64, 32), (40, 56)])
@pytest.mark.parametrize("cast", ["shapes", "objects"])
def test_pictures_of_other_shapes_hold_their_things_as_large_as_squares_do(cast, size):
    world, frame = World(cast, "free"), frame_of(*size)
    root = (size[0] * size[1]) ** 0.5
    assert frame == (size[1] / root, size[0] / root)
    sizes = {frame: [], (1.0, 1.0): []}
    for index in range(40):
        scene = sample_scene(rng_of(21, index), KINDS[index % len(KINDS)], world=world, frame=frame)
        assert scene.render(size).size == size[::-1]
        for thing in scene.objects:
            x0, y0, x1, y1 = thing.box
            assert 0 <= x0 < x1 <= frame[0] and 0 <= y0 < y1 <= frame[1]
            assert thing.cell is None or thing.cell % 3 == min(int(3 * thing.x / frame[0]), 2)
        sizes[frame].append(scene.objects[0].size)
        kind = KINDS[index % len(KINDS)]
        sizes[1.0, 1.0].append(sample_scene(rng_of(21, index), kind, world=world).objects[0].size)
    wide, square = (np.mean(found) for found in sizes.values())
    assert wide == pytest.approx(square, rel=0.15)


def test_a_scene_is_drawn_in_its_own_shape_and_a_grid_of_cells_is_for_squares():
    scene = sample_scene(rng_of(22), world=World("shapes", "free"), frame=frame_of(32, 64))
    scene.render((64, 128))
    with pytest.raises(ValueError, match="is not drawn at 48 x 48 pixels"):
        scene.render(48)
    with pytest.raises(ValueError, match="are of the level 'free'"):
        sample_scene(rng_of(22), world=World("shapes", "fixed"), frame=frame_of(32, 64))
