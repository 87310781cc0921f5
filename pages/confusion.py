"""Confusion matrices: what is taken for what, and the objects behind each cell."""

import math

import pandas as pd
import streamlit as st

from tsc_core.display.desk import desk
from tsc_core.display.frame import framed
from tsc_core.display.quick import demo_results
from tsc_core.display.text import plain_markdown
from tsc_core.evaluation.figures import CELL, confusion_chart, difference_chart, reliability_figure
from tsc_core.evaluation.metrics import accuracy, balanced_accuracy, recalls
from tsc_core.evaluation.results import NATURAL_COUNTS, ORIGINS, Result, find_results, over_seeds
from tsc_core.evaluation.runs import CHECKPOINTS, PROJECT

MOST_OBJECTS, MATRIX_WIDTH, SUMMARY_WIDTH = 200, 520, 400
state = st.session_state


def classify_demo() -> None:
    """Score the demo archive with the bundles that ship, and keep the result for this session."""
    total = len(desk().source("demo").oids())
    bar, done = st.progress(0.0, text="Loading the models …"), [0]

    def show(count: int) -> None:
        done[0] += count
        bar.progress(min(done[0] / total, 1.0), text=f"object {done[0]} of {total}")

    state.demo_results = demo_results(desk(), progress=show)
    if state.demo_results:
        state.origin, state.result = state.demo_results[0].origin, state.demo_results[0].title
    bar.empty()


def one_of(label: str, results: list[Result], key: str) -> list[Result]:
    """Choose a result; several that differ by seed alone are chosen together."""
    titles = list(dict.fromkeys(result.title for result in results))
    title = st.selectbox(label, titles, key=key)
    return [result for result in results if result.title == title]


def objects_of(result: Result, event: object) -> None:
    """The objects of the clicked cell, each leading to the explorer."""
    points = event.selection.get(CELL) or []
    if not points:
        st.caption("Click a cell to see its objects." if result.scores else "The objects of this matrix were not kept.")
        return
    true, predicted = points[0].get("true"), points[0].get("predicted")
    found = result.cell(true, predicted)
    st.subheader(f"{plain_markdown(true)} taken for {plain_markdown(predicted)}: {len(found)} objects", anchor=False)
    if not found:
        st.caption("None, or the objects of this matrix were not kept.")
        return
    rows = pd.DataFrame(found[:MOST_OBJECTS], columns=["object", f"probability of {predicted}"])
    chosen = st.dataframe(rows, hide_index=True, on_select="rerun", selection_mode="single-row", key="cell_rows")
    picked = [found[i][0] for i in chosen.selection.rows if i < len(found)] or [found[0][0]]
    if result.source:
        st.page_link(
            "pages/explorer.py", label=f"Open {picked[0]} in the explorer", icon=":material/flare:",
            query_params={"source": result.source, "oid": picked[0]},
        )  # fmt: skip


def summary(result: Result) -> None:
    """Accuracies in words, recall and precision by class."""
    with st.container(horizontal=True):
        st.metric("Objects", f"{result.counts.sum():.0f}", width="content", border=True)
        st.metric("Accuracy", f"{100 * accuracy(result.counts):.1f} %", width="content", border=True)
        st.metric("Balanced accuracy", f"{100 * balanced_accuracy(result.counts):.1f} %", width="content", border=True)
    natural = result.natural_precision()
    rows = [
        {
            "class": name,
            "objects": int(result.counts[i].sum()),
            "recall": recall,
            "precision at natural rates": natural.get(name),
        }
        for i, (name, recall) in enumerate(zip(result.classes, recalls(result.counts).tolist(), strict=True))
    ]
    share = st.column_config.NumberColumn(format="percent")
    st.dataframe(
        pd.DataFrame(rows), hide_index=True, column_config={"recall": share, "precision at natural rates": share}
    )
    total = sum(NATURAL_COUNTS.values())
    rates = ", ".join(f"{name} {100 * count / total:.1f} %" for name, count in NATURAL_COUNTS.items())
    st.caption(f"Natural rates: {rates}, as in the paper. A test set with equal classes flatters the rare ones.")


framed(st, __file__)
st.title("Confusion matrices", anchor=False)
with st.sidebar:
    folder = st.text_input(
        "Folder of results",
        CHECKPOINTS,
        key="folder",
        bind="query-params",
        help="Reports, runs and bundles below it are found.",
    )
results, problems = find_results(PROJECT / folder)
results = [*state.get("demo_results", []), *results]
with st.sidebar:
    st.button("Classify the demo archive now", on_click=lambda: state.update(classify_demo=True), width="stretch")
if state.pop("classify_demo", False):
    try:
        classify_demo()
    except (ImportError, OSError, ValueError, RuntimeError) as error:
        st.error(f"The models cannot be used: {plain_markdown(error)}")
    else:
        st.rerun()
if problems:
    with st.sidebar.expander(f"{len(problems)} files could not be used", icon=":material/warning:"):
        for problem in problems:
            st.text(problem)
if not results:
    st.info("No results here yet. Classify the demo archive (left), or write some: `tsc evaluate --out report.json`.")
    st.stop()

origins = [origin for origin in ORIGINS if any(result.origin == origin for result in results)]
if state.get("origin") not in origins:
    state.origin = origins[0]
origin = st.segmented_control("Objects", origins, required=True, key="origin")
here = [result for result in results if result.origin == origin]
one_tab, difference_tab, calibration_tab = st.tabs(["One model", "Difference of two", "Calibration"])
with one_tab:
    chosen = one_of("Result", here, "result")
    first = chosen[0]
    beside = st.container(horizontal=True)
    left, right = beside.container(width=MATRIX_WIDTH), beside.container(width=SUMMARY_WIDTH)
    with left:
        if len(chosen) > 1:
            classes, mean, spread = over_seeds(chosen)
            counts = sum(result.counts for result in chosen) / len(chosen)
            chart = confusion_chart(classes, counts, mean, spread)
            st.caption(
                f"Mean of {len(chosen)} seeds; ± is their standard deviation. Objects are those of the first seed."
            )
        else:
            chart = confusion_chart(first.classes, first.counts)
        event = st.altair_chart(
            chart, key=f"matrix {first.title}", on_select="rerun", selection_mode=CELL, width="content"
        )
    with right:
        summary(first)
        objects_of(first, event)
with difference_tab:
    left, right = st.columns(2)
    with left:
        a = one_of("First", here, "first")[0]
    with right:
        b = one_of("Less second", here, "second")[0]
    if a.classes != b.classes:
        st.info(f"They know different classes: {', '.join(a.classes)} and {', '.join(b.classes)}.")
    elif a is b:
        st.info("Choose two different results to see where they differ.")
    else:
        st.altair_chart(difference_chart(a.classes, a.counts, b.counts), width="content")
        st.caption("Points of row per cent: blue where the first has more, orange where the second has.")
with calibration_tab:
    with_objects = [result for result in here if result.scores]
    if not with_objects:
        st.info("No result here kept its objects, so there is nothing to draw.")
    else:
        result = one_of("Result", with_objects, "calibrated")[0]
        curves = result.reliability()
        st.plotly_chart(reliability_figure(curves), key="reliability")
        confident = [b for bins in curves.values() for b in bins if math.isfinite(b["frequency"])]
        st.caption(f"{sum(b['n'] for b in confident)} probabilities in bins of 0.1, with 95 % Wilson intervals.")
