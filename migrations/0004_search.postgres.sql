-- Full-text search, the one place where the engines differ.
create table search_index (
    rowid bigint primary key,
    repo text collate "C" not null,
    name text collate "C" not null,
    summary text collate "C" not null,
    tags text collate "C" not null,
    body text collate "C" not null,
    -- The words of name (A), summary (B), tags (C) and body (D), as catalog/full_text.rs makes them; null until it has.
    words tsvector,
    length bigint not null default 0    -- how many there are
);
create index search_index_words on search_index using gin (words) with (fastupdate = off);
create index search_index_unread on search_index (rowid) where words is null;

-- How many repos and words all of it has: what a rank is measured by. One row.
create table search_totals (
    id bigint primary key,
    repos bigint not null,
    words bigint not null
);
comment on table search_totals is 'derived';
insert into search_totals (id, repos, words) values (1, 0, 0);

-- BM25 (k1 1.2, b 0.75), negated: lower is better. A hit in the name weighs most. `asked` is what catalog/full_text.rs asks with:
-- {"match": "...", "average": 12.5, "phrases": [["beginning", idf], ...]}.
create function search_rank(words tsvector, length bigint, asked text) returns double precision language sql immutable parallel safe as $$
    select -coalesce(sum(p.idf * h.hits * 2.2 / (h.hits + 1.2 * (0.25 + 0.75 * length / p.average))), 0)
    from (
        select e.value ->> 0 as beginning, cast(e.value ->> 1 as double precision) as idf, cast(cast(asked as json) ->> 'average' as double precision) as average
        from json_array_elements(cast(asked as json) -> 'phrases') as e (value)
    ) p cross join lateral (
        select coalesce(sum(case w.weight when 'A' then 10.0 when 'B' then 4.0 when 'C' then 3.0 else 1.0 end), 0)::double precision as hits
        from unnest(words) as u (lexeme, positions, weights) cross join lateral unnest(u.weights) as w (weight)
        where starts_with(u.lexeme, p.beginning)
    ) h
$$;
