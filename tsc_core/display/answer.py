"""One step's answer in words and as a table: probabilities, how far they hold, what else cannot be ruled out."""

from __future__ import annotations

import math

from tsc_core.alerts import Step
from tsc_core.display.text import markdown_table, percent, share_text, span
from tsc_core.inference.doubt import UNLIKE_ABOVE
from tsc_core.inference.priors import natural


def best_of(step: Step) -> str:
    """The most probable class."""
    return max(step.probabilities, key=step.probabilities.get)


def chosen_step(steps: tuple[Step, ...], n: int | None) -> Step:
    """The step after `n` detections, else the last."""
    return next((step for step in steps if step.n == n), steps[-1])


def beside(step: Step) -> str:
    """What stands beside the most probable class: the span of the members, and the same at natural rates."""
    best, words = best_of(step), []
    if step.low is not None and step.high is not None:
        words.append(f"{span(step.low[best], step.high[best])} among members")
    words.append(f"{percent(natural(step.probabilities)[best])} at natural rates")
    return " · ".join(words)


def answer_table(step: Step) -> str:
    """A table in Markdown: per class the probability, the members' span, natural rates, and the conformal set."""
    heads, spread = ["class", "probability"], step.low is not None and step.high is not None
    heads += ["members"] if spread else []
    heads += ["natural rates"]
    heads += [f"{share_text(step.coverage)} set"] if step.conformal is not None else []
    rates, rows = natural(step.probabilities), []
    for name, probability in step.probabilities.items():
        row = [name, percent(probability)]
        row += [span(step.low[name], step.high[name])] if spread else []
        row += [percent(rates[name])]
        row += ["●" if name in step.conformal else "–"] if step.conformal is not None else []
        rows.append(row)
    return markdown_table(heads, rows, bold=[list(step.probabilities).index(best_of(step))])


def trust(step: Step) -> str:
    """How far the step is to be trusted, in a sentence or two; "" where its bundle cannot tell."""
    words = []
    if step.conformal is not None:
        share = share_text(step.coverage)
        names = ", ".join(step.conformal)
        said = f"Not ruled out at {share}: {names}." if names else f"No class fits at {share}."
        words.append(said)
    if step.unlike is not None and step.unlike >= UNLIKE_ABOVE:
        words.append("Unlike the training data: " + _further(step.unlike))
    elif step.unlike is not None:
        words.append("Distance from the training data: " + _further(step.unlike))
    return " ".join(words)


def _further(unlike: float) -> str:
    """A percentile beside the one it is judged by, rounded down so that it never seems to reach that."""
    return f"further than {math.floor(10 * unlike) / 10:g} % of real objects (unlike from {UNLIKE_ABOVE:g} % on)."
