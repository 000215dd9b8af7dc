"""What people do in a browser, done in a real one: `python3 tests/web/run.py [SET ...]`, without names, all of it.

A hub is served, filled with people, a base, data sets and fine-tunes, and looked at with the system's Chromium by playwright. `pages` goes through
every page in both themes and widths: nothing may complain, stick out of the window, weigh over 100 KB or be found fault with by axe-core; pictures of
all of them, and a report, are written to target/screenshots, for people to look at. After CLIENTS_UNTIL (seconds since 1970) no further set is begun.
`HUB=path` names the program, `CHROMIUM=path` another browser, `WEB_STATIC=static` takes style sheets and scripts from there instead of those built in.
"""
import os
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(1, str(HERE.parent / "clients"))

import kit  # noqa: E402
from processes import ROOT  # noqa: E402

PICTURES = ROOT / "target" / "screenshots"


def itself(wanted):
    """Begins again in the Python that has the packages; a script's own can do without them."""
    python = kit.python_with("web")
    if Path(sys.prefix).resolve() != python.parent.parent.resolve():
        os.execv(python, [str(python), str(HERE / "run.py"), *wanted])


def sets():
    """Journeys by name, in their order; those behind `work` look at what it made, too."""
    import administration
    import card
    import choose
    import keyboard
    import narrow
    import packed
    import pages
    import scriptless
    import videos
    import work

    return {
        "choose": choose.journey,
        "keyboard": keyboard.journey,
        "card": card.journey,
        "administration": administration.journey,
        "narrow": narrow.journey,
        "scriptless": scriptless.journey,
        "videos": videos.journey,
        "work": work.journey,
        "packed": packed.journey,
        "pages": pages.journey,
    }


def one(name, journey, house):
    """A journey; of one that fails, a last picture of each window."""
    begun = time.time()
    try:
        journey(house)
    except BaseException:
        for number, visit in enumerate(house.visits):
            print(f"  at {visit.page.url}: {visit.complaints}")
            print(f"  see {visit.picture(f'failed-{name}-{number}')}", flush=True)
        raise
    print(f"ok {name}: {time.time() - begun:.1f} s", flush=True)


def main(wanted):
    itself(wanted)
    import browser
    import house as houses

    known = sets()
    chosen = wanted or list(known)
    if unknown := [name for name in chosen if name not in known]:
        sys.exit(f"there is no set {', '.join(unknown)}; there are {', '.join(known)}")
    PICTURES.mkdir(parents=True, exist_ok=True)
    until, begun = float(os.environ.get("CLIENTS_UNTIL", "inf")), []
    # What is known of models before they are here is listed; nothing is behind it.
    settings = {"HUB_LIBRARY": "on", "HUB_LIBRARY_UPSTREAM": "http://127.0.0.1:9", "HUB_MAX_REQUESTS_PER_MINUTE": "0", "HUB_WEBHOOK_NETWORKS": "127.0.0.0/8"}
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with kit.server(work, **settings) as (address, token), browser.chromium() as chromium:
            house = houses.pool(address, kit.Hub(address, token, work / "home"), work, PICTURES)
            house.browser = chromium
            for name in chosen:
                if time.time() < until:
                    one(name, known[name], house)
                    begun.append(name)
    if left := [name for name in chosen if name not in begun]:
        print(f"NOT RUN, as the time was over: {', '.join(left)}")
    print(f"{len(begun)} sets passed: {', '.join(begun)}")


if __name__ == "__main__":
    main(sys.argv[1:])
