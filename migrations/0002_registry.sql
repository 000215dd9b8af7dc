-- Repos, versions and bytes. A version's rows never change once written, but for its state.
create table repos (
    key text primary key,
    kind text not null,                 -- model | dataset
    namespace text not null,
    name text not null,
    folded text not null,               -- folded 'namespace/name'
    private bigint not null default 0,
    summary text not null default '',
    downloads bigint not null default 0,
    last_number bigint not null default 0,  -- the highest number ever given
    created bigint not null,
    updated bigint not null,
    deleted bigint,                     -- a tombstone keeps the name reserved
    unique (kind, folded)
);
create index repos_namespace on repos (namespace);

create table versions (
    repo text not null references repos (key),
    number bigint not null,
    commit_id text not null,
    manifest text not null,             -- sha256 of the canonical manifest
    parent bigint,
    author text not null,
    message text not null,
    created bigint not null,
    state text not null default 'live', -- live | yanked | deleted
    files bigint not null,
    total_bytes bigint not null,
    facts text not null,                -- JSON, never queried inside
    primary key (repo, number)
);
create index versions_commit on versions (repo, commit_id);

create table files (
    repo text not null,
    number bigint not null,
    path text not null,
    size_bytes bigint not null,
    digest text not null,
    primary key (repo, number, path)
);
create index files_digest on files (digest);

create table refs (
    repo text not null references repos (key),
    name text not null,                 -- main | a tag
    number bigint not null,
    updated bigint not null,
    primary key (repo, name)
);

create table blobs (
    digest text primary key,
    size_bytes bigint not null,
    created bigint not null
);

-- Who has sent all bytes of a blob and may name it in a commit before any repo of theirs holds it.
create table blob_grants (
    digest text not null,
    account text not null,
    created bigint not null,
    primary key (digest, account)
);

-- The header of every safetensors blob.
create table tensors (
    digest text not null,
    position bigint not null,
    name text not null,
    dtype text not null,
    shape text not null,                -- JSON list
    offset_bytes bigint not null,       -- from the end of the header
    size_bytes bigint not null,
    primary key (digest, position)
);

create table uploads (
    id text primary key,
    account text not null,
    digest text not null,
    size_bytes bigint not null,
    received_bytes bigint not null default 0,
    created bigint not null,
    expires bigint not null,
    unique (account, digest)
);
create index uploads_expires on uploads (expires);
