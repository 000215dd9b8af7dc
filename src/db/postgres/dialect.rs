//! The words of released migrations that mean something else to PostgreSQL. They are never edited, and so are put right on their way.

/// What all engines are told to make, so that it means the same here:
///
/// - texts are compared by their bytes, whatever the database's language;
/// - whole numbers have 64 bits;
/// - references may be broken within a transaction that says so.
pub(super) fn ours(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len() * 2);
    for line in sql.lines() {
        let (code, comment) = line.split_once("--").map_or((line, ""), |(code, comment)| (code, comment));
        out += &statement(code);
        if !comment.is_empty() {
            out += &format!("--{comment}");
        }
        out.push('\n');
    }
    out
}

/// A line without its comment.
fn statement(code: &str) -> String {
    let code = code.replace("integer primary key", "bigint primary key");
    let mut out = String::with_capacity(code.len());
    let mut before = "";
    for word in code.split_inclusive(' ') {
        let bare = word.trim_end();
        let (name, end) = bare.split_at(bare.find([',', ')', ';']).unwrap_or(bare.len()));
        // Not the type of a cast.
        if name == "text" && before != "as" && !before.is_empty() {
            out += &format!("text collate \"C\"{end}{}", &word[bare.len()..]);
        } else {
            out += word;
        }
        if !bare.is_empty() {
            before = bare;
        }
    }
    deferrable(&out)
}

/// `references table (column)`, with what is to become of the row, gets ` deferrable`.
fn deferrable(code: &str) -> String {
    const ACTION: &str = " on delete cascade";
    let Some(at) = code.find("references ") else { return code.to_owned() };
    let Some(end) = code[at..].find(')').map(|end| at + end + 1) else { return code.to_owned() };
    let end = if code[end..].starts_with(ACTION) { end + ACTION.len() } else { end };
    format!("{} deferrable{}", &code[..end], &code[end..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_put_right_and_nothing_else() {
        let line = "    owner text not null references accounts (id),    -- a text, of accounts (id)";
        assert_eq!(
            ours(line),
            "    owner text collate \"C\" not null references accounts (id) deferrable,    -- a text, of accounts (id)\n"
        );
        assert_eq!(ours("    hash text,"), "    hash text collate \"C\",\n");
        assert_eq!(ours("    id integer primary key,"), "    id bigint primary key,\n");
        assert_eq!(
            ours("update u set r = '0-' || cast(n as text) where n > 0;"),
            "update u set r = '0-' || cast(n as text) where n > 0;\n"
        );
        assert_eq!(
            ours("alter table t add column p text references t (id);"),
            "alter table t add column p text collate \"C\" references t (id) deferrable;\n"
        );
        assert_eq!(
            ours("    r text not null references repos (key) on delete cascade,"),
            "    r text collate \"C\" not null references repos (key) on delete cascade deferrable,\n"
        );
        assert_eq!(ours("alter table b add column mark text;"), "alter table b add column mark text collate \"C\";\n");
    }
}
