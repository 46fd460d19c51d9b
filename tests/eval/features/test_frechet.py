"""The Fréchet distance against closed forms and SciPy's matrix square root, and its streaming statistics."""

import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from scipy import linalg

from eval.features import frechet
from eval.features.frechet import GaussianStats, frechet_distance

D = 12
KINDS = ("random", "correlated", "few_samples", "one_singular", "wide_spectrum")
stats_of = GaussianStats.of


def by_sqrtm(x: np.ndarray, y: np.ndarray) -> float:
    """The distance as its formula reads."""
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # SciPy warns about singular products
        root = linalg.sqrtm(cov_x @ cov_y)
    gap = x.mean(axis=0) - y.mean(axis=0)
    return float(gap @ gap + np.trace(cov_x) + np.trace(cov_y) - 2 * np.trace(root).real)


def feature_sets(kind: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    if kind == "random":
        return rng.normal(size=(200, D)), 1 + 2 * rng.normal(size=(300, D))
    if kind == "correlated":
        return rng.normal(size=(200, D)) @ rng.normal(size=(D, D)), rng.normal(size=(300, D)) @ rng.normal(size=(D, D))
    if kind == "few_samples":  # fewer features than dimensions: both covariances are singular
        return rng.normal(size=(7, D)), rng.normal(size=(9, D))
    if kind == "wide_spectrum":  # variances over ten orders of magnitude
        scales = np.geomspace(1e-5, 1, D)
        return rng.normal(size=(200, D)) * scales, rng.normal(size=(300, D)) @ np.diag(scales[::-1])
    assert kind == "one_singular"
    return rng.normal(size=(200, 3)) @ rng.normal(size=(3, D)), rng.normal(size=(200, D))


def clean_fid_distance(x: np.ndarray, y: np.ndarray) -> float:
    """clean-fid's own formula, whose call of ``sqrtm`` newer SciPy refuses."""
    from cleanfid import fid

    def sqrtm(matrix, disp=True):
        root = linalg.sqrtm(matrix)
        return root if disp else (root, 0.0)

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        patch.setattr(fid, "linalg", SimpleNamespace(sqrtm=sqrtm))
        return float(fid.fid_from_feats(x, y))


@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_formula_clean_fid_and_itself_by_another_factor(kind, monkeypatch):
    x, y = feature_sets(kind)
    a, b = stats_of(x), stats_of(y)
    distance = frechet_distance(a, b)
    assert distance == pytest.approx(by_sqrtm(x, y), rel=1e-5)
    assert distance == pytest.approx(frechet_distance(b, a), rel=1e-9)
    if kind in ("random", "correlated", "one_singular"):
        assert distance == pytest.approx(clean_fid_distance(x, y), rel=1e-6)
    assert 0 <= frechet_distance(a, stats_of(x[::-1])) < 1e-10 * np.trace(np.cov(x, rowvar=False))
    single = GaussianStats.from_moments(a.n, a.mean.astype(np.float32), a.cov.astype(np.float32))  # as some store them
    assert frechet_distance(single, b) == pytest.approx(distance, rel=1e-3)
    monkeypatch.delattr(linalg, "sqrtm")  # no matrix root is asked for
    assert frechet_distance(a, b) == distance
    if kind in ("random", "correlated", "wide_spectrum"):  # by Cholesky, and by eigenvectors
        monkeypatch.setattr(frechet, "_factor", frechet._eigen_factor)
        assert distance == pytest.approx(frechet_distance(a, b), rel=1e-9)


def test_closed_forms():
    rng = np.random.default_rng(1)
    m1, m2 = rng.normal(size=(2, D))
    s1, s2 = rng.uniform(0.1, 3, size=(2, D))
    a, b = (GaussianStats.from_moments(10, mean, np.diag(s**2)) for mean, s in ((m1, s1), (m2, s2)))
    assert frechet_distance(a, b) == pytest.approx(((m1 - m2) ** 2).sum() + ((s1 - s2) ** 2).sum(), rel=1e-9)
    a, b = (GaussianStats.from_moments(10, np.zeros(3), np.diag(v)) for v in ([4.0, 0, 0], [0, 9.0, 0]))
    assert frechet_distance(a, b) == pytest.approx(13.0, rel=1e-9), "singular, in orthogonal directions"
    a, b = stats_of(np.zeros((4, 3))), stats_of(np.full((5, 3), 2.0))
    assert frechet_distance(a, b) == pytest.approx(12.0, rel=1e-9), "points leave the means"
    x, _ = feature_sets("correlated")
    assert frechet_distance(stats_of(x), stats_of(x + 3.0)) == pytest.approx(9.0 * D, rel=1e-9)


@pytest.mark.parametrize("size", [1, 7, 64, 200])
def test_moments_are_numpys_whatever_the_batches_and_blocks(size, monkeypatch):
    monkeypatch.setattr(frechet, "BLOCK", 50)
    x = feature_sets("correlated")[0] + 1e4  # a mean far from zero, where sums of squares lose digits
    streamed = GaussianStats(D)
    for start in range(0, len(x), size):
        streamed.update(x[start : start + size])
    assert streamed.n == len(x) and streamed.dim == D and streamed.mean.dtype == streamed.cov.dtype == np.float64
    np.testing.assert_allclose(streamed.mean, x.mean(axis=0), rtol=1e-10)
    np.testing.assert_allclose(streamed.cov, np.cov(x, rowvar=False), rtol=1e-8, atol=1e-8)  # over n - 1
    single = (x - 1e4).astype(np.float32)
    np.testing.assert_allclose(stats_of(single).cov, np.cov(single.astype(np.float64), rowvar=False), rtol=1e-9)


@pytest.mark.parametrize(
    ("n", "mean", "cov", "message"),
    [
        *((10, [0, 0], cov, "this is no covariance") for cov in
          ([[1, 0], [0, -4]], [[1, 2], [2, 1]], [[1, 0.5], [-0.5, 1]], [[0, 1], [1, 4]])),
        *((n, [0, 0], np.eye(2), "at least 2 features") for n in (0, 1, np.nan, 2.5)),
        (5, [0, 0, 0], np.eye(2), r"\(3,\) and \(2, 2\)"),
        (5, [0, np.nan], np.eye(2), "finite"),
        (5, [0, 0], np.eye(2) * 1j, "real numbers, not complex128"),
    ],
)  # fmt: skip
def test_stored_moments_that_no_features_have_are_refused(n, mean, cov, message):
    with pytest.raises(ValueError, match=message):
        GaussianStats.from_moments(n, mean, cov)


def test_bad_batches_are_refused_and_not_added():
    stats = GaussianStats(3)
    features = np.ones((6, 3))
    features[4, 1] = np.inf
    for bad, message in ((features, "first is row 4"), (np.eye(4), r"\(B, 3\), got \(4, 4\)"), (np.ones(3), "got")):
        with pytest.raises(ValueError, match=message):
            stats.update(bad)
    stats.update(np.zeros((0, 3)))
    assert stats.n == 0
    for call in (lambda: frechet_distance(stats, stats_of(np.eye(3))), lambda: GaussianStats(0)):
        with pytest.raises(ValueError, match="not 0"):
            call()
