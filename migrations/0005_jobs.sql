-- The queue. A lease is a worker's claim; its number fences out workers that lost it.
create table jobs (
    id text primary key,
    owner text not null references accounts (id),
    kind text not null,                 -- fine-tune
    spec text not null,                 -- JSON, never queried inside
    name_folded text not null,          -- folded name of the result
    state text not null,                -- queued | running | succeeded | failed | cancelled
    attempt bigint not null default 0,  -- times a worker has started it
    fruitless bigint not null default 0,-- starts since the last checkpoint; too many of these fail the job
    cancel_requested bigint not null default 0,
    step bigint not null default 0,
    total_steps bigint not null default 0,
    stage text not null default '',
    error text,
    result_version bigint,
    checkpoint text,                    -- digest of the newest checkpoint blob
    not_before bigint not null,         -- back-off
    lease_number bigint not null default 0,
    lease_worker text,
    lease_until bigint,
    created bigint not null,
    started bigint,
    finished bigint
);
create index jobs_queue on jobs (state, not_before);
create index jobs_owner on jobs (owner, created);

create table job_events (
    job text not null references jobs (id),
    number bigint not null,
    time bigint not null,
    kind text not null,                 -- state | progress | epoch | log | result
    body text not null,                 -- JSON
    primary key (job, number)
);
