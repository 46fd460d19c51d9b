"""What a codec costs is measured on rendered scenes: nothing where pictures stay, all where nothing is left of them."""

import json

import numpy as np
from PIL import Image

from eval.worlds.benchmark import HELD_OUT, IN_DISTRIBUTION
from eval.worlds.ceilings import WEARS, ceiling, main, note


def test_pictures_as_they_are_meet_their_prompts(judged_world):
    for split in (IN_DISTRIBUTION, HELD_OUT):
        found = ceiling(judged_world, split, lambda images: images, scenes=48)
        assert found["rules"] > 0.95 and found["psnr_db"] == float("inf")
    rng = np.random.default_rng(0)
    for name, wear in WEARS.items():
        worn = ceiling(judged_world, IN_DISTRIBUTION, lambda images, do=wear: [do(i, rng) for i in images], scenes=48)
        assert worn["rules"] > (0.7 if name == "compressed" else 0.95) and 20 < worn["psnr_db"] < 50, name
    blank = ceiling(
        judged_world, IN_DISTRIBUTION, lambda images: [Image.new("RGB", one.size) for one in images], scenes=12
    )
    assert blank["rules"] == 0


def test_the_command_prints_what_it_measured_and_notes_it_beside_the_codec(tmp_path, capsys):
    assert main(["--cast", "shapes", "--scenes", "6"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 * (1 + len(WEARS)) and lines[0].startswith(
        "as rendered: shapes (free), in distribution: rules"
    )
    assert main(["--level", "loose"]) == 2 and "loose" in capsys.readouterr().err
    note(tmp_path / "vae", {"shapes (free)": {"rules": 0.98765, "psnr_db": 31.26}})
    card = json.loads((tmp_path / "card.json").read_text())
    assert card == {"vae": {"reconstructions": {"shapes (free)": {"rules": 0.988, "psnr_db": 31.26}}}}
