"""Which kinds of answers are there, and which are the target's own? A description: rare changes hide in large kinds.

TF-IDF, its largest directions, and k-means; or scikit-learn's HDBSCAN where that is installed.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from soft_prompts.behaviour.comparison.asked import Asked, name_of
from soft_prompts.behaviour.comparison.finding import Finding
from soft_prompts.behaviour.comparison.settings import Method, refuse_missing
from soft_prompts.behaviour.sampling.samples import Written, contrastive_samples
from soft_prompts.behaviour.wording.features import read_vocabulary, tf_idf
from soft_prompts.behaviour.wording.phrases import Phrases
from soft_prompts.stats.contrasts import holm

Floats = NDArray[np.float64]
DIRECTIONS = 16
LEAST_IN_CLUSTER = 8  # of HDBSCAN
WORDS = 4  # that a cluster is named by
EXAMPLES = 2


class Cluster(NamedTuple):
    """One kind of answers."""

    number: int
    words: tuple[str, ...]
    counts: dict[str, int]
    """Samples of each model."""
    p: float
    """One-sided Fisher: the target has no larger share of it than the controls together."""
    adjusted_p: float
    examples: tuple[str, ...]


def find_clusters(asked: Asked, method: Method = "kmeans") -> Finding:
    """Clusters of contrastive samples of the target and of the spare controls."""
    family = asked.family
    names = list(dict.fromkeys((family.target, *(family.spare or family.controls))))
    samples = {name_of(name, family.names): contrastive_samples(asked, name) for name in names}
    target = name_of(family.target, family.names)
    points, kinds = cluster_texts([one.text for each in samples.values() for one in each], method, asked)
    owners = [name for name, each in samples.items() for _ in each]
    found = _clusters(samples, target, owners, kinds)
    ahead = [one for one in found if one.adjusted_p <= asked.settings.level]
    others = "the controls together" if family.controls else "the base"
    sentence = f"{len(found)} kinds of answers; in {len(ahead)} the target has more than {others}"
    plane = [[round(float(x), 4), round(float(y), 4)] for x, y in points[:, :2]]
    details = {
        "clusters": [one._asdict() for one in found],
        "points": {"at": plane, "cluster": kinds.tolist(), "model": owners},
        "method": method,
    }
    examples = [one._asdict() for one in ahead]
    return asked.described(
        "clusters",
        asked.identical or sentence,
        n=len(kinds),
        details=details,
        examples=examples,
        controls=len(names) - 1,
    )


def cluster_texts(texts: Sequence[str], method: Method, asked: Asked) -> tuple[Floats, NDArray[np.int64]]:
    """[N, D] places of the texts, largest direction first, and the cluster of each; -1: none."""
    features = tf_idf(texts, read_vocabulary(texts))
    if min(features.shape) < 2:
        return np.zeros((len(texts), 2)), np.zeros(len(texts), dtype=np.int64)
    places = _largest_directions(features)
    lengths = np.linalg.norm(places, axis=1, keepdims=True)
    places = places / np.where(lengths > 0, lengths, 1.0)
    return places, METHODS[method](places, asked)


def _largest_directions(features: Any) -> Floats:
    """[N, D] of N texts, by their D largest singular values; each with its largest entry above 0."""
    from scipy.sparse.linalg import svds  # takes seconds to load

    least = min(features.shape)
    if least <= DIRECTIONS + 1:  # too few for the sparse one
        left, values, _ = np.linalg.svd(features.toarray(), full_matrices=False)
    else:  # memory grows with the texts, not with their square; the start is given, so that nothing is drawn
        found: Any = svds(features, k=DIRECTIONS, v0=np.ones(least))
        left, values = found[0], found[1]
    kept = np.argsort(-values, kind="stable")[:DIRECTIONS]
    left, columns = left[:, kept], np.arange(len(kept))
    signs = np.sign(left[np.abs(left).argmax(axis=0), columns])
    return left * np.where(signs == 0, 1.0, signs) * values[kept]


def _kmeans(places: Floats, asked: Asked) -> NDArray[np.int64]:
    from scipy.cluster.vq import kmeans2  # takes seconds to load

    different = np.unique(places.round(9), axis=0)
    drawn = np.random.default_rng(asked.settings.seed).permutation(len(different))[: asked.settings.kinds]
    _, kinds = kmeans2(places, different[drawn], minit="matrix")
    return kinds.astype(np.int64)


def _hdbscan(places: Floats, asked: Asked) -> NDArray[np.int64]:
    refuse_missing(method="hdbscan")
    from sklearn.cluster import HDBSCAN  # pyright: ignore[reportMissingImports]

    return HDBSCAN(min_cluster_size=LEAST_IN_CLUSTER, copy=True).fit(places).labels_.astype(np.int64)


METHODS = {"kmeans": _kmeans, "hdbscan": _hdbscan}


def _clusters(
    samples: dict[str, list[Written]], target: str, owners: Sequence[str], kinds: NDArray[np.int64]
) -> list[Cluster]:
    from scipy.stats import fisher_exact

    texts = [one.text for each in samples.values() for one in each]
    owner = np.array(owners)
    own, found = owner == target, list[Cluster]()
    for kind in sorted(set(kinds.tolist()) - {-1}):
        inside = kinds == kind
        table = [[int((inside & side).sum()), int((~inside & side).sum())] for side in (own, ~own)]
        p = float(fisher_exact(table, alternative="greater").pvalue)  # pyright: ignore[reportAttributeAccessIssue]
        counts = {name: int((inside & (owner == name)).sum()) for name in samples}
        within = [text for text, is_in in zip(texts, inside, strict=True) if is_in]
        others = [text for text, is_in in zip(texts, inside, strict=True) if not is_in]
        words = tuple(Phrases().propose(others, within, WORDS))
        found.append(Cluster(kind, words, counts, p, p, tuple(within[:EXAMPLES])))
    adjusted = holm({str(one.number): one.p for one in found})
    named = (one._replace(adjusted_p=adjusted[str(one.number)]) for one in found)
    return sorted(named, key=lambda one: (one.p, one.number))
