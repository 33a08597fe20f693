"""Each fault of a gazetteer's files is one sentence that names file, row and cure."""

import shutil

import pytest

from geoclip.errors import GeoclipError
from geoclip.places.gazetteer import Gazetteer

COUNTRIES = """place_id,name,iso3,continent,sovereign,lat,lon,population
FR,France,FRA,EU,FR,45.7,4.8,67000000
RE,Réunion,REU,AF,FR,-20.9,55.4,800000
NA,Namibia,NAM,AF,NA,-22.5,17.0,2500000
"""
REGIONS = """place_id,name,ascii_name,country_code,lat,lon,population
FR.84,Auvergne-Rhône-Alpes,Auvergne-Rhone-Alpes,FR,45.7,4.8,520000
NA.21,Khomas,Khomas,NA,-22.5,17.0,260000
"""
CITIES = """place_id,name,ascii_name,region_id,country_code,lat,lon,population
1,Lyon,Lyon,FR.84,FR,45.75,4.85,520774
2,Saint-Denis,Saint-Denis,,RE,-20.88,55.45,137195
3,Windhoek,Windhoek,NA.21,NA,-22.56,17.08,268132
4,Villeurbanne,Villeurbanne,FR.84,FR,45.77,4.88,
"""


@pytest.fixture
def folder(tmp_path):
    for name, text in (("countries", COUNTRIES), ("regions", REGIONS), ("cities", CITIES)):
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    return tmp_path


def read_with(folder, name, old, new):
    path = folder / name
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    return Gazetteer.read(folder)


def test_good_folder_reads(folder):
    gazetteer = Gazetteer.read(folder)
    assert len(gazetteer) == 9
    assert gazetteer.parents_of("3") == ["NA.21", "NA"]  # Namibia is not a missing value
    assert gazetteer.parents_of("2") == ["RE"]
    assert gazetteer["4"].population == 0
    assert gazetteer.sovereigns[gazetteer.rows(["2"])[0]] == "FR"
    assert gazetteer.alternate_names().empty


def test_byte_order_mark_and_blank_lines_are_taken(folder):
    text = CITIES.replace("\n2,", "\n\n2,")
    (folder / "cities.csv").write_text(text, encoding="utf-8-sig")
    assert len(Gazetteer.read(folder)) == 9


def test_column_names_are_compared_without_regard_to_case(folder):
    header = CITIES.splitlines()[0]
    gazetteer = read_with(folder, "cities.csv", header, header.upper().replace(",", ", "))
    assert len(gazetteer) == 9


@pytest.mark.parametrize(
    ("name", "old", "new", "message"),
    [
        ("cities.csv", "3,Windhoek", "1,Windhoek", r"row 4: place_id '1' stands in row 2 .*: give"),
        ("cities.csv", "3,Windhoek", "FR,Windhoek", r"row 4: place_id 'FR' is also the id of a c"),
        ("regions.csv", "NA.21,", "NA,", r"row 3: place_id 'NA' is also the id of a country:"),
        ("cities.csv", "45.75", "91", r"row 2: lat 91 is not between -90 and 90: correct"),
        ("cities.csv", "55.45", "181", r"row 3: lon 181 is not between"),
        ("cities.csv", "45.75", "nan", r"row 2: lat 'nan' is not a number: correct"),
        ("cities.csv", "45.75", "45°N", r"row 2: lat '45°N' is not a number"),
        ("cities.csv", "45.75", "", r"row 2: the lat is empty: fill it in"),
        ("cities.csv", "45.75", "inf", r"row 2: lat 'inf' is not a number"),
        ("cities.csv", "45.75,4.85", " , ", r"row 2: the lat is empty: fill it in"),
        ("cities.csv", "137195", "-5", r"row 3: population -5 is negative: correct it"),
        ("cities.csv", "137195", "many", r"row 3: population 'many' is not a number"),
        ("cities.csv", "NA.21", "NA.99", r"row 4: the region 'NA\.99' is not in reg.*: add"),
        ("cities.csv", ",RE,", ",XX,", r"row 3: the country 'XX' is not in countries\.csv:"),
        ("cities.csv", ",RE,", ",,", r"row 3: the country_code is empty: fill it in"),
        ("cities.csv", "NA.21", "FR.84", r"row 4: the region lies in another .*: correct one"),
        ("regions.csv", ",NA,", ",XX,", r"row 3: the country 'XX' is not in countries\.csv"),
        ("countries.csv", "AF,FR,", "AF,ZZ,", r"row 3: the sovereign 'ZZ' is not in count"),
        ("cities.csv", "Windhoek,", " ,", r"row 4: the name is empty: fill it in"),
        ("cities.csv", ",lat,", ",latitude,", r"has no column lat \(.*\): name the co"),
        ("cities.csv", ",lon,", ",lng,", r"has no column lon \("),
        ("countries.csv", ",sovereign,", ",owner,", r"has no column sovereign \("),
    ],
)  # fmt: skip
def test_a_fault_is_named(folder, name, old, new, message):
    with pytest.raises(GeoclipError, match=message) as caught:
        read_with(folder, name, old, new)
    text = str(caught.value)
    assert name in text and text.count("\n") == 0 and text.endswith(".")


def test_swapped_headers_are_seen(tmp_path):
    path = tmp_path / "own.csv"
    path.write_text("name,lat,lon\nSuva,178.44,-18.14\nTokyo,139.69,35.69\nLyon,4.85,45.75\n")
    with pytest.raises(GeoclipError, match=r"row 2 .*lat is 178\.44 .*swapped in the header"):
        Gazetteer.read(path)


def test_one_slip_is_not_called_swapped(folder):
    with pytest.raises(GeoclipError, match=r"row 2: lat 457\.5 is not between.*: correct"):
        read_with(folder, "cities.csv", "45.75", "457.5")


def test_several_bad_rows_are_counted(folder):
    text = CITIES.replace(",45.", ",345.")
    (folder / "cities.csv").write_text(text)
    with pytest.raises(GeoclipError, match=r"row 2 \(and 1 more rows\): lat 345\.75"):
        Gazetteer.read(folder)


def test_blank_lines_do_not_shift_row_numbers(folder):
    text = CITIES.replace("\n2,", "\n\n\n2,").replace("137195", "x")
    (folder / "cities.csv").write_text(text, encoding="utf-8")
    with pytest.raises(GeoclipError, match="row 5: population 'x'"):
        Gazetteer.read(folder)


@pytest.mark.parametrize("text", ["", CITIES.splitlines()[0] + "\n"])
def test_empty_gazetteer(folder, text):
    (folder / "cities.csv").write_text(text)
    with pytest.raises(GeoclipError, match=r"cities\.csv is empty: .* row"):
        Gazetteer.read(folder)


def test_bad_encoding(folder):
    (folder / "cities.csv").write_bytes(CITIES.replace("Lyon", "Ly\x81n").encode("latin-1"))
    with pytest.raises(GeoclipError, match=r"cities\.csv is not UTF-8 text .*: save it .* UTF-8"):
        Gazetteer.read(folder)


def test_ragged_table(folder):
    (folder / "cities.csv").write_text(CITIES + "5,a,b,c,d,e,f,g,h,i,j\n")
    with pytest.raises(
        GeoclipError, match=r"cities\.csv is not a well-formed CSV .* line 6.*: give"
    ):
        Gazetteer.read(folder)


def test_missing_and_strange_paths(folder):
    with pytest.raises(GeoclipError, match="no such file or folder"):
        Gazetteer.read(folder / "nowhere")
    (folder / "countries.csv").unlink()
    with pytest.raises(GeoclipError, match=r"countries\.csv does not exist: add it"):
        Gazetteer.read(folder)
    shutil.copy(folder / "regions.csv", folder / "regions.xlsx")
    with pytest.raises(GeoclipError, match="this is no gazetteer"):
        Gazetteer.read(folder / "regions.xlsx")


def test_broken_alternate_names(folder):
    (folder / "alternate_names.parquet").write_bytes(b"nothing")
    with pytest.raises(GeoclipError, match=r"alternate_names\.parquet cannot be read .*: replace"):
        Gazetteer.read(folder)
