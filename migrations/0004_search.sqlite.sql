-- Full-text search, the one place where the engines differ.
create virtual table search_index using fts5 (
    repo unindexed, name, summary, tags, body,
    tokenize = "unicode61 remove_diacritics 2 separators '-_./'",
    prefix = '2 3'
);
