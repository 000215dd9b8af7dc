//! Listening to the words of other processes (`LISTEN`, `NOTIFY`), on a connection and a thread of its own.

use std::sync::Weak;
use std::time::Duration;

use super::super::Result;
use super::super::news::Teller;
use super::Shared;
use super::address::Address;
use super::pool::Connection;

/// After so long without a word the line is looked at.
const QUIET: Duration = Duration::from_secs(5);
/// Before the next try, where the server does not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Begins to listen, for as long as the database is open. Where there is no thread for it, nothing is heard, and everybody looks by himself.
pub(super) fn start(address: Address, database: Weak<Shared>, teller: Teller) {
    let listening = move || {
        while database.strong_count() > 0 {
            if let Err(error) = listen(&address, &database, &teller) {
                tracing::debug!(%error, "nothing is heard of other processes; they are looked after twice a second");
            }
            teller.set_live(false);
            std::thread::sleep(PAUSE);
        }
    };
    drop(std::thread::Builder::new().name("hub-news".into()).spawn(listening));
}

fn listen(address: &Address, database: &Weak<Shared>, teller: &Teller) -> Result<()> {
    let mut connection = Connection::open(address)?;
    connection.client()?.batch_execute("listen hub_news")?;
    teller.set_live(true);
    while database.strong_count() > 0 {
        connection.hear(QUIET, &mut |word| teller.tell(word))?;
        connection.client()?.batch_execute("select 1")?;
    }
    Ok(())
}
