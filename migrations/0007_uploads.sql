-- Parts of an upload arrive in any order. Which bytes are here says this list of half-open runs, sorted and merged:
-- '0-8388608,16777216-25165824'. It is written after the bytes are on the disk; received_bytes is its sum.
alter table uploads add column received text not null default '';
-- What the old way had received began with the first byte.
update uploads set received = '0-' || cast(received_bytes as text) where received_bytes > 0;
-- Those under way are counted with each announcement, the many that have ended are not.
create index uploads_open on uploads (account) where received_bytes < size_bytes;
