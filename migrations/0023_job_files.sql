-- Files of jobs: blobs that are kept while the job is.
create table job_files (
    job text not null references jobs (id),
    given bigint not null,              -- 1: sent along with the job; 0: left by it
    name text not null,
    digest text not null,
    size_bytes bigint not null,
    primary key (job, given, name)
);
create index job_files_digest on job_files (digest);
