-- What an account holds, kept up to date with every change, so that a limit costs one look; and what it may hold, where that is
-- not what the server's settings say.
create table usage (
    account text primary key,
    sent_bytes bigint not null default 0,   -- of the blobs it has sent that are here: the sum over its blob_grants
    quota_bytes bigint                      -- null: as the settings say; 0: no limit
);
insert into usage (account, sent_bytes)
    select g.account, cast(sum(b.size_bytes) as bigint) from blob_grants g
    join blobs b on b.digest = g.digest join accounts a on a.id = g.account group by g.account;

-- Different bytes in a repo's versions.
alter table repos add column stored_bytes bigint not null default 0;
update repos set stored_bytes = (
    select cast(coalesce(sum(d.size_bytes), 0) as bigint)
    from (select distinct f.digest, f.size_bytes from files f where f.repo = repos.key) as d) where deleted is null;
create index repos_stored on repos (namespace, stored_bytes);

-- Whether a repo has some bytes already is asked for each file of a new version.
drop index files_digest;
create index files_digest on files (digest, repo);
