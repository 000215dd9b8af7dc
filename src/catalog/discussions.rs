//! Discussions and pull requests, and what happened in each. Whose they may change is decided above.

use crate::db::{Error, Result, Row, Tx, Value};
use crate::domain::discussion::{Discussion, DiscussionEvent, DiscussionFilter, DiscussionState, Happening, Pull};
use crate::domain::id::RepoKey;
use crate::domain::revision::RefName;
use crate::domain::time::Timestamp;
use crate::params;

const COLUMNS: &str = "number, title, author, state, target, base, head, merged, created";

fn count(row: &Row, column: &'static str) -> Result<Option<u32>> {
    Ok(row.find_int(column)?.map(|number| u32::try_from(number).unwrap_or(u32::MAX)))
}

fn state(word: &str) -> std::result::Result<DiscussionState, &'static str> {
    DiscussionState::parse(word).ok_or("is no state of a discussion")
}

fn from_row(row: &Row) -> Result<Discussion> {
    let pull = match row.find_text("target")? {
        Some(_) => Some(Pull {
            target: row.parse("target", RefName::parse)?,
            base: count(row, "base")?,
            head: count(row, "head")?,
            merged: count(row, "merged")?,
        }),
        None => None,
    };
    Ok(Discussion {
        number: u32::try_from(row.int("number")?).unwrap_or(u32::MAX),
        title: row.text("title")?,
        author: row.text("author")?,
        state: row.parse("state", state)?,
        pull,
        created: Timestamp::from_unix_ms(row.int("created")?),
    })
}

/// The number of the next one of a repo.
pub fn next_number(tx: &mut Tx<'_>, repo: &RepoKey) -> Result<u32> {
    let row = tx.one("select coalesce(max(number), 0) + 1 as n from discussions where repo = $1", params![repo.as_str()])?;
    Ok(u32::try_from(row.count("n")?).unwrap_or(u32::MAX))
}

pub fn insert(tx: &mut Tx<'_>, repo: &RepoKey, discussion: &Discussion) -> Result<()> {
    let pull = discussion.pull.as_ref();
    tx.execute(
        "insert into discussions (repo, number, title, author, state, target, base, head, merged, created)
         values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)",
        params![
            repo.as_str(),
            discussion.number,
            &discussion.title,
            &discussion.author,
            discussion.state.as_str(),
            pull.map(|pull| pull.target.as_str().to_owned()),
            pull.and_then(|pull| pull.base),
            pull.and_then(|pull| pull.head),
            pull.and_then(|pull| pull.merged),
            discussion.created.unix_ms(),
        ],
    )?;
    Ok(())
}

/// Writes back what may change of it.
pub fn update(tx: &mut Tx<'_>, repo: &RepoKey, discussion: &Discussion) -> Result<()> {
    let pull = discussion.pull.as_ref();
    tx.execute(
        "update discussions set title = $3, state = $4, head = $5, merged = $6 where repo = $1 and number = $2",
        params![
            repo.as_str(),
            discussion.number,
            &discussion.title,
            discussion.state.as_str(),
            pull.and_then(|pull| pull.head),
            pull.and_then(|pull| pull.merged),
        ],
    )?;
    Ok(())
}

pub fn find(tx: &mut Tx<'_>, repo: &RepoKey, number: u32) -> Result<Option<Discussion>> {
    let sql = format!("select {COLUMNS} from discussions where repo = $1 and number = $2");
    tx.find(&sql, params![repo.as_str(), number])?.as_ref().map(from_row).transpose()
}

/// Those that fit, newest first, from the `skip`th on; and how many fit.
pub fn list(tx: &mut Tx<'_>, repo: &RepoKey, filter: &DiscussionFilter, skip: u64, limit: usize) -> Result<(Vec<Discussion>, u64)> {
    let mut params = vec![Value::from(repo.as_str())];
    let mut sql = "from discussions where repo = $1".to_owned();
    match filter.pulls {
        Some(true) => sql += " and target is not null",
        Some(false) => sql += " and target is null",
        None => {}
    }
    match filter.open {
        Some(true) => sql += " and state in ('open', 'draft')",
        Some(false) => sql += " and state in ('closed', 'merged')",
        None => {}
    }
    if let Some(author) = &filter.author {
        params.push(Value::from(author.as_str()));
        sql += &format!(" and author = ${}", params.len());
    }
    let fitting = tx.one(&format!("select count(*) as n {sql}"), &params)?.count("n")?;
    params.extend_from_slice(params![limit, skip]);
    let page = format!("select {COLUMNS} {sql} order by number desc limit ${} offset ${}", params.len() - 1, params.len());
    Ok((tx.all(&page, &params)?.iter().map(from_row).collect::<Result<_>>()?, fitting))
}

/// The pull requests that have something in them, by number.
pub fn pulls(tx: &mut Tx<'_>, repo: &RepoKey, limit: usize) -> Result<Vec<Discussion>> {
    let sql =
        format!("select {COLUMNS} from discussions where repo = $1 and head is not null and target is not null order by number limit $2");
    tx.all(&sql, params![repo.as_str(), limit])?.iter().map(from_row).collect()
}

/// Lets pull requests that stand at a version stand at another.
pub fn move_heads(tx: &mut Tx<'_>, repo: &RepoKey, from: u32, to: Option<u32>) -> Result<()> {
    tx.execute("update discussions set head = $3 where repo = $1 and head = $2", params![repo.as_str(), from, to])?;
    Ok(())
}

/// How many of somebody's are still to be decided in a repo.
pub fn count_open_of(tx: &mut Tx<'_>, repo: &RepoKey, author: &str) -> Result<u64> {
    let sql = "select count(*) as n from discussions where repo = $1 and author = $2 and state in ('open', 'draft')";
    tx.one(sql, params![repo.as_str(), author])?.count("n")
}

fn encode(what: &Happening) -> (&'static str, String, String) {
    match what {
        Happening::Comment { text, hidden } => ("comment", text.clone(), if *hidden { "hidden".into() } else { String::new() }),
        Happening::Commit { commit, subject } => ("commit", commit.clone(), subject.clone()),
        Happening::State(state) => ("status-change", state.to_string(), String::new()),
        Happening::Title { from, to } => ("title-change", from.clone(), to.clone()),
    }
}

fn event(row: &Row) -> Result<DiscussionEvent> {
    let (first, second) = (row.text("first")?, row.text("second")?);
    let what = match row.text("kind")?.as_str() {
        "comment" => Happening::Comment { text: first, hidden: second == "hidden" },
        "commit" => Happening::Commit { commit: first, subject: second },
        "status-change" => Happening::State(state(&first).map_err(|problem| Error::Engine(format!("'{first}' {problem}")))?),
        _ => Happening::Title { from: first, to: second },
    };
    Ok(DiscussionEvent {
        position: u32::try_from(row.int("position")?).unwrap_or(u32::MAX),
        author: row.text("author")?,
        created: Timestamp::from_unix_ms(row.int("created")?),
        what,
        edited: row.find_int("edited")?.map(Timestamp::from_unix_ms),
    })
}

/// Adds what happened, behind all before.
pub fn add_event(tx: &mut Tx<'_>, repo: &RepoKey, number: u32, author: &str, what: &Happening, now: Timestamp) -> Result<DiscussionEvent> {
    let next = "select coalesce(max(position), -1) + 1 as n from discussion_events where repo = $1 and number = $2";
    let position = u32::try_from(tx.one(next, params![repo.as_str(), number])?.count("n")?).unwrap_or(u32::MAX);
    let (kind, first, second) = encode(what);
    tx.execute(
        "insert into discussion_events (repo, number, position, author, created, kind, first, second) values ($1, $2, $3, $4, $5, $6, $7, $8)",
        params![repo.as_str(), number, position, author, now.unix_ms(), kind, first, second],
    )?;
    Ok(DiscussionEvent { position, author: author.to_owned(), created: now, what: what.clone(), edited: None })
}

/// Writes a comment anew.
pub fn edit_event(tx: &mut Tx<'_>, repo: &RepoKey, number: u32, event: &DiscussionEvent) -> Result<()> {
    let (_, first, second) = encode(&event.what);
    tx.execute(
        "update discussion_events set first = $4, second = $5, edited = $6 where repo = $1 and number = $2 and position = $3",
        params![repo.as_str(), number, event.position, first, second, event.edited.map(Timestamp::unix_ms)],
    )?;
    Ok(())
}

/// All that happened, in order.
pub fn events(tx: &mut Tx<'_>, repo: &RepoKey, number: u32) -> Result<Vec<DiscussionEvent>> {
    let sql = "select position, author, created, kind, first, second, edited from discussion_events
         where repo = $1 and number = $2 order by position";
    tx.all(sql, params![repo.as_str(), number])?.iter().map(event).collect()
}

/// Forgets all that was said about a repo.
pub fn bury(tx: &mut Tx<'_>, repo: &RepoKey) -> Result<()> {
    tx.execute("delete from discussion_events where repo = $1", params![repo.as_str()])?;
    tx.execute("delete from discussions where repo = $1", params![repo.as_str()])?;
    Ok(())
}
