"""Every page, in both themes and widths: its picture for people to look at, and what machines can say of it.

Nothing complains or sticks out of the window, axe-core finds nothing, and no page is over 100 KB of HTML.
"""
import json
import time
from importlib.metadata import files

import house as houses
import kit
from browser import Visit
from house import LONG

# Bytes of a page; pictures have addresses of their own.
HEAVIEST = 100_000
ASK_AXE = "() => axe.run(document, { resultTypes: ['violations'] }).then(r => r.violations.map(v => ({ id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.map(n => ({ html: n.html.slice(0, 160), target: n.target.join(' '), why: n.any.concat(n.all, n.none).map(c => c.message).join('; ') })) })))"


def axe():
    """axe-core, as a package of PyPI brings it."""
    (path,) = (file for file in files("axe-playwright-python") if file.name == "axe.min.js")
    return path.locate().read_text()


def for_strangers(house):
    return {
        "home": "/",
        "models": "/models",
        "models-cards": "/models?view=cards",
        "models-plot": "/models?view=plot",
        "models-narrowed": "/models?license=apache-2.0&min_top1=0.7&q=resnet",
        "models-nothing": "/models?q=resnt50",
        "search": "/search?q=ada",
        "datasets": "/datasets",
        "compare-models": "/compare?m=ada/tiny&m=library/resnet18.a1_in1k&m=library/resnet50.a1_in1k",
        "model": "/ada/tiny",
        "model-files": "/ada/tiny/files",
        "model-file": "/ada/tiny/view/main/config.json",
        "model-file-tensors": "/ada/tiny/view/main/model.safetensors",
        "model-tensors": "/ada/tiny/tensors",
        "model-versions": "/ada/tiny/versions",
        "model-graph": "/ada/shapes-a/graph",
        "model-sources": "/ada/tiny/datasets",
        "model-discussions": "/ada/tiny/discussions",
        "model-discussion": "/ada/tiny/discussions/1",
        "model-tuned": "/ada/shapes-a",
        "model-hostile": f"/{LONG}",
        "words": "/ada/circle",
        "words-try": "/ada/circle/try?word=king",
        "model-entry": "/library/resnet50.a1_in1k",
        "dataset": "/datasets/ada/shapes",
        "dataset-files": "/datasets/ada/shapes/files",
        "dataset-doctor": "/datasets/ada/shapes/doctor",
        "dataset-neighbors": "/datasets/ada/shapes/neighbors",
        "dataset-entry": "/datasets/library/imagenet-1k",
        "profile": "/ada",
        "login": "/login",
        "api": "/api",
        "missing": "/nothing/here",
    }


def for_owners(house):
    job = house.jobs[0]
    # Nobody listens there: it is told, and shown, that it failed.
    hook = house.ada.api("POST", "/webhooks", {"url": "http://127.0.0.1:9/told", "events": ["job.failed"]})
    house.ada.api("POST", f"/webhooks/{hook['id']}/test")
    return {
        **{f"job-{name}": f"/jobs/{one}" for name, one in houses.looks(house).items()},
        "neighbors": "/datasets/ada/shapes/neighbors?by=ada/tiny@1&item=circle/003.png",
        "neighbors-model": "/ada/tiny/neighbors",
        "dataset-measured": "/datasets/ada/shapes",
        "model-measured": "/ada/shapes-a",
        "jobs": "/jobs",
        "job": f"/jobs/{job}",
        "job-diverged": f"/jobs/{house.jobs[2]}",
        "job-items": f"/jobs/{job}/items?truth=circle&answer=circle",
        "compare-runs": f"/jobs/compare?job={house.jobs[0]}&job={house.jobs[1]}",
        "compare": f"/compare?a={house.jobs[0]}&b={house.jobs[1]}",
        "compare-empty": "/compare",
        "finetune": "/finetune?base=ada/tiny&dataset=ada/shapes",
        "upload": "/new/dataset",
        "upload-more": "/datasets/ada/shapes/upload",
        "edit": "/ada/tiny/edit",
        "repo-settings": "/ada/tiny/settings",
        "model-try": "/ada/shapes-a/try",
        "changes": "/ada/tiny/changes?from=1&rev=main",
        "account": "/settings/profile",
        "tokens": "/settings/tokens",
        "webhooks": "/settings/webhooks",
        "webhook": f"/settings/webhooks/{hook['id']}",
        "organisation-member": "/garden",
        "forbidden": "/system",
    }


def for_administrators(_house):
    return {f"system{tab.replace('/', '-')}": f"/system{tab}" for tab in ("", "/people", "/storage", "/queue", "/workers", "/results", "/audit", "/settings")}


# What is led to from a page: another page of this hub, not a file of a repo.
LINKS = "() => [...document.querySelectorAll('a[href]')].map(a => new URL(a.getAttribute('href'), location.href).href.split('#')[0]).filter(h => h.startsWith(location.origin) && h !== location.href && !h.includes('/download/') && !h.includes('/files/'))"
# Numbers of a table or a chart that break over two lines.
BROKEN = "() => [...document.querySelectorAll('td.number, .hist-row .n')].filter(e => { if (e.children.length || !e.offsetParent) return false; const range = document.createRange(); range.selectNodeContents(e); return new Set([...range.getClientRects()].map(r => Math.round(r.top))).size > 1 }).map(e => e.textContent)"
TWICE = "() => [...document.querySelectorAll('[id]')].map(e => e.id).filter((id, at, all) => all.indexOf(id) !== at)"


def journey(house):
    if not house.jobs:
        houses.finetunes(house)
    script = axe()
    for token, pages in (("", for_strangers(house)), (house.ada.token, for_owners(house)), (house.admin.token, for_administrators(house))):
        for theme in ("light", "dark"):
            with Visit(house, token, theme=theme) as visit:
                for name, path in pages.items():
                    for width in (1280, 390):
                        looked_at(visit, name, path, theme, width, script)
                if theme == "light":
                    led_to(visit)
    empty(house, script)
    report(house)


def looked_at(visit, name, path, theme, width, script):
    """One page on one screen; what is wrong is kept, so that one run tells all of it."""
    house, page = visit.house, visit.page
    wrong = lambda what: house.found.append((name, theme, width, "page", what))
    page.set_viewport_size({"width": width, "height": 900})
    begun = time.time()
    answer = page.goto(path, wait_until="load")
    expected = {"missing": 404, "forbidden": 403}.get(name, 200)
    if answer.status != expected:
        wrong(f"{path} answers {answer.status}")
        return
    # As it is without being packed, and as it travels.
    html, packed = answer.body(), int(answer.headers.get("content-length", 0))
    house.weights[name] = (len(html), packed, round((time.time() - begun) * 1000))
    if answer.headers.get("content-encoding") not in ("br", "gzip") and len(html) > 2_000:
        wrong("is not packed")
    page.evaluate("Promise.all([...document.images].map(i => i.complete || new Promise(d => { i.loading = 'eager'; i.onload = i.onerror = d })))")
    visit.picture(f"{name}-{theme}-{width}")
    if out := visit.wide():
        wrong(f"sticks out by {out} px")
    if (heads := page.locator("h1").count()) != 1:
        wrong(f"{heads} headings of the first level")
    dark = page.evaluate("(() => { const c = getComputedStyle(document.body).backgroundColor.match(/[\\d.]+/g).map(Number); return c[0] + c[1] + c[2] < 384 })()")
    if dark != (theme == "dark"):
        wrong("is of the other theme")
    if broken := page.evaluate(BROKEN):
        wrong(f"numbers break over lines: {broken[:5]}")
    if twice := page.evaluate(TWICE):
        wrong(f"ids that stand twice: {twice}")
    visit.links.update({link: name for link in page.evaluate(LINKS)})
    page.evaluate(script)
    for violation in page.evaluate(ASK_AXE):
        for node in violation["nodes"]:
            house.found.append((name, theme, width, violation["impact"], f"{violation['id']}: {violation['help']}; {node['target']} {node['html']} ({node['why'][:200]})"))
    for complaint in visit.complaints:
        wrong(complaint)
    visit.complaints.clear()


def led_to(visit):
    """No page leads to one that is not there, or fails."""
    for link, name in visit.links.items():
        answer = visit.context.request.get(link, max_redirects=3)
        if answer.status >= 400:
            visit.house.found.append((name, "", "", "page", f"leads to {link}, which answers {answer.status}"))
        answer.dispose()


def empty(house, script):
    """A hub with nothing in it: the first thing people see of it."""
    work = house.work / "empty"
    work.mkdir()
    with kit.server(work, HUB_LIBRARY="on", HUB_LIBRARY_UPSTREAM="http://127.0.0.1:9") as (address, token):
        bare = houses.House(address, kit.Hub(address, token, work / "home"), work, house.pictures, house.browser)
        bare.weights, bare.found = house.weights, house.found
        for theme in ("light", "dark"):
            with Visit(bare, token, theme=theme) as visit:
                for name, path in {"home": "/", "datasets": "/datasets", "jobs": "/jobs", "finetune": "/finetune"}.items():
                    for width in (1280, 390):
                        looked_at(visit, f"empty-{name}", path, theme, width, script)


def report(house):
    """Weights and findings, kept beside the pictures; whatever is found ends the run."""
    weights = dict(sorted(house.weights.items(), key=lambda item: -item[1][0]))
    found = {}
    for name, theme, width, impact, what in house.found:
        found.setdefault((name, impact, what), []).append(f"{theme} {width}")
    found.update({(name, "page", f"weighs {whole} bytes"): ["HTML"] for name, (whole, *_) in weights.items() if whole > HEAVIEST})
    told = [{"page": name, "impact": impact, "what": what, "seen": seen} for (name, impact, what), seen in found.items()]
    (house.pictures / "report.json").write_text(json.dumps({"bytes_bytes_packed_and_ms": weights, "found": told}, indent=1))
    print("  heaviest pages, bytes of HTML: " + ", ".join(f"{name} {whole} ({packed} packed)" for name, (whole, packed, _) in list(weights.items())[:6]), flush=True)
    counts = {impact: sum(one["impact"] == impact for one in told) for impact in ("critical", "serious", "moderate", "minor")}
    print(f"  {len(weights)} pages in both themes and widths; axe-core: {counts}; pictures in {house.pictures}", flush=True)
    lines = "\n".join(f"  {one['page']} ({', '.join(one['seen'])}): {one['impact']}: {one['what']}" for one in told)
    assert not told, f"{len(told)} things are wrong with pages:\n{lines}"
