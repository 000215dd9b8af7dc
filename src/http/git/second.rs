//! The second version of the protocol: commands, each a question of its own.

use super::fetch::{Fetch, Ready, Said, id, next, tell_ends};
use super::{Reply, Told};
use crate::domain::git::ObjectId;
use crate::domain::git::packet::{DELIMITER, FLUSH, Packets, line};
use crate::service::repos::git::GitRepo;

const AGENT: &str = concat!("agent=hub/", env!("CARGO_PKG_VERSION"), "\n");

pub(super) fn capabilities() -> Vec<u8> {
    let mut out = Vec::new();
    for offer in ["version 2\n", AGENT, "ls-refs=unborn\n", "fetch=shallow wait-for-done\n", "object-format=sha1\n"] {
        line(&mut out, offer);
    }
    out.extend_from_slice(FLUSH);
    out
}

pub(super) fn answer(repo: &GitRepo, body: &[u8]) -> Told<Reply> {
    let mut packets = Packets(body);
    let mut command = None;
    loop {
        match next(&mut packets)? {
            Some(Said::Words("object-format=sha256")) => return Err("objects are named by SHA-1 here".into()),
            Some(Said::Words(words)) => command = command.or(words.strip_prefix("command=")),
            Some(Said::Delimiter | Said::Flush) | None => break,
        }
    }
    match command {
        Some("ls-refs") => ls_refs(repo, &mut packets),
        Some("fetch") => fetch(repo, &mut packets),
        // An empty request ends a conversation.
        None => Ok(Reply { head: Vec::new(), fetch: None }),
        Some(other) => Err(format!("the command '{other}' is not known here")),
    }
}

fn ls_refs(repo: &GitRepo, packets: &mut Packets<'_>) -> Told<Reply> {
    let (mut symrefs, mut unborn, mut prefixes) = (false, false, Vec::new());
    while let Some(Said::Words(words)) = next(packets)? {
        match words {
            "symrefs" => symrefs = true,
            "unborn" => unborn = true,
            _ => prefixes.extend(words.strip_prefix("ref-prefix ")),
        }
    }
    let wanted = |name: &str| prefixes.is_empty() || prefixes.iter().any(|prefix| name.starts_with(prefix));
    let mut head = Vec::new();
    if wanted("HEAD") {
        let leads = if symrefs { " symref-target:refs/heads/main" } else { "" };
        match repo.head {
            Some(id) => line(&mut head, &format!("{id} HEAD{leads}\n")),
            None if unborn => line(&mut head, &format!("unborn HEAD{leads}\n")),
            None => {}
        }
    }
    for (name, id) in repo.refs.iter().filter(|(name, _)| wanted(name)) {
        line(&mut head, &format!("{id} {name}\n"));
    }
    head.extend_from_slice(FLUSH);
    Ok(Reply { head, fetch: None })
}

fn fetch(repo: &GitRepo, packets: &mut Packets<'_>) -> Told<Reply> {
    let (mut fetch, mut haves, mut done, mut waits, mut progress) = (Fetch::default(), Vec::new(), false, false, true);
    while let Some(Said::Words(words)) = next(packets)? {
        match words {
            "done" => done = true,
            "wait-for-done" => waits = true,
            "no-progress" => progress = false,
            _ => match (words.strip_prefix("have "), fetch.read(words)) {
                (Some(have), _) => haves.push(id(have)?),
                // How a pack may be written, which is ours to choose.
                (None, None) => {}
                (None, Some(read)) => read?,
            },
        }
    }
    let mut head = Vec::new();
    let tells_ends = fetch.deepening.is_asked() || !fetch.not.is_empty() || !fetch.shallow.is_empty();
    let mut asked = fetch.find_in(repo)?;
    let common: Vec<ObjectId> = haves.iter().copied().filter(|have| repo.history.find(have).is_some()).collect();
    asked.common = common.iter().filter_map(|have| repo.history.find(have)).collect();
    if !done && (!haves.is_empty() || asked.wants.is_empty()) {
        let ready = !waits && !asked.wants.is_empty() && repo.history.is_settled(&asked);
        acknowledge(&mut head, &common, ready);
        if !ready {
            head.extend_from_slice(FLUSH);
            return Ok(Reply { head, fetch: None });
        }
        head.extend_from_slice(DELIMITER);
    }
    let selection = repo.history.select(&asked);
    if tells_ends {
        line(&mut head, "shallow-info\n");
        tell_ends(&mut head, &selection);
        head.extend_from_slice(DELIMITER);
    }
    line(&mut head, "packfile\n");
    Ok(Reply { head, fetch: Some(Ready { selection, banded: true, progress, begins: common.is_empty() }) })
}

fn acknowledge(out: &mut Vec<u8>, common: &[ObjectId], ready: bool) {
    line(out, "acknowledgments\n");
    if common.is_empty() {
        line(out, "NAK\n");
    }
    for id in common {
        line(out, &format!("ACK {id}\n"));
    }
    if ready {
        line(out, "ready\n");
    }
}
