"""What the journeys find: a hub with people, a base, data sets, fine-tunes that ended well and badly, and what strangers write."""
import json
import subprocess
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

import drawings
import kit

LONG = "eve/a-model-with-quite-a-long-name-for-a-telephone-and-more-of-it"


@dataclass
class House:
    """A hub that is served, who lives in it, and the browser that looks at it."""

    address: str
    admin: kit.Hub
    work: Path
    pictures: Path
    browser: object = None
    ada: kit.Hub = None
    eve: kit.Hub = None
    jobs: list = field(default_factory=list)
    visits: list = field(default_factory=list)
    # What each page weighed and what axe found on it, for the report.
    weights: dict = field(default_factory=dict)
    found: list = field(default_factory=list)

    @property
    def data(self):
        return self.work / "data"

    def worker(self, *more):
        """A worker of this machine in the background; it ends after one job."""
        command = [kit.hub_program(), "worker", "--data", self.data, "--once", *more]
        with open(self.work / "worker.log", "a") as log:
            return subprocess.Popen([str(part) for part in command], env=kit.clean(self.work), stdout=log, stderr=log)

    def work_off(self, *statuses):
        """Has the next job done; one that may fail ends with another status than 0."""
        status = self.worker().wait(timeout=600)
        assert status in (0, *statuses), f"the worker ended with {status}: {(self.work / 'worker.log').read_text()[-2000:]}"

    def finetune(self, name, **recipe):
        """A fine-tune of the base on the shapes, asked for: its id."""
        body = {"base": "ada/tiny", "dataset": "ada/shapes", "name": name, "recipe": {"batch_size": 12, **recipe}}
        return self.ada.api("POST", "/finetunes", body)["id"]



def pool(address, admin, work, pictures):
    """People and what they published; needs no worker."""
    house = House(address, admin, work, pictures)
    house.ada, house.eve = admin.user("ada"), admin.user("eve")
    made = work / "made"
    house.ada.publish(drawings.base(made / "tiny"), "ada/tiny", "--tag", "v1.0", "-m", "First")
    drawings.shapes(made / "shapes", 24, 1)
    house.ada.publish(made / "shapes", "ada/shapes", "--dataset", "-m", "Drawn by hand")
    hostile = kit.write(made / "hostile", {"README.md": drawings.HOSTILE, "config.json": "{}", f"{drawings.WORD}.txt": drawings.WORD})
    house.eve.publish(hostile, LONG)
    words = kit.write(made / "words", {"circle.txt": drawings.WORDS})
    house.ada.run("import", words / "circle.txt", "ada/circle", "--license", "mit")
    house.ada.publish(kit.write(made / "hidden", {"README.md": "# Hidden\n"}), "ada/hidden", "--private")
    admin.run("admin", "org", "add", "garden", "--data", house.data)
    for name, role in (("ada", "admin"), ("eve", "read")):
        admin.run("admin", "org", "member", "garden", name, role, "--data", house.data)
    table = f"model,top1,top5\nada/tiny,64.1,86.3\neve/{LONG.split('/')[1]},1.5,3\n"
    admin.api("POST", "/admin/results", {"name": "results-imagenet-real.csv", "text": table})
    dialect(house.eve, "/api/models/ada/tiny/discussions", {"title": "Which pictures was it made for?", "description": "I ask as I have others.", "pullRequest": False})
    return house


def dialect(hub, path, body):
    """Asks what clients of the Hugging Face hub ask."""
    request = urllib.request.Request(hub.address + path, json.dumps(body).encode(), method="POST")
    request.add_header("Authorization", f"Bearer {hub.token}")
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


def finetunes(house):
    """Two runs of the same, told apart by a setting; and one that cannot be better than a guess."""
    head = {"strategy": "head", "head_solver": "sgd"}
    house.jobs.append(house.finetune("ada/shapes-a", epochs=6, **head))
    house.jobs.append(house.finetune("ada/shapes-b", epochs=9, head_lr=0.02, **head))
    house.jobs.append(house.finetune("ada/shapes-c", epochs=1, lr=1, strategy="full"))
    for _ in house.jobs[:2]:
        house.work_off()
    house.work_off(1)


def looks(house):
    """What else people ask for: a backbone, a measurement, neighbours, a search for the best setting; and one that still waits. By its name."""
    jobs, ask = {}, house.ada.api
    among = ["ada/tiny", "ada/shapes-a"]
    jobs["recommend"] = ask("POST", "/recommend", {"dataset": "ada/shapes", "among": among})["id"]
    jobs["evaluate"] = ask("POST", "/evaluations", {"model": "ada/shapes-a", "dataset": "ada/shapes"})["id"]
    jobs["embed"] = ask("POST", "/embeddings", {"model": "ada/tiny@1", "dataset": "ada/shapes"})["id"]
    for _ in jobs:
        house.work_off()
    recipe = {"batch_size": 12, "strategy": "head", "head_solver": "sgd", "epochs": 2}
    body = {"base": "ada/tiny", "dataset": "ada/shapes", "name": "ada/swept", "recipe": recipe, "sweep": {"settings": {"head_lr": [0.001, 0.02]}}}
    jobs["sweep"] = ask("POST", "/finetunes", body)["id"]
    # A sweep itself may be taken up between its trials.
    for _ in range(8):
        if ask("GET", f"/jobs/{jobs['sweep']}")["state"] in ("succeeded", "failed"):
            break
        house.work_off()
    jobs["queued"] = house.finetune("ada/shapes-d", epochs=2)
    return jobs
