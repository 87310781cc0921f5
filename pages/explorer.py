"""One object: its stamps, its light curve, and class probabilities as detections accumulate."""

import pandas as pd
import streamlit as st

from tsc_core.alerts import CHANNELS, Alert, AlertSequence, Prediction, Step
from tsc_core.display.desk import LIVE, desk
from tsc_core.display.elsewhere import Progress, not_asked, references, with_stamps
from tsc_core.display.exports import snippet
from tsc_core.display.files import files
from tsc_core.display.frame import framed
from tsc_core.display.links import aladin_page, broker_links, facts, position
from tsc_core.display.photometry import TIME_AXES, light_curve
from tsc_core.display.progression import Reference, progression
from tsc_core.display.stamps import STRETCHES, draw_stamp, pixel_limits
from tsc_core.display.strip import first_place, legend, shown_places, tiles
from tsc_core.display.text import percent, plain_markdown, utc_text
from tsc_core.preprocessing.quality import WINDOWS, select_alerts
from tsc_core.sources import Source, SourceError
from tsc_core.sources.packets import PacketSource
from tsc_core.survey import check_oid, is_made

TILE_WIDTH, ZOOM_SCALE, MOST_LISTED, MOST_VIEWED, MOST_FLAGS = 126, 10, 5000, 12, 4
SPECS = ("demo", LIVE, "upload")
SHOWN = ("difference", "same limits", "history")
BROKEN = (ImportError, OSError, ValueError, RuntimeError)  # what an unusable bundle raises
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


def select(place: int) -> None:
    """Select the detection at a place of the sequence."""
    state.det = place + 1


def step(by: int) -> None:
    """Select the next or previous detection; the script keeps it in range."""
    state.det = state.get("det", 1) + by


def clicked() -> None:
    """Select the detection whose point was clicked."""
    chosen = state.curve.selection.points
    if chosen and chosen[0].get("customdata"):
        select(int(chosen[0]["customdata"][0]))


def ask_anew(source: Source, oid: str) -> None:
    """Forget what is known of an object, so that every service is asked again."""
    desk().forget(source, oid)
    desk().ask_again(("probabilities", oid))


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
    if oids and not state.get("oid"):
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
    st.selectbox(f"{len(oids)} objects in this source", oids[:MOST_LISTED], key="pick", on_change=picked)


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
            st.button("Try again", icon=":material/refresh:")
        st.stop()


def told(bar: st.delta_generator.DeltaGenerator) -> Progress:
    """What a live source says of its progress, on a bar: "stamps 3 of 5"."""
    return lambda what, done, total: bar.progress(done / max(total, 1), text=f"{what} {done} of {total}")


def headline(sequence: AlertSequence, used: int) -> st.delta_generator.DeltaGenerator:
    """Id, kind, position and what is wrong with the data; returns the place for the verdict."""
    head, verdict_place = st.columns([3, 2], vertical_alignment="center")
    with head.container(horizontal=True, vertical_alignment="center"):
        st.subheader(sequence.oid, anchor=False, width="content")
        if is_made(sequence.oid):
            st.badge("simulated", color="violet")
        st.badge(f"{len(sequence.alerts)} detections, {used} used", color="gray")
        if sequence.label:
            st.badge(f"true class {plain_markdown(sequence.label, 20)}", color="gray")
    head.caption(facts(sequence))
    for flag in sequence.flags[:MOST_FLAGS]:
        st.caption(f":material/flag: {plain_markdown(flag)}")
    if len(sequence.flags) > MOST_FLAGS:
        with st.expander(f"{len(sequence.flags) - MOST_FLAGS} more notes on the data"):
            for flag in sequence.flags[MOST_FLAGS:]:
                st.text(flag)
    place = verdict_place.empty()
    place.metric("classifying", "…")  # nothing of a former object stays
    return place


def drawing_controls() -> tuple[str, list[str]]:
    """Stepping through detections, and how stamps are drawn: the stretch, and which of `SHOWN`."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button("", icon=":material/chevron_left:", on_click=step, args=[-1], shortcut="Left", key="back")
        st.number_input(
            "Detection", min_value=1, key="det", bind="query-params", width=110, label_visibility="collapsed"
        )
        st.button("", icon=":material/chevron_right:", on_click=step, args=[1], shortcut="Right", key="forward")
        st.space("stretch")
        stretch = st.segmented_control(
            "Stretch", STRETCHES, default="asinh", key="stretch", bind="query-params", required=True,
            label_visibility="collapsed",
        )  # fmt: skip
        show = st.pills(
            "Show", SHOWN, selection_mode="multi", key="show", bind="query-params", label_visibility="collapsed"
        )
    return stretch, show


def strip(sequence: AlertSequence, selection: object, chosen: int, stretch: str, show: list[str]) -> None:
    """All detections side by side."""
    channels = CHANNELS if "difference" in show else CHANNELS[:2]
    used = {alert.candid for alert in selection.used}
    places = shown_places(sequence, chosen, used, history="history" in show)
    common = "same limits" in show
    drawn = tiles(sequence, selection.reasons, places, channels=channels, stretch=stretch, common=common)
    with st.container(horizontal=True, wrap=False, gap="small", key="strip"):
        for tile in drawn:
            with st.container(width=TILE_WIDTH, gap="xxsmall"):
                kind = "primary" if tile.place == chosen else "tertiary"
                key = f"tile {tile.place}"
                st.button(tile.title, key=key, type=kind, on_click=select, args=[tile.place], width="stretch")
                st.image(tile.png, width=TILE_WIDTH, alt=tile.alt)
                st.caption(plain_markdown(tile.caption))
                if tile.reason:
                    st.caption(f":material/block: {plain_markdown(tile.reason)}")
    st.caption(legend(sequence, places, channels))


def remaining_stamps(source: Source, sequence: AlertSequence) -> None:
    """Offer the stamps of a live object that the window did not need."""
    left = not_asked(sequence) if source.name == LIVE else []
    if left and st.button(f"Get the stamps of {len(left)} more detections", icon=":material/download:"):
        bar = st.progress(0.0, text="Asking ALeRCE …")
        try:
            desk().replace(source, with_stamps(source, sequence, told(bar)))
        except (ValueError, SourceError) as error:
            st.error(plain_markdown(error))
        else:
            st.rerun()


def curve(sequence: AlertSequence, used: set[str], chosen: int) -> st.delta_generator.DeltaGenerator:
    """The light curve; returns the place for the probabilities beside it."""
    with st.container(horizontal=True, vertical_alignment="center"):
        time_axis = st.segmented_control(
            "Time", TIME_AXES, default="MJD", key="time", bind="query-params", required=True,
            label_visibility="collapsed",
        )  # fmt: skip
        of_object = st.toggle("object magnitude", key="object", bind="query-params", help="The reference's flux added.")
        upper = st.toggle("upper limits", value=True, key="upper", bind="query-params")
    left, right = st.columns(2)
    figure = light_curve(
        sequence, used=used, selected=chosen, time_axis=time_axis, of_object=of_object, with_limits=upper
    )
    left.plotly_chart(figure, key="curve", on_select=clicked, selection_mode="points", alt="Light curve")
    left.caption("Ringed: used by the models. Click a point to select its stamps, a band in the legend to hide it.")
    return right.container()


def zoomed(alert: Alert, number: int, stretch: str) -> None:
    """The three stamps of the selected detection, large."""
    if alert.stamps is None:
        st.info(f"Detection {number} has no stamps: {plain_markdown(alert.missing or 'none came')}.")
        return
    for column, channel in zip(st.columns(3), CHANNELS, strict=True):
        pixels = alert.stamps.channel(channel)
        low, high = pixel_limits([pixels], stretch)
        column.image(
            draw_stamp(pixels, stretch, (low, high), scale=ZOOM_SCALE), alt=f"{channel} stamp", width="stretch"
        )
        height, width = pixels.shape
        column.caption(f"{channel}, {height}×{width} pixels, {low:.4g} to {high:.4g} counts")


def packet_table(alert: Alert, number: int) -> None:
    """Every field of the selected detection."""
    st.caption(f"Detection {number}, candid {alert.candid}, {utc_text(alert.mjd, '%Y-%m-%d %H:%M:%S')} UTC")
    record = [(name, str(value)[:200]) for name, value in sorted(alert.record.items())]
    st.dataframe(pd.DataFrame(record, columns=["field", "value"]), hide_index=True, height=320)


def links(sequence: AlertSequence) -> None:
    """Other brokers and catalogues, and the sky around."""
    found, where = broker_links(sequence), position(sequence)
    if not found:
        st.info("A simulated object is nowhere else in the sky: no links, no sky picture.")
        return
    with st.container(horizontal=True):
        for name, url in found.items():
            st.link_button(name, url, icon=":material/open_in_new:")
    if where and st.toggle("Sky around it (Aladin Lite, needs the internet)", key="sky"):
        st.iframe(aladin_page(*where), height=410)


def classified(source: Source, sequence: AlertSequence, window: str) -> Prediction:
    """What the models say; the page ends here where they cannot be used."""
    try:
        with st.spinner("Classifying …" if desk().ready else "Loading the models …"):
            return desk().prediction(source, sequence, window)
    except BROKEN as error:
        st.error(f"The models cannot be used: {plain_markdown(error)}")
        st.stop()


def verdict(place: st.delta_generator.DeltaGenerator, last: Step) -> None:
    """The class after the last step, and whether it should be named at all."""
    from tsc_core.inference.doubt import abstention  # here, since SciPy takes its time and the stamps need not wait

    best = max(last.probabilities, key=last.probabilities.get)
    title = f"after {last.n} detection{'s' * (last.n > 1)}"
    doubts = abstention(last)
    place.metric(
        title, f"{best} {percent(last.probabilities[best])}", doubts and f"abstains: {doubts}", delta_color="off",
        delta_arrow="off", help=f"Classes that cannot be ruled out at {last.coverage:.0%}." if last.coverage else None,
    )  # fmt: skip


def alerce_says(oid: str) -> list[Reference]:
    """ALeRCE's own classifiers of a real object, those chosen; a failure is told and can be retried."""
    if is_made(oid) or not st.toggle("ALeRCE's classifiers", value=state.source == LIVE, key="others"):
        return []
    key = ("probabilities", oid)
    answer = desk().later(key, lambda: desk().source(LIVE).probabilities(oid))
    try:
        with st.spinner("Asking ALeRCE for its classifiers …"):
            found = references(answer.result())
    except (SourceError, ValueError, OSError) as error:
        st.warning(f"ALeRCE's classifiers: {plain_markdown(error)}")
        st.button("Ask again", icon=":material/refresh:", on_click=desk().ask_again, args=[key])
        return []
    if not found:
        st.caption("ALeRCE has no classification of this object.")
        return []
    names = {reference.label: reference for reference in found}
    chosen = st.multiselect("Dashed lines", list(names), default=list(names)[:1])
    return [names[name] for name in chosen]


framed(st, __file__)

# --- the page ---------------------------------------------------------------------------------------------------

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
with box:
    object_box(source.oids())
if source.name != LIVE and source.problems:
    with st.sidebar.expander(f"{len(source.problems)} items could not be read", icon=":material/warning:"):
        for problem in source.problems[:50]:
            st.text(problem)
oid = state.oid.strip()
if not oid:
    st.info("Type the id of a ZTF object in the sidebar, for example ZTF18abcdefg.", icon=":material/search:")
    st.stop()

slot = st.empty()
sequence = read_object(slot, source, oid)
with slot.container():
    selection = select_alerts(sequence, window)
    used = {alert.candid for alert in selection.used}
    shown = (spec, oid, window)
    asked = st.query_params.get("det", "")
    if "shown" not in state and asked.isdecimal():  # a deep link
        state.det = int(asked[:6])
    elif state.get("shown") != shown:
        state.det = first_place(sequence, used) + 1
    state.shown = shown
    state.det = min(max(int(state.det), 1), max(len(sequence.alerts), 1))
    state.viewed = [shown[:2], *(seen for seen in state.get("viewed", []) if seen != shown[:2])][:MOST_VIEWED]

    verdict_place = headline(sequence, len(used))
    if not sequence.alerts:
        st.info("This object has no detections in this source.")
        st.stop()
    chosen = state.det - 1
    alert = sequence.alerts[chosen]
    stretch, show = drawing_controls()
    strip(sequence, selection, chosen, stretch, show)
    remaining_stamps(source, sequence)
    probabilities_place = curve(sequence, used, chosen)
    notes_place = st.container()
    zoom_tab, packet_tab, links_tab, downloads_tab, python_tab = st.tabs(
        ["Zoom", "Packet", "Elsewhere", "Downloads", "Python"]
    )
    with zoom_tab:
        zoomed(alert, state.det, stretch)
    with packet_tab:
        packet_table(alert, state.det)
    with links_tab:
        links(sequence)
    with python_tab:
        st.code(snippet(source.name if spec == "upload" else spec, oid, window), language="python")

    with probabilities_place:  # last, for the models and ALeRCE may be waited for
        chart = st.empty()
        with chart:
            prediction = classified(source, sequence, window)
        others = []
        if prediction.steps:
            caption = st.caption("Below each number: the bundle that served it. Bars: how far its members differ.")
            others = alerce_says(oid)
            chart.plotly_chart(
                progression(prediction.steps, references=others),
                key="progression", alt="Probability of each class against number of detections",
            )  # fmt: skip
        else:
            verdict_place.empty()
            chart.info("No model could be used on this object; the notes say why.")
    if prediction.steps:
        verdict(verdict_place, prediction.steps[-1])
    for flag in prediction.flags:
        if flag not in sequence.flags:
            notes_place.warning(plain_markdown(flag))
    with downloads_tab, st.container(horizontal=True):
        for label, make, name in files(sequence, prediction, alert, stretch, window, others):
            st.download_button(label, make, name, on_click="ignore")
    if source.name == LIVE:
        st.button("Ask every service again", icon=":material/refresh:", on_click=ask_anew, args=[source, oid])

if len(state.viewed) > 1:
    with st.sidebar.popover("Seen before", icon=":material/history:", width="stretch"):
        for number, (past_spec, past) in enumerate(state.viewed[1:]):
            st.button(past, key=f"seen {number}", on_click=revisit, args=[past_spec, past], type="tertiary")
