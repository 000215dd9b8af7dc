//! Connections to the server, at most so many, kept between transactions. What writes leaves some to what reads, so that writers who
//! wait for each other never keep readers waiting.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use postgres::fallible_iterator::FallibleIterator as _;
use postgres::{Client, Statement};

use super::super::{Error, Result};
use super::address::Address;
use super::tls::Tls;
use super::values::said;

/// How long somebody waits for a connection that others have.
const PATIENCE: Duration = Duration::from_secs(20);
/// Statements a connection keeps prepared.
const PREPARED: usize = 512;
/// What every connection is told first. A commit that is acknowledged is on the disk; nothing holds a lock for ever.
const FIRST: &str = "set client_min_messages = warning; set standard_conforming_strings = on; \
    set statement_timeout = '60s'; set lock_timeout = '20s'; set idle_in_transaction_session_timeout = '120s'; \
    select set_config('synchronous_commit', 'on', false) where current_setting('synchronous_commit') = 'off'";

/// A connection with what it has prepared.
pub(super) struct Connection {
    client: Option<Client>,
    prepared: HashMap<String, Statement>,
}

impl Connection {
    /// Opens one that is in no pool.
    pub fn open(address: &Address) -> Result<Connection> {
        let config = &address.config;
        let tls = Tls::new(&address.trust)?;
        let mut client = config.connect(tls).map_err(|e| Error::Unreachable(said(&e)))?;
        client.batch_execute(FIRST)?;
        Ok(Connection { client: Some(client), prepared: HashMap::new() })
    }

    pub fn client(&mut self) -> Result<&mut Client> {
        self.client.as_mut().ok_or_else(|| Error::Unreachable("the connection is closed".into()))
    }

    /// Hands on the words that others tell, until none has come for so long.
    pub fn hear(&mut self, quiet: Duration, told: &mut dyn FnMut(&str)) -> Result<()> {
        let mut notifications = self.client()?.notifications();
        let mut words = notifications.timeout_iter(quiet);
        while let Some(word) = words.next()? {
            told(word.payload());
        }
        Ok(())
    }

    pub fn is_closed(&self) -> bool {
        self.client.as_ref().is_none_or(Client::is_closed)
    }

    pub fn forget_prepared(&mut self) {
        self.prepared.clear();
    }

    /// The statement, prepared now or earlier.
    pub fn prepared(&mut self, sql: &str) -> Result<Statement> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client()?.prepare(sql)?;
        if self.prepared.len() >= PREPARED {
            self.prepared.clear();
        }
        self.prepared.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }
}

impl Drop for Connection {
    /// To say goodbye blocks, which not every thread that drops the last of a database may do.
    fn drop(&mut self) {
        self.prepared.clear();
        if let Some(client) = self.client.take() {
            drop(std::thread::Builder::new().name("hub-database".into()).spawn(move || drop(client)));
        }
    }
}

/// What a connection is taken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    Read,
    Write,
}

pub(super) struct Pool {
    address: Address,
    state: Mutex<State>,
    /// Somebody has given one back.
    freed: Condvar,
}

#[derive(Default)]
struct State {
    idle: Vec<Connection>,
    taken: usize,
    /// Of those, for writing.
    writing: usize,
}

impl Pool {
    pub fn new(address: Address) -> Pool {
        Pool { address, state: Mutex::default(), freed: Condvar::new() }
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    /// A connection, once there is one; one that was kept may have been closed by the server without a word.
    pub fn take(&self, purpose: Use) -> Result<Taken<'_>> {
        let until = Instant::now() + PATIENCE;
        let most_writing = (self.address.connections / 2).max(1);
        let mut state = self.state.lock();
        while state.taken >= self.address.connections || (purpose == Use::Write && state.writing >= most_writing) {
            if self.freed.wait_until(&mut state, until).timed_out() {
                return Err(Error::Busy);
            }
        }
        state.taken += 1;
        state.writing += usize::from(purpose == Use::Write);
        let kept = state.idle.pop();
        drop(state);
        let mut taken = Taken { pool: self, purpose, connection: kept };
        if taken.connection.as_ref().is_none_or(Connection::is_closed) {
            // Should this fail, the place is given back all the same.
            taken.connection = None;
            taken.connection = Some(Connection::open(&self.address)?);
        }
        Ok(taken)
    }

    /// Drops all that nobody uses: the server is another one now, or was restarted.
    pub fn forget_idle(&self) {
        let idle = std::mem::take(&mut self.state.lock().idle);
        drop(idle);
    }
}

/// A connection in use; it goes back unless it was broken.
pub(super) struct Taken<'a> {
    pool: &'a Pool,
    purpose: Use,
    connection: Option<Connection>,
}

impl Taken<'_> {
    /// Nobody gets this one again.
    pub fn break_off(&mut self) {
        self.connection = None;
    }

    pub fn connection(&mut self) -> Result<&mut Connection> {
        self.connection.as_mut().ok_or_else(|| Error::Unreachable("the connection is closed".into()))
    }
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let kept = self.connection.take().filter(|connection| !connection.is_closed());
        let mut state = self.pool.state.lock();
        state.taken -= 1;
        state.writing -= usize::from(self.purpose == Use::Write);
        state.idle.extend(kept);
        drop(state);
        self.pool.freed.notify_all();
    }
}
