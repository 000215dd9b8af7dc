//! The first version of the protocol: refs are told at once, and what both sides have is found by asking back and forth. Every request
//! says again what was said before, since nothing is remembered between two.

use super::fetch::{Fetch, Ready, Said, id, next, tell_ends};
use super::{Reply, Told};
use crate::domain::git::ObjectId;
use crate::domain::git::history::Asked;
use crate::domain::git::packet::{FLUSH, Packets, line};
use crate::service::repos::git::GitRepo;

const CAPABILITIES: &str = concat!(
    "multi_ack_detailed side-band-64k shallow deepen-since deepen-not deepen-relative no-progress include-tag ",
    "allow-tip-sha1-in-want allow-reachable-sha1-in-want object-format=sha1 agent=hub/",
    env!("CARGO_PKG_VERSION")
);

/// All refs; what is offered stands behind the first of them.
pub(super) fn advertise(repo: &GitRepo) -> Vec<u8> {
    let mut out = Vec::new();
    let head = repo.head.map(|id| ("HEAD", id));
    let mut offered = match head {
        Some(_) => format!("\0{CAPABILITIES} symref=HEAD:refs/heads/main"),
        None => format!("\0{CAPABILITIES}"),
    };
    for (name, id) in head.into_iter().chain(repo.refs.iter().map(|(name, id)| (name.as_str(), *id))) {
        line(&mut out, &format!("{id} {name}{}\n", std::mem::take(&mut offered)));
    }
    if out.is_empty() {
        line(&mut out, &format!("{} capabilities^{{}}{offered}\n", ObjectId::NONE));
    }
    out.extend_from_slice(FLUSH);
    out
}

pub(super) fn answer(repo: &GitRepo, body: &[u8]) -> Told<Reply> {
    let mut packets = Packets(body);
    let (fetch, offered) = wishes(&mut packets)?;
    let mut head = Vec::new();
    if fetch.wants.is_empty() {
        return Ok(Reply { head, fetch: None });
    }
    let mut asked = fetch.find_in(repo)?;
    let deepens = asked.deepening.is_asked();
    if deepens {
        tell_ends(&mut head, &repo.history.select(&asked));
        head.extend_from_slice(FLUSH);
    }
    let has = |word: &str| offered.iter().any(|known| known == word);
    let done = agree(repo, &mut packets, &mut asked, has("multi_ack_detailed"), &mut head)?;
    let begins = asked.common.is_empty();
    let ready = || Ready { selection: repo.history.select(&asked), banded: has("side-band-64k"), progress: !has("no-progress"), begins };
    Ok(Reply { head, fetch: done.then(ready) })
}

/// Up to the first end: what is wanted, and what of our offers is taken.
fn wishes(packets: &mut Packets<'_>) -> Told<(Fetch, Vec<String>)> {
    let (mut fetch, mut offered) = (Fetch::default(), Vec::new());
    while let Some(Said::Words(words)) = next(packets)? {
        let mut words = words;
        // Behind the first wish stands what is taken.
        if let Some((want, taken)) = words.strip_prefix("want ").and_then(|rest| rest.split_once(' ')) {
            offered.extend(taken.split(' ').map(str::to_owned));
            words = &words[.."want ".len() + want.len()];
        }
        fetch.read(words).unwrap_or_else(|| Err(format!("'{words}' is not known here")))?;
    }
    if offered.iter().any(|word| word == "deepen-relative") {
        fetch.deepening.relative = true;
    }
    Ok((fetch, offered))
}

/// Goes through what the asker has. True: they asked enough, a pack follows.
fn agree(repo: &GitRepo, packets: &mut Packets<'_>, asked: &mut Asked, detailed: bool, out: &mut Vec<u8>) -> Told<bool> {
    let mut last = None;
    while let Some(said) = next(packets)? {
        match said {
            Said::Words("done") => {
                match last.filter(|_| detailed) {
                    Some(id) => line(out, &format!("ACK {id}\n")),
                    None if last.is_none() => line(out, "NAK\n"),
                    None => {}
                }
                return Ok(true);
            }
            Said::Words(words) => {
                let have = words.strip_prefix("have ").ok_or_else(|| format!("'{words}' is not known here"))?;
                let have = id(have)?;
                let Some(place) = repo.history.find(&have) else { continue };
                asked.common.push(place);
                match (detailed, last.replace(have)) {
                    (true, _) => line(out, &format!("ACK {have} common\n")),
                    (false, None) => line(out, &format!("ACK {have}\n")),
                    (false, Some(_)) => {}
                }
            }
            Said::Flush | Said::Delimiter => {
                if let Some(id) = last.filter(|_| detailed && repo.history.is_settled(asked)) {
                    line(out, &format!("ACK {id} ready\n"));
                }
                if detailed || last.is_none() {
                    line(out, "NAK\n");
                }
            }
        }
    }
    Ok(false)
}
