-- Secrets of machines that work on jobs over HTTP: good for the routes of workers, and for nothing else.
create table worker_tokens (
    id text primary key,
    name text not null,                 -- which machine, or which cluster
    hash text not null unique,          -- sha256 of the secret
    created bigint not null,
    expires bigint,
    last_used bigint,
    revoked bigint
);
-- What a worker has told under the lease it holds: the number of its newest word that was written down, so that what it sends again is
-- known, and how many of them are kept.
alter table jobs add column heard bigint not null default 0;
alter table jobs add column heard_lines bigint not null default 0;
