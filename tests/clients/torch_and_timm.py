"""timm and torch.hub load what the hub serves, and compute with it exactly what the published weights compute; also
without the hub, from the cache that `hub pull --hf-cache` fills."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import timm
import torch
from huggingface_hub import HfApi

import kit

torch.set_num_threads(2)
hub = kit.Hub(os.environ["HUB_SERVER"], os.environ["HUB_TOKEN"], Path.home() / "hub")
known = json.loads(os.environ["KNOWN"])
image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def logits(model):
    with torch.inference_mode():
        return model.eval()(image)


def publish(work):
    """A small model with random weights, saved as timm saves its own."""
    torch.manual_seed(7)
    model = timm.create_model("resnet18", num_classes=5)
    folder = work / "small"
    timm.models.save_for_hf(model, folder, safe_serialization=True)
    kit.write(folder, {"README.md": "---\nlicense: apache-2.0\nlibrary_name: timm\n---\n# Small\n"})
    torch.save(model.state_dict(), folder / "small.pth")
    hub.publish(folder, "ada/small", "--tag", "v1")
    return model, folder


def loads(work):
    model, _ = publish(work)
    expected = logits(model)
    for name in ("hf-hub:ada/small", "hf-hub:ada/small@v1"):
        loaded = timm.create_model(name, pretrained=True)
        assert torch.equal(logits(loaded), expected), name
    features = timm.create_model("hf-hub:ada/small", pretrained=True, num_classes=0)
    assert features(image).shape == (2, 512)
    assert HfApi().model_info("ada/small").library_name == "timm"
    print(f"  timm {timm.__version__}: logits equal to the published weights'", flush=True)
    return expected


def pushes(work, expected):
    """What timm publishes itself comes back the same."""
    model = timm.create_model("hf-hub:ada/small", pretrained=True)
    timm.models.push_to_hf_hub(model, "ada/pushed", safe_serialization=True)
    assert torch.equal(logits(timm.create_model("hf-hub:ada/pushed", pretrained=True)), expected)
    # By default it writes pytorch_model.bin, a pickle, beside the safetensors.
    timm.models.push_to_hf_hub(model, "ada/pushed-both")
    assert {"pytorch_model.bin", "model.safetensors"} <= set(HfApi().list_repo_files("ada/pushed-both"))
    assert torch.equal(logits(timm.create_model("hf-hub:ada/pushed-both", pretrained=True)), expected)
    print(f"  timm {timm.__version__}: push_to_hf_hub, and loaded again", flush=True)


def trains(work):
    """What transformers' Trainer publishes itself: safetensors, and its arguments as a pickle."""
    import transformers

    config = transformers.BertConfig(vocab_size=32, hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8, num_labels=2)
    arguments = transformers.TrainingArguments(output_dir=str(work / "trained"), hub_model_id="ada/trained", report_to=[], use_cpu=True)
    trainer = transformers.Trainer(model=transformers.BertForSequenceClassification(config), args=arguments)
    trainer.push_to_hub()
    assert {"training_args.bin", "model.safetensors", "config.json"} <= set(HfApi().list_repo_files("ada/trained"))
    assert transformers.AutoModelForSequenceClassification.from_pretrained("ada/trained").num_labels == 2
    print(f"  transformers {transformers.__version__}: Trainer.push_to_hub, and loaded again", flush=True)


def pictures(folder):
    """Noise around two colours, in a folder each; other sides than the network's, so that they are resized and cropped."""
    from PIL import Image

    random, files = torch.Generator().manual_seed(3), []
    for name, colour in (("green", (20, 180, 40)), ("red", (190, 30, 20))):
        (folder / name).mkdir(parents=True)
        for number in range(10):
            noise = torch.randint(-20, 60, (90 + number, 120, 3), generator=random) + torch.tensor(colour)
            pixels = noise.clamp(0, 255).to(torch.uint8)
            files.append(folder / name / f"{number}.png")
            Image.frombytes("RGB", (pixels.shape[1], pixels.shape[0]), pixels.numpy().tobytes()).save(files[-1])
    return files


def fine_tuned(work):
    """The result of a fine-tune made here, in timm: by its own transform, it says of pictures what the hub says."""
    from PIL import Image

    files = pictures(work / "colours")
    hub.run("publish", work / "colours", "ada/colours", "--dataset", "--quiet")
    recipe = ("--image-size", "64", "--epochs", "2", "--batch-size", "4")
    hub.run("finetune", "--base", "ada/small", "--dataset", "ada/colours", "--name", "ada/tuned", *recipe, "--quiet")
    hub.run("worker", "--data", known["data"], "--once")
    hub.run("pull", "ada/tuned", "--to", work / "tuned", "--quiet")
    said = json.loads(hub.run("predict", *files, "--model", "ada/tuned", "--top", "2", "--json"))
    labels = json.loads((work / "tuned" / "config.json").read_text())["label_names"]
    for name in ("hf-hub:ada/tuned", f"local-dir:{work / 'tuned'}"):
        model = timm.create_model(name, pretrained=True).eval()
        transform = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
        worst = 0.0
        for path, answer in zip(files, said, strict=True):
            with torch.inference_mode():
                ours = torch.softmax(model(transform(Image.open(path))[None])[0], dim=0)
            theirs = {shown["label"]: shown["probability"] for shown in answer["classes"]}
            assert len(theirs) == len(labels) == 2, answer
            worst = max(worst, *(abs(float(ours[at]) - theirs[label]) for at, label in enumerate(labels)))
        assert worst <= 1e-3, (name, worst)
        again = timm.create_model(name, pretrained=True, num_classes=3).eval()
        assert again.get_classifier().out_features == 3, f"{name} cannot be a base again"
        print(f"  timm {timm.__version__}: {name.split(':')[0]} of a fine-tune, {len(files)} pictures, probabilities within {worst:.1e}", flush=True)


def measured():
    """What the hub measured itself is verified on the data set's leaderboard and among the model's results."""
    asked = json.loads(hub.run("evaluate", "ada/tuned", "--dataset", "ada/colours", "--detach", "--json"))
    hub.run("worker", "--data", known["data"], "--once")
    api = HfApi()
    assert api.get_dataset_leaderboard("ada/colours") == [], "a fine-tune declares its base"
    (row,) = api.get_dataset_leaderboard("ada/colours", base_model_only=False)
    assert (row.rank, row.model_id, row.verified, row.author.username) == (1, "ada/tuned", True, "ada"), row
    results = api.model_info("ada/tuned", expand=["evalResults"]).eval_results
    first = next(result for result in results if result.task_id.endswith("/top1"))
    assert (first.dataset_id, first.value) == ("ada/colours", row.value) and first.verify_token.count(".") == 2, first
    print(f"  huggingface_hub: get_dataset_leaderboard and evalResults, job {asked['id']}", flush=True)


def by_address(work, expected):
    path = work / "small" / "small.pth"
    url = f"{hub.address}/files/ada/small/small-{kit.sha256(path)[:8]}.pth"
    state = torch.hub.load_state_dict_from_url(url, model_dir=str(work / "torch"), check_hash=True, progress=False)
    model = timm.create_model("resnet18", num_classes=5)
    model.load_state_dict(state)
    assert torch.equal(logits(model), expected)
    print(f"  torch {torch.__version__}: load_state_dict_from_url(check_hash=True)", flush=True)


OFFLINE = """
import sys, timm, torch
image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
with torch.inference_mode():
    torch.save(timm.create_model("hf-hub:ada/small", pretrained=True).eval()(image), sys.argv[1])
"""


def offline(work, expected):
    cache = work / "offline"
    environment = kit.clean(work / "other-home", HUB_SERVER=hub.address, HUB_TOKEN=hub.token, HF_HUB_CACHE=str(cache))
    pulled = kit.run(kit.hub_program(), "pull", "ada/small", "--hf-cache", "--quiet", env=environment, stdout=subprocess.PIPE).stdout
    assert pulled.strip().startswith(str(cache))
    environment = kit.clean(work / "third-home", HF_HUB_CACHE=str(cache), HF_HUB_OFFLINE="1", HF_ENDPOINT="http://127.0.0.1:9")
    kit.run(sys.executable, "-c", OFFLINE, work / "logits.pt", env=environment)
    assert torch.equal(torch.load(work / "logits.pt"), expected)
    print(f"  timm {timm.__version__}: offline, from the cache that hub pull --hf-cache filled", flush=True)


with tempfile.TemporaryDirectory() as folder:
    work = Path(folder)
    wanted = loads(work)
    pushes(work, wanted)
    trains(work)
    fine_tuned(work)
    measured()
    by_address(work, wanted)
    offline(work, wanted)
