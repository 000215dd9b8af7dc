"""The administrator's tour: health, an invitation that is used, storage, queue, audit log with its table, settings; and who may not come in."""
import time

from browser import Visit


def journey(house):
    with Visit(house, house.admin.token) as visit:
        page = visit.page
        visit.open("/")
        page.locator("header summary").click()
        page.locator("header").get_by_role("link", name="Administration").click()
        page.wait_for_url("**/system")
        tabs = page.get_by_role("navigation", name="Administration").get_by_role("link").all_inner_texts()
        for tab in tabs:
            page.get_by_role("navigation", name="Administration").get_by_role("link", name=tab).click()
            page.wait_for_load_state("load")
            assert page.locator("nav.tabs [aria-current]").inner_text() == tab
        token = invited(visit)
        with Visit(house, token) as guest:
            guest.sees("grace")
            assert guest.open("/system", 403)
            guest.sees("grace")
            assert "Log in" not in guest.page.locator("header").inner_text(), "an error's page knows who looks"
        shut_out(house, visit, token)
        taken_over(house, visit)
        logged(visit)
    with Visit(house) as stranger:
        stranger.page.goto("/system")
        assert "Log in" in stranger.text() and "Storage" not in stranger.text(), stranger.text()
    # The first administrator has a namespace of their own, which works.
    assert house.admin.api("POST", "/repos", {"kind": "model", "id": "admin/x"})


def invited(visit):
    page = visit.page
    visit.open("/system/people")
    page.fill("#name", "grace")
    page.fill("#full_name", "Grace <script>window.pwned = 1</script>")
    page.get_by_role("button", name="Make the account").click()
    page.get_by_role("status").wait_for()
    token = page.get_by_role("status").locator("code").inner_text().split()[-1]
    assert token.startswith("hub_"), token
    page.reload()
    assert token not in visit.text(), "an invitation is shown once"
    assert page.evaluate("window.pwned ?? null") is None
    return token


def shut_out(house, visit, token):
    page = visit.page
    page.get_by_role("button", name="Disable grace").click()
    page.get_by_role("button", name="Enable grace").wait_for()
    with Visit(house) as guest:
        guest.page.goto("/login")
        guest.page.fill("#token", token)
        guest.page.click("main button")
        assert guest.page.get_by_role("alert").count() == 1, guest.text()
    page.get_by_role("button", name="Enable grace").click()
    page.get_by_role("button", name="Disable grace").wait_for()
    page.get_by_label("Gigabytes grace may hold").fill("2.5")
    page.get_by_role("row", name="grace").get_by_role("button", name="Set").click()
    page.wait_for_load_state("load")
    assert page.get_by_label("Gigabytes grace may hold").input_value() == "2.5"


def taken_over(house, visit):
    """A table of results is sent as a file; a model's page says where the number is from."""
    page = visit.page
    table = house.work / "results-imagenet-a.csv"
    table.write_text("model,top1,top5\nada/tiny,12.5,30\nada/none,1,2\n")
    visit.open("/system/results")
    page.set_input_files("#table", table)
    page.get_by_role("button", name="Take it over").click()
    visit.sees("2 numbers of 1 models", "ada/none")
    visit.open("/ada/tiny")
    visit.sees("results-imagenet-a.csv")
    visit.open("/system/results")
    page.get_by_role("button", name="Take away results-imagenet-a.csv").click()
    page.wait_for_url("**/system/results")
    assert "results-imagenet-a.csv" not in visit.text()


def logged(visit):
    """The audit log is narrowed, and fetched as a table."""
    page = visit.page
    visit.open("/system/audit?action=account.create")
    rows = page.locator("tbody tr")
    assert rows.count() >= 1 and "grace" in rows.first.inner_text(), visit.text()
    with page.expect_download() as caught:
        page.get_by_role("link", name="CSV").click()
    text = caught.value.path().read_text()
    assert "grace" in text and "account.create" in text, text[:400]
    assert time.strftime("%Y") in text
