//! What a server and the confined process that checks for it say to each other.
//!
//! ```text
//! server -> check   one Order; of a scan also a Sent after each Read, and as many bytes as that says
//! check -> server   Said: of a data set one Checked, of weights one Imported; of a scan any Read, one Found for each file in order, at last Done;
//!                   of pictures one Picture for each path that has been looked at, at last Done
//! ```

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::{NotMade, Refused, ToImport, ToShow};
use crate::confine::Grant;
use crate::domain::data_limits::DataLimits;
use crate::domain::dataset_report::DatasetReport;
use crate::import::scan::Findings;

/// Of a report: thousands of names of files and classes, and sixty small pictures.
pub(super) const LONGEST_REPORT: usize = 64 << 20;
/// Of a line of a scan.
pub(super) const LONGEST: usize = 64 << 10;
/// Of a line with a small picture.
pub(super) const LONGEST_PICTURE: usize = 512 << 10;
/// What one read of a scan may ask for.
pub(super) const MOST_READ: usize = 4 << 20;

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Order {
    pub grant: Grant,
    pub work: Work,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Work {
    Dataset { files: Vec<(String, PathBuf)>, limits: DataLimits },
    Scan(Vec<ToScan>),
    Import(ToImport),
    Pictures(ToShow),
}

/// A file that is looked into.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ToScan {
    pub size: u64,
    /// Where it may be read; else it is asked for.
    pub path: Option<PathBuf>,
    /// What costs about as much to ask for as one byte.
    pub block: usize,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Said {
    Checked(Box<Result<DatasetReport, Refused>>),
    /// Which form the file had.
    Imported(Result<String, NotMade>),
    Read {
        file: usize,
        offset: u64,
        most: usize,
    },
    Found(Findings),
    Unread {
        file: usize,
        problem: String,
    },
    Picture {
        at: usize,
        /// Media type and standard base64; none of what has no picture.
        picture: Option<(String, String)>,
    },
    Done,
}

/// So many bytes follow; `None`: they could not be had.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Sent(pub Option<usize>);
