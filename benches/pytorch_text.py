"""PyTorch's side of `make bench-text-tuning`: the same recipe with transformers' encoder, and scikit-learn on its frozen features.

One line of JSON on the standard input asks, one on the standard output answers:

    {"base": FOLDER, "data": FOLDER, "mode": "probe" | "full" | "pairs", "epochs": 3, "seed": 0}
    {"primary": accuracy or Spearman's correlation of the best epoch, "recalls": of each class there, "curve": [of each epoch], "seconds": of the whole job}

DATA holds train.csv and validation.csv with the columns text and label, or (for pairs) sentence1, sentence2 and score.
"""
import csv
import json
import sys
import time
from pathlib import Path

import numpy as np
import torch
from scipy.stats import spearmanr
from sklearn.linear_model import LogisticRegressionCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from transformers import AutoModel, AutoTokenizer

LR, HEAD_LR, BATCH, DECAY, WARMUP, TOKENS = 2e-5, 1e-3, 32, 0.01, 0.1, 256


def rows(folder, split):
    with open(Path(folder) / f"{split}.csv", newline="", encoding="utf-8") as table:
        return list(csv.DictReader(table))


class Encoder(torch.nn.Module):
    """Means over the tokens, as sentence-transformers pools this model."""

    def __init__(self, folder):
        super().__init__()
        self.tokenizer, self.inner = AutoTokenizer.from_pretrained(folder), AutoModel.from_pretrained(folder)

    def forward(self, texts):
        encoded = self.tokenizer(texts, padding=True, truncation=True, max_length=TOKENS, return_tensors="pt")
        hidden, mask = self.inner(**encoded).last_hidden_state, encoded["attention_mask"].unsqueeze(-1)
        return (hidden * mask).sum(1) / mask.sum(1)

    def frozen(self, texts):
        """Sorted by length, so that little is padded."""
        order = sorted(range(len(texts)), key=lambda at: len(texts[at]))
        found = [None] * len(texts)
        self.eval()
        with torch.inference_mode():
            for at in range(0, len(order), BATCH):
                places = order[at : at + BATCH]
                for place, vector in zip(places, self([texts[place] for place in places])):
                    found[place] = vector
        return torch.stack(found)


def scheduled(groups, total):
    """AdamW with a warm-up and half a cosine."""
    optimizer = torch.optim.AdamW(groups)
    warm = max(round(total * WARMUP), 1)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(optimizer, lambda at: (at + 1) / warm if at < warm else 0.5 * (1 + np.cos(np.pi * (at - warm) / max(total - warm, 1))))


def learn(ask, parts, train, held, step, judge):
    """Epochs over shuffled batches: the curve of what `judge` says."""
    torch.manual_seed(ask["seed"])
    model, head = parts
    groups = [
        {"params": [p for p in part.parameters() if (p.ndim > 1) == decays], "lr": lr, "weight_decay": DECAY if decays else 0.0}
        for part, lr in ((model, LR), (head, HEAD_LR)) if part is not None
        for decays in (True, False)
    ]
    optimizer, schedule = scheduled(groups, -(-len(train) // BATCH) * ask["epochs"])
    curve = []
    for _ in range(ask["epochs"]):
        model.train()
        order = torch.randperm(len(train)).tolist()
        for at in range(0, len(order), BATCH):
            optimizer.zero_grad()
            step([train[place] for place in order[at : at + BATCH]]).backward()
            torch.nn.utils.clip_grad_norm_([p for group in groups for p in group["params"]], 1.0)
            optimizer.step()
            schedule.step()
        curve.append(judge(held))
    return curve


def classes(ask, train, held):
    names = sorted({row["label"] for row in train})
    model = Encoder(ask["base"])
    truth = np.array([names.index(row["label"]) for row in held])
    told = lambda found: (float((found == truth).mean()), {name: float((found[truth == at] == at).mean()) for at, name in enumerate(names)})
    if ask["mode"] == "probe":
        x, held_x = (model.frozen([row["text"] for row in part]).numpy() for part in (train, held))
        head = make_pipeline(StandardScaler(), LogisticRegressionCV(Cs=np.logspace(-5, 6, 12), cv=5, scoring="neg_log_loss", max_iter=200))
        found = head.fit(x, [names.index(row["label"]) for row in train]).predict(held_x)
        return [told(found)]
    head = torch.nn.Linear(model.inner.config.hidden_size, len(names))
    loss = torch.nn.CrossEntropyLoss()
    step = lambda part: loss(head(model([row["text"] for row in part])), torch.tensor([names.index(row["label"]) for row in part]))

    def judge(part):
        with torch.inference_mode():
            return told(head(model.frozen([row["text"] for row in part])).argmax(1).numpy())

    return learn(ask, (model, head), train, held, step, judge)


def pairs(ask, train, held):
    model = Encoder(ask["base"])
    scores = [float(row["score"]) for row in train]
    low, high = min(scores), max(scores)
    cosine = torch.nn.functional.cosine_similarity

    def step(part):
        first, second = (model([row[name] for row in part]) for name in ("sentence1", "sentence2"))
        wanted = torch.tensor([(float(row["score"]) - low) / (high - low) for row in part])
        return ((cosine(first, second) - wanted) ** 2).mean()

    def judge(part):
        first, second = (model.frozen([row[name] for row in part]) for name in ("sentence1", "sentence2"))
        return float(spearmanr(cosine(first, second).numpy(), [float(row["score"]) for row in part]).statistic), {}

    return [judge(held)] if ask["mode"] == "probe" else learn(ask, (model, None), train, held, step, judge)


def answer(ask):
    begun = time.time()
    train, held = rows(ask["data"], "train"), rows(ask["data"], "validation")
    curve = (pairs if "score" in train[0] else classes)(ask, train, held)
    primary, recalls = max(curve, key=lambda each: each[0])
    return {"primary": primary, "recalls": recalls, "curve": [each[0] for each in curve], "seconds": time.time() - begun}


torch.set_num_threads(int(sys.argv[1]))
for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))), flush=True)
