-- People and what they may do. Times are unix milliseconds, booleans 0/1, ids made by the program.
create table accounts (
    id text primary key,
    name text not null,
    folded text not null unique,
    kind text not null,                 -- user | organisation
    is_admin bigint not null default 0,
    disabled bigint not null default 0,
    full_name text not null default '',
    created bigint not null
);

-- A user's own namespace needs no row; organisations list their members here.
create table members (
    organisation text not null references accounts (id),
    account text not null references accounts (id),
    role text not null,                 -- read | write | admin
    primary key (organisation, account)
);
create index members_account on members (account);

-- Only the sha256 of a secret is kept.
create table tokens (
    id text primary key,
    owner text not null references accounts (id),
    name text not null,
    scope text not null,                -- read | write | admin
    hash text not null unique,
    created bigint not null,
    expires bigint,
    last_used bigint,
    revoked bigint
);
create index tokens_owner on tokens (owner);

-- Web sessions: a cookie's hash, and the token it logged in with (revoking the token ends the session).
create table sessions (
    hash text primary key,
    token text not null references tokens (id),
    csrf text not null,
    created bigint not null,
    expires bigint not null
);
create index sessions_token on sessions (token);

create table audit (
    id text primary key,
    time bigint not null,
    actor text not null,
    action text not null,
    subject text not null,
    detail text not null default ''
);
create index audit_time on audit (time);
