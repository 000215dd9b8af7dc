//! Low-rank adapters: few numbers learn, and what is published is a plain model that answers as the adapted one did.

use super::*;

#[test]
fn adapters_learn_alone_are_merged_and_resume() {
    let bench = Bench::sized("vit_tiny_patch16_224", &[("train", 6), ("val", 2)], 64);
    let recipe = Recipe { lora_rank: 4, optimizer: Optimizer::Adamw, lr: 5e-3, head_lr: 5e-3, batch_size: 9, ..full(4) };
    let whole = bench.fit(&recipe, "whole").unwrap();
    // Measured while the adapters stood beside their matrices, and again when they had become part of them.
    let best = &whole.epochs[whole.outcome.best_epoch as usize - 1];
    assert!((whole.outcome.validation.loss - best.val_loss).abs() < 1e-4, "{} {}", whole.outcome.validation.loss, best.val_loss);
    assert!(learned(&whole), "{:?}", whole.epochs);
    let base = Weights::load(&bench.weights()).unwrap();
    let names: Vec<&str> = whole.weights.iter().map(|(name, _)| name).collect();
    assert_eq!(names, base.iter().map(|(name, _)| name).collect::<Vec<_>>(), "no tensor more and none less");
    for (name, var) in base.iter().filter(|(name, _)| !name.starts_with("head.")) {
        let values = |var: &Tensor| var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let adapted = name.ends_with("attn.qkv.weight") || name.ends_with("attn.proj.weight");
        assert_eq!(values(var) != values(whole.weights.get(name).unwrap()), adapted, "{name}");
    }
    assert!(matches!(bench.run(&recipe, "cut", &mut stop_after_epoch(1)), Err(Error::Cancelled)));
    let checkpoint = bench.scratch("cut").join("checkpoint.safetensors");
    assert!(std::fs::metadata(&checkpoint).unwrap().len() < std::fs::metadata(bench.weights()).unwrap().len() / 4, "few numbers learn");
    assert_eq!(bench.fit(&recipe, "cut").unwrap().digest, whole.digest);
}

#[test]
fn the_strategy_puts_adapters_beside_every_linear_layer_and_resumes() {
    let bench = Bench::sized("vit_tiny_patch16_224", &[("train", 6), ("val", 3)], 64);
    let recipe = Recipe {
        strategy: Strategy::Lora,
        optimizer: Optimizer::Adamw,
        lr: 5e-3,
        head_lr: 1e-2,
        batch_size: 9,
        epochs: 2,
        frozen_stages: 9,
        ..Recipe::default()
    };
    let whole = bench.fit(&recipe, "whole").unwrap();
    assert!(whole.probe.is_some() && whole.found.verdict.len() == 2, "{:?}", whole.found.verdict);
    let base = Weights::load(&bench.weights()).unwrap();
    let names: Vec<&str> = whole.weights.iter().map(|(name, _)| name).collect();
    assert_eq!(names, base.iter().map(|(name, _)| name).collect::<Vec<_>>(), "no tensor more and none less");
    let published = !whole.published_probe();
    for (name, var) in base.iter().filter(|(name, _)| !name.starts_with("head.")) {
        let values = |var: &Tensor| var.flatten_all().unwrap().to_vec1::<f32>().unwrap();
        let above = ["blocks.8.", "blocks.9.", "blocks.10.", "blocks.11."].iter().any(|block| name.starts_with(block));
        let linear = ["attn.qkv.weight", "attn.proj.weight", "mlp.fc1.weight", "mlp.fc2.weight"].iter().any(|end| name.ends_with(end));
        assert_eq!(values(var) != values(whole.weights.get(name).unwrap()), published && above && linear, "{name}");
    }
    for kill in [0, 1] {
        let name = format!("cut {kill}");
        assert!(matches!(bench.run(&recipe, &name, &mut stop_after_epoch(kill)), Err(Error::Cancelled)));
        assert_eq!(bench.fit(&recipe, &name).unwrap().digest, whole.digest, "killed after epoch {kill}");
    }
}

#[test]
fn networks_without_attention_and_heads_alone_take_no_adapters() {
    let bench = Bench::new("resnet18", &[("train", 2), ("val", 1)]);
    let refused = bench.fit(&Recipe { lora_rank: 4, ..full(1) }, "resnet").unwrap_err();
    assert!(refused.to_string().contains("no attention"), "{refused}");
    let lora = Recipe { strategy: Strategy::Lora, ..full(1) };
    let refused = bench.fit(&lora, "lora").unwrap_err().to_string();
    assert!(refused.contains("strategy: resnet18 has no attention") && refused.contains("`lp-ft`"), "{refused}");
    let refused = hub::train::estimate(&lora, &bench.config, 100, 3).unwrap_err().to_string();
    assert!(refused.contains("strategy: resnet18"), "before anything waits: {refused}");
    let refused = bench.fit(&Recipe { lora_rank: 4, ..head(1) }, "head").unwrap_err();
    assert!(refused.to_string().contains("lora_rank"), "{refused}");
}

#[test]
fn answers_are_averaged_over_a_mirror_when_they_are_measured_and_when_they_are_asked_for() {
    let bench = Bench::new("mobilenetv3_small_050", &[("train", 8), ("val", 4)]);
    for (name, recipe) in [("head", head(4)), ("full", full(1))] {
        let both = bench.fit(&Recipe { tta_flip: true, ..recipe.clone() }, name).unwrap();
        let plain = bench.fit(&recipe, &format!("{name} plain")).unwrap();
        // Features computed beside others may differ in their last bits.
        let apart = (both.epochs[0].train_loss - plain.epochs[0].train_loss).abs();
        assert!(apart < 1e-6, "training is the same but for {apart}");
        assert_ne!(both.outcome.validation.loss, plain.outcome.validation.loss);
        let out = bench.folder.path().join(name);
        write_folder(&both, &Lineage::default(), &out).unwrap();
        let predictor = Predictor::load(&out, &Device::Cpu).unwrap();
        let (mut loss, samples) = (0.0, bench.dataset.split("val"));
        for sample in &samples {
            let Answer::Classes(classes) = predictor.predict(&bench.dataset.encoded(sample).unwrap(), 3).unwrap().answer else {
                panic!("classes")
            };
            let own = classes.iter().find(|class| Some(class.index as u32) == sample.target.class()).unwrap();
            loss -= f64::from(own.probability).ln() / samples.len() as f64;
        }
        assert!((loss - both.outcome.validation.loss).abs() < 1e-4, "{name}: {loss} {}", both.outcome.validation.loss);
    }
}
