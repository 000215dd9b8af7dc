-- The key that measurements are signed with (PKCS #8, in base64), where several hubs share the database: the first one writes its own,
-- the others use it. A hub on a file keeps it beside the file.
create table signing_keys (
    id text primary key,                -- the key's thumbprint
    key text not null,
    created bigint not null
);
