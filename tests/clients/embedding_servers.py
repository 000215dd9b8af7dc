"""Clients of other servers of embeddings against this one, with their defaults: openai (which asks for base64), langchain-openai (which sends
token ids of a tokenizer of its own unless it is told not to), and huggingface_hub's InferenceClient as it asks text-embeddings-inference."""
import json
import os
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import huggingface_hub
import numpy as np
import openai
from langchain_openai import OpenAIEmbeddings

import kit

hub = kit.Hub(os.environ["HUB_SERVER"], os.environ["HUB_TOKEN"], Path.home() / "hub")
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "cat", "dog", "sat", "on", "the", "##s", "."]
WIDTH, HIDDEN, LAYERS, PLACES = 16, 24, 2, 24


def tokenizer():
    """Whole words, as the `tokenizers` library writes them."""
    special = [{"id": at, "content": WORDS[at], "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True} for at in range(4)]
    token = lambda at: {"id": WORDS[at], "ids": [at], "tokens": [WORDS[at]]}
    piece = lambda word, kind: {"SpecialToken": {"id": word, "type_id": kind}}
    text = lambda which, kind: {"Sequence": {"id": which, "type_id": kind}}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": special,
        "normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True, "strip_accents": None, "lowercase": True},
        "pre_tokenizer": {"type": "BertPreTokenizer"},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [piece("[CLS]", 0), text("A", 0), piece("[SEP]", 0)],
            "pair": [piece("[CLS]", 0), text("A", 0), piece("[SEP]", 0), text("B", 1), piece("[SEP]", 1)],
            "special_tokens": {"[CLS]": token(2), "[SEP]": token(3)},
        },
        "decoder": None,
        "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##", "max_input_chars_per_word": 100,
                  "vocab": {word: at for at, word in enumerate(WORDS)}},
    }


def config(kind):
    return {
        "architectures": [kind], "model_type": "bert", "hidden_size": WIDTH, "num_hidden_layers": LAYERS, "num_attention_heads": 2,
        "intermediate_size": HIDDEN, "vocab_size": len(WORDS), "max_position_embeddings": PLACES, "type_vocab_size": 2,
        "layer_norm_eps": 1e-12, "hidden_act": "gelu", "id2label": {"0": "LABEL_0"},
    }


def weights(ranks):
    """Random ones under transformers' names; a sequence classifier of one output if it ranks."""
    draw = np.random.default_rng(0)
    prefix, tensors = ("bert." if ranks else ""), {}

    def linear(name, outputs, inputs):
        tensors[f"{name}.weight"] = ([outputs, inputs], (draw.standard_normal(outputs * inputs) * 0.2).tolist())
        tensors[f"{name}.bias"] = ([outputs], [0.0] * outputs)

    def norm(name):
        tensors[f"{name}.weight"], tensors[f"{name}.bias"] = ([WIDTH], [1.0] * WIDTH), ([WIDTH], [0.0] * WIDTH)

    for name, rows in (("word", len(WORDS)), ("position", PLACES), ("token_type", 2)):
        tensors[f"{prefix}embeddings.{name}_embeddings.weight"] = ([rows, WIDTH], (draw.standard_normal(rows * WIDTH) * 0.5).tolist())
    norm(f"{prefix}embeddings.LayerNorm")
    for layer in range(LAYERS):
        at = f"{prefix}encoder.layer.{layer}."
        for part in ("query", "key", "value"):
            linear(f"{at}attention.self.{part}", WIDTH, WIDTH)
        linear(f"{at}attention.output.dense", WIDTH, WIDTH)
        norm(f"{at}attention.output.LayerNorm")
        linear(f"{at}intermediate.dense", HIDDEN, WIDTH)
        linear(f"{at}output.dense", WIDTH, HIDDEN)
        norm(f"{at}output.LayerNorm")
    if ranks:
        linear(f"{prefix}pooler.dense", WIDTH, WIDTH)
        linear("classifier", 1, WIDTH)
    return kit.safetensors(tensors)


def publish(work):
    part = lambda index, path, kind: {"idx": index, "name": str(index), "path": path, "type": f"sentence_transformers.models.{kind}"}
    sentences = {
        "README.md": "---\nlicense: mit\n---\n# Sentences\n", "config.json": json.dumps(config("BertModel")), "model.safetensors": weights(False),
        "tokenizer.json": json.dumps(tokenizer()),
        "modules.json": json.dumps([part(0, "", "Transformer"), part(1, "1_Pooling", "Pooling"), part(2, "2_Normalize", "Normalize")]),
        "1_Pooling/config.json": json.dumps({"pooling_mode_mean_tokens": True}),
        "sentence_bert_config.json": json.dumps({"max_seq_length": 8, "do_lower_case": False}),
        "config_sentence_transformers.json": json.dumps({"prompts": {"query": "the cat ", "plain": ""}}),
    }
    hub.publish(kit.write(work / "sentences", sentences), "ada/sentences")
    ranker = {
        "README.md": "---\nlicense: mit\n---\n# Ranker\n", "config.json": json.dumps(config("BertForSequenceClassification")),
        "model.safetensors": weights(True), "tokenizer.json": json.dumps(tokenizer()),
    }
    hub.publish(kit.write(work / "ranker", ranker), "ada/ranker")


def by_openai(own):
    client = openai.OpenAI(base_url=f"{hub.address}/v1", api_key=hub.token, max_retries=0)
    said = client.embeddings.create(model="ada/sentences", input=["a cat", "the dogs"])
    assert said.model == "ada/sentences@1" and said.usage.total_tokens == 9, said
    assert np.allclose(said.data[0].embedding, own, atol=1e-5), "base64, which is its default"
    floats = client.embeddings.create(model="ada/sentences", input="a cat", encoding_format="float")
    assert np.allclose(floats.data[0].embedding, own, atol=1e-5)
    assert len(client.embeddings.create(model="ada/sentences", input="a cat", dimensions=4).data[0].embedding) == 4
    stranger = openai.OpenAI(base_url=f"{hub.address}/v1", api_key="hub_" + 40 * "0", max_retries=0)
    for asked, model, input_, kind, code, param in (
        (client, "ada/sentences", [5, 6], openai.BadRequestError, "token_ids", "input"),
        (client, "ada/sentences", ["a cat", ""], openai.BadRequestError, "text_unreadable", "input"),
        (client, "ada/sentences", [], openai.BadRequestError, "nothing_asked", "input"),
        (client, "ada/sentences", 5000 * ["a"], openai.BadRequestError, "too_many_items", "input"),
        (client, "ada/nothing", "a cat", openai.NotFoundError, "model_not_found", "model"),
        (client, "text-embedding-3-small", "a cat", openai.NotFoundError, "model_not_found", "model"),
        (stranger, "ada/sentences", "a cat", openai.AuthenticationError, "invalid_api_key", None),
    ):
        try:
            asked.embeddings.create(model=model, input=input_)
            raise AssertionError(f"{str(input_)[:40]} was taken")
        except kind as refused:
            # The client itself reads these out of the body.
            assert (refused.code, refused.param, refused.type) == (code, param, "invalid_request_error"), refused.response.text
            assert "; " in refused.body["message"] and refused.request_id, refused.response.text
    print(f"  openai {openai.__version__}: embeddings in base64 and floats, fewer dimensions; refusals are its own exceptions, with code and param", flush=True)


def by_langchain(own):
    settings = {"model": "ada/sentences", "base_url": f"{hub.address}/v1", "api_key": hub.token, "max_retries": 0}
    texts = OpenAIEmbeddings(check_embedding_ctx_length=False, **settings)
    assert np.allclose(texts.embed_query("a cat"), own, atol=1e-5)
    assert np.allclose(texts.embed_documents(["the dogs", "a cat"])[1], own, atol=1e-5)
    print("  langchain-openai: embed_query and embed_documents with check_embedding_ctx_length=False", flush=True)


def by_inference_client(own):
    tei = f"{hub.address}/api/v1/models/ada/sentences/tei"
    client = huggingface_hub.InferenceClient(token=hub.token)
    one = client.feature_extraction("a cat", model=f"{tei}/embed")
    assert one.shape == (1, WIDTH) and np.allclose(one[0], own, atol=1e-5), one
    asked = client.feature_extraction("a cat", model=f"{tei}/embed", prompt_name="query", normalize=True, truncate=True)
    whole = client.feature_extraction("the cat a cat", model=f"{tei}/embed", truncate=True)
    assert np.allclose(asked, whole, atol=1e-5) and not np.allclose(asked[0], own, atol=1e-3), "a prompt goes before the text"
    near = client.sentence_similarity("a cat", ["a cat", "the dogs sat"], model=f"{tei}/similarity")
    assert abs(near[0] - 1) < 1e-5 and near[1] < near[0], near
    try:
        client.feature_extraction("the cat sat on the dog on the cat", model=f"{tei}/embed")
        raise AssertionError("a text that is too long was taken")
    except huggingface_hub.errors.HfHubHTTPError as refused:
        assert refused.response.status_code == 413 and "tokens" in str(refused), refused
    print(f"  huggingface_hub {huggingface_hub.__version__}: InferenceClient's feature_extraction and sentence_similarity", flush=True)


def by_hand():
    """What no client here asks for: the ranks of a cross-encoder, as text-embeddings-inference gives them."""
    request = urllib.request.Request(f"{hub.address}/api/v1/models/ada/ranker/tei/rerank", method="POST")
    request.add_header("Authorization", f"Bearer {hub.token}")
    request.add_header("Content-Type", "application/json")
    body = {"query": "a cat", "texts": ["the cat", "a dog sat on the cats", "dogs"], "return_text": True}
    ranked = json.loads(urllib.request.urlopen(request, json.dumps(body).encode()).read())
    scores = [one["score"] for one in ranked]
    assert scores == sorted(scores, reverse=True) and all(0 <= score <= 1 for score in scores), ranked
    assert all(body["texts"][one["index"]] == one["text"] for one in ranked)
    for body, status, kind in ((b'{"query": "a", "texts": []}', 400, "Empty"), (b"[", 400, "Validation"), (b'{"query": "a", "texts": [""]}', 422, "Tokenizer")):
        try:
            urllib.request.urlopen(request, body)
            raise AssertionError(f"{body} was taken")
        except urllib.error.HTTPError as refused:
            said = json.loads(refused.read())
            assert (refused.code, said["error_type"], sorted(said)) == (status, kind, ["error", "error_type"]), said
    print("  text-embeddings-inference's rerank and its refusals, by hand", flush=True)


with tempfile.TemporaryDirectory() as folder:
    publish(Path(folder))
    vector = hub.api("POST", "/models/ada/sentences/embed", {"texts": ["a cat"]})["items"][0]["features"]
    by_openai(vector)
    by_langchain(vector)
    by_inference_client(vector)
    by_hand()
