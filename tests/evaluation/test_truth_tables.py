import pytest

from geoclip.errors import GeoclipError
from geoclip.evaluation.truth_tables import read_truth


def test_reads_both_layouts(tmp_path):
    path = tmp_path / "truth.csv"
    path.write_text("IMG_ID,AUTHOR,LAT,LON,S3_Label\na.jpg,me,1,2,0\nb.jpg,you,-3,4,1\n")
    truth = read_truth(path)
    assert truth["name"].tolist() == ["a.jpg", "b.jpg"]
    assert truth["key"].tolist() == [str(tmp_path.resolve() / n) for n in ("a.jpg", "b.jpg")]
    assert (truth["lat"].tolist(), truth["lon"].tolist()) == ([1, -3], [2, 4])
    path.write_text("path,lat,lon\nx/a.jpg,1,2\n")
    assert read_truth(path)["name"].tolist() == [""]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("IMG_ID,LAT,LON\na,91,2\n", "row 2: lat 91"),
        ("IMG_ID,LAT,LON\na,1,2\nb,nan,2\n", "row 3: lat 'nan'"),
        ("IMG_ID,LAT,LON\na,,\n", "row 2: lat and lon are missing"),
        ("IMG_ID,LAT,LON\na,1,2\na,1,2\n", "row 3: photo 'a' stands in row 2 already"),
        ("path,lat,lon\na,1,2\n./a,1,2\n", "row 3: photo .* stands in row 2 already"),
        ("IMG_ID,LON,LAT\na,1,151\nb,2,-120\n", "LAT and LON are swapped in the header"),
        ("IMG_ID,LAT\na,1\n", "a truth table needs IMG_ID, LAT, LON"),
        ("IMG_ID,LAT,LON\n", "lists no photo"),
        ("IMG_ID,LAT,LON\n,1,2\n", "row 2: img_id is empty"),
    ],
)
def test_bad_truth_gets_one_sentence(tmp_path, text, words):
    path = tmp_path / "truth.csv"
    path.write_text(text)
    with pytest.raises(GeoclipError, match=words) as caught:
        read_truth(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("name", "n"), [("im2gps", 237), ("im2gps3k", 2997)])
def test_the_published_tables(shared_data, tmp_path, name, n):
    path = shared_data / "im2gps" / f"{name}_places365.csv"
    assert len(read_truth(path)) == n
    swapped = tmp_path / "swapped.csv"
    swapped.write_text(path.read_text().replace("LAT,LON", "LON,LAT", 1))
    with pytest.raises(GeoclipError, match="LAT and LON are swapped in the header"):
        read_truth(swapped)
