"""The whole way with the keyboard alone: what has the focus is seen, nothing holds it, results are a few presses away."""
from browser import Visit

FOCUSED = """() => {
    const e = document.activeElement;
    if (!e || e === document.body) return null;
    const style = getComputedStyle(e), box = e.getBoundingClientRect();
    const ring = (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== 'none';
    const name = e.getAttribute('aria-label') || e.labels?.[0]?.textContent || e.textContent || e.title || e.placeholder || '';
    return { tag: e.tagName, name: name.trim().slice(0, 60), id: e.id, ring, seen: box.width > 0 && box.height > 0, href: e.getAttribute('href') };
}"""


def journey(house):
    with Visit(house) as visit:
        results(visit)
        search(visit)
        list_keys(visit)
        compare(visit)
    with Visit(house) as visit:
        log_in(visit, house.ada.token)
        for path in ("/", "/models", "/ada/tiny", "/finetune", "/new/dataset", "/settings/tokens", "/jobs", "/ada/tiny/settings"):
            around(visit, path)


def press(visit, key, times=1):
    for _ in range(times):
        visit.page.keyboard.press(key)
    # What Enter opens is waited for by whoever pressed it.
    return None if key == "Enter" else visit.page.evaluate(FOCUSED)


def results(visit):
    """Two skip links lead to the content and to the results."""
    visit.open("/models")
    assert press(visit, "Tab")["name"] == "Skip to the content"
    assert press(visit, "Tab")["name"] == "Skip to the results"
    press(visit, "Enter")
    seen = [press(visit, "Tab") for _ in range(14)]
    assert any(at and at["tag"] == "INPUT" and at["name"].startswith("Compare ") for at in seen), seen


def search(visit):
    press(visit, "/")
    assert visit.page.evaluate("document.activeElement.id") == "q"
    visit.page.keyboard.type("ada/tin")
    visit.page.locator(".suggestions li").first.wait_for()
    press(visit, "Escape")
    assert visit.page.locator(".suggestions li").count() == 0 or not visit.page.locator(".suggestions li").first.is_visible()
    press(visit, "Enter")
    visit.page.wait_for_url("**/search?q=ada%2Ftin**")


def list_keys(visit):
    """j and k go through a list, Enter opens."""
    visit.open("/models?here=true")
    first = press(visit, "j")
    second = press(visit, "j")
    assert first["href"] != second["href"] and press(visit, "k")["href"] == first["href"], (first, second)
    press(visit, "Enter")
    visit.page.wait_for_url(f"**{first['href']}")


def compare(visit):
    """Ticked with the space bar, compared with Enter."""
    visit.open("/models")
    for row in range(2):
        visit.page.locator('.catalog input[name="m"]').nth(row).focus()
        press(visit, "Space")
    for _ in range(400):
        at = press(visit, "Tab")
        if at and at["tag"] == "BUTTON" and at["name"] == "Compare the ticked":
            break
    else:
        raise AssertionError("the button is not reached")
    press(visit, "Enter")
    visit.page.wait_for_url("**/compare?**")
    assert visit.page.locator("table.side thead th").count() == 2


def log_in(visit, token):
    visit.open("/login")
    for _ in range(20):
        if (press(visit, "Tab") or {}).get("id") == "token":
            break
    visit.page.keyboard.type(token)
    press(visit, "Enter")
    visit.page.wait_for_url("**/")


def around(visit, path):
    """From the first to the last and out again: each stop is seen, has a ring and a name."""
    visit.open(path)
    stops = 0
    for _ in range(500):
        at = press(visit, "Tab")
        if at is None:
            break
        stops += 1
        assert at["seen"] and at["ring"], f"{path}: no ring around {at}"
        assert at["name"] or at["tag"] in ("MAIN", "DIV"), f"{path}: {at} has no name"
    else:
        raise AssertionError(f"{path} holds the focus")
    assert stops >= 8, f"{path}: {stops} stops"
