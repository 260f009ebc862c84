"""Exact truth by name: problems whose laws, constants and reference draws are known, and scores of anyone's samples.

``known_truths()`` lists names, ``get_truth(name)`` makes the laws, ``certificate(name)`` holds what is certified about
them. ``score_samples(name, x)`` says how far points lie from every law and which of them they follow.
"""

from typing import TYPE_CHECKING

from .._internal.lazy import lazy_names

if TYPE_CHECKING:
    from .catalogue import known_truths
    from .certifying import certificate, certify, check_certificates
    from .laws import MixtureLaw, ProductLaw
    from .scoring import SampleScore, score_samples
    from .truth import Truth, get_truth

__all__ = [
    "MixtureLaw",
    "ProductLaw",
    "SampleScore",
    "Truth",
    "certificate",
    "certify",
    "check_certificates",
    "get_truth",
    "known_truths",
    "score_samples",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {
        "known_truths": ".catalogue",
        **dict.fromkeys(["certificate", "certify", "check_certificates"], ".certifying"),
        **dict.fromkeys(["MixtureLaw", "ProductLaw"], ".laws"),
        **dict.fromkeys(["SampleScore", "score_samples"], ".scoring"),
        **dict.fromkeys(["Truth", "get_truth"], ".truth"),
    },
)
