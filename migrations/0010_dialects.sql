-- Short-lived secrets for clients that send bytes to another address than they log in at: signed links of LFS, the
-- tokens of Xet. Only the sha256 is kept. One is worth as much as the token it stands on still is.
create table passes (
    hash text primary key,
    token text not null references tokens (id),
    repo text not null references repos (key),
    purpose text not null,              -- lfs-upload | lfs-download | xet
    expires bigint not null
);
create index passes_expires on passes (expires);

-- Xorbs an account has sent: clients remember them for weeks and name their chunks again. `lengths` has the raw bytes
-- of each chunk, in order.
create table xorbs (
    account text not null,
    hash text not null,
    lengths text not null,
    created bigint not null,
    primary key (account, hash)
);

-- Where chunks of a xorb lie: in a blob of the xorb's own raw bytes at first, later also in files made of it.
create table xorb_places (
    account text not null,
    hash text not null,
    first_chunk bigint not null,
    end_chunk bigint not null,
    digest text not null,
    offset_bytes bigint not null,
    primary key (account, hash, digest, first_chunk)
);
create index xorb_places_digest on xorb_places (digest);
