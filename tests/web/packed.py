"""Someone with a zip: uploads it as it is, fine-tunes on it, opens the pictures behind a number of the report, and looks for neighbours in it."""
import drawings
from browser import Visit


def journey(house):
    with Visit(house, house.ada.token) as visit:
        folder = drawings.shapes(house.work / "made" / "packed", 30, 7)
        uploaded(visit, drawings.packed(folder, house.work / "made" / "packed.zip"))
        job = house.ada.api("POST", "/finetunes", {"base": "ada/tiny", "dataset": "ada/packed", "name": "ada/packed-net", "recipe": {"batch_size": 12, "epochs": 3, "strategy": "head", "head_solver": "sgd"}})["id"]
        house.work_off()
        reported(visit, job)
        neighbours(house, visit)
        seen_by_others(house, visit, job)


def uploaded(visit, packed):
    """The zip is looked into in the page, sent in one piece, and its pictures are seen on the data set's page."""
    page = visit.page
    visit.open("/new/dataset")
    with page.expect_file_chooser() as asked_for:
        page.get_by_role("button", name="Choose files").click()
    asked_for.value.set_files(packed)
    visit.sees("3 classes")
    page.select_option("#owner", "ada")
    page.fill("#name", "packed")
    visit.sees("is free")
    page.get_by_role("button", name="Publish").click()
    page.wait_for_url("**/datasets/ada/packed")
    assert pictures(visit, "/datasets/ada/packed/items/") >= 3
    visit.open("/datasets/ada/packed/files")
    visit.sees("packed.zip")


def pictures(visit, beginning):
    """How many pictures of such addresses the page has, all of which must be there."""
    page = visit.page
    page.evaluate("Promise.all([...document.images].map(i => i.complete && i.naturalWidth ? 0 : new Promise(d => { i.loading = 'eager'; i.onload = i.onerror = d })))")
    seen = page.evaluate("[...document.images].map(i => [i.getAttribute('src'), i.naturalWidth])")
    assert all(width > 0 for _, width in seen), [source for source, width in seen if not width]
    return sum(source.startswith(beginning) for source, _ in seen)


def reported(visit, job):
    """Curves can be pointed at and lines taken out of; a number of the matrix opens what lies in the zip."""
    page = visit.page
    visit.open(f"/jobs/{job}")
    page.locator(".chart .drawn canvas").nth(1).wait_for()
    assert not page.locator(".chart > svg").first.is_visible(), "one drawing at a time"
    page.locator(".chart .u-over").first.hover()
    assert "Epoch" in page.locator(".chart .drawn .hint").first.inner_text()
    key = page.locator(".chart .drawn").first.get_by_role("button", name="validation")
    key.click()
    assert key.get_attribute("aria-pressed") == "false"
    pictures(visit, f"/jobs/{job}/pictures/")
    cells = [cell.get_attribute("href") for cell in page.locator(".matrix td a").all()]
    assert cells
    for cell in cells:
        answer = visit.open(cell)
        assert len(answer.body()) < 100_000
        found = page.locator(".thumbs li").count()
        assert found and pictures(visit, "/") == found, cell
    visit.picture("packed-cell-light-1280")


def neighbours(house, visit):
    house.ada.api("POST", "/embeddings", {"model": "ada/tiny@1", "dataset": "ada/packed"})
    house.work_off()
    answer = visit.open("/datasets/ada/packed/neighbors?by=ada/tiny@1&item=circle/003.png")
    assert len(answer.body()) < 100_000 and b"data:image" not in answer.body()
    assert pictures(visit, "/datasets/ada/packed/items/") >= 24


def seen_by_others(house, visit, job):
    """A picture's address is as open as what it is of."""
    address = visit.page.locator(".thumbs img").first.get_attribute("src")
    with Visit(house, house.eve.token) as other:
        assert other.context.request.get(address).status == 200
        assert other.context.request.get(f"/jobs/{job}/pictures/0").status == 404
        house.ada.api("PATCH", "/datasets/ada/packed", {"private": True})
        assert other.context.request.get(address).status == 404
    assert visit.context.request.get(address).status == 200
    house.ada.api("PATCH", "/datasets/ada/packed", {"private": False})
