"""An owner is asked to log in, edits the card with a look at it first, and finds the next version; a stranger's card runs nothing."""
from browser import Visit
from drawings import WORD
from house import LONG


def journey(house):
    with Visit(house) as visit:
        page = visit.page
        page.goto("/ada/tiny/edit")
        page.wait_for_url("**/login?**")
        page.fill("#token", "hub_" + "0" * 40)
        page.click("main button")
        assert page.get_by_role("alert").count() == 1, visit.text()
        page.fill("#token", house.ada.token)
        page.click("main button")
        page.wait_for_url("**/ada/tiny/edit")
        edited(visit)
        compared(visit)
        tokens(visit)
    hostile(house)


def edited(visit):
    page = visit.page
    text = page.locator("#text").input_value()
    assert text.startswith("---\nlicense: apache-2.0"), text[:40]
    page.fill("#text", text + "\n## Limits\n\nIt was shown <b>no photographs</b>.\n")
    page.get_by_role("button", name="Preview").click()
    page.get_by_role("heading", name="As it will look").wait_for()
    assert "Limits" in page.locator(".prose").inner_text()
    page.fill("#message", "Say what it cannot do")
    page.get_by_role("button", name="Save as the next version").click()
    page.wait_for_url("**/ada/tiny")
    visit.sees("Limits", "Version 2")


def compared(visit):
    """The version picker leads back; what changed is shown line by line."""
    page = visit.page
    page.locator("summary", has_text="Version 2").click()
    page.locator("main .act ul").get_by_role("link").filter(has_text="1").last.wait_for()
    visit.open("/ada/tiny?rev=1")
    assert "Limits" not in page.locator(".prose").inner_text()
    visit.sees("You are looking at version 1")
    visit.open("/ada/tiny/versions")
    visit.sees("Say what it cannot do")
    visit.follow("since 1")
    assert "## Limits" in page.locator(".diff .plus").all_inner_texts()[-3] or "Limits" in page.locator(".diff").first.inner_text()


def tokens(visit):
    """A token is shown once; a reload makes no other."""
    page = visit.page
    visit.open("/settings/tokens")
    page.fill("#name", "laptop")
    page.get_by_role("button", name="Make it").click()
    page.locator("code.secret").wait_for()
    assert page.locator("code.secret").inner_text().startswith("hub_")
    rows = page.locator("tbody tr").count()
    page.reload()
    assert (page.locator("tbody tr").count(), page.locator("code.secret").count()) == (rows, 0), "a reload made another"


def hostile(house):
    """What a stranger writes is shown as text."""
    with Visit(house, house.ada.token) as visit:
        for path in ("/models", f"/{LONG}", f"/{LONG}/files", "/", f"/search?q={WORD[:20]}"):
            visit.open(path)
            assert visit.page.evaluate("window.pwned ?? null") is None, path
            assert visit.wide() == 0, f"{path} sticks out"
