//! What the names of folders say: of a split, of a part of one, of the kind of files in it, or nothing, which is what the name of a
//! class says. A name is judged among its neighbours: what all of them share (`flowers_train`, `flowers_test`) tells nothing.

use std::collections::BTreeSet;

use unicode_normalization::UnicodeNormalization;

use crate::data::labelled::Split;

/// What one name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Says {
    Split(Split),
    /// A part of the data, but not what it is for: `fold1`, `trainval`.
    SomeSplit,
    /// Items without targets: `seg_pred`, `unlabeled`.
    Unlabelled,
    /// What kind of files lies in it: `images`, `masks`, `images_001`.
    Kind,
    Nothing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Word {
    Split(Split),
    SomeSplit,
    /// A part where a number follows.
    Numbered,
    Unlabelled,
    /// Folders that hold the items.
    Holds,
    /// Folders with what is said about them.
    Beside,
    /// Says nothing beside one of the above.
    Filler,
}

/// Each kind with its words, in small letters.
const WORDS: &[(Word, &str)] = &[
    (
        Word::Split(Split::Train),
        "train training trn entrenamiento entrainement entraînement apprentissage treino treinamento addestramento \
         trening обучение 训练 训练集 訓練 学習",
    ),
    (
        Word::Split(Split::Val),
        "val valid validate validation dev minival validacion validación validacao validação validazione validierung \
         walidacja валидация 验证 验证集 驗證 検証",
    ),
    (Word::Split(Split::Test), "test testing tst eval evaluation prueba pruebas teste testes тест 测试 测试集 測試 テスト"),
    (Word::SomeSplit, "trainval holdout heldout splits folds subset"),
    (Word::Numbered, "fold cv kfold split part batch chunk shard subset run"),
    (Word::Unlabelled, "pred predict prediction predictions inference unlabeled unlabelled unsup submission query gallery"),
    (
        Word::Holds,
        "image images img imgs picture pictures pic pics photo photos jpg jpgs jpeg jpegs png pngs jpegimages data \
         dataset datasets set sets files folder dir meta metadata",
    ),
    (
        Word::Beside,
        "mask masks label labels annotation annotations annot annots anno annos gt gtfine groundtruth segmentation \
         segmentations segmentationclass segmentationobject trimap trimaps bbox bboxes keypoints landmarks captions \
         imagesets xml xmls json txt instance instances boxes outlines polygons",
    ),
    (Word::Filler, "seg coco voc kaggle small full raw original orig resized crop cropped crops hr lr final and of the"),
];

/// What each of these names, which stand side by side, says.
pub fn judge(names: &[&str]) -> Vec<Says> {
    let tokens: Vec<Vec<String>> = names.iter().map(|name| tokens(name)).collect();
    let strange = |tokens: &Vec<String>| tokens.iter().filter(|token| word(token).is_none()).cloned().collect::<BTreeSet<_>>();
    let shared = match tokens.as_slice() {
        [] | [_] => BTreeSet::new(),
        [first, rest @ ..] => rest.iter().fold(strange(first), |shared, other| &shared & &strange(other)),
    };
    tokens.iter().map(|tokens| says(tokens, &shared)).collect()
}

/// What a name says that stands alone.
pub fn judge_one(name: &str) -> Says {
    says(&tokens(name), &BTreeSet::new())
}

fn says(tokens: &[String], shared: &BTreeSet<String>) -> Says {
    let mut found = Vec::new();
    for token in tokens.iter().filter(|token| !shared.contains(*token)) {
        match word(token) {
            Some(word) => found.push(word),
            None => return Says::Nothing,
        }
    }
    let numbered = tokens.iter().any(|token| token.starts_with(|c: char| c.is_ascii_digit()));
    let has = |word: Word| found.contains(&word);
    let splits: Vec<Split> = Split::ALL.into_iter().filter(|split| has(Word::Split(*split))).collect();
    match splits.as_slice() {
        [_, _, ..] => Says::SomeSplit,
        [_] if has(Word::Beside) => Says::Kind,
        [split] => Says::Split(*split),
        [] if has(Word::SomeSplit) || (has(Word::Numbered) && numbered) => Says::SomeSplit,
        [] if has(Word::Unlabelled) => Says::Unlabelled,
        // `label_0` is a class.
        [] if (has(Word::Beside) && !numbered) || has(Word::Holds) => Says::Kind,
        [] => Says::Nothing,
    }
}

/// The words that a part of a name is made of: one, or two in one (`trainannot`); none where it is none of the table's.
fn words_in(token: &str) -> Vec<(&str, Word)> {
    if let Some(word) = known(token) {
        return vec![(token, word)];
    }
    let halves = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
    let mut both = halves.filter_map(|(first, second)| Some(vec![(first, known(first)?), (second, known(second)?)]));
    both.next().unwrap_or_default()
}

/// A folder's name without the words for what kind of files lie in it: `masks` is nothing, `train_masks` and `trainannot` are `train`.
/// Folders of images and of what is said about them meet in it.
pub fn without_kind(name: &str) -> String {
    let rest = |token: &String| -> String {
        let words = words_in(token);
        let kept: Vec<&str> = words.iter().filter(|(_, word)| !matches!(word, Word::Holds | Word::Beside)).map(|(text, _)| *text).collect();
        if words.is_empty() { token.clone() } else { kept.join("_") }
    };
    let kept: Vec<String> = tokens(name).iter().map(rest).filter(|token| !token.is_empty() && token != "seg").collect();
    kept.join("_")
}

/// Whether a folder's name says that what lies in it is said about images.
pub fn is_beside(name: &str) -> bool {
    let words = tokens(name);
    let has = |wanted: Word| words.iter().any(|token| words_in(token).iter().any(|(_, word)| *word == wanted));
    has(Word::Beside) || (words.iter().any(|token| token == "seg") && !has(Word::Holds))
}

/// The split that a folder's or a file's name says, whatever kind of files it says beside it.
pub fn split_of(name: &str) -> Option<Split> {
    let tokens = tokens(name);
    let found = tokens
        .iter()
        .flat_map(|token| words_in(token))
        .filter_map(|(_, word)| if let Word::Split(split) = word { Some(split) } else { None });
    let different: BTreeSet<Split> = found.collect();
    if different.len() == 1 { different.into_iter().next() } else { None }
}

fn known(text: &str) -> Option<Word> {
    WORDS.iter().find(|(_, words)| words.split_whitespace().any(|known| known == text)).map(|(word, _)| *word)
}

/// A word of the table, a number or letter, or two words of the table in one (`trainset`).
fn word(token: &str) -> Option<Word> {
    if token.chars().count() == 1 || token.chars().all(|c| c.is_ascii_digit()) {
        return Some(Word::Filler);
    }
    known(token).or_else(|| {
        let halves = token.char_indices().skip(1).map(|(at, _)| token.split_at(at));
        let (first, second) = halves.filter_map(|(first, second)| Some((known(first)?, known(second)?))).next()?;
        Some(if second == Word::Beside || matches!(first, Word::Holds | Word::Filler) { second } else { first })
    })
}

/// The words of a name: runs of letters or of digits, apart also where a capital follows a small letter.
fn tokens(name: &str) -> Vec<String> {
    let (mut all, mut now): (Vec<String>, String) = (Vec::new(), String::new());
    let mut before = ' ';
    for c in name.nfc() {
        let breaks = !c.is_alphanumeric() || c.is_ascii_digit() != before.is_ascii_digit() || (before.is_lowercase() && c.is_uppercase());
        if breaks && !now.is_empty() {
            all.push(std::mem::take(&mut now));
        }
        if c.is_alphanumeric() {
            now.extend(c.to_lowercase());
        }
        before = c;
    }
    if !now.is_empty() {
        all.push(now);
    }
    // `SegmentationClass`, `hold_out`
    let joined = all.concat();
    if known(&joined).is_some() { vec![joined] } else { all }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRAIN: Says = Says::Split(Split::Train);
    const VAL: Says = Says::Split(Split::Val);
    const TEST: Says = Says::Split(Split::Test);

    #[test]
    fn splits_by_the_names_of_the_field() {
        for (names, says) in [
            (&["train2017", "val2017"][..], &[TRAIN, VAL][..]),
            (&["seg_train", "seg_test", "seg_pred"], &[TRAIN, TEST, Says::Unlabelled]),
            (&["training_set", "test_set"], &[TRAIN, TEST]),
            (&["train", "test1"], &[TRAIN, TEST]),
            (&["trainset", "Testing", "Validation"], &[TRAIN, TEST, VAL]),
            (&["flowers_train", "flowers_dev"], &[TRAIN, VAL]),
            (&["DIV2K_train_HR", "DIV2K_valid_HR"], &[TRAIN, VAL]),
            (&["TrainImages", "images_test"], &[TRAIN, TEST]),
            (&["fold1", "fold2", "fold_3"], &[Says::SomeSplit; 3]),
            (&["trainval", "hold_out"], &[Says::SomeSplit; 2]),
            (&["train", "trainannot", "train_masks"], &[TRAIN, Says::Kind, Says::Kind]),
            (&["images_001", "images_002"], &[Says::Kind; 2]),
            (&["JPEGImages", "SegmentationClass", "Annotations"], &[Says::Kind; 3]),
            (&["entrenamiento", "prueba"], &[TRAIN, TEST]),
            (&["训练集", "测试集"], &[TRAIN, TEST]),
        ] {
            assert_eq!(judge(names), says, "{names:?}");
        }
    }

    #[test]
    fn folders_of_images_and_of_what_is_said_about_them_meet() {
        for (name, rest, beside, split) in [
            ("masks", "", true, None),
            ("JPEGImages", "", false, None),
            ("SegmentationClass", "", true, None),
            ("train", "train", false, Some(Split::Train)),
            ("trainannot", "train", true, Some(Split::Train)),
            ("val_masks", "val", true, Some(Split::Val)),
            ("seg", "", true, None),
            ("instances_train2017", "train_2017", true, Some(Split::Train)),
            ("obj_train_data", "obj_train", false, Some(Split::Train)),
            ("images_001", "001", false, None),
            ("aachen", "aachen", false, None),
        ] {
            assert_eq!((without_kind(name).as_str(), is_beside(name), split_of(name)), (rest, beside, split), "{name}");
        }
    }

    #[test]
    fn classes_say_nothing() {
        for names in [
            &["test_tube", "train_station"][..],
            &["0", "1", "9"],
            &["A", "B", "del"],
            &["label_0", "label_1"],
            &["with_mask", "without_mask"],
            &["cat images", "dog images"],
            &["trainer", "valley", "devices", "testament"],
            &["clean", "dirty"],
            &["class1", "class2"],
            &["n01440764", "n02085620-Chihuahua"],
        ] {
            assert!(judge(names).iter().all(|says| *says == Says::Nothing), "{names:?}: {:?}", judge(names));
        }
        assert_eq!(judge(&["bus", "train", "tram"]), [Says::Nothing, TRAIN, Says::Nothing]);
        assert_eq!(judge_one("images"), Says::Kind);
    }
}
