-- Jobs that were handed to an engine outside the hub (Slurm, Kubernetes), which starts a worker for each.
create table job_engines (
    job text primary key references jobs (id),
    engine text not null,               -- slurm | kubernetes
    place text not null,                -- which cluster, by the dispatcher's name for it
    number text not null,               -- what the engine calls it: 4711, 4711_3, hub-01jx...
    state text not null,                -- submitted | lost | ended
    submitted bigint not null,
    seen bigint not null,               -- when the dispatcher last said something of it
    times bigint not null default 1     -- how often it was handed over
);
create index job_engines_place on job_engines (engine, place);
