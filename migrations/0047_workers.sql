-- Workers that were heard of lately: each says once in a while that it is there. Nothing is decided by this table; it is shown.
create table workers (
    name text primary key,              -- what it claims by, or its claims begin with
    token text,                         -- its worker's token, of one elsewhere
    node text not null,                 -- the machine it runs on, or that it asks
    cpus bigint not null,
    memory_bytes bigint not null,
    device text not null,
    release text not null,
    started bigint not null,
    seen bigint not null,
    job text                            -- the job in hand, if it has one
);
create index workers_seen on workers (seen);
