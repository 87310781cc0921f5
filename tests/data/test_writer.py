import errno
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from tests.data.made import assert_same_sequence, files_of, made_many, odd
from tsc_core.alerts import Stamps
from tsc_core.data import durable
from tsc_core.data import writer as writer_module
from tsc_core.data.store import Dataset, DatasetError, DatasetWriter

PART = 4


@pytest.fixture(scope="module")
def sequences():
    return made_many(10, detections=3)


@pytest.fixture(scope="module")
def whole(tmp_path_factory, sequences):
    """Files of the dataset written in one go."""
    path = tmp_path_factory.mktemp("whole") / "set"
    fill(path, sequences)
    return files_of(path)


def fill(path, sequences):
    with DatasetWriter(path, part_objects=PART) as writer:
        for sequence in sequences:
            if sequence.oid not in writer.done:
                writer.add(sequence, origin="real")


def begin(path, sequences):
    """Write some objects and stop without finishing."""
    writer = DatasetWriter(path, part_objects=PART)
    for sequence in sequences:
        writer.add(sequence, origin="real")
    writer.close(complete=False)


SCRIPT = """
    import os, signal, sys
    from pathlib import Path
    from tests.data.made import made_many
    from tsc_core.data.store import DatasetWriter
    writer = DatasetWriter(Path(sys.argv[1]), part_objects=4)
    left = int(sys.argv[2])
    for sequence in made_many(10, detections=3):
        if sequence.oid not in writer.done:
            if left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
            writer.add(sequence, origin="real")
            print(sequence.oid, flush=True)
            left -= 1
    writer.close()
"""


def in_a_process(script, *arguments, **options):
    code = textwrap.dedent(script)
    return subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, **options)


def test_killed_twice_and_resumed_equals_one_go(tmp_path, whole):
    path, printed = tmp_path / "set", []
    for adds, code in ((3, -signal.SIGKILL), (4, -signal.SIGKILL), (99, 0)):
        done = in_a_process(SCRIPT, path, adds)
        assert done.returncode == code, done.stderr
        printed += done.stdout.split()
    assert len(printed) == len(set(printed)) == 10  # none was written twice
    assert files_of(path) == whole


@pytest.mark.parametrize("cut", [1, 7, 500, 9999999])
def test_a_torn_journal_loses_only_the_torn_objects(tmp_path, sequences, whole, cut):
    path = tmp_path / "set"
    begin(path, sequences[:7])
    journal = path / "part-open" / "journal"
    journal.write_bytes(journal.read_bytes()[:-cut])
    with DatasetWriter(path, part_objects=PART) as writer:
        expected = sequences[: 6 if cut < 9999999 else 4]
        assert set(writer.done) == {sequence.oid for sequence in expected}
        writer.close(complete=False)
    fill(path, sequences)
    assert files_of(path) == whole


def test_pixels_that_never_reached_the_disk_are_written_again(tmp_path, sequences, whole):
    path = tmp_path / "set"
    begin(path, sequences[:3])
    with (path / "part-open" / "stamps.f32").open("rb+") as stamps:
        stamps.seek(-40, os.SEEK_END)
        stamps.write(bytes(40))
    with DatasetWriter(path, part_objects=PART) as writer:
        assert set(writer.done) == {sequence.oid for sequence in sequences[:2]}
        writer.close(complete=False)
    fill(path, sequences)
    assert files_of(path) == whole


def test_an_unfinished_dataset_says_so_and_opens_in_part(tmp_path, sequences):
    begin(tmp_path / "set", sequences[:6])
    with pytest.raises(DatasetError, match="not finished; run the command that writes it again"):
        Dataset(tmp_path / "set")
    assert Dataset(tmp_path / "set", partial=True).oids == tuple(s.oid for s in sequences[:PART])


def test_an_error_in_the_block_leaves_it_unfinished(tmp_path, sequences):
    def interrupted():
        with DatasetWriter(tmp_path / "set") as writer:
            writer.add(sequences[0], origin="real")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    with DatasetWriter(tmp_path / "set") as writer:
        assert list(writer.done) == [sequences[0].oid]


def test_a_finished_dataset_is_added_to(tmp_path, sequences):
    fill(tmp_path / "set", sequences[:5])
    fill(tmp_path / "set", sequences)
    dataset = Dataset(tmp_path / "set")
    assert dataset.oids == tuple(sequence.oid for sequence in sequences)
    for sequence in sequences:
        assert_same_sequence(dataset.sequence(sequence.oid), sequence)


def test_a_run_that_adds_nothing_leaves_a_finished_dataset_as_it_was(tmp_path, sequences):
    fill(tmp_path / "set", sequences[:5])
    before = files_of(tmp_path / "set")
    begin(tmp_path / "set", [])
    assert files_of(tmp_path / "set") == before
    begin(tmp_path / "set", sequences[5:6])
    with pytest.raises(DatasetError, match="not finished"):
        Dataset(tmp_path / "set")


# --- a full disk ----------------------------------------------------------------------------------------------

LIMITED = """
    import sys
    from pathlib import Path
    import resource
    from tests.data.made import made_many
    from tsc_core.data.store import DatasetError, DatasetWriter
    writer = DatasetWriter(Path(sys.argv[1]), part_objects=4)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
    try:
        for sequence in made_many(10, detections=3):
            if sequence.oid not in writer.done:
                writer.add(sequence, origin="real")
    except DatasetError as error:
        print(error)
"""


@pytest.mark.parametrize("room", [200_000, 440_000])
def test_a_file_that_may_not_grow(tmp_path, sequences, whole, room):
    """The system itself refuses a write half way: what was whole before stays, and a later run goes on."""
    path, kept = tmp_path / "set", room // (3 * 3 * 63 * 63 * 4)
    done = in_a_process(LIMITED, path, room)
    assert f"the {kept} objects written before are safe, run again to go on from there" in done.stdout, done.stderr
    assert "File too large" in done.stdout
    assert (path / "part-open" / "stamps.f32").stat().st_size == kept * 3 * 3 * 63 * 63 * 4
    fill(path, sequences)
    assert files_of(path) == whole


def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("place", ["table", "sync", "rename"])
def test_no_room_to_finish_a_part(tmp_path, sequences, whole, monkeypatch, place):
    path, writer = tmp_path / "set", DatasetWriter(tmp_path / "set", part_objects=PART)
    for sequence in sequences[: PART - 1]:
        writer.add(sequence, origin="real")
    with monkeypatch.context() as patch:
        owner, name = {
            "table": (durable.pq, "write_table"),
            "sync": (writer_module.os, "fsync"),
            "rename": (writer_module.os, "rename"),
        }[place]
        patch.setattr(owner, name, full)
        with pytest.raises(DatasetError, match="No space left on device; the 4 objects written before are safe"):
            writer.add(sequences[PART - 1], origin="real")
    writer.add(sequences[PART], origin="real")  # room again: the same writer goes on
    writer.close(complete=False)
    fill(path, sequences)
    assert Dataset(path).oids == tuple(sequence.oid for sequence in sequences)
    for sequence in sequences:
        assert_same_sequence(Dataset(path).sequence(sequence.oid), sequence)


# --- wrong use ------------------------------------------------------------------------------------------------


def test_two_writers_at_once(tmp_path, sequences):
    first = DatasetWriter(tmp_path / "set")
    with pytest.raises(DatasetError, match="another process is writing this dataset"):
        DatasetWriter(tmp_path / "set")
    first.close()
    DatasetWriter(tmp_path / "set").close()


def test_a_folder_of_other_things_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(DatasetError, match="holds other files"):
        DatasetWriter(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_wrong_objects_are_refused(tmp_path, sequences):
    with DatasetWriter(tmp_path / "set") as writer:
        writer.add(sequences[0], origin="real")
        with pytest.raises(ValueError, match="is in"):
            writer.add(sequences[0], origin="real")
        with pytest.raises(ValueError, match="needs one of simulated, real, reconstructed"):
            writer.add(sequences[1], origin="dreamt")
    assert len(Dataset(tmp_path / "set")) == 1


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"fid": 70000}, "fid of its alerts needs to be int16: Value 70000"),
        ({"fid": 2**70}, "fid of its alerts needs to be int16"),
        ({"stamps": Stamps(*[np.zeros((1, 40000), np.float32)] * 3)}, r"shape of its alerts .*int16.*: Value 40000"),
        ({"missing": "lost \ud800"}, "missing of its alerts needs to be string"),
        ({"missing": 3}, "missing of its alerts needs to be string"),
        ({"record": {"ra": b"10"}}, "a record holds a bytes"),
    ],
)
def test_what_the_tables_cannot_hold_is_refused_before_it_is_written(tmp_path, sequences, fields, said):
    path = tmp_path / "set"
    with DatasetWriter(path, part_objects=1) as writer:
        with pytest.raises(ValueError, match=said):
            writer.add(odd(11, **fields), origin="real")
        writer.add(sequences[0], origin="real")
    assert Dataset(path).oids == (sequences[0].oid,)
