-- Branches beside `main`, pull requests, and what is said about a repo.
alter table refs add column kind text not null default 'tag';       -- branch | tag
update refs set kind = 'branch' where name = 'main';

-- What a version was made upon: `main`, another branch, `refs/pr/3`. Those of pull requests are no versions of the repo's own.
alter table versions add column line text not null default 'main';

create table discussions (
    repo text not null references repos (key),
    number bigint not null,
    title text not null,
    author text not null,
    state text not null,                -- draft | open | closed | merged
    target text,                        -- the branch a pull request asks to change; absent: talk alone
    base bigint,                        -- the version its changes are counted from
    head bigint,                        -- the version it stands at
    merged bigint,                      -- the version that took it in
    created bigint not null,
    primary key (repo, number)
);

create table discussion_events (
    repo text not null,
    number bigint not null,
    position bigint not null,
    author text not null,
    created bigint not null,
    kind text not null,                 -- comment | commit | status-change | title-change
    first text not null,                -- a comment's text; a commit's id; the new state; the old title
    second text not null default '',    -- a commit's subject; the new title; why a comment is hidden
    edited bigint,
    primary key (repo, number, position)
);
