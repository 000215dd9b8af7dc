# Backbone Hub. `make` alone lists the targets.
.PHONY: help demo test test-clients test-clients-full test-web soak bench bench-train bench-transfer bench-transfer-learning bench-recommend bench-strangers bench-dense pictures bench-text bench-text-tuning bench-video bench-video-goals bench-work bench-scale lint fmt docs
.PHONY: packages-demo packages-test packages-clients packages-web packages-soak packages-bench

# Stories that open the file of the database themselves stay with it.
ON_POSTGRES = accounts:: audit:: branches:: hf_write:: job_control:: jobs:: publish:: pull:: quotas:: revocation:: sending:: sweeps:: \
    transfer:: uploads:: web:: webhooks:: --skip what_the_collector_takes_is_sent_again

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

# Together with a test, as `make test` builds it: features of what tests need are on in all that is built beside them, and the program built
# alone would be a second one.
BUILD_HUB = cargo build --bin hub --test cli_help

demo: packages-demo ## set everything up and run the main job on real weights and images (ARGS=--exit ends by itself)
	@echo "== demo: build, import, publish, search, pull, fine-tune, predict"
	@bash examples/demo.sh $(ARGS)

test: packages-test ## run all tests
	@echo "== test: unit, contract, parity and story tests"
	cargo test --no-fail-fast
	@echo "== test: what people do most, once more on PostgreSQL"
	HUB_TESTS_ON=postgres cargo test --no-fail-fast --test stories -- $(ON_POSTGRES)

test-clients: packages-clients ## real clients (huggingface_hub, hf, timm, torch.hub ...) against a real server (SETS="hf torch")
	@echo "== test-clients: clients from their registries, each set in an environment of its own"
	$(BUILD_HUB)
	@HUB=$(CURDIR)/target/debug/hub python3 tests/clients/run.py $(SETS)

test-clients-full: packages-clients ## the same with TensorFlow itself and the newest Rust client
	@echo "== test-clients-full: all sets"
	$(BUILD_HUB)
	@HUB=$(CURDIR)/target/debug/hub python3 tests/clients/run.py all

test-web: packages-web ## what people do in a browser, in Chromium; pictures of every page in target/screenshots (SETS="choose pages")
	@echo "== test-web: journeys, axe-core, weights and pictures of pages"
	$(BUILD_HUB)
	@HUB=$(CURDIR)/target/debug/hub python3 tests/web/run.py $(SETS)

soak: packages-soak ## kill, cut the power and break the disk hundreds of times (root for the last two; an hour)
	@echo "== soak: kills at any moment (HUB_CRASH_SEED, HUB_CRASH_ROUNDS)"
	HUB_CRASH_ROUNDS=$${HUB_CRASH_ROUNDS:-300} cargo test --test stories -- crash:: full:: store_faults:: slow:: --nocapture --test-threads=1
	@echo "== soak: nodes and workers killed under traffic (HUB_NODE_KILLS)"
	HUB_NODE_KILLS=$${HUB_NODE_KILLS:-50} cargo test --test stories -- nodes::nodes_and_workers --nocapture --test-threads=1
	@echo "== soak: power cuts, and their negative control (HUB_SOAK_CUTS)"
	@bash tests/soak/powercut.sh
	@echo "== soak: disk errors (HUB_SOAK_ERRORS)"
	@bash tests/soak/diskerror.sh

bench: packages-bench ## measure steps and decoding beside PyTorch, in short; prints `ratio NAME VALUE` lines
	@echo "== bench: images/s beside PyTorch"
	@python3 benches/train.py --short

bench-train: packages-bench ## all of it: every network, memory, whole fine-tunes; writes docs/BENCHMARKS.md (an hour)
	@echo "== bench-train: training beside PyTorch and timm"
	@python3 benches/train.py

bench-transfer: packages-bench ## measure serving, pulling, publishing and sharing beside nginx, hf and curl; 500 pulls at once through two nodes (BENCH_PARTS=serve,pull,disk,publish,sharing,pulls)
	@echo "== bench-transfer: bytes beside nginx, hf download and curl; two nodes beside one nginx"
	@python3 benches/transfer.py

bench-strangers: packages-bench ## what models call unknown, and anomalies, all measured by the hub (DATA=folder with the zips, BENCH_PARTS=strangers,anomalies)
	@echo "== bench-strangers: clothes before stamps, stamps before clothes, one class before all others"
	@python3 benches/strangers.py

bench-recommend: packages-bench ## whether `hub recommend` orders backbones as real fine-tunes do (DATA=folder with the zips, BENCH_WAYS=probe,head,full)
	@echo "== bench-recommend: ranks beside fine-tunes"
	@python3 benches/recommend.py

bench-text: packages-bench ## word vectors beside gensim: training, files, opening; text encoders (DATA=folder with word_similarity.zip, BENCH_PARTS=train,files,open)
	@echo "== bench-text: Word2Vec and word vectors beside gensim"
	@python3 benches/text.py
	@echo "== bench-text: text encoders beside onnxruntime and sentence-transformers on the real MiniLM, of mixed lengths, two threads"
	@python3 benches/text_encoders.py

bench-text-tuning: packages-bench ## fine-tunes of the real MiniLM beside transformers on PyTorch (DATA=FOLDER[:FOLDER], ARGS="--sets mail,sms")
	@echo "== bench-text-tuning: spam, polarity, alike; beside the same recipe in transformers"
	@python3 benches/text_tuning.py $(ARGS)

bench-video: packages-bench ## networks of clips of 16x112x112 beside PyTorch, forward and full steps; films beside PyAV and torchcodec (ARGS="--rounds 5 i3d", BENCH_PARTS=networks,decode)
	@echo "== bench-video: films beside PyAV and torchcodec; I3D and R(2+1)D-18 beside PyTorch and torchvision"
	@python3 benches/video.py $(ARGS)

bench-video-goals: packages-bench ## what is learned of videos: sprites frame by frame, camera moves by networks of clips (DATA=folder with the zips, BENCH_PARTS=sprites,frozen,moves, BENCH_NETWORKS=i3d,lite0-3d)
	@echo "== bench-video-goals: sprites over EfficientNet-Lite0; camera moves by frozen frames and by networks of clips"
	@python3 benches/video_goals.py

bench-dense: packages-bench ## masks and boxes of real data, measured by the hub (DATA=folder with the zips, BENCH_SIDES=256,384, BENCH_PARTS=linear,decoders,steps,boxes)
	@echo "== bench-dense: linear heads and decoders learn masks, beside random weights; steps beside PyTorch; what a check says of boxes"
	@python3 benches/dense.py

pictures: packages-bench ## the pictures of docs/TASKS.md, drawn by the hub (DATA=folder with nuclei_dev.zip and bccd_boxes_dev.zip)
	@python3 benches/pictures.py

bench-transfer-learning: packages-bench ## strategies on real weights and data beside PyTorch and scikit-learn (BENCH_ASSETS=FOLDER, ARGS="--seeds 1 --sets stamps5")
	@echo "== bench-transfer-learning: strategies, seeds, epochs to 90 %, minutes"
	@python3 benches/transfer_learning.py $(BENCH_ASSETS) $(ARGS)

bench-work: packages-bench ## what the worst legal request to each heavy route costs everybody else (ARGS="siblings files")
	@echo "== bench-work: four send the worst request, another asks for something cheap"
	@python3 benches/worst_body.py $(ARGS)

bench-scale: packages-bench ## lists, facets and searches in catalogs of many sizes, publishes and claims a second, on both engines (ARGS="--repos 10000,100000 --engines sqlite"; SCALE_DIR=FOLDER keeps the files)
	@echo "== bench-scale: p50 and p99 of what people look at, and how they grow"
	@cargo bench --bench scale -- $(ARGS)

lint: packages-demo ## formatting, clippy and documentation, warnings as errors; licences and origins of what is built in
	@echo "== lint: licences, sources and bans (deny.toml); the bill of materials is target/hub.cdx.json"
	@.ci/supply target/hub.cdx.json
	@echo "== lint: rustfmt, clippy, rustdoc"
	cargo fmt --check
	cargo clippy --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --quiet

fmt: ## format the code
	@echo "== fmt: rustfmt"
	cargo fmt

docs: ## build the API documentation of the library
	@echo "== docs: rustdoc, opened from target/doc/hub/index.html"
	cargo doc --no-deps

packages-demo packages-test packages-clients packages-web packages-soak packages-bench:
	@bash .ci/packages $(@:packages-%=%)
