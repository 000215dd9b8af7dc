"""A real Chromium, as one person uses it: what a page complains of is kept, and nothing may be asked of another host."""
import contextlib
import os
import re
import shutil
import time
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import sync_playwright

# Seconds that whatever is waited for may take on a busy machine.
PATIENCE = float(os.environ.get("WEB_PATIENCE", "60"))


def program():
    """The system's Chromium; `CHROMIUM=/path` takes another one."""
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    if not found:
        raise SystemExit("there is no Chromium; `.ci/packages web` installs it")
    return found


@contextlib.contextmanager
def chromium():
    """A browser without a window, until the block ends."""
    with sync_playwright() as play:
        # Root may not use the sandbox; machines in containers have a small /dev/shm.
        browser = play.chromium.launch(executable_path=program(), args=["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"])
        try:
            yield browser
        finally:
            browser.close()


def from_folder(route, folder):
    """A style sheet or script as it lies in the folder, instead of the one that is built in."""
    name, ending = re.fullmatch(r".*/([\w-]+)-[0-9a-f]{12}\.(css|js)", route.request.url).groups()
    kind = {"css": "text/css", "js": "text/javascript"}[ending]
    route.fulfill(path=Path(folder) / f"{name}.{ending}", content_type=f"{kind}; charset=utf-8")


class Visit:
    """One person's window: its own cookies, theme, width, and with or without scripts."""

    def __init__(self, house, token="", width=1280, theme="light", scripts=True, touch=False):
        self.house = house
        self.context = house.browser.new_context(
            base_url=house.address,
            viewport={"width": width, "height": 900},
            color_scheme=theme,
            java_script_enabled=scripts,
            has_touch=touch,
            is_mobile=touch,
            permissions=["clipboard-read", "clipboard-write"],
            reduced_motion="reduce",
        )
        self.context.set_default_timeout(PATIENCE * 1000)
        # The system's own window, in which a folder is lent, can be answered by nobody here; the page then asks for files.
        self.context.add_init_script("delete window.showDirectoryPicker")
        if folder := os.environ.get("WEB_STATIC"):
            self.context.route(re.compile(r"/static/[\w-]+-[0-9a-f]{12}\.(css|js)$"), lambda route: from_folder(route, folder))
        self.page = self.context.new_page()
        self.complaints, self.links = [], {}
        self.page.on("console", self.heard)
        self.page.on("pageerror", lambda error: self.complaints.append(f"{self.path()}: {error}"))
        self.page.on("request", self.asked)
        house.visits.append(self)
        if token:
            self.log_in(token)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        # After a failure the window stays open for a last picture of it.
        if kind is None:
            self.sound()
            self.close()

    def close(self):
        self.context.close()
        self.house.visits.remove(self)

    def path(self):
        at = urlsplit(self.page.url)
        return at.path + (f"?{at.query}" if at.query else "")

    def heard(self, message):
        # Of a page that was asked for and answers 404 or 422 the browser complains too: its status is looked at by who asked.
        if message.type in ("error", "warning") and "Failed to load resource" not in message.text:
            self.complaints.append(f"{self.path()}: {message.text}")

    def asked(self, request):
        if not request.url.startswith((self.house.address, "data:", "blob:", "about:")):
            self.complaints.append(f"{self.path()} asks another host: {request.url}")

    def sound(self):
        assert not self.complaints, "\n".join(self.complaints)

    def log_in(self, token):
        self.open("/login")
        self.page.fill("#token", token)
        self.page.click("main button")
        assert self.path() != "/login", self.text()

    def open(self, path, status=200):
        """Goes to a page of the hub, which must have this status; its answer."""
        answer = self.page.goto(path, wait_until="load")
        assert answer.status == status, f"{path}: {answer.status}, not {status}\n{self.text()[:600]}"
        return answer

    def text(self):
        return self.page.locator("body").inner_text()

    def sees(self, *words):
        """What must be read on the page, soon at the latest."""
        for word in words:
            self.page.get_by_text(word).first.wait_for(state="attached")

    def until(self, question):
        """Waits for a script's yes; pages allow no other way to ask again and again, as they let no text be run."""
        deadline = time.time() + PATIENCE
        while not self.page.evaluate(question):
            assert time.time() < deadline, f"{self.path()} never says yes to {question}\n{self.text()[:1500]}"
            self.page.wait_for_timeout(50)

    def follow(self, name, role="link", within="body"):
        """Presses the link or button of this name."""
        self.page.locator(within).get_by_role(role, name=name).first.click()
        self.page.wait_for_load_state("load")

    def wide(self):
        """By how many pixels the page sticks out of the window."""
        return self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")

    def picture(self, name):
        """The whole page as PNG among the screenshots."""
        path = Path(self.house.pictures) / f"{name}.png"
        self.page.screenshot(path=path, full_page=True, animations="disabled")
        return path
