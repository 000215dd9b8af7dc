//! Batches: the same whatever the threads, complete, and patient with unreadable files.

use std::sync::Arc;

use hub::data::batch::{Batch, Item, Loader, Options, plain, shuffled, views};
use hub::data::image::ImageViews;
use hub::data::modality::Input;
use hub::data::{Dataset, Limits, Source, Target};
use hub::domain::recipe::Augment;

use crate::support::*;
use crate::transforms::preprocessing;

fn options(threads: usize) -> Options {
    Options {
        batch_size: 8,
        threads,
        seed: 5,
        views: Arc::new(ImageViews::new(preprocessing(16, 16)).unwrap()),
        augment: Augment::default(),
        drop_last: false,
    }
}

fn pixels(batch: &Batch) -> &[f32] {
    let Input::Pixels { values, .. } = &batch.input else { panic!("no pixels: {:?}", batch.input) };
    values
}

fn fashion() -> Arc<Dataset> {
    let source = Source::Archive(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/fashion_mnist_4k.zip").into());
    Arc::new(Dataset::open(&source, &Limits::default()).unwrap())
}

fn all(dataset: &Arc<Dataset>, plan: Vec<Item>, options: &Options) -> Vec<Batch> {
    Loader::new(dataset.clone(), plan, options).unwrap().map(|b| b.unwrap()).collect()
}

#[test]
fn an_epoch_is_the_same_on_one_thread_and_on_five() {
    let dataset = fashion();
    let train = dataset.split("train");
    let samples: Vec<_> = train.iter().step_by(40).cloned().collect();
    let plan = shuffled(&samples, 5, 2);
    let one = all(&dataset, plan.clone(), &options(1));
    assert_eq!(one, all(&dataset, plan.clone(), &options(5)));
    assert_eq!(one.len(), 10);
    assert_eq!(one.iter().map(Batch::len).collect::<Vec<_>>(), [8, 8, 8, 8, 8, 8, 8, 8, 8, 3]);
    let mut ids: Vec<u32> = one.iter().flat_map(|b| b.ids.clone()).collect();
    assert_eq!(ids, plan.iter().map(|i| i.sample.id).collect::<Vec<_>>());
    ids.sort_unstable();
    assert_eq!(ids, samples.iter().map(|s| s.id).collect::<Vec<_>>());
    assert!(one.iter().all(|b| pixels(b).len() == b.len() * 3 * 16 * 16 && b.views.iter().all(|v| *v == 3)));
    let other_epoch = all(&dataset, shuffled(&samples, 5, 3), &options(2));
    assert_ne!(one, other_epoch);
    let other_seed = all(&dataset, plan, &Options { seed: 6, ..options(2) });
    assert_eq!(one[0].ids, other_seed[0].ids);
    assert_ne!(pixels(&one[0]), pixels(&other_seed[0]));
}

#[test]
fn views_are_the_plain_one_and_random_ones() {
    let dataset = fashion();
    let samples: Vec<_> = dataset.split("val").into_iter().take(3).collect();
    let batches = all(&dataset, views(&samples, 2), &options(2));
    let numbers: Vec<u32> = batches.iter().flat_map(|b| b.views.clone()).collect();
    assert_eq!(numbers, [0, 1, 2, 0, 1, 2, 0, 1, 2]);
    let simple = all(&dataset, plain(&samples), &options(1));
    let size = 3 * 16 * 16;
    let views = pixels(&batches[0]);
    assert_eq!(views[..size], pixels(&simple[0])[..size]);
    assert_ne!(views[..size], views[size..2 * size]);
    assert_ne!(views[size..2 * size], views[2 * size..3 * size]);
}

#[test]
fn an_unreadable_image_is_skipped_by_name() {
    let mut set = four_images();
    set[1].1 = b"<svg/>".to_vec();
    let file = packed(&zip_of(&set));
    let dataset = Arc::new(Dataset::open(&Source::Archive(file.path.clone()), &Limits::default()).unwrap());
    let batches = all(&dataset, plain(dataset.samples()), &options(3));
    assert_eq!(batches.len(), 1);
    assert_eq!((batches[0].len(), batches[0].skipped[0].path.as_str()), (3, "cat/2.png"));
    assert_eq!((batches[0].ids.as_slice(), batches[0].targets.as_slice()), (&[0u32, 2, 3][..], &[0u32, 1, 1].map(Target::Class)[..]));
    let problems = batches[0].skipped.clone();
    let clean = Dataset::open(&Source::Archive(file.path.clone()), &Limits::default()).unwrap().without(&problems);
    assert_eq!(clean.samples().iter().map(|s| s.id).collect::<Vec<_>>(), [0, 2, 3]);
    let clean = Arc::new(clean);
    assert_eq!(pixels(&all(&clean, plain(clean.samples()), &options(1))[0]), pixels(&batches[0]));
}

#[test]
fn small_last_batches_can_be_left_out_and_a_loader_may_be_dropped() {
    let dataset = fashion();
    let samples: Vec<_> = dataset.split("val").into_iter().take(20).collect();
    let options = Options { drop_last: true, ..options(4) };
    assert_eq!(all(&dataset, plain(&samples), &options).len(), 2);
    let mut loader = Loader::new(dataset.clone(), plain(&dataset.split("train")), &options).unwrap();
    assert_eq!(loader.batches(), 375);
    assert_eq!(loader.next().unwrap().unwrap().len(), 8);
    drop(loader);
    assert_eq!(Arc::strong_count(&dataset), 1, "a thread still holds the data set");
    assert!(all(&dataset, Vec::new(), &options).is_empty());
}

#[test]
fn a_damaged_archive_ends_the_batches_with_its_error() {
    let dir = folder(&four_images());
    let dataset = Arc::new(Dataset::open(&Source::Folder(dir.path().into()), &Limits::default()).unwrap());
    std::fs::remove_file(dir.path().join("dog/1.png")).unwrap();
    let options = Options { batch_size: 1, ..options(2) };
    let results: Vec<_> = Loader::new(dataset.clone(), plain(dataset.samples()), &options).unwrap().collect();
    assert_eq!(results.iter().filter(|r| r.is_err()).count(), 1);
    assert_eq!(results[2].as_ref().unwrap_err().code(), "io");
}
