-- Writers without an upload session say here which bytes they are about to store: what is reserved is left
-- alone by the collector. A holder is one story of one process; what it left behind when it died runs out.
create table blob_reservations (
    digest text not null,
    holder text not null,
    until bigint not null,
    primary key (digest, holder)
);
create index blob_reservations_holder on blob_reservations (holder);

-- Blobs whose row the collector has deleted. The bytes follow after the grace period: `deleting` is 1 while
-- they are being removed, and nobody may store them again meanwhile.
create table condemned (
    digest text primary key,
    size_bytes bigint not null,
    since bigint not null,
    deleting bigint not null default 0
);
create index condemned_since on condemned (since);

-- "Is anybody sending this?" is asked by digest.
create index uploads_digest on uploads (digest);

-- What upkeep remembers between two runs: when something was last done, how much so far, where to go on.
create table upkeep (
    name text primary key,
    number bigint not null default 0,
    words text not null default ''
);
