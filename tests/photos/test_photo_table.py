from pathlib import Path

import pytest

from geoclip.errors import GeoclipError
from geoclip.photos.photo_table import COLUMNS, read_photo_table


def table(tmp_path: Path, text: str, name: str = "photos.csv") -> Path:
    path = tmp_path / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_reads_all_columns(tmp_path):
    path = table(
        tmp_path,
        "path,lat,lon,split,location_id,country_code,note\n"
        "a/1.jpg,-22.5,17.0,train,here,na,x\n"
        "/abs/2.jpg,,,,,NA,y\n"
        "3.jpg,10,20,dev,,,z\n",
    )
    photos = read_photo_table([path])
    assert tuple(photos.columns) == COLUMNS
    assert photos["photo_id"].tolist() == ["a/1.jpg", "/abs/2.jpg", "3.jpg"]
    assert photos["path"].tolist() == [
        str(tmp_path / "a/1.jpg"),
        "/abs/2.jpg",
        str(tmp_path / "3.jpg"),
    ]
    assert photos["country_code"].tolist() == ["NA", "NA", ""]
    assert photos["location_id"].tolist() == ["here", "/abs/2.jpg", "3.jpg"]
    assert photos["split"].tolist() == ["train", "", "dev"]
    assert photos["lat"].isna().tolist() == [False, True, False]
    assert photos["lat"].dtype == photos["lon"].dtype == "float64"


def test_the_source_of_a_photo_is_a_column_or_its_folder(tmp_path):
    one = "path,lat,lon,Source,Author\na/1.jpg,1,2, flickr ,Ann\na/b/2.jpg,1,2,,Bob\n3.jpg,1,2,,\n"
    path = table(tmp_path, one)
    assert read_photo_table(path)["source"].tolist() == ["flickr", "a/b", tmp_path.name]
    assert read_photo_table(path, "author")["source"].tolist() == ["Ann", "Bob", tmp_path.name]
    with pytest.raises(GeoclipError, match=r"photos\.csv has no column camera"):
        read_photo_table(path, "camera")


def test_sources_of_several_tables_are_told_apart(tmp_path):
    rows = "path,lat,lon\nimages/1.jpg,1,2\n"
    one, two = (
        table(tmp_path, rows, "a/t.csv"),
        table(tmp_path, rows.replace("1.j", "2.j"), "b/t.csv"),
    )
    assert read_photo_table([one, two])["source"].tolist() == ["a/images", "b/images"]
    latin = table(tmp_path, "path,lat,lon\nfile:caf%E9/1.jpg,1,2\nx/2.jpg,1,2\n", "c.csv")
    assert read_photo_table(latin)["source"].tolist() == ["file:caf%E9", "x"]


def test_paths_are_relative_to_each_table(tmp_path, monkeypatch):
    one = table(tmp_path, "path,lat,lon\na.jpg,1,2\n", "one/t.csv")
    two = table(tmp_path, "path,country_code\nb.jpg,FR\n", "two/t.csv")
    monkeypatch.chdir(tmp_path)
    photos = read_photo_table([one.relative_to(tmp_path), two])
    assert photos["path"].tolist() == [str(tmp_path / "one/a.jpg"), str(tmp_path / "two/b.jpg")]
    assert photos.index.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,lat,lon\na,91,0\n", "row 2: lat 91"),
        ("path,lat,lon\na,nan,0\n", "row 2: lat 'nan'"),
        ("path,lat,lon\na,1,\n", "row 2: only one of lat and lon"),
        ("path,lat,lon\na,150,-30\nb,-120,40\n", "swapped in the header"),
        ("path,lat,lon\na,1,2\nb,1,2\na,3,4\n", "row 4: photo .*a' stands in row 2 already"),
        ("path,lat,lon\na,1,2\n./a,3,4\n", "row 3: photo .* stands in row 2 already"),
        ("path,lat,lon\n", "lists no photo"),
        ("path,lat\na,1\n", "has the columns path, lat: it needs path with lat and lon"),
        ("path,lat,country_code\na,1,FR\n", "it needs path with lat and lon"),
        ("lat,lon\n1,2\n", "it needs path with lat and lon"),
        ("path,lat,lon\n,1,2\n", "row 2: path is empty"),
        ("path,lat,lon\na,,\n", "row 2: neither coordinates nor a country_code"),
        (
            "path,country_code\na,Frnace\n",
            "row 2: .* 'Frnace' is no country: did you mean FR",
        ),
        ("path,country_code\na,F1\n", "row 2: country_code 'F1' is no country"),
    ],
)
def test_bad_input_gets_one_sentence(tmp_path, text, words):
    path = table(tmp_path, text)
    with pytest.raises(GeoclipError, match=words) as caught:
        read_photo_table([path])
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_no_table_and_the_same_photo_in_two_tables(tmp_path):
    with pytest.raises(GeoclipError, match="No photo table was given"):
        read_photo_table([])
    one = table(tmp_path, "path,lat,lon\na,1,2\n", "one.csv")
    two = table(tmp_path, "path,lat,lon\nb,1,2\na,1,2\n", "two.csv")
    with pytest.raises(GeoclipError, match=r"two.csv, row 3: photo 'a' stands in .*one.csv, row 2"):
        read_photo_table([one, two])


def test_the_real_tables(shared_data):
    photos = read_photo_table([shared_data / "photos.csv", shared_data / "photos_country.csv"])
    assert len(photos) == 4952 + 1241
    assert photos["split"].value_counts().to_dict() == {
        "train": 3809 + 1241,
        "dev_seen": 702,
        "dev_unseen": 441,
    }
    assert photos["lat"].isna().sum() == 1241
    assert (photos["country_code"] != "").all()
    assert (photos["country_code"] == "NA").sum() >= 8
    assert Path(photos["path"].iloc[0]).is_file()


def test_tables_that_number_their_places_alike(tmp_path):
    header = "path,lat,lon,location_id\n"
    fr = table(tmp_path, header + "fr1.jpg,48.86,2.35,1\nfr2.jpg,45.8,4.8,2\n", "fr.csv")
    jp = table(tmp_path, header + "jp1.jpg,35.7,139.7,2\n", "jp.csv")
    with pytest.raises(GeoclipError, match=r"jp\.csv, row 2: the location '2' is another place"):
        read_photo_table([fr, jp])
    near = table(tmp_path, header + "n.jpg,48.9,2.3,1\n", "near.csv")
    assert len(read_photo_table([fr, near])) == 3
    known = "path,country_code,location_id\n{},{},2\n"
    country = table(tmp_path, known.format("c.jpg", "fr"), "country.csv")
    assert len(read_photo_table([fr, country])) == 3  # only its country is known
    other = table(tmp_path, known.format("d.jpg", "de"), "other.csv")
    with pytest.raises(GeoclipError, match=r"other\.csv, row 2: the location '2' is another place"):
        read_photo_table([country, other])


def test_a_photo_may_state_its_place(tmp_path):
    photos = read_photo_table(table(tmp_path, "path,place_id\na,Animalia/Canis lupus\nb, 9612 \n"))
    assert photos["place_id"].tolist() == ["Animalia/Canis lupus", "9612"]
    assert photos["lat"].isna().all()
    with pytest.raises(GeoclipError, match="row 3: neither coordinates nor a country_code"):
        read_photo_table(table(tmp_path, "path,place_id\na,Rosa\nb,\n"))
