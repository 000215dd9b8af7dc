//! A confined process's side of the talk: lines of JSON on its standard output, lines and bytes on its standard input. What it reads
//! there is its parent's, and trusted.

use std::io::{self, BufRead as _, BufReader, Read as _, Stdin, Stdout, Write as _};

use serde::Serialize;
use serde::de::DeserializeOwned;

/// The two ends.
pub struct Speech {
    input: BufReader<Stdin>,
    output: Stdout,
}

impl Default for Speech {
    fn default() -> Speech {
        Speech { input: BufReader::new(io::stdin()), output: io::stdout() }
    }
}

impl Speech {
    /// One record as a line.
    pub fn say(&mut self, record: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_vec(record)?;
        line.push(b'\n');
        self.output.write_all(&line)?;
        self.output.flush()
    }

    /// The parent's next line as a record; an error also where the parent is gone.
    pub fn hear<T: DeserializeOwned>(&mut self) -> io::Result<T> {
        let mut line = Vec::new();
        self.input.read_until(b'\n', &mut line)?;
        Ok(serde_json::from_slice(&line)?)
    }

    /// The parent's next bytes.
    pub fn hear_bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; length];
        self.input.read_exact(&mut bytes)?;
        Ok(bytes)
    }
}
