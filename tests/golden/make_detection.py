"""Writes detection.json: what pycocotools says of boxes, and which pixels it takes for outlines. Run with pycocotools and numpy installed."""

import contextlib
import io
import json
import pathlib

import numpy as np
from pycocotools import mask
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

random = np.random.default_rng(7)


def box(side=320.0):
    wide, high = np.exp(random.uniform(np.log(4), np.log(200), 2))
    x, y = random.uniform(0, max(side - wide, 1)), random.uniform(0, max(side - high, 1))
    return [round(float(value), 2) for value in (x, y, wide, high)]


def moved(bbox, by):
    return [round(float(value + random.normal() * by * bbox[2 + at % 2]), 2) for at, value in enumerate(bbox)]


def case(name, images, classes, objects, noise, crowds=0.0, ties=False):
    made = []
    for _ in range(images):
        truths, found = [], []
        for _ in range(random.integers(0, objects + 1)):
            bbox = box()
            crowd = bool(random.random() < crowds)
            area = round(float(bbox[2] * bbox[3] * random.uniform(0.5, 1.0)), 2)
            kind = int(random.integers(0, classes))
            truths.append({"class": kind, "bbox": bbox, "area": area, "crowd": crowd})
            for _ in range(random.integers(0, 4)):
                answer = moved(bbox, noise)
                answer[2:] = [max(value, 1.0) for value in answer[2:]]
                score = round(float(random.random()), 1 if ties else 6)
                found.append({"class": kind if random.random() < 0.8 else int(random.integers(0, classes)), "bbox": answer, "score": score})
        for _ in range(random.integers(0, 3)):
            found.append({"class": int(random.integers(0, classes)), "bbox": box(), "score": round(float(random.random()), 6)})
        made.append({"truths": truths, "found": found})
    return evaluated(name, made, classes)


def evaluated(name, images, classes):
    annotations, answers = [], []
    for at, image in enumerate(images, 1):
        for truth in image["truths"]:
            annotations.append({"id": len(annotations) + 1, "image_id": at, "category_id": truth["class"] + 1, "bbox": truth["bbox"],
                                "area": truth["area"], "iscrowd": int(truth["crowd"])})
        for answer in image["found"]:
            answers.append({"image_id": at, "category_id": answer["class"] + 1, "bbox": answer["bbox"], "score": answer["score"]})
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {"images": [{"id": at + 1} for at in range(len(images))], "annotations": annotations,
                         "categories": [{"id": kind + 1} for kind in range(classes)]}
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(answers), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    precision = evaluation.eval["precision"][:, :, :, 0, 2]
    per_class = []
    for kind in range(classes):
        values = precision[:, :, kind]
        values = values[values > -1]
        per_class.append(float(values.mean()) if values.size else -1.0)
    return {"name": name, "classes": classes, "images": images, "stats": [float(value) for value in evaluation.stats], "per_class": per_class}


def outline(name, polygons, width, height):
    runs = mask.merge(mask.frPyObjects(polygons, height, width))
    raster = mask.decode(runs)
    return {"name": name, "polygons": polygons, "width": width, "height": height, "packed": runs["counts"].decode(),
            "area": int(mask.area(runs)), "bbox": [float(value) for value in mask.toBbox(runs)],
            "on": np.flatnonzero(raster.reshape(-1)).tolist()}


def star(points, x, y, far, near):
    corners = []
    for at in range(2 * points):
        radius, angle = (far if at % 2 == 0 else near), np.pi * at / points + 0.3
        corners += [round(float(x + radius * np.cos(angle)), 2), round(float(y + radius * np.sin(angle)), 2)]
    return corners


golden = {
    "cases": [
        case("few and exact", 6, 3, 5, 0.02),
        case("rough", 20, 4, 8, 0.12),
        case("with crowds", 20, 3, 8, 0.08, crowds=0.25),
        case("with ties", 20, 3, 6, 0.08, ties=True),
        case("many classes and few objects", 4, 12, 2, 0.05),
        evaluated("nothing found", [{"truths": [{"class": 0, "bbox": [1, 1, 9, 9], "area": 81.0, "crowd": False}],
                                     "found": [{"class": 1, "bbox": [1, 1, 9, 9], "score": 0.5}]}], 2),
    ],
    "outlines": [
        outline("a triangle", [[1, 1, 12.5, 2, 6, 14]], 16, 16),
        outline("a star", [star(5, 20, 18, 16, 6)], 40, 36),
        outline("two parts", [star(3, 8, 8, 7, 4), star(6, 22, 20, 8, 5)], 31, 30),
        outline("over the edge", [star(7, 4, 5, 12, 9)], 20, 17),
        outline("a square", [[2, 3, 9, 3, 9, 8, 2, 8]], 12, 10),
        outline("whole", [[0, 0, 8, 0, 8, 6, 0, 6]], 8, 6),
    ],
}
pathlib.Path(__file__).with_name("detection.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
