//! TensorBoard's event files: TFRecords of the protocol buffer `Event` (tensorflow/core/util/event.proto).
//!
//! ```text
//! record = length u64 | masked crc32c of the length u32 | event | masked crc32c of the event u32, all little endian
//! event  = 1: wall_time double | 2: step int64 | 3: file_version string, or 5: summary { 1: { 1: tag string, 2: simple_value float } ... }
//! mask   = the crc turned right by 15 bits, plus 0xa282ead8
//! ```

use serde_json::Value;

use super::{Point, keyed};

/// What TensorBoard writes and asks for in the first record.
const VERSION: &[u8] = b"brain.Event:2";
const MASK: u32 = 0xa282_ead8;
/// Castagnoli's polynomial, reflected.
const POLYNOMIAL: u32 = 0x82f6_3b78;

const VARINT: u8 = 0;
const DOUBLE: u8 = 1;
const BYTES: u8 = 2;
const FLOAT: u8 = 5;

/// Every number of every epoch as a scalar under `train/loss`, `val/top1`, `rate/lr` and the like; its step is the epoch.
pub fn to_events(points: &[Point]) -> Vec<u8> {
    let began = points.first().map_or(0.0, seconds);
    let mut file = record(&[double(1, began), bytes(3, VERSION)].concat());
    for point in points {
        let values: Vec<u8> = scalars(point).iter().flat_map(|(tag, value)| bytes(1, &scalar(tag, *value))).collect();
        let step = [key(2, VARINT), varint(u64::from(point.numbers.epoch))].concat();
        file.extend(record(&[double(1, seconds(point)), step, bytes(5, &values)].concat()));
    }
    file
}

fn seconds(point: &Point) -> f64 {
    point.time.unix_ms() as f64 / 1000.0
}

/// Tags are told apart by what stands before the slash, which TensorBoard makes groups of.
fn scalars(point: &Point) -> Vec<(String, f32)> {
    let tag = |name: &str| match name {
        "epoch" | "epochs" | "eta_seconds" | "best" | "task" => None,
        "lr" | "images_per_second" | "seconds" => Some(format!("rate/{name}")),
        _ => Some(match name.split_once('_') {
            Some((part @ ("train" | "val"), measure)) => format!("{part}/{measure}"),
            _ => format!("val/{name}"),
        }),
    };
    let number = |(name, value): (String, Value)| Some((tag(&name)?, value.as_f64()? as f32));
    keyed(&point.numbers).into_iter().filter_map(number).collect()
}

fn scalar(tag: &str, value: f32) -> Vec<u8> {
    [bytes(1, tag.as_bytes()), key(2, FLOAT), value.to_le_bytes().to_vec()].concat()
}

fn key(field: u8, kind: u8) -> Vec<u8> {
    vec![field << 3 | kind]
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
    [key(field, BYTES), varint(content.len() as u64), content.to_vec()].concat()
}

fn double(field: u8, value: f64) -> Vec<u8> {
    [key(field, DOUBLE), value.to_le_bytes().to_vec()].concat()
}

fn record(event: &[u8]) -> Vec<u8> {
    let length = (event.len() as u64).to_le_bytes();
    [&length[..], &masked(&length).to_le_bytes(), event, &masked(event).to_le_bytes()].concat()
}

fn masked(content: &[u8]) -> u32 {
    crc32c(content).rotate_right(15).wrapping_add(MASK)
}

fn crc32c(content: &[u8]) -> u32 {
    let step = |crc: u32, _| if crc & 1 == 1 { crc >> 1 ^ POLYNOMIAL } else { crc >> 1 };
    !content.iter().fold(!0u32, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::job_event::EpochNumbers;
    use crate::domain::task::Task;
    use crate::domain::time::Timestamp;

    fn point() -> Point {
        let numbers = EpochNumbers {
            task: Task::Regression,
            epoch: 300,
            epochs: 400,
            train_loss: 0.5,
            train_primary: 3.0,
            val_loss: f64::NAN,
            val: vec![2.5, 2.0, 0.875],
            lr: 0.01,
            samples_per_second: 10.0,
            seconds: 1.0,
            eta_seconds: 1.0,
            best: true,
        };
        Point { time: Timestamp::from_unix_ms(1_500), numbers }
    }

    #[test]
    fn the_sums_are_those_of_rfc_3720() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        assert_eq!(crc32c(&[0xff; 32]), 0x62a8_ab43);
    }

    #[test]
    fn an_event_is_laid_out_byte_by_byte() {
        let file = to_events(&[point()]);
        // wall_time 1.5, file_version.
        let first = [&[0x09, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f, 0x1a, 13][..], b"brain.Event:2"].concat();
        assert_eq!(file[..8], 24u64.to_le_bytes());
        assert_eq!(file[12..36], first);
        let second = &file[40..];
        assert_eq!(second[12..21], [0x09, 0, 0, 0, 0, 0, 0, 0xf8, 0x3f]);
        assert_eq!(second[21..24], [0x10, 0xac, 0x02], "step 300");
        let length = u64::from_le_bytes(second[..8].try_into().unwrap()) as usize;
        assert_eq!(second.len(), 16 + length);
        assert_eq!(second[8..12], masked(&second[..8]).to_le_bytes());
        assert_eq!(second[12 + length..], masked(&second[12..12 + length]).to_le_bytes());
        let tag = [&[0x0a, 8][..], b"val/rmse", &[0x15], &2.5f32.to_le_bytes()].concat();
        assert!(second.windows(tag.len()).any(|window| window == tag));
    }

    #[test]
    fn what_is_no_number_has_no_point_and_a_table_has_an_empty_cell() {
        let tags: Vec<String> = scalars(&point()).into_iter().map(|(tag, _)| tag).collect();
        let wanted = ["train/loss", "train/rmse", "val/rmse", "val/mae", "val/r2", "rate/lr", "rate/images_per_second", "rate/seconds"];
        assert_eq!(tags, wanted);
        let table = super::super::to_csv(&[point()]);
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines[0],
            "time,epoch,epochs,train_loss,train_rmse,val_loss,val_rmse,val_mae,val_r2,lr,images_per_second,seconds,best,task"
        );
        assert_eq!(lines[1], "1970-01-01T00:00:01.500Z,300,400,0.5,3.0,,2.5,2.0,0.875,0.01,10.0,1.0,true,regression");
        assert_eq!(super::super::to_csv(&[]), "");
    }
}
