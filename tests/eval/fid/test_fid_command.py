"""``python -m eval fid A B``."""

import numpy as np
import pytest
import torch
from cleanfid.fid import get_folder_features
from scipy import linalg

from eval.__main__ import main
from eval.features.frechet import GaussianStats
from eval.features.reference import Reference, write_reference
from tests.eval.pictures import stand_in, write_pictures


@pytest.fixture
def command(tmp_path):
    """The command for two folders of pictures, with a stand-in for Inception."""
    write_pictures(tmp_path / "made", [f"{i}.png" for i in range(20)], 100)
    write_pictures(tmp_path / "real", [f"deep/{i}.png" for i in range(15)])
    options = ["--extractor", str(stand_in(tmp_path)), "--cache", str(tmp_path / "cache")]
    return lambda made="made", real="real", *more: ["fid", str(tmp_path / made), str(tmp_path / real), *options, *more]


def scores_of(printed: str) -> dict[str, str]:
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in printed.splitlines() if line.startswith("|")]
    return dict(rows[2:])


def clean_fid_statistics(folder):
    features = get_folder_features(str(folder), torch.jit.load(folder.parent / "standin.pt"), 0, batch_size=7,
                                   device=torch.device("cpu"), verbose=False)  # fmt: skip
    return features.astype(np.float64).mean(0), np.cov(features.astype(np.float64), rowvar=False)


def test_two_folders_have_clean_fids_distance(command, tmp_path, capsys):
    assert main(command()) == 0
    printed = capsys.readouterr().out
    (m1, c1), (m2, c2) = clean_fid_statistics(tmp_path / "made"), clean_fid_statistics(tmp_path / "real")
    expected = (m1 - m2) @ (m1 - m2) + np.trace(c1) + np.trace(c2) - 2 * np.trace(linalg.sqrtm(c1 @ c2)).real
    headline, *others = scores_of(printed)
    assert headline == "Fréchet distance (standin.pt features, not FID) of 20 pictures (resize clean)"
    assert float(scores_of(printed)[headline]) == pytest.approx(expected, rel=1e-2)
    assert [name.split(" (")[0].split(",")[0] for name in others] == ["KID", "KID", "precision", "recall"]
    assert "fewer pictures than features" not in printed
    assert f"A: 20 pictures of {tmp_path / 'made'}, resize clean, extractor name standin.pt" in printed
    assert main(command("real", "made", "--workers", "2", "--batch-size", "4")) == 0
    assert float(next(iter(scores_of(capsys.readouterr().out).values()))) == pytest.approx(expected, rel=1e-2)


def test_statistics_stand_on_either_side(command, tmp_path, capsys):
    assert main(command()) == 0
    expected = next(iter(scores_of(capsys.readouterr().out).values()))
    for name in ("made", "real"):
        mu, sigma = clean_fid_statistics(tmp_path / name)
        np.savez(tmp_path / f"{name}.npz", mu=mu, sigma=sigma, arr_0=np.zeros((2, 4, 4, 3), np.uint8))  # as ADM's
    for sides in (("made.npz", "real"), ("made", "real.npz"), ("made.npz", "real.npz")):
        assert main(command(*sides)) == 0
        printed = capsys.readouterr().out
        ((name, value),) = scores_of(printed).items()
        assert value == expected and all(one in name for one in sides if one.endswith(".npz")), name
        assert "it does not say" in printed
    ours = next((tmp_path / "cache").glob("real-*.npz"))
    assert main(command("made", ours)) == 0
    assert len(scores_of(capsys.readouterr().out)) == 5  # features of both sides
    assert main(command("made", ours, "--resize", "gigagan")) == 2
    assert "is of the resize clean, not of gigagan" in capsys.readouterr().err


def test_only_inceptions_distance_is_called_fid(command, tmp_path, capsys):
    rng = np.random.default_rng(0)
    for name, extractor in (("a", "inception"), ("b", "inception"), ("c", "shapes")):
        record = {"extractor": {"name": extractor}, "resize": "clean", "pictures": 30}
        stats = GaussianStats.of(rng.normal(size=(30, 12)))
        write_reference(tmp_path / f"{name}.npz", Reference(stats, None, None, record))
    assert main(command("a.npz", "b.npz")) == 0
    printed = capsys.readouterr().out
    assert list(scores_of(printed)) == ["FID-30 (resize clean, statistics a.npz, statistics b.npz)"]
    assert main(command("a.npz", "c.npz")) == 2
    assert "c.npz of {'name': 'shapes'}" in capsys.readouterr().err
    assert main(command("c.npz", "c.npz")) == 0
    assert next(iter(scores_of(capsys.readouterr().out))).startswith("Fréchet distance (shapes features, not FID)")


def test_bad_input_is_one_line(command, tmp_path, capsys):
    np.savez(tmp_path / "wide.npz", mu=np.zeros(7), sigma=np.eye(7))
    np.savez(tmp_path / "other.npz", pictures=np.zeros(7))
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.zip").write_text("text")
    for sides, reason in (
        (("made", "nowhere"), "there is no folder or archive"),
        (("made", "nowhere.npz"), "cannot read the reference"),
        (("empty", "real"), "holds 0 pictures"),
        (("made", "wide.npz"), "12 and 7"),
        (("made", "other.npz"), "no mu and sigma"),
        (("text.zip", "real"), "not a zip archive"),
        (("made", "real", "--workers", "-1"), "--workers must be at least 0, got -1"),
        (("made", "real", "--batch-size", "0"), "--batch-size must be at least 1, got 0"),
        (("made", "real", "--extractor", "vgg"), "unknown extractor 'vgg'"),
    ):
        assert main(command(*sides)) == 2, reason
        printed = capsys.readouterr()
        assert reason in printed.err and printed.err.count("\n") == 1 and not printed.out, printed.err
