//! Names in zips that do not say their encoding. What is valid UTF-8 is UTF-8 (the Finder writes it so); all else was written in the
//! code page of somebody's machine, which cannot be told: it is read as that of MS-DOS, with a word on what it could be.

use std::borrow::Cow;

use encoding_rs::{BIG5, EUC_KR, Encoding, GBK, IBM866, SHIFT_JIS};

use crate::data::name;

/// What people's machines write, and whose.
const OFTEN: [(&Encoding, &str); 5] = [(SHIFT_JIS, "shift_jis"), (GBK, "gbk"), (EUC_KR, "euc-kr"), (BIG5, "big5"), (IBM866, "ibm866")];

pub struct Names {
    said: Option<&'static Encoding>,
    old: usize,
    /// The first such name, and how it was read.
    first: Option<(Vec<u8>, String)>,
}

impl Names {
    /// `said` is the encoding that the card names.
    pub fn new(said: Option<&str>, notes: &mut Vec<String>) -> Names {
        let encoding = said.and_then(|label| Encoding::for_label(label.as_bytes()));
        if let (Some(label), None) = (said, encoding) {
            notes.push(format!(
                "the card's `zip_encoding: {}` is no encoding that is known, such as shift_jis",
                name::shown(label.as_bytes())
            ));
        }
        Names { said: encoding, old: 0, first: None }
    }

    /// The name of an entry; `dos` is how it reads in the code page of MS-DOS.
    pub fn read(&mut self, raw: &[u8], dos: Cow<'_, str>) -> String {
        if std::str::from_utf8(raw).is_ok() {
            return dos.into_owned();
        }
        if let Some(encoding) = self.said {
            return encoding.decode_without_bom_handling(raw).0.into_owned();
        }
        self.old += 1;
        self.first.get_or_insert_with(|| (raw.to_vec(), dos.clone().into_owned()));
        dos.into_owned()
    }

    /// A sentence where names were read by a guess.
    pub fn note(&self) -> Option<String> {
        let (raw, read) = self.first.as_ref()?;
        let as_other = |(encoding, label): &(&'static Encoding, &str)| {
            let text = encoding.decode_without_bom_handling_and_without_replacement(raw)?;
            Some(format!("`{}` with {label}", name::shown(text.as_bytes())))
        };
        let others: Vec<String> = OFTEN.iter().filter_map(as_other).collect();
        let could = if others.is_empty() { String::new() } else { format!(" (it would be {})", others.join(", ")) };
        let shown = name::shown(read.as_bytes());
        Some(format!(
            "{} names in the zip say no encoding and were read in the code page of MS-DOS, such as `{shown}`{could}; if that is wrong, publish with --zip-encoding",
            self.old
        ))
    }
}
