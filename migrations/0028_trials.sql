-- Trials of sweeps are jobs of their own, and the sweep publishes the best of them.
alter table jobs add column parent text references jobs (id);   -- the sweep it is a trial of
alter table jobs add column waits bigint not null default 0;    -- 1: for its trials; no worker takes it meanwhile
create index jobs_parent on jobs (parent);

create table trials (
    job text primary key references jobs (id),
    sweep text not null references jobs (id),
    number bigint not null,             -- from 1, in the order of the sweep
    rung bigint not null,               -- of a halving, from 0
    epochs bigint not null,
    settings text not null,             -- for people: epochs=5, lr=0.001
    reached double precision,           -- by the task's first measure on the validation items
    loss double precision
);
create index trials_sweep on trials (sweep, rung, number);
