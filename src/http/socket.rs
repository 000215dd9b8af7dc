//! The kernel's side of a connection: what it knows about the traffic, and how to end it at once.

use std::os::fd::{AsRawFd as _, RawFd};
use std::time::Duration;

use actix_web::rt::net::TcpStream;

/// Bytes that may lie in the kernel unsent. Without a bound a reader that does not read would hold megabytes
/// there; the bytes on their way to a quick and far reader are not counted.
const UNSENT_BYTES: libc::c_int = 512 << 10;

/// The descriptor of a connection, for whoever lives no longer than the connection.
#[derive(Debug, Clone, Copy)]
pub struct Socket(RawFd);

/// What the kernel has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Traffic {
    /// Bytes were handed over that the peer has not acknowledged.
    pub waits_for_peer: bool,
    /// Bytes the peer has acknowledged since the beginning.
    pub acked_bytes: u64,
}

impl Socket {
    pub fn of(stream: &TcpStream) -> Socket {
        Socket(stream.as_raw_fd())
    }

    /// Bounds what lies unsent, and lets the kernel itself give up on a peer that acknowledges nothing.
    pub fn prepare(self, patience: Duration) {
        self.set_prepared(patience);
    }

    /// Ends the connection in both directions; what was not delivered is dropped with it.
    pub fn cut(self) {
        let at_once = libc::linger { l_onoff: 1, l_linger: 0 };
        self.set(libc::SOL_SOCKET, libc::SO_LINGER, &at_once);
        // SAFETY: a plain system call on the descriptor of a connection that is alive; it touches no memory.
        unsafe { libc::shutdown(self.0, libc::SHUT_RDWR) };
    }

    fn set<T>(self, level: libc::c_int, option: libc::c_int, value: &T) {
        let size = size_of::<T>() as libc::socklen_t;
        // SAFETY: `value` lives during the call and its size is given; the kernel refuses a size it does not expect.
        let result = unsafe { libc::setsockopt(self.0, level, option, std::ptr::from_ref(value).cast(), size) };
        if result != 0 {
            tracing::debug!(option, "an option of a connection could not be set");
        }
    }
}

#[cfg(target_os = "linux")]
impl Socket {
    fn set_prepared(self, patience: Duration) {
        let milliseconds = libc::c_uint::try_from(patience.as_millis()).unwrap_or(libc::c_uint::MAX);
        self.set(libc::IPPROTO_TCP, libc::TCP_USER_TIMEOUT, &milliseconds);
        self.set(libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, &UNSENT_BYTES);
    }

    /// `None` where the kernel does not tell.
    pub fn traffic(self) -> Option<Traffic> {
        // SAFETY: the struct holds numbers only, for which zeros are values.
        let mut info: libc::tcp_info = unsafe { std::mem::zeroed() };
        let mut size = size_of::<libc::tcp_info>() as libc::socklen_t;
        // SAFETY: the kernel writes at most `size` bytes into `info`, which lives during the call, and says how many.
        let result = unsafe { libc::getsockopt(self.0, libc::IPPROTO_TCP, libc::TCP_INFO, (&raw mut info).cast(), &raw mut size) };
        // Kernels older than 4.6 fill less of it.
        let known = std::mem::offset_of!(libc::tcp_info, tcpi_min_rtt) as libc::socklen_t;
        let told = result == 0 && size >= known;
        let waits_for_peer = info.tcpi_unacked > 0 || info.tcpi_notsent_bytes > 0;
        told.then_some(Traffic { waits_for_peer, acked_bytes: info.tcpi_bytes_acked })
    }
}

#[cfg(not(target_os = "linux"))]
impl Socket {
    fn set_prepared(self, _: Duration) {}

    /// `None` where the kernel does not tell.
    pub fn traffic(self) -> Option<Traffic> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    #[tokio::test]
    async fn the_kernel_tells_what_was_taken_and_a_cut_ends_both_sides() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut ours, _) = listener.accept().await.unwrap();
        let socket = Socket::of(&ours);
        socket.prepare(Duration::from_secs(60));
        ours.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        peer.read_exact(&mut heard).await.unwrap();
        while socket.traffic().unwrap().waits_for_peer {
            tokio::task::yield_now().await;
        }
        let before = socket.traffic().unwrap().acked_bytes;
        assert!(before >= 5);
        // Nobody reads: in the end bytes lie unsent.
        let block = vec![0; 1 << 20];
        while let Ok(Ok(_)) = tokio::time::timeout(Duration::from_millis(200), ours.write(&block)).await {}
        let traffic = socket.traffic().unwrap();
        assert!(traffic.waits_for_peer && traffic.acked_bytes > before, "{traffic:?}");
        socket.cut();
        assert_eq!(ours.read(&mut heard).await.unwrap(), 0);
        drop(ours);
        let mut rest = Vec::new();
        let ended = peer.read_to_end(&mut rest).await;
        assert!(ended.is_err(), "a cut connection ends with a reset, not as if the answer were whole");
    }
}
