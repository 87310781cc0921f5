import pytest

from tsc_core.data.labels import Label, LabelError, read_labels


def table(tmp_path, text):
    path = tmp_path / "labels.csv"
    path.write_text(text, encoding="utf-8")
    return read_labels(path)


def test_both_headers_are_read(tmp_path):
    mine = table(tmp_path, "oid,label,source\nZTF18aaaaaaa,AGN,Milliquas\nDEMO01,bogus,\n")
    assert mine.labels == (Label("ZTF18aaaaaaa", "AGN", "Milliquas"), Label("DEMO01", "bogus"))
    theirs = table(tmp_path, "objectId,n_alerts,label,label_source,subclass\nZTF18aaaaaaa,3, agn ,Milliquas,QSO\n")
    assert theirs.labels == (Label("ZTF18aaaaaaa", "AGN", "Milliquas", "QSO"),)
    assert (mine.faults, theirs.faults) == ((), ())


def test_every_fault_is_named_and_the_rest_is_kept(tmp_path):
    found = table(
        tmp_path,
        "\ufeffoid,label\nZTF18aaaaaaa,AGN\nZTF18aaaaaab,TDE\nZTF18,SN\n../etc/passwd,SN\nZTF18aaaaaaa,AGN\nZTF18aaaaaac,\n\n"
        "ZTF18aaaaaad,SN\nZTF18aaaaaae\n",
    )
    assert [label.oid for label in found.labels] == ["ZTF18aaaaaaa", "ZTF18aaaaaad"]
    reasons = {fault.line: fault.reason for fault in found.faults}
    assert list(reasons) == [3, 4, 5, 6, 7, 10]
    assert "'TDE': known are AGN, SN, VS, asteroid, bogus" in reasons[3]
    assert "'ZTF18' is not an object id" in reasons[4]
    assert "not an object id" in reasons[5]
    assert reasons[6] == "ZTF18aaaaaaa is in line 2 already"
    assert reasons[7] == "ZTF18aaaaaac has no class"
    assert reasons[10] == "ZTF18aaaaaae has no class"


def test_an_object_of_two_classes_is_left_out(tmp_path):
    found = table(tmp_path, "oid,label\nZTF18aaaaaaa,AGN\nZTF18aaaaaab,SN\nZTF18aaaaaaa,VS\nZTF18aaaaaaa,AGN\n")
    assert [label.oid for label in found.labels] == ["ZTF18aaaaaab"]
    assert [fault.line for fault in found.faults] == [2, 4, 5]
    assert all("ZTF18aaaaaaa" in fault.reason for fault in found.faults)
    assert found.faults[1].reason == "ZTF18aaaaaaa is VS here and AGN in line 2: left out"


@pytest.mark.parametrize("text", ["", "id,class\nZTF18aaaaaaa,AGN\n", "oid\nZTF18aaaaaaa\n"])
def test_no_label_table(tmp_path, text):
    with pytest.raises(LabelError, match="needs the columns oid"):
        table(tmp_path, text)


def test_no_text_at_all(tmp_path):
    (tmp_path / "labels.csv").write_bytes(b"\x1f\x8b\xff\xfe\x00" * 9)
    with pytest.raises(LabelError, match="not a CSV of labels"):
        read_labels(tmp_path / "labels.csv")
    with pytest.raises(LabelError, match="No such file"):
        read_labels(tmp_path / "other.csv")
