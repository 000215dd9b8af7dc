//! What is known of each task: its measures, losses and baseline.

use super::{About, Loss, Measure, Task, Unit};

const fn measure(key: &'static str, epoch_key: &'static str, title: &'static str, card: &'static str, unit: Unit, rises: bool) -> Measure {
    Measure { key, epoch_key, title, card, unit, rises }
}

const TOP1: Measure = measure("top1", "val_top1", "top-1", "accuracy", Unit::Share, true);
const MACRO_F1: Measure = measure("macro_f1", "macro_f1", "macro F1", "f1_macro", Unit::Score, true);
/// Mean over classes of the average precision of each against the others.
const MAP: Measure = measure("map", "val_map", "mAP", "mean_average_precision", Unit::Score, true);
/// Mean over classes of the area under the curve of each against the others; of two classes the one area.
const AUROC: Measure = measure("auroc", "val_auroc", "AUROC", "roc_auc", Unit::Score, true);
/// How far the probabilities are from the shares that were right, in fifteen bins of equal width (Guo 2017).
const ECE: Measure = measure("ece", "val_ece", "calibration error", "expected_calibration_error", Unit::Score, false);

pub(super) const CLASSIFICATION: About = About {
    classes: true,
    least_classes: 2,
    one_class: true,
    good_only: false,
    measures: &[TOP1, measure("top5", "val_top5", "top-5", "top5_accuracy", Unit::Share, true), MACRO_F1],
    further: &[ECE, AUROC, MAP],
    losses: &[Loss::CrossEntropy],
    baseline: ("majority_top1", "always the largest class", "Always answering the most frequent class would score {} top-1 there."),
    suffix: "classification",
    problem_type: None,
};

pub(super) const REGRESSION: About = About {
    classes: false,
    least_classes: 0,
    one_class: false,
    good_only: false,
    measures: &[
        measure("rmse", "val_rmse", "RMSE", "rmse", Unit::OfTarget, false),
        measure("mae", "val_mae", "MAE", "mae", Unit::OfTarget, false),
        measure("r2", "val_r2", "R²", "r2", Unit::Score, true),
    ],
    further: &[],
    losses: &[Loss::Mse, Loss::Huber],
    baseline: ("mean_rmse", "always the mean", "Always answering the mean of the training items would give an RMSE of {} there."),
    suffix: "regression",
    problem_type: Some("regression"),
};

pub(super) const MULTI_LABEL: About = About {
    classes: true,
    least_classes: 1,
    one_class: false,
    good_only: false,
    measures: &[
        MAP,
        MACRO_F1,
        measure("micro_f1", "micro_f1", "micro F1", "f1_micro", Unit::Score, true),
        measure("subset_accuracy", "subset_accuracy", "exact matches", "subset_accuracy", Unit::Share, true),
    ],
    further: &[ECE, AUROC],
    losses: &[Loss::BinaryCrossEntropy],
    baseline: ("prevalence_map", "always the same scores", "Always giving the same scores would reach a mAP of {} there."),
    suffix: "classification",
    problem_type: Some("multi_label_classification"),
};

/// Of several numbers the mean of R² decides: the units of one do not drown the others.
pub(super) const MULTI_REGRESSION: About = About {
    classes: false,
    least_classes: 0,
    one_class: false,
    good_only: false,
    measures: &[
        measure("mean_r2", "val_mean_r2", "mean R²", "r2_mean", Unit::Score, true),
        measure("mean_rmse", "val_mean_rmse", "mean RMSE", "rmse_mean", Unit::OfTarget, false),
        measure("mean_mae", "val_mean_mae", "mean MAE", "mae_mean", Unit::OfTarget, false),
    ],
    further: &[],
    losses: &[Loss::Mse, Loss::Huber],
    baseline: ("means_r2", "always the means", "Always answering the means of the training items would give a mean R² of {} there."),
    suffix: "regression",
    problem_type: Some("regression"),
};

pub(super) const ORDINAL: About = About {
    classes: true,
    least_classes: 2,
    one_class: true,
    good_only: false,
    measures: &[
        measure("rank_mae", "val_rank_mae", "MAE in ranks", "mae_ranks", Unit::Score, false),
        measure("kappa", "val_kappa", "weighted kappa", "quadratic_weighted_kappa", Unit::Score, true),
        TOP1,
    ],
    further: &[MACRO_F1, ECE],
    losses: &[Loss::Cumulative, Loss::CrossEntropy],
    baseline: ("median_rank_mae", "always the middle class", "Always answering the median class would miss by {} ranks there."),
    suffix: "classification",
    problem_type: None,
};

pub(super) const MULTI_TASK: About = About {
    classes: false,
    least_classes: 0,
    one_class: false,
    good_only: false,
    measures: &[measure("mean_score", "val_mean_score", "mean score", "mean_score", Unit::Score, true)],
    further: &[],
    losses: &[Loss::Heads],
    baseline: ("mean_score_baseline", "always the same answers", "Always giving the same answers would have a mean score of {} there."),
    suffix: "classification",
    problem_type: None,
};

/// Areas first: they do not depend on where the threshold is.
pub(super) const ANOMALY: About = About {
    classes: false,
    least_classes: 1,
    one_class: false,
    good_only: true,
    measures: &[
        AUROC,
        measure("average_precision", "val_average_precision", "average precision", "average_precision", Unit::Score, true),
        measure("f1", "val_f1", "F1 at the threshold", "f1", Unit::Score, true),
    ],
    further: &[
        measure("false_alarms", "val_false_alarms", "false alarms", "false_positive_rate", Unit::Share, false),
        measure("caught", "val_caught", "anomalies caught", "recall", Unit::Share, true),
    ],
    losses: &[Loss::Distance],
    baseline: ("chance_auroc", "by chance", "Scores by chance would have an AUROC of {}."),
    suffix: "anomaly-detection",
    problem_type: None,
};

/// Ranks first: a cosine is no score of the data set's own, and tells which pairs are more alike than others.
pub(super) const SIMILARITY: About = About {
    classes: false,
    least_classes: 0,
    one_class: false,
    good_only: false,
    measures: &[
        measure("spearman", "val_spearman", "Spearman's correlation", "spearmanr", Unit::Score, true),
        measure("pearson", "val_pearson", "Pearson's correlation", "pearson", Unit::Score, true),
    ],
    further: &[],
    losses: &[Loss::Cosine, Loss::Ranking],
    baseline: ("no_spearman", "always the same", "Answers that are always the same have a Spearman's correlation of {}."),
    suffix: "similarity",
    problem_type: None,
};

/// Of whole entities, as seqeval counts them: right where the span and the type are. Accuracy counts words, most of which are no part
/// of any.
pub(super) const TOKEN_CLASSIFICATION: About = About {
    classes: false,
    least_classes: 2,
    one_class: false,
    good_only: false,
    measures: &[
        measure("entity_f1", "val_entity_f1", "entity F1", "f1", Unit::Score, true),
        measure("entity_precision", "val_entity_precision", "entity precision", "precision", Unit::Score, true),
        measure("entity_recall", "val_entity_recall", "entity recall", "recall", Unit::Score, true),
        measure("token_accuracy", "val_token_accuracy", "token accuracy", "accuracy", Unit::Score, true),
    ],
    further: &[],
    losses: &[Loss::CrossEntropy],
    baseline: ("no_entity_f1", "never an entity", "Never finding an entity would have an entity F1 of {} there."),
    suffix: "classification",
    problem_type: None,
};

/// As COCO counts them: of boxes that overlap a true one by so much of their union, the mean over classes of the average precision.
pub(super) const OBJECT_DETECTION: About = About {
    classes: false,
    least_classes: 1,
    one_class: false,
    good_only: false,
    measures: &[
        measure("box_map", "val_box_map", "mAP 50:95", "mAP", Unit::Score, true),
        measure("box_map_50", "val_box_map_50", "mAP 50", "mAP@0.5", Unit::Score, true),
        measure("box_map_75", "val_box_map_75", "mAP 75", "mAP@0.75", Unit::Score, true),
    ],
    further: &[
        measure("box_map_small", "val_box_map_small", "mAP of small objects", "mAP_small", Unit::Score, true),
        measure("box_map_medium", "val_box_map_medium", "mAP of medium objects", "mAP_medium", Unit::Score, true),
        measure("box_map_large", "val_box_map_large", "mAP of large objects", "mAP_large", Unit::Score, true),
        measure("box_recall", "val_box_recall", "recall of 100 boxes", "mAR", Unit::Score, true),
    ],
    losses: &[Loss::Boxes],
    baseline: ("no_box_map", "never a box", "Never finding anything would have a mAP of {} there."),
    suffix: "detection",
    problem_type: None,
};

/// Over all pixels of all images together; the boundary measure image by image.
pub(super) const SEMANTIC_SEGMENTATION: About = About {
    classes: false,
    least_classes: 2,
    one_class: false,
    good_only: false,
    measures: &[
        measure("mean_iou", "val_mean_iou", "mIoU", "mean_iou", Unit::Score, true),
        measure("mean_dice", "val_mean_dice", "mean Dice", "dice", Unit::Score, true),
        measure("pixel_accuracy", "val_pixel_accuracy", "pixel accuracy", "mean_accuracy", Unit::Share, true),
    ],
    further: &[
        measure("boundary_f1", "val_boundary_f1", "boundary F1", "boundary_f1", Unit::Score, true),
        measure("count_r2", "val_count_r2", "R² of counted objects", "count_r2", Unit::Score, true),
    ],
    losses: &[Loss::CrossEntropy, Loss::Dice, Loss::Focal, Loss::CrossEntropyDice, Loss::FocalDice],
    baseline: ("majority_mean_iou", "always the largest class", "Always answering the most frequent class would reach a mIoU of {} there."),
    suffix: "segmentation",
    problem_type: None,
};

impl Task {
    /// What a run must gain in the first measure over always the same answer to be of use. Boxes that are set by chance have a mAP of some
    /// thousandths, where never a box has none: one of a hundredth finds nothing that anybody would look at. By judgement.
    pub const fn least_gain(self) -> f64 {
        match self {
            Task::ObjectDetection => 0.01,
            _ => 0.0,
        }
    }
}
