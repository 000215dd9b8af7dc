"""The same without JavaScript: filters, comparing, an upload as one form, a fine-tune asked for, a picture tried."""
import drawings
from browser import Visit


def journey(house):
    with Visit(house, scripts=False) as visit:
        page = visit.page
        visit.open("/models")
        page.locator('select[name="min_top1"]').select_option(index=2)
        page.get_by_role("button", name="Filter").click()
        page.wait_for_url("**min_top1=**")
        for at in range(2):
            page.locator('.catalog input[name="m"]').nth(at).check()
        page.get_by_role("button", name="Compare the ticked").click()
        page.wait_for_url("**/compare?**")
        assert page.locator("table.side thead th").count() == 2
        visit.open("/models?view=plot")
        assert page.locator(".plot svg a").count() > 10
    with Visit(house, house.ada.token, scripts=False) as visit:
        uploaded(house, visit)
        asked(house, visit)


def uploaded(house, visit):
    page = visit.page
    folder = drawings.shapes(house.work / "made" / "scriptless", 14, 5)
    visit.open("/new/dataset")
    page.select_option("#owner", "ada")
    page.fill("#name", "plain-shapes")
    page.set_input_files("#files", drawings.packed(folder, house.work / "made" / "scriptless.zip"))
    page.get_by_role("button", name="Publish").click()
    page.wait_for_url("**/datasets/ada/plain-shapes")
    visit.sees("circle", "triangle")


def asked(house, visit):
    """A fine-tune is asked for and followed by loading the page again; its result says what a picture shows."""
    page = visit.page
    visit.open("/finetune?dataset=ada/plain-shapes&base=ada/tiny")
    page.fill("#name", "ada/plain-tuned")
    page.locator('input[name="effort"][value="custom"]').check()
    page.locator('input[name="strategy"][value="head"]').check()
    page.get_by_role("button", name="What would it cost?").click()
    visit.sees("Nothing was started")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/jobs/*")
    assert page.locator('noscript meta[http-equiv="refresh"]').count() or 'http-equiv="refresh"' in page.content()
    house.work_off()
    visit.open(visit.path())
    visit.sees("Published as")
    visit.open("/ada/plain-tuned")
    page.set_input_files("#image", next((house.work / "made" / "scriptless" / "circle").glob("*.png")))
    page.get_by_role("button", name="Say what it is").click()
    page.wait_for_url("**/ada/plain-tuned/try")
    assert page.locator(".bar meter").count() >= 2, visit.text()
