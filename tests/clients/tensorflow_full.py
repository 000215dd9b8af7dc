"""TensorFlow itself: saves a model, the hub recognises it, `hub.load` and `KerasLayer` compute the same with it."""
import os
import tempfile
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "2"
os.environ["TF_USE_LEGACY_KERAS"] = "1"

import numpy
import tensorflow as tf
import tensorflow_hub

import kit

hub = kit.Hub(os.environ["HUB_SERVER"], os.environ["HUB_TOKEN"], Path.home() / "hub")


class Features(tf.Module):
    def __init__(self):
        super().__init__()
        self.weight = tf.Variable(tf.random.stateless_normal([8, 4], [1, 2]))
        self.vocabulary = tf.saved_model.Asset(str(vocabulary))

    @tf.function(input_signature=[tf.TensorSpec([None, 8], tf.float32, name="pixels")])
    def __call__(self, pixels):
        return tf.nn.relu(pixels @ self.weight)


with tempfile.TemporaryDirectory() as work:
    os.environ["TFHUB_CACHE_DIR"] = f"{work}/cache"
    vocabulary = Path(work) / "vocabulary.txt"
    vocabulary.write_text("a\nb\n")
    model, folder = Features(), Path(work) / "features"
    tf.saved_model.save(model, str(folder), signatures={"serving_default": model.__call__})
    kit.write(folder, {"README.md": "---\nlicense: mit\n---\n# Features\n"})
    hub.publish(folder, "ada/features")
    seen = hub.api("GET", "/models/ada/features")["facts"]["saved_model"]
    signature = next(s for s in seen["graphs"][0]["signatures"] if s["name"] == "serving_default")
    assert seen["graphs"][0]["tags"] == ["serve"] and seen["tensorflow"] == tf.__version__, seen
    assert signature["inputs"] == [{"name": "pixels", "dtype": "float32", "shape": "[?, 8]"}], signature
    assert signature["outputs"][0]["shape"] == "[?, 4]", signature
    pixels = numpy.random.default_rng(1).normal(size=(3, 8)).astype("float32")
    loaded = tensorflow_hub.load(f"{hub.address}/ada/features/1")
    assert numpy.array_equal(loaded(pixels), model(pixels))
    layer = tensorflow_hub.KerasLayer(f"{hub.address}/ada/features/1")
    assert numpy.array_equal(layer(pixels), model(pixels))
print(f"  tensorflow {tf.__version__}, tensorflow_hub {tensorflow_hub.__version__}: load and KerasLayer", flush=True)
