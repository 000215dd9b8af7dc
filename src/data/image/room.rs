//! Memory for decoding, shared by all threads of the process: many small pictures are decoded at a time, and of the largest
//! only as many as fit.

use parking_lot::{Condvar, Mutex};

/// Bytes of pixels being decoded at a time. A picture that needs more by itself is decoded alone.
const ALL: u64 = 2 << 30;
/// Below this nobody asks: as many threads as a machine has cannot fill it.
const SMALL: u64 = 16 << 20;

static FREE: Mutex<u64> = Mutex::new(ALL);
static GIVEN_BACK: Condvar = Condvar::new();

/// A part of the memory; given back when dropped.
#[derive(Debug)]
pub struct Room(u64);

impl Room {
    /// Waits until so many bytes are free. Whoever holds one must not ask for another.
    pub fn take(bytes: u64) -> Room {
        if bytes < SMALL {
            return Room(0);
        }
        let bytes = bytes.min(ALL);
        let mut free = FREE.lock();
        GIVEN_BACK.wait_while(&mut free, |free| *free < bytes);
        *free -= bytes;
        Room(bytes)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if self.0 > 0 {
            *FREE.lock() += self.0;
            GIVEN_BACK.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_pictures_wait_for_each_other_and_small_ones_do_not() {
        let whole = Room::take(u64::MAX);
        assert_eq!(Room::take(1 << 20).0, 0);
        let waiting = std::thread::spawn(|| Room::take(64 << 20).0);
        assert!(!waiting.is_finished());
        drop(whole);
        assert_eq!(waiting.join().unwrap(), 64 << 20);
        assert_eq!(Room::take(ALL).0, ALL);
    }
}
