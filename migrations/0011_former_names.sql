-- Names that repos had before they were moved: whoever asks for one is led to where the repo is now.
create table former_names (
    kind text not null,
    folded text not null,               -- folded 'namespace/name'
    repo text not null references repos (key),
    since bigint not null,
    primary key (kind, folded)
);
