-- The library: repos that the hub knows by an index before their files are here, and after.
create table library_entries (
    repo text primary key references repos (key),
    entry text not null,                -- what the index says, as JSON
    facts text not null,                -- the same as lists show it while nothing is published
    body text not null,                 -- its words, for searches
    commit_id text not null,            -- the upstream's commit that was fetched, or where else the files came from; empty before
    pins text not null                  -- JSON: what the files that were fetched hash to
);
create table library_aliases (
    kind text not null,
    folded text not null,               -- folded 'namespace/name'
    repo text not null,
    primary key (kind, folded)
);
create index library_aliases_repo on library_aliases (repo);
-- Which index the entries were taken from. One row.
create table library_index (
    id bigint primary key,
    version text not null
);
-- What lists are sorted by; -1 where no card says it.
alter table repo_facts add column top1 double precision not null default -1;
create index repo_facts_top1 on repo_facts (top1);
