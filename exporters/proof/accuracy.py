"""How often a classifier is right on labelled pictures, by class, and whether its probabilities mean what they say."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from exporters.base import Accuracy, Array, ExportFailed, LabelledImages, Reference

CALIBRATION_BINS = 15


def measure_accuracy(probabilities: Array, labels: Array) -> Accuracy:
    """Of [n, classes] against the class indices [n]; pictures without class (-1) are left out.

    A class that was never predicted has precision 0, one that has no pictures recall 0. Raises ExportFailed when no
    picture has a class, or one has a class that the output lacks.
    """
    from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

    labelled = labels >= 0
    probabilities, labels = probabilities[labelled], labels[labelled]
    if not labels.size:
        raise ExportFailed("none of the evaluation pictures has a class")
    classes = np.arange(probabilities.shape[1])
    if labels.max() > classes[-1]:
        raise ExportFailed(f"there are pictures of class {labels.max()}, but the output has {len(classes)} classes")
    predicted = probabilities.argmax(axis=1)
    precision, recall, f1, _ = precision_recall_fscore_support(labels, predicted, labels=classes, zero_division=0)
    return Accuracy(
        images=len(labels),
        accuracy=float((predicted == labels).mean()),
        precision=tuple(precision.tolist()),
        recall=tuple(recall.tolist()),
        f1=tuple(f1.tolist()),
        confusion=tuple(map(tuple, confusion_matrix(labels, predicted, labels=classes).tolist())),
        calibration_error=calibration_error(probabilities.max(axis=1), predicted == labels),
    )


def calibration_error(confidence: Array, right: Array) -> float:
    """The expected calibration error: the mean over bins of |accuracy - confidence|, weighted by their pictures.

    Equal bins (m-1)/15 < confidence <= m/15, as in Guo et al. 2017, section 2.
    """
    bins = np.clip(np.ceil(confidence.astype(np.float64) * CALIBRATION_BINS).astype(int) - 1, 0, CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights=right.astype(np.float64) - confidence, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(confidence))


def probabilities_of(
    model: Reference, images: LabelledImages, *, output: str = "probabilities", batch: int = 32
) -> Array:
    """The output of every picture in the data's order, [n, classes]."""
    made: list[Array] = []
    for pictures, _ in images.batches(batch):
        outputs: Mapping[str, Array] = model.run(pictures)
        if output not in outputs:
            raise ExportFailed(f"the model has no output {output!r}, only {sorted(outputs)}")
        made.append(outputs[output])
    return np.concatenate(made)
