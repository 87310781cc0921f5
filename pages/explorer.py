"""One object: its stamps, its light curve, and class probabilities as detections accumulate."""

import pandas as pd
import streamlit as st

from tsc_core.alerts import CHANNELS
from tsc_core.display.desk import desk
from tsc_core.display.exports import detections_csv, probabilities_csv, snippet, stamp_fits, stamps_zip
from tsc_core.display.links import aladin_page, broker_links, position
from tsc_core.display.photometry import TIME_AXES, light_curve
from tsc_core.display.progression import progression
from tsc_core.display.report import report_page
from tsc_core.display.stamps import STRETCHES, draw_stamp, draw_tile, pixel_limits
from tsc_core.display.strip import first_place, shown_places, tiles
from tsc_core.display.text import percent, plain_markdown, utc_text
from tsc_core.preprocessing.quality import WINDOWS, select_alerts
from tsc_core.sources import SourceError
from tsc_core.sources.packets import PacketSource
from tsc_core.survey import check_oid, is_made

TILE_WIDTH, ZOOM_SCALE, MOST_LISTED, MOST_VIEWED = 126, 10, 5000, 12
SHOWN = ("difference", "same limits", "history")
SPECS = ("demo", "alerce", "upload")
state = st.session_state


def choose(oid: str) -> None:
    """Show another object."""
    state.oid = oid


def revisit(spec: str, oid: str) -> None:
    """Show an object seen before, from its own source."""
    state.source, state.oid = spec, oid


def picked() -> None:
    """Show the object picked from the list."""
    choose(state.pick)


def step(by: int) -> None:
    """Select the next or previous detection; the script keeps it in range."""
    state.det = state.get("det", 1) + by


def select(place: int) -> None:
    """Select the detection at a place of the sequence."""
    state.det = place + 1


def clicked() -> None:
    """Select the detection whose point was clicked."""
    chosen = state.curve.selection.points
    if chosen and chosen[0].get("customdata"):
        select(int(chosen[0]["customdata"][0]))


# --- which object -----------------------------------------------------------------------------------------------

with st.sidebar:
    spec = st.selectbox(
        "Source",
        SPECS,
        key="source",
        bind="query-params",
        accept_new_options=True,
        on_change=choose,
        args=[""],
        help="The demo archive, ALeRCE live, or packets you upload. Or type the path of ZTF alert packets: "
        "an Avro file, a folder, a tar or tar.gz.",
    )
    files = st.file_uploader("Alert packets", accept_multiple_files=True) if spec == "upload" else []

if files and [file.file_id for file in files] != state.get("upload_ids"):
    state.upload_ids = [file.file_id for file in files]
    state.upload = PacketSource.from_uploads([(file.name, file.getvalue()) for file in files], files[0].name)
if spec == "upload" and "upload" not in state:
    st.info("Upload ZTF alert packets: Avro files, or a tar or tar.gz of them.", icon=":material/upload:")
    st.stop()

try:
    source = state.upload if spec == "upload" else desk().source(spec)
    oids = source.oids()
except SourceError as error:
    st.error(plain_markdown(error), icon=":material/folder_off:")
    st.button("Try again", icon=":material/refresh:")
    st.stop()

if oids and not state.get("oid"):
    state.oid = oids[0]
with st.sidebar:
    st.text_input("Object id", key="oid", bind="query-params", placeholder="ZTF18abcdefg", max_chars=20)
    if oids:
        here = oids.index(state.oid) if state.oid in oids else None
        left, right = st.columns(2)
        before, after = oids[((here or 0) - 1) % len(oids)], oids[((-1 if here is None else here) + 1) % len(oids)]
        left.button("Previous", on_click=choose, args=[before], shortcut="P", width="stretch")
        right.button("Next", on_click=choose, args=[after], shortcut="N", width="stretch")
        state.pick = state.oid if here is not None else None
        st.selectbox(f"{len(oids)} objects in this source", oids[:MOST_LISTED], key="pick", on_change=picked)
    window = st.segmented_control(
        "Detections used", WINDOWS, default="first", key="window", bind="query-params", required=True,
        help="The first five, as in the paper, or the last five, which follow what the object does now.",
    )  # fmt: skip

if source.problems:
    with st.sidebar.expander(f"{len(source.problems)} items could not be read", icon=":material/warning:"):
        for problem in source.problems[:50]:
            st.text(problem)

if not state.oid:
    st.info("Type the id of a ZTF object in the sidebar, for example ZTF18abcdefg.", icon=":material/search:")
    st.stop()
try:
    oid = check_oid(state.oid.strip())
    sequence = desk().sequence(source, oid)
except (ValueError, SourceError) as error:
    st.error(plain_markdown(error), icon=":material/search_off:")
    st.button("Try again", icon=":material/refresh:")
    st.stop()

selection = select_alerts(sequence, window)
used = {alert.candid for alert in selection.used}
count = len(sequence.alerts)
if state.get("shown") not in (None, (source.name, oid, window)) or "det" not in state:
    state.det = first_place(sequence, used) + 1
state.shown = (source.name, oid, window)
state.viewed = [(spec, oid), *(seen for seen in state.get("viewed", []) if seen != (spec, oid))][:MOST_VIEWED]
state.det = min(max(int(state.det), 1), max(count, 1))

if len(state.viewed) > 1:
    with st.sidebar.popover("Seen before", icon=":material/history:", width="stretch"):
        for number, (past_spec, past) in enumerate(state.viewed[1:]):
            st.button(past, key=f"seen {number}", on_click=revisit, args=[past_spec, past], type="tertiary")

# --- what it is ---------------------------------------------------------------------------------------------------

head, verdict_place = st.columns([3, 2], vertical_alignment="center")
with head.container(horizontal=True, vertical_alignment="center"):
    st.subheader(oid, anchor=False, width="content")
    if is_made(oid):
        st.badge("simulated", color="violet")
    st.badge(f"{count} detections, {len(used)} used", color="gray")
    where = position(sequence)
    if where:
        st.caption(f"RA {where[0]:.5f}°, Dec {where[1]:+.5f}°", width="content")
for flag in sequence.flags:
    st.caption(f":material/flag: {plain_markdown(flag)}")

if not count:
    st.info("This object has no detections in this source.")
    st.stop()

# --- stamps -------------------------------------------------------------------------------------------------------

with st.container(horizontal=True, vertical_alignment="center", gap="small"):
    st.button("", icon=":material/chevron_left:", on_click=step, args=[-1], shortcut="Left", help="Previous detection")
    st.number_input("Detection", min_value=1, key="det", bind="query-params", width=110, label_visibility="collapsed")
    st.button("", icon=":material/chevron_right:", on_click=step, args=[1], shortcut="Right", help="Next detection")
    st.space("stretch")
    stretch = st.segmented_control(
        "Stretch", STRETCHES, default="asinh", key="stretch", bind="query-params", required=True,
        label_visibility="collapsed",
    )  # fmt: skip
    show = st.pills(
        "Show", SHOWN, selection_mode="multi", key="show", bind="query-params", label_visibility="collapsed",
        help="Difference stamps; one black and white level per band; earlier detections, which have no stamps.",
    )  # fmt: skip

chosen = state.det - 1
channels = CHANNELS if "difference" in show else CHANNELS[:2]
places = shown_places(sequence, chosen, used, history="history" in show)
with st.container(horizontal=True, wrap=False, gap="small", key="strip"):
    for tile in tiles(
        sequence, selection.reasons, places, channels=channels, stretch=stretch, common="same limits" in show
    ):
        with st.container(width=TILE_WIDTH, gap="xxsmall"):
            st.button(
                tile.title,
                key=f"tile {tile.place}",
                type="primary" if tile.place == chosen else "tertiary",
                on_click=select,
                args=[tile.place],
                width="stretch",
            )
            st.image(tile.png, width=TILE_WIDTH, alt=tile.alt)
            st.caption(plain_markdown(tile.caption))
            if tile.reason:
                st.caption(f":material/block: {plain_markdown(tile.reason)}")
legend = "Science above template" + (" above difference" if "difference" in show else "")
legend += ", north up, east left, yellow bar 10″, purple: no data. Greyed: not used."
if len(places) < count:
    legend += f" {len(places)} of {count} detections shown; the others have no stamps."
st.caption(legend)

# --- light curve and probabilities --------------------------------------------------------------------------------

with st.container(horizontal=True, vertical_alignment="center"):
    time_axis = st.segmented_control(
        "Time", TIME_AXES, default="MJD", key="time", bind="query-params", required=True, label_visibility="collapsed"
    )
    of_object = st.toggle("object magnitude", key="object", bind="query-params", help="The reference's flux added.")
    upper = st.toggle("upper limits", value=True, key="upper", bind="query-params")
left, right = st.columns([1, 1])
figure = light_curve(sequence, used=used, selected=chosen, time_axis=time_axis, of_object=of_object, with_limits=upper)
left.plotly_chart(figure, key="curve", on_select=clicked, selection_mode="points")
left.caption("Ringed: used by the models. Click a point to select its stamps; click a band to hide it.")
probabilities_place = right.container()
warnings_place = st.container()

# --- closer -------------------------------------------------------------------------------------------------------

zoom, packet, elsewhere, downloads, python = st.tabs(["Zoom", "Packet", "Elsewhere", "Downloads", "Python"])
alert = sequence.alerts[chosen]
with zoom:
    if alert.stamps is None:
        st.info(f"Detection {state.det} has no stamps: {plain_markdown(alert.missing or 'none came')}.")
    else:
        for column, channel in zip(st.columns(3), CHANNELS, strict=True):
            limits = pixel_limits([alert.stamps.channel(channel)], stretch)
            column.image(draw_stamp(alert.stamps.channel(channel), stretch, limits, scale=ZOOM_SCALE), alt=channel)
            height, width = alert.stamps.channel(channel).shape
            column.caption(f"{channel}, {height}×{width} pixels, {limits[0]:.4g} to {limits[1]:.4g} counts")
with packet:
    st.caption(f"Detection {state.det}, candid {alert.candid}, {utc_text(alert.mjd, '%Y-%m-%d %H:%M:%S')} UTC")
    record = [(name, str(value)[:200]) for name, value in sorted(alert.record.items())]
    st.dataframe(pd.DataFrame(record, columns=["field", "value"]), hide_index=True, height=320)
with elsewhere:
    links = broker_links(sequence)
    if not links:
        st.info("A simulated object is nowhere else in the sky: no links, no sky picture.")
    with st.container(horizontal=True):
        for name, url in links.items():
            st.link_button(name, url, icon=":material/open_in_new:")
    if links and where and st.toggle("Sky around it (Aladin Lite, needs the internet)", key="sky"):
        st.iframe(aladin_page(*where), height=410)
with python:
    st.code(snippet(source.name if spec == "upload" else spec, oid, window), language="python")

# --- what the models say, last since it may wait for them ------------------------------------------------------------

try:
    with probabilities_place, st.spinner("Classifying …" if desk().ready else "Loading the models …"):
        verdict = desk().verdict(source, sequence, window)
except (ImportError, OSError, ValueError, RuntimeError) as error:
    probabilities_place.error(f"The models cannot be used: {plain_markdown(error)}")
    st.stop()
prediction = verdict.prediction
with probabilities_place:
    if prediction.steps:
        st.plotly_chart(progression(prediction.steps, bands=verdict.bands), key="progression")
        st.caption("Below each number: the bundle that served it. Bars: how far its members differ.")
    else:
        st.info("No model could be used on this object; the notes say why.")
for flag in prediction.flags:
    if flag not in sequence.flags:
        warnings_place.warning(plain_markdown(flag))
if prediction.steps:
    last = prediction.steps[-1]
    best = max(last.probabilities, key=last.probabilities.get)
    title = f"after {last.n} detection{'s' * (last.n > 1)}"
    verdict_place.metric(title, f"{best} {percent(last.probabilities[best])}")
with downloads, st.container(horizontal=True):
    st.download_button("Detections (CSV)", detections_csv(sequence, prediction), f"{oid}_detections.csv", "text/csv")
    st.download_button("Probabilities (CSV)", probabilities_csv(prediction), f"{oid}_probabilities.csv", "text/csv")
    if any(alert.has_stamps for alert in sequence.alerts):
        st.download_button("All stamps (FITS)", lambda: stamps_zip(sequence), f"{oid}_stamps.zip", "application/zip")
    if alert.stamps is not None:
        st.download_button(
            "This science stamp (FITS)", stamp_fits(alert, "science"), f"{alert.candid}_science.fits.gz",
            "application/gzip",
        )  # fmt: skip
        picture = draw_tile(alert, CHANNELS, stretch, scale=ZOOM_SCALE)
        st.download_button("These stamps (PNG)", picture, f"{alert.candid}.png", "image/png")
    st.download_button("Report (HTML)", lambda: report_page(sequence, verdict, window), f"{oid}.html", "text/html")
