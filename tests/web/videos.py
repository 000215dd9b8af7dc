"""Videos without JavaScript: a data set of them, a fine-tune that sees their frames, and one that is tried and shown over its time."""
import drawings
from browser import Visit


def journey(house):
    folder = drawings.moving(house.work / "made" / "moving", 12)
    house.ada.publish(folder, "ada/moving", "--dataset", "-m", "Drawn by hand")
    recipe = {"batch_size": 8, "strategy": "head", "publish_anyway": True, "video": {"frames": 4}}
    house.ada.api("POST", "/finetunes", {"base": "ada/tiny", "dataset": "ada/moving", "name": "ada/ways", "recipe": recipe})
    house.work_off()
    for theme in ("light", "dark"):
        for width in (1280, 390):
            with Visit(house, house.ada.token, theme=theme, width=width, scripts=False) as visit:
                looked_at(visit)
                tried(visit, folder, f"{theme}-{width}")


def looked_at(visit):
    visit.open("/datasets/ada/moving")
    assert visit.page.locator("img.frames").count() >= 2, visit.text()
    visit.sees("leftwards", "rightwards")
    visit.picture(f"dataset-videos-{visit.page.viewport_size['width']}")


def tried(visit, folder, name):
    page = visit.page
    visit.open("/ada/ways")
    page.set_input_files("#image", next((folder / "rightwards").glob("*.gif")))
    page.get_by_role("button", name="Say what it is").click()
    page.wait_for_url("**/ada/ways/try")
    rows = page.locator('section[aria-labelledby="over-time"] tbody tr')
    # 1.8 seconds: a second, and what is left.
    assert rows.count() == 2 and rows.first.locator("th").inner_text() == "0.00-1.00 s", visit.text()
    assert rows.locator("meter").count() == 2, visit.text()
    visit.picture(f"model-try-video-{name}")
