"""A telephone's screen, 390 pixels wide and touched: choosing, reading, asking for a fine-tune."""
from browser import Visit
from house import LONG

TINY = """() => [...document.querySelectorAll('main a.button, main button, main summary, main select, main input:not([type=hidden])')]
    .filter(e => e.offsetParent && e.type !== 'checkbox' && e.type !== 'radio' && e.getBoundingClientRect().height < 24)
    .map(e => e.outerHTML.slice(0, 120))"""
PATHS = ("/", "/models", "/models?view=cards", "/models?view=plot", "/datasets", "/ada/tiny", f"/{LONG}", "/datasets/ada/shapes", "/finetune", "/new/dataset", "/settings/tokens")


def journey(house):
    with Visit(house, house.ada.token, width=390, touch=True) as visit:
        page = visit.page
        for path in PATHS:
            visit.open(path)
            assert visit.wide() == 0, f"{path} sticks out by {visit.wide()} px"
            assert not page.evaluate(TINY), f"{path}: too small to touch: {page.evaluate(TINY)}"
        visit.open("/models?here=true")
        # Filters are folded: the first result is not far down.
        top = page.locator(".catalog .name").first.evaluate("e => e.getBoundingClientRect().top + scrollY")
        assert top < 1800, f"the first result is {top} px down"
        page.locator(".catalog .name").first.tap()
        page.wait_for_load_state("load")
        visit.open("/ada/tiny")
        page.locator("main").get_by_role("link", name="Fine-tune").first.tap()
        page.wait_for_url("**/finetune?**")
        page.fill("#dataset", "ada/shapes")
        page.locator(".option", has=page.locator('input[value="quick"]')).tap()
        assert visit.wide() == 0
