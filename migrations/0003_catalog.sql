-- What lists and searches filter on: the facts of the version `main` names, one row a repo.
create table repo_facts (
    repo text primary key references repos (key),
    number bigint not null,
    task text not null default '',
    modality text not null default '',
    architecture text not null default '',
    license text not null default '',
    library text not null default '',
    parameters bigint not null default 0,
    total_bytes bigint not null default 0
);

create table repo_tags (
    repo text not null,
    tag text not null,
    primary key (repo, tag)
);
create index repo_tags_tag on repo_tags (tag);

-- Lineage, by version. `folded` is the folded 'namespace/name' a data set or base would have here.
create table version_sources (
    repo text not null,
    number bigint not null,
    position bigint not null,
    written text not null,
    folded text not null,
    trained_as text not null,           -- pretrained | fine-tuned
    primary key (repo, number, position)
);
create index version_sources_folded on version_sources (folded);

create table version_bases (
    repo text not null,
    number bigint not null,
    position bigint not null,
    written text not null,
    folded text not null,
    base_number bigint,                 -- the base's version, where it is known
    primary key (repo, number, position)
);
create index version_bases_folded on version_bases (folded);

create table downloads_daily (
    repo text not null,
    day bigint not null,                -- days since 1970-01-01
    downloads bigint not null,
    primary key (repo, day)
);
