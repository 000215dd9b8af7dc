-- What was asked of the hub behind this one: which of its commits a repo here stands at, and which one is not taken, and why.
create table mirrors (
    kind text not null,
    folded text not null,               -- folded 'namespace/name', as it is called there
    name text not null,                 -- the same as it is written
    repo text,                          -- its key here; null while nothing of it was taken
    upstream text not null,             -- address of the other hub
    commit_id text not null,            -- its commit that was taken last, or empty
    refused_commit text not null,       -- its commit that is not taken, or empty
    refused text not null,              -- why not
    checked bigint not null,            -- when it was asked last
    primary key (kind, folded)
);
create index mirrors_repo on mirrors (repo);
