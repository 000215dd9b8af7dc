"""Someone without an account looks for a backbone: narrows the list, compares, copies the line that pulls it, and runs that line."""
import random
import subprocess

import drawings
import kit
from browser import Visit


def journey(house):
    with Visit(house) as visit:
        listed(visit)
        words(visit)
        drawn(visit)
        compared(visit)
        pulled(house, visit)


def names(visit):
    return visit.page.locator(".catalog .name").all_inner_texts()


def listed(visit):
    """The list is sorted by the head of a column and narrowed by a facet and a slider; the address passes it on."""
    page = visit.page
    visit.open("/")
    visit.follow("Models", within="nav")
    page.locator(".catalog thead").get_by_role("link", name="Top-1").click()
    page.wait_for_url("**sort=top1**")
    best = names(visit)
    assert len(best) > 10, best
    page.locator(".catalog thead").get_by_role("link", name="Params").click()
    page.wait_for_url("**sort=size**")
    page.locator('select[name="min_top1"] + .slider input').evaluate("s => { s.value = 1; s.dispatchEvent(new Event('input')); s.dispatchEvent(new Event('change')) }")
    page.wait_for_url("**min_top1=**")
    few = names(visit)
    address = visit.path()
    visit.open(address)
    assert names(visit) == few, "the address alone shows the same"
    page.get_by_role("link", name="Clear all").click()
    page.wait_for_url("**/models")
    page.get_by_label("Files are here").check()
    page.wait_for_url("**here=true**")
    assert "ada/tiny" in names(visit) and "ada/hidden" not in names(visit), names(visit)


def words(visit):
    """Suggestions while typing, and help with what is mistyped."""
    page = visit.page
    visit.open("/models?q=resnt50")
    visit.sees("Did you mean")
    page.get_by_role("link", name="resnet50").first.click()
    page.wait_for_load_state("load")
    assert any("resnet50" in name for name in names(visit)), names(visit)
    page.fill("#q", "")
    page.locator("#q").press_sequentially("ada/ti")
    page.locator(".suggestions li").first.wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.wait_for_url("**/ada/tiny")
    visit.open("/models?q=no-such-thing-anywhere-at-all")
    visit.sees("Nothing matches")


def drawn(visit):
    """The chart: points are links, each says what it is."""
    page = visit.page
    visit.open("/models?view=plot")
    points = page.locator(".plot svg a")
    assert points.count() > 10, points.count()
    assert page.locator(".plot title").first.text_content()
    visit.follow("GMACs", within=".plot")
    assert "x=gmacs" in visit.path(), visit.path()


def compared(visit):
    """Three are ticked and stand side by side, the best of each line marked."""
    page = visit.page
    visit.open("/models?sort=top1")
    for at in range(2):
        page.locator('.catalog input[name="m"]').nth(at).check()
    visit.sees("2 of six ticked")
    page.get_by_role("button", name="Compare the ticked").click()
    page.wait_for_url("**/compare?**")
    visit.open(visit.path() + "&m=ada/tiny")
    table = page.locator("table.side")
    assert table.locator("thead th").count() == 3, table.inner_text()
    assert table.locator("td.best").count() > 0
    table.locator("thead").get_by_role("link", name="ada/tiny", exact=True).click()
    page.wait_for_url("**/ada/tiny")


def pulled(house, visit):
    """The line beside a model is copied by its button, and does what it says."""
    page = visit.page
    visit.open("/ada/tiny")
    page.locator("#use .command").first.get_by_role("button", name="Copy").click()
    visit.sees("Copied")
    line = page.evaluate("navigator.clipboard.readText()")
    assert "hub pull ada/tiny" in line, line
    programs, place = house.work / "programs", house.work / "pulled"
    for folder in (programs, place):
        folder.mkdir(exist_ok=True)
    if not (programs / "hub").exists():
        (programs / "hub").symlink_to(kit.hub_program())
    # The lines below ask about a photo of one's own.
    drawings.picture("circle", random.Random(2)).convert("RGB").save(place / "photo.jpg")
    environment = kit.clean(house.work / "stranger")
    environment["PATH"] = f"{programs}:{environment['PATH']}"
    done = subprocess.run(["sh", "-ec", line], cwd=place, env=environment, text=True, capture_output=True)
    assert done.returncode == 0, f"{line}\n{done.stderr}"
    assert "every sha256 proved" in done.stdout + done.stderr, done
