//! What the form that asks for a fine-tune offers, in groups: a line a setting.

/// What a field takes.
#[derive(Clone, Copy)]
pub(super) enum Kind {
    Whole,
    Number,
    Flag,
    /// One of these words.
    Words(&'static [&'static str]),
    /// One of these words, or none.
    Maybe(&'static [&'static str]),
    /// A task, or what the data set's targets are for.
    Task,
    /// A loss, or the task's first.
    Loss,
    Json,
}
use Kind::{Flag, Number, Whole, Words};

/// Name as in JSON (a dot before what stands inside), label, what it takes, what it is for.
pub(super) type Line = (&'static str, &'static str, Kind, &'static str);

/// Heading, whether it is open from the start, fields.
pub(super) const GROUPS: &[(&str, bool, &[Line])] = &[
    (
        "Length and size",
        true,
        &[
            ("epochs", "Epochs", Whole, "Few are enough: the base has learned most of it."),
            ("image_size", "Image side, px", Whole, "Smaller is quicker; 0 takes the model's own."),
            ("batch_size", "Batch", Whole, "Images a step. Larger takes more memory."),
            ("frozen_stages", "Frozen stages", Whole, "From the bottom, stem = 1; 0 lets auto choose."),
            ("seed", "Seed", Whole, "The same seed gives the same weights."),
            ("compare", "Beside it", Words(&["none", "scratch"]), "scratch: the same from random weights too, the honest comparison."),
        ],
    ),
    (
        "Task and data",
        false,
        &[
            ("task", "Task", Kind::Task, "Left out: what the data set's targets are for."),
            ("loss", "Loss", Kind::Loss, "Left out: the task's first."),
            ("validation", "Held out", Number, "Share of the images that is measured on, where the data set has no val split."),
            ("shots", "Images a class", Whole, "Train on so many of each class, drawn by the seed; 0 takes all."),
            ("draws", "Draws of them", Whole, "So many draws, told with mean and spread."),
            ("unlabelled", "Images without a class", Words(&["ignore", "pseudo", "fixmatch"]), "Learn from the folder unlabeled, too."),
            ("confidence", "Sure enough", Number, "How sure an answer about such an image must be."),
            ("unlabelled_weight", "Their weight", Number, "Of fixmatch: beside images with a class."),
            ("false_alarms", "False alarms", Number, "Of anomalies: the share of good images that may be called one."),
            ("class_weights", "Class weights", Words(&["none", "balanced", "sqrt"]), "Small classes count more; for lopsided data."),
            ("sampling", "Sampling", Words(&["shuffled", "balanced"]), "balanced: every class comes as often. Not with class weights."),
        ],
    ),
    (
        "Head and rates",
        false,
        &[
            (
                "head_solver",
                "Head solver",
                Words(&["convex", "sgd", "nearest_mean"]),
                "convex: the optimum on frozen features; nearest_mean: the nearest class mean, nothing is learned.",
            ),
            (
                "decoder",
                "Decoder",
                Words(&["auto", "linear", "lr-aspp", "deeplabv3+", "unet", "fpn", "fcos", "ssdlite"]),
                "What answers about places. auto: of masks linear with head, else unet; of boxes fcos. ssdlite is the lighter one of boxes.",
            ),
            ("head_lr", "Head rate", Number, "Ten times the backbone's: it starts anew."),
            ("lr", "Backbone rate", Number, "Small: adjust, do not overwrite."),
            ("find_lr", "Look for the rate", Flag, "On copies of the weights, before training; the other rates keep their ratio to it."),
            ("layer_decay", "Layer decay", Number, "A stage's rate for the one below; 0.65 to 0.9 for transformers, 1 is off."),
            ("optimizer", "Optimiser", Words(&["sgd", "adamw"]), "sgd has Nesterov's momentum."),
            ("momentum", "Momentum", Number, "Of sgd."),
            ("weight_decay", "Weight decay", Number, "Not on biases and normalisation."),
            ("schedule", "Schedule", Words(&["cosine", "step", "constant", "one-cycle"]), "How rates move after the warm-up."),
            ("warmup", "Warm-up", Number, "Share of all steps with a rising rate."),
            ("clip_norm", "Clip gradients", Number, "The largest norm of all together; 0 is off."),
            ("accumulate", "Accumulate", Whole, "Batches that make one step: larger batches in the same memory."),
            ("ema", "Moving average", Number, "Decay of the average that is published; 0.999 for long runs, 0 is off."),
            ("norm", "Batch norm", Words(&["batch", "frozen"]), "frozen keeps the base's: batches may be as small as one image."),
            ("dropout", "Dropout", Number, "Before the head."),
            ("label_smoothing", "Label smoothing", Number, "Of classes; 0 is off."),
        ],
    ),
    (
        "Random views",
        false,
        &[
            ("augment.horizontal_flip", "Mirror at random", Flag, "Not where left and right mean something."),
            ("augment.crop_min_area", "Smallest crop", Number, "Share of the image's area; 1 switches crops off."),
            ("augment.views", "Views", Whole, "With frozen stages: random views that take turns with the plain one."),
            ("augment.policy", "Policy", Words(&["none", "rand-augment", "trivial-augment"]), "Random operations of geometry and colour."),
            ("augment.rand_ops", "RandAugment: operations", Whole, "For each view."),
            ("augment.rand_magnitude", "RandAugment: magnitude", Whole, "0 to 30."),
            ("augment.brightness", "Jitter: brightness", Number, "How far it is drawn around 1."),
            ("augment.contrast", "Jitter: contrast", Number, "Likewise."),
            ("augment.saturation", "Jitter: saturation", Number, "Likewise."),
            ("augment.hue", "Jitter: hue", Number, "Share of the circle, 0.5 at most."),
            ("augment.erase", "Erase", Number, "The chance that a box of a view is erased."),
            ("augment.mixup", "mixup", Number, "Mix the images of a step in pairs; 0.1 to 0.2 is usual. Not with head only."),
            ("augment.cutmix", "cutmix", Number, "The same with a box of the other image; 1 is usual."),
            (
                "augment.mosaic",
                "Mosaic",
                Number,
                "Of boxes and masks: the chance that a view shows parts of four images. Not with head only.",
            ),
            (
                "augment.multi_scale",
                "Sides",
                Number,
                "Of boxes: how far a step's sides are drawn around the input's, as a share; 0.25 is moderate.",
            ),
        ],
    ),
    (
        "Frames, of videos",
        false,
        &[
            ("video.frames", "Frames", Whole, "Of a clip; 0 takes as many as the base does, of images 8."),
            (
                "video.sampling",
                "Which",
                Kind::Maybe(&["uniform", "dense"]),
                "uniform: from the whole video; dense: a run of it. Left out: the base's.",
            ),
            ("video.stride", "Stride", Whole, "Of dense: from frame to frame; 0 takes the base's."),
            (
                "video.pool",
                "How they become one",
                Kind::Maybe(&["concat", "mean", "max", "attention", "conv", "tsm"]),
                "Over a base of images. concat keeps their order; attention and conv are learned; tsm lets frames see each other within stages that learn.",
            ),
            (
                "video.clips",
                "Clips to measure on",
                Whole,
                "Their answers are averaged; each costs as much as the first. 0: as the base, else 1.",
            ),
        ],
    ),
    (
        "Adapters, for transformers",
        false,
        &[
            (
                "lora_rank",
                "Rank",
                Whole,
                "Low-rank adapters learn in the place of the base's weights, and become part of them; 0 is off, but for the strategy lora: there 8.",
            ),
            ("lora_alpha", "Alpha", Number, "What adapters are multiplied by, over their rank."),
            ("lora_perceptrons", "In perceptrons, too", Flag, "Not of attention alone."),
        ],
    ),
    (
        "The end of it",
        false,
        &[
            ("patience", "Patience", Whole, "Epochs without a better one before stopping; 0 never."),
            (
                "compare_probe",
                "Beside the best head",
                Flag,
                "So that the report can say whether training stages was worth it; costs little.",
            ),
            ("tta_flip", "Answer over a mirror", Flag, "Plain and mirrored answers are averaged; doubles what an answer costs."),
            ("publish_anyway", "Publish anyway", Flag, "Also what is no better than always the same answer."),
        ],
    ),
    (
        "More",
        false,
        &[
            ("precision", "Precision", Words(&["f32", "bf16"]), "bf16 is quicker where the processor multiplies it."),
            ("threads", "Threads", Whole, "0 takes what the machine has."),
            ("from_scratch", "From random weights", Flag, "The honest comparison, with any strategy."),
        ],
    ),
];
