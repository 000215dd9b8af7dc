"""transformers and datasets, which stand on huggingface_hub: configuration and tokenizer of a model, rows of a data set;
the model also offline, from the cache that `hub pull --hf-cache` fills."""
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import datasets
import PIL.Image
import transformers

import kit

hub = kit.Hub(os.environ["HUB_SERVER"], os.environ["HUB_TOKEN"], Path.home() / "hub")
TOKENIZER = {
    "version": "1.0",
    "truncation": None,
    "padding": None,
    "added_tokens": [],
    "normalizer": {"type": "Lowercase"},
    "pre_tokenizer": {"type": "Whitespace"},
    "post_processor": None,
    "decoder": None,
    "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "good": 1, "morning": 2}, "unk_token": "[UNK]"},
}
OFFLINE = "import transformers; print(transformers.AutoTokenizer.from_pretrained('ada/words')('Good morning, hub')['input_ids'])"

with tempfile.TemporaryDirectory() as folder:
    work = Path(folder)
    files = {
        "README.md": "---\nlicense: mit\nlibrary_name: transformers\n---\n# Words\n",
        "config.json": json.dumps({"model_type": "bert", "hidden_size": 32, "num_attention_heads": 2, "num_hidden_layers": 1, "vocab_size": 3}),
        "tokenizer.json": json.dumps(TOKENIZER),
        "tokenizer_config.json": json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "unk_token": "[UNK]"}),
    }
    hub.publish(kit.write(work / "words", files), "ada/words")
    assert transformers.AutoConfig.from_pretrained("ada/words").hidden_size == 32
    ids = transformers.AutoTokenizer.from_pretrained("ada/words")("Good morning, hub")["input_ids"]
    assert ids[:2] == [1, 2], ids
    print(f"  transformers {transformers.__version__}: configuration and tokenizer", flush=True)

    environment = kit.clean(work / "other", HUB_SERVER=hub.address, HUB_TOKEN=hub.token, HF_HUB_CACHE=str(work / "cache"))
    kit.run(kit.hub_program(), "pull", "ada/words", "--hf-cache", "--quiet", env=environment, stdout=subprocess.DEVNULL)
    environment = kit.clean(work / "third", HF_HUB_CACHE=str(work / "cache"), HF_HUB_OFFLINE="1", HF_ENDPOINT="http://127.0.0.1:9")
    said = kit.run(sys.executable, "-c", OFFLINE, env=environment, stdout=subprocess.PIPE).stdout
    assert json.loads(said) == ids
    print(f"  transformers {transformers.__version__}: offline, from the cache that hub pull --hf-cache filled", flush=True)

    rows = datasets.load_dataset("ada/table", split="train")
    assert rows[:]["text"] == ["a", "b"] and rows[:]["label"] == [0, 1], rows[:]
    print(f"  datasets {datasets.__version__}: load_dataset of a CSV file", flush=True)

    # A shard of three rows is small, and gone when the commit comes.
    pushed = datasets.Dataset.from_dict({"text": ["a", "b", "c"], "label": [0, 1, 0]})
    pushed.push_to_hub("ada/pushed-rows")
    assert datasets.load_dataset("ada/pushed-rows", split="train")[:] == pushed[:]
    print(f"  datasets {datasets.__version__}: push_to_hub of three rows, and loaded again", flush=True)

    # Pictures as `datasets` pushes them: Parquet with a column of images, and classes with names.
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["dark", "light"])})
    shades = [10 * n + 120 * (n % 2) for n in range(12)]
    pictures = {"image": [PIL.Image.effect_noise((16, 16), 8 + shade % 40) for shade in shades], "label": [n % 2 for n in range(12)]}
    datasets.DatasetDict({"train": datasets.Dataset.from_dict(pictures, features=features)}).push_to_hub("ada/pushed-pictures")
    facts = hub.api("GET", "/datasets/ada/pushed-pictures")["facts"]
    assert facts["labels"] == ["dark", "light"] and facts["samples"] == 12, facts
    assert datasets.load_dataset("ada/pushed-pictures", split="train")[0]["image"].size == (16, 16)
    print(f"  datasets {datasets.__version__}: push_to_hub of pictures, read as a data set of two classes", flush=True)

    # Two configs of one data set: the default one is read.
    for name, rows, default in (("whole", 12, True), ("few", 6, False)):
        part = datasets.Dataset.from_dict({key: values[:rows] for key, values in pictures.items()}, features=features)
        part.push_to_hub("ada/pushed-configs", config_name=name, set_default=default)
    facts = hub.api("GET", "/datasets/ada/pushed-configs")["facts"]
    assert facts["labels"] == ["dark", "light"] and facts["samples"] == 12, facts
    assert datasets.load_dataset("ada/pushed-configs", "few", split="train").num_rows == 6
    print(f"  datasets {datasets.__version__}: push_to_hub of two configs, of which the default is read", flush=True)
