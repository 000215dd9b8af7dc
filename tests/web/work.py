"""Someone with a folder of pictures: uploads it, fine-tunes, watches, reads the report, tries the result, and compares two runs."""
import time

import drawings
from browser import Visit


def journey(house):
    with Visit(house, house.ada.token) as visit:
        folder = drawings.shapes(house.work / "made" / "garden", 34, 3)
        uploaded(visit, folder)
        first = asked(visit, "ada/garden-first", "better")
        watched(house, visit)
        reported(visit)
        tried(visit, folder)
        second = again(house, visit, first)
        compared(visit, first, second)


def uploaded(visit, folder):
    """A folder is chosen, looked at before it is sent, and published."""
    page = visit.page
    visit.open("/datasets")
    visit.open("/new/dataset")
    with page.expect_file_chooser() as asked_for:
        page.get_by_role("button", name="Choose a folder").click()
    asked_for.value.set_files(folder)
    page.locator(".class-row").nth(2).wait_for()
    page.locator(".strip canvas").first.wait_for()
    visit.sees("90 pictures", "3 classes")
    visit.picture("upload-looked-at-light-1280")
    page.select_option("#owner", "ada")
    page.fill("#name", "garden")
    visit.sees("is free")
    page.get_by_role("button", name="Publish").click()
    page.wait_for_url("**/datasets/ada/garden")
    visit.sees("A look inside", "triangle")


def asked(visit, name, effort):
    """The wizard, from the data set's page; its name is looked at and its cost is said before it is asked for."""
    page = visit.page
    visit.follow("Fine-tune on this")
    page.wait_for_url("**/finetune?**")
    assert page.locator("#dataset").input_value() == "ada/garden"
    page.locator(".option", has_text="Named below").click()
    page.fill("#base", "ada/tiny")
    page.locator(f'input[name="effort"][value="{effort}"]').check()
    assert not page.locator("#custom").is_visible()
    page.fill("#name", "ada/tiny")
    page.locator('#name[aria-invalid="true"]').wait_for()
    page.fill("#name", name)
    page.locator('#name[aria-invalid="false"]').wait_for()
    visit.until("document.getElementById('estimate').textContent.length > 10")
    visit.picture("wizard-filled-light-1280")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/jobs/*")
    visit.sees("Waiting for a worker")
    return visit.path().split("/")[-1]


def watched(house, visit):
    """The page follows the job without being loaded again, and keeps the focus where it was."""
    page = visit.page
    page.evaluate("window.same = true")
    page.locator("main .act summary").first.focus()
    said = []
    with house.worker() as worker:
        deadline = time.time() + 300
        while page.evaluate("document.getElementById('job-report').dataset.live === 'true'"):
            assert time.time() < deadline, said
            said.append(page.evaluate("document.getElementById('progress-said')?.textContent ?? ''"))
            page.wait_for_timeout(60)
        assert worker.wait(timeout=120) == 0
    visit.sees("Published as")
    assert page.evaluate("window.same === true"), "the page was loaded again"
    assert page.evaluate("document.activeElement.textContent.includes('Duplicate')"), "the focus was lost"
    assert not any(": 0 items/s" in one or " 0 s left" in one for one in said), said
    return list(dict.fromkeys(filter(None, said)))


def reported(visit):
    """The verdict is a sentence; a number of the matrix opens its pictures."""
    page = visit.page
    verdict = page.locator(".verdict").inner_text()
    assert "always answering" in verdict and "%" in verdict, verdict
    job = visit.path()
    page.locator(".matrix td a").first.click()
    page.wait_for_url("**/items?**")
    assert page.locator(".thumbs img").count() > 0
    visit.open(job)
    page.locator(".note").get_by_role("link").first.click()
    page.wait_for_load_state("load")


def tried(visit, folder):
    """The result names a picture, with bars."""
    page = visit.page
    assert visit.path().startswith("/ada/garden-first"), visit.path()
    page.set_input_files("#image", sorted((folder / "circle").glob("*.png"))[1])
    page.get_by_role("button", name="Say what it is").click()
    page.wait_for_url("**/try**")
    page.locator(".bar meter").first.wait_for()
    assert page.locator(".bar").count() == 3, visit.text()
    visit.picture("tried-light-1280")


def again(house, visit, first):
    """The same with another setting: the form is filled as it was asked for."""
    page = visit.page
    visit.open(f"/finetune?from={first}")
    page.locator('input[name="effort"][value="custom"]').check()
    assert page.locator("#custom").is_visible()
    page.locator('input[name="strategy"][value="lp-ft"]').check()
    page.fill("#name", "ada/garden-second")
    page.get_by_role("button", name="Start").click()
    page.wait_for_url("**/jobs/*")
    said = watched(house, visit)
    rates = [one for one in said if "items/s" in one]
    assert rates, f"no pace was told: {said}"
    print(f"  the page of a job said {', then '.join(rates[:3])}", flush=True)
    return visit.path().split("/")[-1]


def compared(visit, first, second):
    """Two are ticked in the list of jobs and laid over each other; then whether one is better."""
    page = visit.page
    visit.open("/jobs")
    for job in (first, second):
        page.locator(f'input[name="job"][value="{job}"]').check()
    page.get_by_role("button", name="Compare the ticked").click()
    page.wait_for_url("**/jobs/compare?**")
    visit.sees("What differs", "strategy", "Class by class")
    visit.picture("runs-compared-light-1280")
    visit.follow("Is one better")
    page.wait_for_url("**/compare?**")
    visit.sees("McNemar")
