"""One object: its stamps, its light curve, and class probabilities as detections accumulate."""

import time

import streamlit as st

from panels.address import as_left
from panels.answer import alerce_says, answer, chart, classified, notes, rates_toggle, verdict, why
from panels.object import (
    BLOCK_WIDTH,
    curve,
    curve_controls,
    downloads,
    drawing_controls,
    elsewhere,
    headline,
    packet_table,
    strip,
    zoomed,
)
from tsc_core.alerts import AlertSequence
from tsc_core.display.answer import trust
from tsc_core.display.desk import LIVE, desk
from tsc_core.display.elsewhere import Progress, not_asked, with_stamps
from tsc_core.display.exports import snippet
from tsc_core.display.frame import framed
from tsc_core.display.strip import first_place
from tsc_core.display.text import plain_markdown
from tsc_core.preprocessing.quality import WINDOWS, select_alerts
from tsc_core.sources import Source, SourceError
from tsc_core.sources.packets import PacketSource
from tsc_core.survey import ZTF, check_oid

MOST_LISTED, MOST_VIEWED, HOLD_S = 5000, 12, 1.6
SPECS = ("demo", LIVE, "upload")
TABS = ("Zoom", "Why", "Packet", "Elsewhere", "Downloads", "Python")
state = st.session_state


# --- what a click or a key does ---------------------------------------------------------------------------------


def choose(oid: str) -> None:
    """Show another object."""
    state.oid = oid


def picked() -> None:
    """Show the object picked from the list."""
    choose(state.pick)


def revisit(spec: str, oid: str) -> None:
    """Show an object seen before, from its own source."""
    state.source, state.oid = spec, oid


def ask_anew(source: Source, oid: str) -> None:
    """Forget what is known of an object, so that every service is asked again."""
    desk().forget(source, oid)
    desk().ask_again(("probabilities", oid))


def stamps_first() -> None:
    """Wait a moment before a session's first chart: the browser does nothing else for seconds as it reads Plotly."""
    if "charted" not in state:
        time.sleep(HOLD_S)
    state.charted = True


# --- the parts of the page --------------------------------------------------------------------------------------


def open_chosen(spec: str, window: str) -> Source:
    """The source chosen in the sidebar; the page ends here where it cannot be opened."""
    try:
        if spec == "upload":
            return state.upload
        with st.spinner("Opening …"):
            source = desk().source(spec, window)
            source.oids()  # reads the archive once
        return source
    except (SourceError, OSError) as error:
        st.error(plain_markdown(error), icon=":material/folder_off:")
        st.button("Try again", icon=":material/refresh:")
        st.stop()


def object_box(oids: tuple[str, ...]) -> None:
    """Enter or pick an object, in the sidebar."""
    if oids and not state.get("oid", "").strip():
        state.oid = oids[0]
    st.text_input("Object id", key="oid", bind="query-params", placeholder="ZTF18abcdefg", max_chars=20)
    if not oids:
        return
    here = oids.index(state.oid) if state.oid in oids else None
    before, after = oids[((here or 0) - 1) % len(oids)], oids[((-1 if here is None else here) + 1) % len(oids)]
    left, right = st.columns(2)
    left.button("Previous", on_click=choose, args=[before], shortcut="P", width="stretch")
    right.button("Next", on_click=choose, args=[after], shortcut="N", width="stretch")
    state.pick = state.oid if here is not None and here < MOST_LISTED else None
    many = f"{len(oids)} object{'s' * (len(oids) != 1)} in this source"
    st.selectbox(many, oids[:MOST_LISTED], key="pick", on_change=picked)


def read_object(slot: st.delta_generator.DeltaGenerator, source: Source, oid: str) -> AlertSequence:
    """The object; progress takes the place of what was there. The page ends here where it cannot be had."""
    try:
        check_oid(oid)
        if source.name != LIVE or desk().has(source, oid):
            return desk().sequence(source, oid)
        bar = slot.progress(0.0, text="Asking ALeRCE …")
        return desk().sequence(source, oid, lambda: source.fetch(oid, told(bar)))
    except (ValueError, SourceError) as error:
        with slot.container():
            st.error(plain_markdown(error), icon=":material/search_off:")
            with st.container(horizontal=True):
                st.button("Try again", icon=":material/refresh:")
                if source.name != LIVE and ZTF.oid_pattern.fullmatch(oid):
                    st.button("Look for it at ALeRCE", icon=":material/public:", on_click=revisit, args=[LIVE, oid])
            if source.name == LIVE:
                st.caption("Without internet, `tsc serve-archive night.tar.gz` stands in for ALeRCE.")
        st.stop()


def told(bar: st.delta_generator.DeltaGenerator) -> Progress:
    """What a live source says of its progress, on a bar: "stamps 3 of 5"."""
    return lambda what, done, total: bar.progress(done / max(total, 1), text=f"{what} {done} of {total}")


def remaining_stamps(source: Source, sequence: AlertSequence) -> None:
    """Offer the stamps of a live object that the window did not need."""
    left = not_asked(sequence) if source.name == LIVE else []
    many = f"{len(left)} more detection{'s' * (len(left) != 1)}"
    if left and st.button(f"Get the stamps of {many}", icon=":material/download:"):
        bar = st.progress(0.0, text="Asking ALeRCE …")
        try:
            desk().replace(source, with_stamps(source, sequence, told(bar)))
        except (ValueError, SourceError) as error:
            st.error(plain_markdown(error))
        else:
            st.rerun()


framed(st, __file__)

# --- the page ---------------------------------------------------------------------------------------------------

as_left("source", "oid", "window")
with st.sidebar:
    spec = st.selectbox(
        "Source", SPECS, key="source", bind="query-params", accept_new_options=True, on_change=choose, args=[""],
        help="The demo archive, ALeRCE live, or packets you upload. Or type the path of ZTF alert packets: "
        "an Avro file, a folder, a tar or tar.gz.",
    )  # fmt: skip
    packets = st.file_uploader("Alert packets", accept_multiple_files=True) if spec == "upload" else []
    box = st.container()
    window = st.segmented_control(
        "Detections used", WINDOWS, default="first", key="window", bind="query-params", required=True,
        help="The first five, as in the paper, or the last five, which follow what the object does now.",
    )  # fmt: skip
if packets and [file.file_id for file in packets] != state.get("upload_ids"):
    state.upload_ids = [file.file_id for file in packets]
    state.upload = PacketSource.from_uploads([(file.name, file.getvalue()) for file in packets], packets[0].name)
    state.oid = ""
if spec == "upload" and "upload" not in state:
    st.info("Upload ZTF alert packets: Avro files, or a tar or tar.gz of them.", icon=":material/upload:")
    st.stop()

source = open_chosen(spec, window)
oids, problems = source.oids(), () if source.name == LIVE else source.problems
with box:
    object_box(oids)
if problems:
    few = f"{len(problems)} item{'s' * (len(problems) != 1)} could not be read"
    with st.sidebar.expander(few, icon=":material/warning:"):
        for problem in problems[:50]:
            st.text(problem)
oid = state.oid.strip()
if not oid:
    if oids:
        st.rerun()  # Back led to an address without an object: the box takes the first
    if problems:
        st.error(f"No object could be read: {plain_markdown(problems[0])}", icon=":material/folder_off:")
        st.stop()
    st.info("Type the id of a ZTF object in the sidebar, for example ZTF18abcdefg.", icon=":material/search:")
    st.stop()

slot = st.empty()
sequence = read_object(slot, source, oid)
with slot.container():
    selection = select_alerts(sequence, window)
    used = {alert.candid for alert in selection.used}
    shown = (spec, oid, window)
    first = first_place(sequence, used)
    state.linked = state.get("arrived") or state.get("shown", shown) == shown  # the address is about this object
    if state.get("shown") != shown:  # where a link or Back names a detection, the box itself takes it over
        state.det = first + 1
    state.shown = shown
    state.det = min(max(int(state.det or first + 1), 1), max(len(sequence.alerts), 1))
    state.viewed = [shown[:2], *(seen for seen in state.get("viewed", []) if seen != shown[:2])][:MOST_VIEWED]

    verdict_place = headline(sequence, len(used))
    if not sequence.alerts:
        st.info("This object has no detections in this source.")
        st.stop()
    chosen, stretch, show = drawing_controls(first, len(sequence.alerts))
    alert = sequence.alerts[chosen]
    strip(sequence, selection, chosen, first, stretch, show)
    remaining_stamps(source, sequence)
    drawn_as = curve_controls()
    row = st.container(horizontal=True)
    curve_block, chart_block, answer_block, words_block = (row.container(width=BLOCK_WIDTH) for _ in range(4))
    curve_place, chart_place = curve_block.container(), chart_block.container()
    curve_block.caption(
        "Ringed: used by the models. Click a point to select its stamps, a band in the legend to hide it."
    )
    tabs = dict(zip(TABS, st.tabs(TABS, key="tab", on_change="rerun", bind="query-params"), strict=True))
    with tabs["Zoom"]:
        if tabs["Zoom"].open:
            zoomed(alert, chosen + 1, stretch)
    with tabs["Packet"]:
        if tabs["Packet"].open:
            packet_table(alert, chosen + 1)
    with tabs["Elsewhere"]:
        if tabs["Elsewhere"].open:
            elsewhere(sequence)
    with tabs["Python"]:
        if tabs["Python"].open:
            st.code(snippet(source.name if spec == "upload" else spec, oid, window), language="python")

    models_wait = not desk().ready
    if models_wait:
        with curve_place:
            curve(sequence, used, chosen, drawn_as)
    with chart_place:
        prediction = classified(source, sequence, window)
    answered = None
    if prediction.steps:
        with answer_block:
            answered = answer(prediction)
        verdict(verdict_place, answered)
    else:
        verdict_place.empty()
        answer_block.info("No model could be used on this object.")
    with words_block:
        if answered:
            st.caption(trust(answered))
        notes(sequence, prediction)
        at_rates = rates_toggle() if answered else False
        references_place = st.container()
    if not models_wait:
        stamps_first()
        with curve_place:
            curve(sequence, used, chosen, drawn_as)
    with references_place:
        others = alerce_says(oid, source) if answered else []
    if answered:
        with chart_place:
            chart(prediction, answered, at_rates, others)
        chart_block.caption("Below each number: the bundle that served it. Bars: how far its members differ.")
    with tabs["Why"]:
        if tabs["Why"].open and answered:
            why(source, sequence, window, answered, stretch)
    with tabs["Downloads"]:
        if tabs["Downloads"].open:
            downloads(sequence, prediction, alert, stretch, window, others)
    if source.name == LIVE:
        st.button("Ask every service again", icon=":material/refresh:", on_click=ask_anew, args=[source, oid])

if len(state.viewed) > 1:
    with st.sidebar.popover("Seen before", icon=":material/history:", width="stretch"):
        for number, (past_spec, past) in enumerate(state.viewed[1:]):
            st.button(past, key=f"seen {number}", on_click=revisit, args=[past_spec, past], type="tertiary")
