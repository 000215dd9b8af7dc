#!/usr/bin/env python3
"""Writes the golden numbers of `tests/text.rs`: what transformers computes of text encoders from weights that both sides make by one
formula (that of make.py, see there).

    pip install torch transformers numpy
    python tests/golden/make_text.py           # writes text_*.json beside this file

Each family is built small, with every part it has. A tensor of the state dict, by its name without the prefix of a head, is

    table of embeddings          2u - 1
    linear weight (O, I)         (2u - 1) * sqrt(3 / I)
    norm weight                  0.5 + u
    bias                         (2u - 1) * 0.2

rounded to f32; from there transformers computes in f64. Texts are of unequal lengths, among them one of a single token and one that is
longer than ModernBERT's local layers see; the features are the mean of each text's tokens, the loss is their sum times a weight each.
"""
import json
import math
import pathlib

import numpy as np
import torch
import transformers

HERE = pathlib.Path(__file__).parent
M64 = (1 << 64) - 1
LENGTHS = [7, 90, 1, 33]
VOCABULARY, WIDTH, HEADS, HIDDEN, LAYERS, PLACES = 37, 16, 2, 24, 3, 100

NUMBERS = dict(vocab_size=VOCABULARY, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS, intermediate_size=HIDDEN, max_position_embeddings=PLACES, pad_token_id=1)
FAMILIES = {
    "bert": (transformers.BertConfig, dict(NUMBERS, type_vocab_size=2), "Bert"),
    "roberta": (transformers.RobertaConfig, dict(NUMBERS, type_vocab_size=1, layer_norm_eps=1e-5), "Roberta"),
    "xlm-roberta": (transformers.XLMRobertaConfig, dict(NUMBERS, type_vocab_size=1, layer_norm_eps=1e-5), "XLMRoberta"),
    "distilbert": (transformers.DistilBertConfig, dict(vocab_size=VOCABULARY, dim=WIDTH, n_layers=LAYERS, n_heads=HEADS, hidden_dim=HIDDEN, max_position_embeddings=PLACES, pad_token_id=1), "DistilBert"),
    "mpnet": (transformers.MPNetConfig, dict(NUMBERS, layer_norm_eps=1e-5), "MPNet"),
    "modernbert": (transformers.ModernBertConfig, dict(NUMBERS, bos_token_id=2, eos_token_id=3, cls_token_id=2, sep_token_id=3), "ModernBert"),
}


def uniform(name, count):
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & M64
    with np.errstate(over="ignore"):
        z = np.uint64(h) + np.arange(count, dtype=np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return (z >> np.uint64(11)).astype(np.float64) / float(1 << 53)


def fill(name, shape):
    u = uniform(name, math.prod(shape)).reshape(shape)
    if "embeddings." in name and len(shape) == 2:
        values = 2 * u - 1
    elif len(shape) == 2:
        values = (2 * u - 1) * math.sqrt(3 / shape[1])
    elif name.endswith(".weight"):
        values = 0.5 + u
    else:
        values = (2 * u - 1) * 0.2
    return torch.from_numpy(values.astype(np.float32))


def plain(name, prefix):
    return name.removeprefix(prefix)


def load(net, prefix):
    state = {}
    for key, value in net.state_dict().items():
        # Numbers of places are a buffer of the first.
        state[key] = fill(plain(key, prefix), tuple(value.shape)) if value.is_floating_point() else value
    net.load_state_dict(state, strict=True)
    return net.double().eval()


def texts():
    ids = [[4 + (7 * at * at + 3 * text + at) % (VOCABULARY - 4) for at in range(length)] for text, length in enumerate(LENGTHS)]
    types = [[1 if at > length // 2 else 0 for at in range(length)] for length in LENGTHS]
    return ids, types


def digits(tensor):
    return [float(f"{value:.7g}") for value in tensor.detach().flatten().tolist()]


def make(family):
    config, settings, classes = FAMILIES[family]
    config = config(**settings, attn_implementation="eager")
    prefix = {"bert": "bert.", "roberta": "roberta.", "xlm-roberta": "roberta.", "distilbert": "distilbert.", "mpnet": "mpnet.", "modernbert": "model."}[family]
    base = getattr(transformers, classes + "Model")
    extra = {"add_pooling_layer": False} if family in ("bert", "roberta", "xlm-roberta", "mpnet") else {}
    net = load(base(config, **extra), prefix)
    ids, types = texts()
    # One by one: some attentions of transformers make padding a number that is none, which would spread.
    def given(text):
        one = dict(input_ids=torch.tensor([ids[text]]), attention_mask=torch.ones(1, len(ids[text]), dtype=torch.long))
        return dict(one, token_type_ids=torch.tensor([types[text]])) if family == "bert" else one

    hidden = [net(**given(text)).last_hidden_state[0] for text in range(len(ids))]
    features = torch.stack([tokens.mean(0) for tokens in hidden])
    loss = (features * torch.from_numpy(2 * uniform("loss", features.numel()) - 1).reshape(features.shape)).sum()
    loss.backward()
    gradients = {plain(key, prefix): digits(value.grad if value.grad is not None else torch.zeros_like(value)) for key, value in net.named_parameters()}
    # A classifier with one output: what rerankers are.
    config.num_labels = 1
    scorer = load(getattr(transformers, classes + "ForSequenceClassification")(config), prefix)
    scores = torch.cat([scorer(**given(text)).logits for text in range(len(ids))])
    golden = {
        "config": {key: value for key, value in json.loads(config.to_json_string(use_diff=False)).items() if value is None or not isinstance(value, (dict, list)) or key in ("architectures", "id2label", "rope_parameters", "layer_types")},
        "ids": ids, "types": types if family == "bert" else [[0] * len(row) for row in ids],
        "features": digits(features), "first": digits(torch.stack([tokens[0] for tokens in hidden])), "gradients": gradients,
        "tensors": sorted(scorer.state_dict()), "scores": digits(scores),
    }
    (HERE / f"text_{family}.json").write_text(json.dumps(golden, separators=(",", ":")) + "\n")
    print(family, len(gradients), features.abs().mean().item(), scores.flatten().tolist())


if __name__ == "__main__":
    print("transformers", transformers.__version__)
    for family in FAMILIES:
        make(family)
